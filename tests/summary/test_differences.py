"""Differences from the base: intervals, p values, verdicts and power."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import t
from summarised_run import FAST, difference, rewrite, value, with_column
from synthetic_run import write_synthetic_run

from concord.metrics.significance import benjamini_hochberg
from concord.results import Run
from concord.study import StatisticsConfig
from concord.summary import Settings, Summary, summarise


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


def test_facts_of_one_subject_are_one_cluster(tmp_path: Path):
    run = write_synthetic_run(tmp_path, facts=10, analyses=["facts"])

    def pair_subjects(table: pa.Table) -> pa.Table:
        subjects = [f"S{int(s.split()[1]) // 2}" for s in table["subject"].to_pylist()]
        return with_column(table, "subject", pa.array(subjects))

    for model in run.models():
        rewrite(run, "facts", model, pair_subjects)
    found = value(summarise(run, FAST), "facts.agreement", "base")["n"]
    assert (found["facts"], found["subjects"], found["relations"]) == (40, 20, 4)


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
    # Thousands of subjects have thousands of degrees: z, not t.
    reach = t.ppf([1 - 0.05 / 4, 0.8], 5000).sum()
    ratio = reach * one["standard_error"] / one["difference"]
    assert one["n_needed"] == pytest.approx(one["n"] * ratio**2, rel=0.001)
    width = found["high"] - found["low"]
    both = 2 * t.ppf(0.975, degrees)
    assert width == pytest.approx(both * one["standard_error"], rel=0.2)


def test_equivalence_is_judged_by_the_narrower_interval(run: Run, summary: Summary):
    def reach(found: Summary) -> float:
        one = difference(found, "facts.agreement", "tuned-1")
        return max(abs(one["low"]), abs(one["high"]))

    narrow, wide = reach(summarise(run, replace(FAST, level=0.9))), reach(summary)
    assert narrow < wide
    found = summarise(run, replace(FAST, margin=(narrow + wide) / 2))
    verdict = difference(found, "facts.agreement", "tuned-1")["verdict"]
    assert verdict.startswith("same within")
