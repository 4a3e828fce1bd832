"""Gaps, curves and the AUC of representations against the rows they come from."""

from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pyarrow as pa
import pytest
from summarised_run import FAST, rewrite, value
from synthetic_run import write_synthetic_run

from concord.results import Run, read_rows, write_part
from concord.summary import Summary, summarise


def test_gap_and_curve_equal_sql_over_the_rows(run: Run, summary: Summary):
    for dataset in ("mrpc", "tapaco", "pararel"):
        key = f"representation.{dataset}.gap"
        table = read_rows(run, "representation", "tuned-1")
        assert table is not None
        rows = [
            row
            for row in table.to_pylist()
            if row["dataset"] == dataset
            and row["contexts"] == "study"
            and row["state"] == "final"
        ]
        gaps = []
        for context in range(3):
            own = [row for row in rows if row["context"] == context]
            near, far = (
                fmean(row[name] for row in own if row[name] is not None)
                for name in ("cos_para", "cos_nonpara")
            )
            gaps.append(near - far)
        found = value(summary, key, "tuned-1")
        assert found["value"] == pytest.approx(fmean(gaps), abs=1e-6)
        assert found["contexts_sd"] == pytest.approx(stdev(gaps), abs=1e-6)
        curve = next(
            one
            for one in summary["curves"]
            if (one["key"], one["model"], one["contexts"]) == (key, "tuned-1", "study")
        )
        assert curve["layers"] == [0, 1, 2, 3, 4]
        assert curve["value"][-1] == pytest.approx(found["value"])
        assert curve["low"][-1] == pytest.approx(found["low"])
        lexical = value(summary, f"representation.{dataset}.lexical_gap", "tuned-1")
        assert curve["lexical"] == pytest.approx(lexical["value"])


def write_pairs_of_facts(run: Run) -> None:
    """Cosines of agreeing pairs of templates, and across facts, in two contexts."""
    for model in run.models():
        names = ("study",) if model == "base" else ("study", "same")
        rows = [
            {
                "contexts": name, "context": context, "kind": kind, "last_token": "any",
                "relation": relation, "fact": fact, "subject": fact,
                "template": None, "other_template": None, "cosines": [0.1, cosine, 0.5],
            }
            for name in names
            for context in range(2)
            for kind, relation, fact, cosine in (
                ("nonparaphrase", None, None, 0.2),
                ("agreeing", "r", "f", 0.6),
            )
        ]  # fmt: skip
        table = pa.Table.from_pylist(rows)
        write_part(run, "relations", model, name="0", key="k", table=table)


def test_gaps_of_a_facts_pairs_stand_beside_the_lexical_gap_of_the_same_prompts(
    tmp_path: Path,
):
    run = write_synthetic_run(
        tmp_path, models=2, relations=2, facts=5, analyses=["representation"]
    )
    write_pairs_of_facts(run)
    summary = summarise(run, FAST)
    rows = read_rows(run, "representation", "tuned-1")
    assert rows is not None
    lexical = [
        row["cos_para"] - row["cos_nonpara"]
        for row in rows.to_pylist()
        if (row["dataset"], row["state"]) == ("pararel", "lexical")
        and (row["contexts"], row["context"]) == ("same", 1)
    ]
    found = {
        (one["key"], one["model"], one["contexts"]): one for one in summary["curves"]
    }
    key = "relations.gap_agreeing"
    of_context = found[f"{key}_context_1", "tuned-1", "same"]
    assert of_context["value"] == pytest.approx([0.0, 0.0])
    assert of_context["lexical"] == pytest.approx(fmean(lexical), abs=1e-6)
    name = "representation.pararel.lexical_gap"
    for model, contexts in (("base", "study"), ("tuned-1", "study")):
        expected = value(summary, name, model)["value"]
        assert found[key, model, contexts]["lexical"] == pytest.approx(expected)
    expected = value(summary, f"{name}@same", "tuned-1")["value"]
    assert found[key, "tuned-1", "same"]["lexical"] == pytest.approx(expected)
    assert not any("lexical" in one for place, one in found.items() if "both" in place)


def test_gaps_of_a_facts_pairs_have_no_lexical_gap_where_none_was_measured(
    tmp_path: Path,
):
    run = write_synthetic_run(tmp_path, models=2, analyses=["facts"])
    write_pairs_of_facts(run)
    curves = summarise(run, FAST)["curves"]
    own = [one for one in curves if one["key"].startswith("relations.gap_agreeing")]
    assert own and all(one["lexical"] is None for one in own)


def test_bands_are_wider_than_pointwise_intervals(summary: Summary):
    for curve in summary["curves"] + summary["curve_differences"]:
        band = np.subtract(curve["band_high"], curve["band_low"])
        pointwise = np.subtract(curve["high"], curve["low"])
        assert band.mean() > pointwise.mean()


def test_auc_of_labelled_pairs_counts_all_pairs_of_pairs(run: Run, summary: Summary):
    table = read_rows(run, "representation", "base")
    assert table is not None
    aucs = []
    for context in range(3):
        own = [
            row
            for row in table.to_pylist()
            if (row["dataset"], row["state"], row["context"])
            == ("mrpc", "final", context)
        ]
        near = [row["cos_para"] for row in own if row["cos_para"] is not None]
        far = [row["cos_nonpara"] for row in own if row["cos_nonpara"] is not None]
        aucs.append(fmean((a > b) + (a == b) / 2 for a in near for b in far))
    found = value(summary, "representation.mrpc.auc", "base")
    assert found["value"] == pytest.approx(fmean(aucs))


def test_sets_weigh_alike_in_the_gap_whatever_their_relation(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path,
        relations=2,
        facts=10,
        layers=1,
        analyses=["representation"],
        datasets=["pararel"],
        contexts=["study"],
    )

    def thin_a_relation(table: pa.Table) -> pa.Table:
        kept = [unit not in dropped for unit in table["unit"].to_pylist()]
        return table.filter(pa.array(kept))

    dropped = {f"P101:Subject {i}" for i in range(8)}
    for model in run.models():
        rewrite(run, "representation", model, thin_a_relation)
    table = read_rows(run, "representation", "base")
    assert table is not None
    rows = [row for row in table.to_pylist() if row["state"] == "final"]
    expected = fmean(row["cos_para"] - row["cos_nonpara"] for row in rows)
    found = value(summarise(run, FAST), "representation.pararel.gap", "base")
    assert found["value"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_pairs_of_one_kind_have_no_auc_and_no_numpy_warning(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, relations=1, facts=1, datasets=("mrpc",)
    )
    summary = summarise(run, FAST)
    found = value(summary, "representation.mrpc.auc", "base")
    assert found["value"] is None and found["reason"]
