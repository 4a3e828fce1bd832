"""Many outcomes reduced at once are the same as each one by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from concord.metrics.bootstrap import cluster_units
from concord.metrics.significance import adjust_p
from concord.summary.curves import NO_BAND, with_band
from concord.summary.entries import measure_entries
from concord.summary.estimates import (
    NO_INTERVAL,
    Outcome,
    Sample,
    Settings,
    add_pairs,
    mean_outcome,
    resample,
)
from concord.summary.power import power_entries

SETTINGS = Settings(replicates=100, permutations=100, level=0.95, seed=4)


def _sample() -> Sample:
    strata = np.repeat([0, 1, 2], [5, 8, 11])
    clusters = cluster_units(strata, np.arange(24) // 2)
    return Sample("facts", "pararel", clusters, ("a", "b", "c"), "macro", True)


def _outcomes() -> list[Outcome]:
    """Means with and without gaps, and ratios whose contexts weigh differently."""
    rng = np.random.default_rng(5)
    values = rng.random((3, 24))
    gaps = np.where(rng.random((1, 24)) < 0.3, np.nan, values)
    ratio = Outcome(values, rng.integers(1, 4, (3, 24)).astype(float))
    return [mean_outcome(values), mean_outcome(gaps), ratio, mean_outcome(1 - values)]


def test_outcomes_do_not_change_one_another():
    sample, outcomes = _sample(), _outcomes()
    together = resample(sample, outcomes, SETTINGS)
    for place, outcome in enumerate(outcomes):
        alone = resample(sample, [outcome], SETTINGS)
        np.testing.assert_allclose(together.within[:, place], alone.within[:, 0])
        np.testing.assert_allclose(together.estimate[place], alone.estimate[0])


def test_truths_weigh_as_ones_do():
    sample, mean = _sample(), _outcomes()[1]
    assert mean.denominator.dtype == bool
    ones = Outcome(mean.numerator, mean.denominator.astype(float))
    found = [resample(sample, [one], SETTINGS) for one in (mean, ones)]
    np.testing.assert_array_equal(found[0].within, found[1].within)


def test_a_ratio_is_the_mean_of_its_contexts():
    sample, ratio = _sample(), _outcomes()[2]
    parts = [
        Outcome(ratio.numerator[[c]], ratio.denominator[[c]]).over_contexts()
        for c in range(3)
    ]
    whole = resample(sample, [ratio], SETTINGS).estimate[0]
    assert whole == pytest.approx(resample(sample, parts, SETTINGS).estimate.mean())


def test_only_bca_keeps_what_each_cluster_moves():
    sample, outcomes = _sample(), _outcomes()
    assert resample(sample, outcomes, SETTINGS).moved is None
    moved = resample(sample, outcomes, replace(SETTINGS, interval="bca")).moved
    assert moved is not None and moved.shape == (len(sample.clusters), 4)
    np.testing.assert_allclose(moved.sum(axis=0), 0, atol=1e-12)


def test_entries_stand_when_the_values_are_forgotten():
    sample = _sample()
    for model, outcome in zip(("base", "tuned"), _outcomes(), strict=False):
        sample.values["facts.agreement", model] = outcome
    add_pairs(sample, ["base", "tuned"])
    (entry,) = measure_entries(sample, ["base", "tuned"], SETTINGS)
    sample.forget()
    assert not sample.values and not sample.pairs
    assert [one["model"] for one in entry["values"]] == ["base", "tuned"]
    assert entry["differences"][0]["low"] < entry["differences"][0]["high"]


def _entry_of(values: np.ndarray, relations: np.ndarray, key: str = "facts.agreement"):
    """The entry of a base and of a tuned model that is .1 above it, noise apart."""
    noise = np.random.default_rng(6).normal(0, 0.05, values.shape)
    clusters = cluster_units(relations, np.arange(len(relations)))
    labels = tuple(map(str, np.unique(relations)))
    sample = Sample("facts", "pararel", clusters, labels, "macro", True)
    sample.values[key, "base"] = mean_outcome(values[None])
    sample.values[key, "tuned"] = mean_outcome((values + 0.1 + noise)[None])
    add_pairs(sample, ["base", "tuned"])
    (entry,) = measure_entries(sample, ["base", "tuned"], SETTINGS)
    return entry["values"][0], entry["differences"][0]


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_four_subjects_give_a_value_but_no_interval_and_no_verdict(kind):
    clusters = cluster_units(np.zeros(4), np.arange(4))
    sample = Sample("facts", "pararel", clusters, ("a",), "macro", True)
    values = np.array([[0.2, 0.4, 0.5, 0.9]])
    sample.values["facts.agreement", "base"] = mean_outcome(values)
    sample.values["facts.agreement", "tuned"] = mean_outcome(values + 0.05)
    add_pairs(sample, ["base", "tuned"])
    settings = replace(SETTINGS, interval=kind)
    (entry,) = measure_entries(sample, ["base", "tuned"], settings)
    for one in (entry["values"][0], entry["differences"][0]):
        assert one["value"] is not None
        assert one["low"] is one["high"] is None and one["reason"] == NO_INTERVAL
    assert entry["differences"][0]["p"] is entry["differences"][0]["verdict"] is None


def test_many_small_relations_give_an_interval():
    values = np.random.default_rng(7).random(105)
    value, change = _entry_of(values, np.repeat(np.arange(35), 3))
    assert value["low"] < value["value"] < value["high"]
    assert change["relations_low"] < change["value"] < change["relations_high"]


def test_an_interval_of_few_subjects_ends_where_the_measure_does():
    value, _ = _entry_of(np.array([1.0, 1, 1, 1, 1, 0.3]), np.zeros(6))
    assert value["high"] == 1.0 and value["low"] < 0.8


def test_four_relations_are_too_few_to_speak_of_others():
    values = np.random.default_rng(8).random(80)
    value, change = _entry_of(values, np.repeat(np.arange(4), 20))
    assert value["low"] is not None
    for one in (value, change):
        assert one["relations_low"] is one["relations_high"] is None
        assert "fewer than 5 relations" in one["relations_reason"]
    value, _ = _entry_of(values, np.repeat(np.arange(5), 16))
    assert value["relations_low"] < value["relations_high"]
    assert value["relations_reason"] is None


def test_a_curve_over_single_clusters_has_no_interval_and_says_so():
    clusters = cluster_units(np.arange(12), np.arange(12))
    labels = tuple(map(str, range(12)))
    sample = Sample("extraction", "pararel", clusters, labels, "macro", True)
    layers = [mean_outcome(np.random.default_rng(at).random((1, 12))) for at in (0, 1)]
    curve = with_band(resample(sample, layers, SETTINGS), SETTINGS)
    assert all(value is not None for value in curve["value"])
    for name in ("low", "high", "band_low", "band_high"):
        assert curve[name] == [None, None]
    assert curve["reason"] == NO_INTERVAL


def test_a_band_of_few_subjects_is_wider_than_their_intervals():
    curve = _curve_of(8)
    assert curve["reason"] is None
    for low, band in zip(curve["low"], curve["band_low"], strict=True):
        assert band < low


def test_a_curve_of_still_fewer_subjects_has_intervals_but_no_band():
    curve = _curve_of(7)
    assert None not in curve["low"]
    assert curve["band_low"] == curve["band_high"] == [None] * 5
    assert curve["reason"] == NO_BAND


def _curve_of(count: int) -> dict[str, Any]:
    clusters = cluster_units(np.zeros(count), np.arange(count))
    sample = Sample("extraction", "pararel", clusters, ("a",), "macro", True)
    rngs = map(np.random.default_rng, range(5))
    layers = [mean_outcome(rng.random((1, count))) for rng in rngs]
    return with_band(resample(sample, layers, SETTINGS), SETTINGS)


def test_p_values_are_adjusted_as_the_settings_say():
    sample = _sample()
    rng = np.random.default_rng(9)
    models = ["base", "one", "two", "three"]
    for model, gain in zip(models, (0, 0.1, 0.15, 0.2), strict=True):
        values = rng.random((1, 24)) + gain
        sample.values["facts.agreement", model] = mean_outcome(values)
    add_pairs(sample, models)
    for method in ("holm", "benjamini_hochberg"):
        settings = replace(SETTINGS, adjustment=method)
        (entry,) = measure_entries(sample, models, settings)
        p_values = np.array([one["p"] for one in entry["differences"]])
        adjusted = [one["p_adjusted"] for one in entry["differences"]]
        np.testing.assert_allclose(adjusted, adjust_p(p_values, method))


def _power_of(base: np.ndarray, *tuned: np.ndarray) -> list[dict]:
    clusters = cluster_units(np.zeros(len(base)), np.arange(len(base)))
    sample = Sample("facts", "pararel", clusters, ("a",), "macro", True)
    models = ["base", *(f"tuned-{at}" for at in range(len(tuned)))]
    for model, values in zip(models, (base, *tuned), strict=True):
        sample.values["facts.agreement", model] = mean_outcome(values[None])
    add_pairs(sample, models)
    return power_entries(sample, replace(SETTINGS, permutations=10_000))


def test_power_is_of_the_subjects_that_both_models_answered():
    rng = np.random.default_rng(10)
    base, tuned = rng.random(40), rng.random(40)
    tuned[:15] = np.nan
    (one,) = _power_of(base, tuned)
    assert (one["n"], one["tests"], one["reason"]) == (25, 1, None)


def test_power_takes_account_of_how_many_models_are_tested():
    rng = np.random.default_rng(11)
    base, tuned = rng.random(40), rng.random(40)
    (alone,) = _power_of(base, tuned)
    first, unchanged = _power_of(base, tuned, base)
    other, _ = _power_of(base, tuned, rng.random(40))
    # Holm counts the p-value of a model that did not change, which is 1.
    assert other == first
    assert first["tests"] == 2
    assert first["smallest_difference"] > alone["smallest_difference"]
    assert unchanged["reason"].startswith("all subjects change alike")


def test_no_power_is_told_where_nothing_can_be_announced():
    """All eight subjects gain: p is 2 / 2^8, and ten times that is .078."""
    rng = np.random.default_rng(12)
    base = rng.random(8) / 4
    tuned = [base + 0.5 + rng.random(8) / 10 for _ in range(10)]
    one, *_ = _power_of(base, *tuned)
    assert one["smallest_difference"] is None and one["standard_error"] > 0
    assert "no difference can be announced" in one["reason"]
    assert one["n_needed"] >= 9
    alone, *_ = _power_of(base, tuned[0])
    assert alone["smallest_difference"] > 0 and alone["reason"] is None


@pytest.mark.parametrize(
    ("base", "tuned", "reason"),
    [
        (np.ones(20), np.ones(20), "no variance"),
        (np.linspace(0, 0.7, 20), np.linspace(0, 0.7, 20) + 0.3, "no variance"),
        (np.linspace(0, 1, 20), np.full(20, np.nan), "not measured"),
        (np.linspace(0, 1, 4), np.array([0.1, 0.9, 0.2, 0.4]), "too few subjects"),
    ],
)
def test_power_without_variance_or_measurement_is_null_with_its_reason(
    base, tuned, reason
):
    (one,) = _power_of(base, tuned)
    for name in ("standard_error", "smallest_difference", "n_needed"):
        assert one[name] is None
    assert reason in one["reason"]


def test_a_model_that_lacks_only_some_contexts_is_not_said_to_lack_all_rows():
    sample, models = _sample(), ["base", "whole", "part", "none"]
    values = mean_outcome(np.random.default_rng(13).random((1, 24)))
    for model in models[:3]:
        sample.values["facts.agreement", model] = values
    sample.values["facts.agreement@same", "whole"] = values
    sample.values["facts.accuracy@same", "part"] = values
    add_pairs(sample, models)
    found = {
        (entry["key"], value["model"]): value["reason"]
        for entry in measure_entries(sample, models, SETTINGS)
        for value in entry["values"]
    }
    nothing = "no rows of facts for this model"
    assert found["facts.agreement", "none"] == nothing
    assert found["facts.accuracy@same", "whole"] == "not measured for this model"
    del sample.values["facts.accuracy@same", "part"]
    (entry,) = (
        entry
        for entry in measure_entries(sample, models, SETTINGS)
        if entry["key"] == "facts.agreement@same"
    )
    part = next(one for one in entry["values"] if one["model"] == "part")
    assert part["reason"] == f"{nothing} in these contexts"
