"""Facts that change from base to tuned, and the noise that may explain it."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import pyarrow as pa
import pytest
from summarised_run import (
    FAST,
    accuracy_of,
    agreement_of,
    answers,
    macro,
    rewrite,
    value,
    with_column,
)
from synthetic_run import write_synthetic_run

from concord.metrics.significance import holm
from concord.results import Run, read_rows
from concord.summary import Summary, summarise


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
