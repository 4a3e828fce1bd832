"""The summary against plain Python and SQL over the same rows, and what it lacks."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import combinations, permutations
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import t
from synthetic_run import (
    Behaviour,
    expected_accuracy,
    expected_agreement,
    write_synthetic_run,
)

from concord.errors import ResultsError
from concord.metrics.agreement import NO_PAIR
from concord.metrics.other_measures import MEASURE_NAMES
from concord.metrics.significance import benjamini_hochberg, holm
from concord.results import Run, read_rows, write_part
from concord.study import StatisticsConfig
from concord.summary import (
    MEASURES,
    Settings,
    Summary,
    describe,
    summarise,
    write_summary,
)

FAST = Settings(replicates=200, permutations=200, level=0.95, seed=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_synthetic_run(tmp_path_factory.mktemp("run"), relations=3, facts=20)


@pytest.fixture(scope="module")
def summary(run: Run) -> Summary:
    return summarise(run, FAST)


def entry(summary: Summary, key: str) -> dict:
    return next(one for one in summary["measures"] if one["key"] == key)


def value(summary: Summary, key: str, model: str) -> dict:
    return next(one for one in entry(summary, key)["values"] if one["model"] == model)


def difference(summary: Summary, key: str, model: str) -> dict:
    return next(
        one for one in entry(summary, key)["differences"] if one["model"] == model
    )


def rewrite(
    run: Run, analysis: str, model: str, change: Callable[[pa.Table], pa.Table]
) -> None:
    """Change the one part of a model in place."""
    (path,) = run.parts(analysis, model)
    pq.write_table(change(pq.read_table(path)), path)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def answers(run: Run, model: str, contexts: str = "study") -> dict:
    """(relation, fact) -> context -> rows in the order of templates."""
    table = read_rows(run, "facts", model)
    assert table is not None
    found: dict = defaultdict(lambda: defaultdict(list))
    for row in sorted(table.to_pylist(), key=lambda row: row["template"]):
        if row["contexts"] == contexts:
            found[row["relation"], row["fact"]][row["context"]].append(row)
    return found


def agreement_of(rows: list[dict]) -> float:
    pairs = list(combinations([row["prediction"] for row in rows], 2))
    return fmean(one == other for one, other in pairs)


def accuracy_of(rows: list[dict]) -> float:
    return fmean(row["is_correct"] for row in rows)


def macro(found: dict, measure: Callable[[list[dict]], float]) -> float:
    """Mean over contexts, over the facts of a relation, over relations."""
    relations = defaultdict(list)
    for (relation, _), contexts in found.items():
        relations[relation].append(fmean(measure(rows) for rows in contexts.values()))
    return fmean(fmean(values) for values in relations.values())


@pytest.mark.parametrize(
    ("key", "measure"),
    [
        ("facts.agreement", agreement_of),
        ("facts.accuracy", accuracy_of),
        ("facts.consistent_and_correct", lambda rows: accuracy_of(rows) == 1),
        ("pararel.consistent_subjects", lambda rows: agreement_of(rows) == 1),
        ("pararel.lama_accuracy", lambda rows: rows[0]["is_correct"]),
        (
            "facts.free_agreement",
            lambda rows: agreement_of(
                [{"prediction": row["free_prediction"]} for row in rows]
            ),
        ),
    ],
)
@pytest.mark.parametrize("model", ["base", "tuned-2"])
def test_value_equals_its_definition_in_plain_python(
    run: Run, summary: Summary, key: str, measure: Callable, model: str
):
    expected = macro(answers(run, model), measure)
    assert value(summary, key, model)["value"] == pytest.approx(expected)


def test_nontrivial_values_leave_copyable_facts_out(run: Run, summary: Summary):
    kept = {
        fact: contexts
        for fact, contexts in answers(run, "base").items()
        if not contexts[0][0]["is_trivial"]
    }
    found = value(summary, "facts.agreement_nontrivial", "base")
    assert found["value"] == pytest.approx(macro(kept, agreement_of))
    assert found["n"]["facts"] == len(kept) < 60


def test_deviation_is_over_contexts_and_micro_over_facts(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"], relations=2, facts=8)

    def drop_half_of_a_relation(table: pa.Table) -> pa.Table:
        return table.filter(
            pa.array(
                [not f.startswith("P101:Subject 1") for f in table["fact"].to_pylist()]
            )
        )

    for model in run.models():
        rewrite(run, "facts", model, drop_half_of_a_relation)
    found = answers(run, "base")
    entry = value(summarise(run, FAST), "facts.agreement", "base")
    per_context = [
        macro({fact: {0: rows[c]} for fact, rows in found.items()}, agreement_of)
        for c in range(3)
    ]
    assert entry["contexts_sd"] == pytest.approx(stdev(per_context))
    micro = fmean(agreement_of(rows) for c in found.values() for rows in c.values())
    assert entry["micro"] == pytest.approx(micro)
    assert entry["micro"] != pytest.approx(entry["value"], abs=1e-6)


def test_values_are_near_what_the_models_were_made_to_do(tmp_path: Path):
    behaviours = [Behaviour(0.6, 0.5, 0.3), Behaviour(0.9, 0.7, 0.3)]
    run = write_synthetic_run(
        tmp_path, behaviours=behaviours, facts=400, analyses=["facts"]
    )
    summary = summarise(run, FAST)
    for model, behaviour in zip(run.models(), behaviours, strict=True):
        agreement = value(summary, "facts.agreement", model)
        assert agreement["low"] < expected_agreement(behaviour, 8) < agreement["high"]
        accuracy = value(summary, "facts.accuracy", model)["value"]
        assert accuracy == pytest.approx(expected_accuracy(behaviour, 8), abs=0.04)
    assert difference(summary, "facts.agreement", "tuned-1")["verdict"] == (
        "more consistent"
    )


def test_differences_are_tuned_minus_base_and_split_into_weights_and_prompt(
    summary: Summary,
):
    for key in ("facts.agreement", "representation.pararel.gap"):
        total = difference(summary, key, "tuned-1")["value"]
        weights = difference(summary, f"{key}@same", "tuned-1")["value"]
        prompt = difference(summary, f"{key}@prompt", "tuned-1")["value"]
        base, tuned = (value(summary, key, m)["value"] for m in ("base", "tuned-1"))
        assert total == pytest.approx(tuned - base)
        assert weights + prompt == pytest.approx(total)


def test_every_interval_holds_its_value(summary: Summary):
    checked = 0
    for measure in summary["measures"]:
        for one in measure["values"] + measure["differences"]:
            if one["low"] is not None:
                assert one["low"] <= one["value"] <= one["high"], measure["key"]
                checked += 1
    assert checked > 200


def test_adjusted_p_values_are_no_smaller(summary: Summary):
    for measure in summary["measures"]:
        for one in measure["differences"]:
            if one["p"] is not None:
                assert one["p"] <= one["p_adjusted"] <= 1


def test_a_model_that_answers_like_its_base_shows_no_difference(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )
    base = pq.read_table(run.parts("facts", "base")[0])
    rewrite(run, "facts", "tuned-1", lambda _: base)
    found = difference(summarise(run, FAST), "facts.agreement", "tuned-1")
    assert (found["value"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)
    assert found["verdict"] == "no difference seen"
    found = difference(
        summarise(run, replace(FAST, margin=0.01)), "facts.agreement", "tuned-1"
    )
    assert found["verdict"] == "same within 0.01"


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


def test_by_relation_holds_each_relations_own_value(run: Run, summary: Summary):
    rows = {
        (one["key"], one["model"], one["relation"]): one
        for one in summary["by_relation"]
    }
    found = answers(run, "tuned-1")
    for relation in ("P100", "P101", "P102"):
        own = {fact: rows for fact, rows in found.items() if fact[0] == relation}
        row = rows["facts.agreement", "tuned-1", relation]
        assert row["value"] == pytest.approx(macro(own, agreement_of))
        assert row["n"] == 20
    gaps = [rows["representation.pararel.gap", "base", f"P10{i}"] for i in range(3)]
    whole = value(summary, "representation.pararel.gap", "base")["value"]
    assert fmean(gap["value"] for gap in gaps) == pytest.approx(whole)


def test_flips_equal_a_count_in_plain_python(run: Run, summary: Summary):
    def mostly(contexts: dict, measure: Callable) -> bool:
        return fmean(measure(rows) == 1 for rows in contexts.values()) > 0.5

    base, tuned = answers(run, "base"), answers(run, "tuned-2")
    changes = defaultdict(int)
    for name, measure in (("agree", agreement_of), ("right", accuracy_of)):
        for fact, contexts in base.items():
            before, after = mostly(contexts, measure), mostly(tuned[fact], measure)
            changes[name, before, after] += 1
    found = summary["flips"]["tuned-2"]
    assert found["to_agree"] == changes["agree", False, True]
    assert found["to_disagree"] == changes["agree", True, False]
    assert found["gained_right"] == changes["right", False, True]
    assert found["lost_right"] == changes["right", True, False]
    assert found["n"] == 60


def test_tests_of_flips_are_adjusted_for_the_models(summary: Summary):
    for name in ("mcnemar_p", "right_mcnemar_p"):
        own = [summary["flips"][model] for model in summary["tuned"]]
        adjusted = [one[f"{name}_adjusted"] for one in own]
        np.testing.assert_allclose(adjusted, holm(np.array([one[name] for one in own])))


def test_known_facts_are_split_by_what_both_models_know(run: Run, summary: Summary):
    base, tuned = answers(run, "base"), answers(run, "tuned-1")

    def knows(contexts: dict) -> bool:
        return fmean(accuracy_of(rows) for rows in contexts.values()) >= 0.5

    both = {f: tuned[f] for f in base if knows(base[f]) and knows(tuned[f])}
    found = difference(summary, "facts.known_both", "tuned-1")
    assert found["n"]["facts"] == len(both)
    assert found["after"] == pytest.approx(macro(both, agreement_of))
    assert found["before"] == pytest.approx(
        macro({fact: base[fact] for fact in both}, agreement_of)
    )
    sizes = [
        difference(summary, f"facts.known_{name}", "tuned-1")["n"]["facts"]
        for name in ("both", "one", "neither")
    ]
    assert sum(sizes) == 60
    assert (
        "differs by tuned model" in value(summary, "facts.known_both", "base")["reason"]
    )


def test_noise_is_the_largest_move_of_a_score(run: Run, summary: Summary):
    table = read_rows(run, "noise", "base")
    assert table is not None
    rows = table.to_pylist()
    delta = max(abs(row["score"] - row["score_alone"]) for row in rows)
    found = summary["noise"]["base"]
    assert found["delta"] == pytest.approx(delta)
    assert found["n"] == len(rows)
    margins = [
        r["margin"]
        for c in answers(run, "base").values()
        for x in c.values()
        for r in x
    ]
    assert found["near_ties"] == pytest.approx(fmean(m < 2 * delta for m in margins))


def test_near_ties_are_left_out_of_the_agreement_without_them(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts", "noise"], contexts=["study"]
    )

    def tie_first_templates(table: pa.Table) -> pa.Table:
        # The noise moves a score by nearly .001, so two by nearly .002.
        margin = [0.0015 if t == 0 else 9.0 for t in table["template"].to_pylist()]
        return with_column(table, "margin", pa.array(margin, pa.float32()))

    for model in run.models():
        rewrite(run, "facts", model, tie_first_templates)
    summary = summarise(run, FAST)
    later = {
        fact: {c: rows[1:] for c, rows in contexts.items()}
        for fact, contexts in answers(run, "base").items()
    }
    found = value(summary, "facts.agreement_without_near_ties", "base")
    assert found["value"] == pytest.approx(macro(later, agreement_of))
    assert summary["noise"]["base"]["near_ties"] == pytest.approx(1 / 5)
    assert (
        summary["flips"]["tuned-1"]["to_agree_inside_noise"]
        <= (summary["flips"]["tuned-1"]["to_agree"])
    )


def test_without_a_noise_sample_there_is_a_reason_and_a_note(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"], contexts=["study"])
    summary = summarise(run, FAST)
    assert summary["noise"] == {}
    assert any("no noise sample" in note for note in summary["notes"])


def test_a_missing_model_is_null_with_a_reason_and_the_rest_whole(
    tmp_path: Path, run: Run, summary: Summary
):
    partial = write_synthetic_run(
        tmp_path, relations=3, facts=20, without=[("facts", "tuned-1")]
    )
    found = summarise(partial, FAST)
    absent = value(found, "facts.agreement", "tuned-1")
    assert absent["value"] is None and absent["low"] is None
    assert "no rows of facts" in absent["reason"]
    assert difference(found, "facts.agreement", "tuned-1")["value"] is None
    assert value(found, "facts.agreement", "tuned-2") == value(
        summary, "facts.agreement", "tuned-2"
    )


def test_without_the_base_values_stand_and_differences_say_why(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"], without=[("facts", "base")])
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "tuned-1")["value"] is not None
    found = difference(summary, "facts.agreement", "tuned-1")
    assert found["value"] is None and "base" in found["reason"]
    assert summary["flips"] == {}


def test_a_run_without_rows_has_no_measures_and_a_note(tmp_path: Path):
    summary = summarise(write_synthetic_run(tmp_path, analyses=[]), FAST)
    assert summary["measures"] == [] and summary["notes"]


def test_one_template_has_no_agreement_but_an_accuracy(tmp_path: Path):
    run = write_synthetic_run(tmp_path, templates=1, analyses=["facts"])
    summary = summarise(run, FAST)
    found = value(summary, "facts.agreement", "base")
    assert found["value"] is None and found["reason"]
    assert value(summary, "facts.accuracy", "base")["value"] is not None
    assert difference(summary, "facts.agreement", "tuned-1")["verdict"] is None
    found = value(summary, "facts.chance_corrected_agreement", "base")
    assert (found["value"], found["reason"]) == (None, NO_PAIR)


def test_one_subject_in_each_relation_has_no_interval(tmp_path: Path):
    run = write_synthetic_run(tmp_path, facts=1, analyses=["facts"], contexts=["study"])
    summary = summarise(run, FAST)
    found = value(summary, "facts.agreement", "base")
    assert found["value"] is not None and found["low"] is None
    assert "too few subjects" in found["reason"]
    found = difference(summary, "facts.agreement", "tuned-1")
    assert (found["p"], found["verdict"]) == (None, None)
    found = value(summary, "facts.chance_corrected_agreement", "base")
    assert (found["value"], found["reason"]) == (None, NO_PAIR)


def test_relations_without_a_correction_for_chance_are_counted(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )

    def collapse(table: pa.Table) -> pa.Table:
        keeps = np.array(table["relation"].to_pylist()) == "P100"
        given = np.where(keeps, table["prediction_index"].to_numpy(), 3)
        return with_column(table, "prediction_index", pa.array(given, pa.int32()))

    rewrite(run, "facts", "tuned-1", collapse)
    summary = summarise(run, FAST)
    for look_up in (value, difference):
        found = look_up(summary, "facts.chance_corrected_agreement", "tuned-1")
        assert found["value"] is not None and found["n"]["relations"] == 1
        assert found["reason"] == (
            "corrected over 1 of 4 relations; in 3 one answer to everything: agreement "
            "by chance is 1"
        )


def test_one_answer_to_everything_is_collapse_not_consistency(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )
    rewrite(
        run,
        "facts",
        "tuned-1",
        lambda table: with_column(
            table, "prediction_index", pa.array([3] * table.num_rows, pa.int32())
        ),
    )
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "tuned-1")["value"] == 1.0
    assert value(summary, "facts.top_answer_share", "tuned-1")["value"] == 1.0
    assert value(summary, "facts.answer_entropy", "tuned-1")["value"] == 0.0
    found = value(summary, "facts.chance_corrected_agreement", "tuned-1")
    assert found["value"] is None and "one answer" in found["reason"]
    found = difference(summary, "facts.chance_corrected_agreement", "tuned-1")
    assert found["value"] is None


def test_unread_answers_agree_with_nothing(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )
    rewrite(
        run,
        "facts",
        "base",
        lambda table: with_column(
            table, "prediction_index", pa.nulls(table.num_rows, pa.int32())
        ),
    )
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "base")["value"] == 0.0
    assert value(summary, "facts.top_answer_share", "base")["value"] is None
    assert "100.0% of base's prompts (study) have no answer" in summary["notes"]


def test_facts_that_a_model_was_not_asked_are_left_out_for_all(tmp_path: Path):
    run = write_synthetic_run(tmp_path, facts=10, analyses=["facts"])
    rewrite(
        run,
        "facts",
        "tuned-1",
        lambda table: table.filter(
            pa.array([fact != "P100:Subject 3" for fact in table["fact"].to_pylist()])
        ),
    )
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "base")["n"]["facts"] == 39
    assert summary["notes"][0].startswith("1 facts were not asked of every model")


def test_facts_of_one_subject_are_one_cluster(tmp_path: Path):
    run = write_synthetic_run(tmp_path, facts=10, analyses=["facts"])

    def pair_subjects(table: pa.Table) -> pa.Table:
        subjects = [f"S{int(s.split()[1]) // 2}" for s in table["subject"].to_pylist()]
        return with_column(table, "subject", pa.array(subjects))

    for model in run.models():
        rewrite(run, "facts", model, pair_subjects)
    found = value(summarise(run, FAST), "facts.agreement", "base")["n"]
    assert (found["facts"], found["subjects"], found["relations"]) == (40, 20, 4)


def test_order_of_rows_and_names_of_answers_do_not_matter(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"])
    before = summarise(run, FAST)
    rng = np.random.default_rng(0)

    def shuffle_and_rename(table: pa.Table) -> pa.Table:
        table = table.take(rng.permutation(table.num_rows))
        renamed = (table["prediction_index"].to_numpy() * 3 + 1) % 8
        return with_column(table, "prediction_index", pa.array(renamed))

    for model in run.models():
        rewrite(run, "facts", model, shuffle_and_rename)
    after = summarise(run, FAST)
    for key in ("facts.agreement", "facts.chance_corrected_agreement"):
        for one in before["measures"]:
            if one["key"] == key:
                for model in run.models():
                    for name in ("value", "low", "high", "relations_low"):
                        assert value(after, key, model)[name] == pytest.approx(
                            value(before, key, model)[name]
                        )


def test_the_same_seed_gives_the_same_summary_and_nothing_is_written(
    tmp_path: Path,
):
    run = write_synthetic_run(tmp_path, relations=2, facts=6, layers=2)
    files = sorted(path for path in tmp_path.rglob("*"))
    seeded = replace(FAST, seed=3)
    assert summarise(run, seeded) == summarise(run, seeded)
    assert sorted(path for path in tmp_path.rglob("*")) == files


def test_summary_is_written_as_json_that_reads_back_the_same(
    run: Run, summary: Summary
):
    write_summary(run, summary)
    text = (run.path / "summary.json").read_text(encoding="utf-8")
    assert json.loads(text) == summary
    assert summary["schema"] == 1 and summary["tuned"] == ["tuned-1", "tuned-2"]


def test_a_study_names_the_kind_of_interval_and_of_adjustment(run: Run):
    statistics = StatisticsConfig(
        replicates=200, interval="bca", adjustment="benjamini_hochberg"
    )
    summary = summarise(run, Settings(seed=0, **statistics.model_dump()))
    assert summary["interval"] == "bca"
    assert summary["adjustment"] == "benjamini_hochberg"
    families = [m["differences"] for m in summary["measures"]]
    tested = [own for own in families if all(d.get("p") is not None for d in own)]
    assert tested
    for own in tested:
        adjusted = benjamini_hochberg(np.array([one["p"] for one in own]))
        np.testing.assert_allclose([one["p_adjusted"] for one in own], adjusted)


def test_bca_intervals_are_near_the_percentile_ones(run: Run, summary: Summary):
    corrected = summarise(run, replace(FAST, interval="bca"))
    found = value(corrected, "facts.agreement", "base")
    plain = value(summary, "facts.agreement", "base")
    assert found["value"] == plain["value"]
    assert found["low"] == pytest.approx(plain["low"], abs=0.02)


def test_power_names_the_smallest_difference_and_the_subjects_needed(summary: Summary):
    one = next(
        row
        for row in summary["power"]
        if (row["key"], row["model"]) == ("facts.agreement", "tuned-1")
    )
    found = difference(summary, "facts.agreement", "tuned-1")
    # Two tuned models: alpha / 2 on two sides; each relation takes a degree.
    assert one["tests"] == 2 and one["reason"] is None
    degrees = one["n"] - found["n"]["relations"]
    reach = t.ppf([1 - 0.05 / 4, 0.8], degrees).sum()
    assert one["smallest_difference"] == pytest.approx(reach * one["standard_error"])
    ratio = one["smallest_difference"] / one["difference"]
    assert one["n_needed"] == pytest.approx(one["n"] * ratio**2, rel=0.01)
    width = found["high"] - found["low"]
    both = 2 * t.ppf(0.975, degrees)
    assert width == pytest.approx(both * one["standard_error"], rel=0.2)


def test_baselines_are_those_of_the_objects(run: Run, summary: Summary):
    objects = defaultdict(list)
    for (relation, _), contexts in answers(run, "base").items():
        objects[relation].append(contexts[0][0]["object"])
    majority = fmean(
        max(own.count(name) for name in own) / len(own) for own in objects.values()
    )
    assert summary["baselines"]["majority_accuracy"] == pytest.approx(majority)
    assert summary["baselines"]["uniform_accuracy"] == pytest.approx(1 / 8)


def test_agreement_by_form_needs_lemmas_and_tenses_in_the_run(tmp_path: Path):
    run = write_synthetic_run(tmp_path, relations=2, templates=3, analyses=["facts"])
    info = json.loads((tmp_path / "run.json").read_text())
    forms = [
        {"lemma": "be", "tense": "past", "line": 0},
        {"lemma": "be", "tense": "present", "line": 2},
        {"lemma": "lie", "tense": "past", "line": 3},
    ]
    info["data"]["facts"] = {"templates": {"P100": forms, "P101": forms}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    summary = summarise(run, FAST)
    first_two = {
        fact: {c: rows[:2] for c, rows in contexts.items()}
        for fact, contexts in answers(run, "base").items()
    }
    assert value(summary, "pararel.same_lemma_agreement", "base")[
        "value"
    ] == pytest.approx(macro(first_two, agreement_of))


def test_a_relation_whose_first_template_cannot_be_used_has_no_lama_accuracy(
    tmp_path: Path,
):
    run = write_synthetic_run(tmp_path, relations=2, templates=2, analyses=["facts"])
    info = json.loads((tmp_path / "run.json").read_text())
    first = [{"lemma": None, "tense": None, "line": line} for line in (0, 1)]
    later = [{"lemma": None, "tense": None, "line": line} for line in (1, 2)]
    info["data"]["facts"] = {"templates": {"P100": first, "P101": later}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    found = value(summarise(run, FAST), "pararel.lama_accuracy", "base")
    of_first = [
        row["is_correct"]
        for fact, contexts in answers(run, "base").items()
        if fact[0] == "P100"
        for rows in contexts.values()
        for row in rows[:1]
    ]
    assert found["value"] == pytest.approx(sum(of_first) / len(of_first))
    assert found["n"]["relations"] == 1


def test_every_key_is_described_and_every_description_is_whole(summary: Summary):
    for measure in summary["measures"]:
        assert describe(measure["key"]).title == measure["title"]
    for pattern, measure in MEASURES.items():
        assert measure.meaning.endswith("."), pattern
        assert measure.formula and measure.title, pattern
    used = {one["key"].partition("@")[0] for one in summary["measures"]}
    unused = {
        pattern
        for pattern in MEASURES
        if pattern.startswith(("facts.", "pararel.", "mpararel.", "represent"))
        and not any(fnmatchcase(key, pattern) for key in used)
    }
    on_request = {f"facts.{name}" for name in MEASURE_NAMES}
    assert unused - on_request == {
        "pararel.same_*_agreement",
        "pararel.other_*_agreement",
    }


def test_an_unknown_key_is_refused_with_a_near_match():
    with pytest.raises(ResultsError, match=r"did you mean 'facts\.agreement'"):
        describe("facts.agreements")
    with pytest.raises(ResultsError):
        describe("facts.agreement@elsewhere")


def test_keys_of_other_contexts_say_so_in_their_title():
    assert "base's contexts" in describe("facts.agreement@same").title
    assert not describe("facts.agreement@same").headline


def test_chance_corrected_agreement_equals_its_definition(run: Run, summary: Summary):
    found, relations = answers(run, "tuned-1"), ("P100", "P101", "P102")
    values = []
    for context in range(3):
        for relation in relations:
            own = [rows[context] for fact, rows in found.items() if fact[0] == relation]
            columns = [[row["prediction"] for row in c] for c in zip(*own, strict=True)]
            chance = fmean(
                one[fact] == other[another]
                for one, other in permutations(columns, 2)
                for fact, another in permutations(range(len(own)), 2)
            )
            agreement = fmean(agreement_of(rows) for rows in own)
            values.append((agreement - chance) / (1 - chance))
    entry = value(summary, "facts.chance_corrected_agreement", "tuned-1")
    assert entry["value"] == pytest.approx(fmean(values))


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


def test_equivalence_is_judged_by_the_narrower_interval(run: Run, summary: Summary):
    def reach(found: Summary) -> float:
        one = difference(found, "facts.agreement", "tuned-1")
        return max(abs(one["low"]), abs(one["high"]))

    narrow, wide = reach(summarise(run, replace(FAST, level=0.9))), reach(summary)
    assert narrow < wide
    found = summarise(run, replace(FAST, margin=(narrow + wide) / 2))
    verdict = difference(found, "facts.agreement", "tuned-1")["verdict"]
    assert verdict.startswith("same within")
