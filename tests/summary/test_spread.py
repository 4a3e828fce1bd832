"""Spreads in the summary: what is claimed of many models, and what noise would give."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from concord.metrics.bootstrap import cluster_units
from concord.report.choices import choice_figures
from concord.report.findings import Findings
from concord.summary.estimates import Settings
from concord.summary.spread import ONE_SETTING, UPPER_END, spread_entries

SPREADS = ("spread", "spread_nine", "spread_orders")
QUESTIONS, TUNED = 200, 10
UNEVEN = 4
"""A draw in which the base's spread is small by chance: intervals leave out 0."""


@cache
def equal_models(seed: int) -> dict[str, dict[str, Any]]:
    """Ten tuned models that answer by the base's own rule, with a spread of .15."""
    rng = np.random.default_rng([3, seed])
    models = ["base", *(f"tuned-{index}" for index in range(TUNED))]
    knows = rng.random(QUESTIONS) < 0.4
    gain = np.array([0, 0.06, 0.15])[:, None, None]
    rights = {}
    for model in models:
        keeps = rng.random(QUESTIONS) < 0.8
        chance = np.where(keeps, knows, ~knows) * 0.5 + 0.2 + gain
        rights[model, "study"] = rng.random((3, 3, QUESTIONS)) < chance
    clusters = cluster_units(np.zeros(QUESTIONS), np.arange(QUESTIONS))
    settings = Settings(300, 300, 0.95, seed)
    entries = spread_entries("mmlu", clusters, rights, models, settings)
    return {entry["key"].removeprefix("choices.mmlu."): entry for entry in entries}


def test_no_spread_is_said_to_differ_whose_adjusted_p_is_too_large():
    differences = [
        entry for name in SPREADS for entry in equal_models(UNEVEN)[name]["differences"]
    ]
    outside = [e for e in differences if e["low"] > 0 or e["high"] < 0]
    unseen = [entry for entry in outside if entry["p_adjusted"] > 0.05]
    assert unseen
    assert {entry["verdict"] for entry in unseen} == {"no difference seen"}


def words_said(
    base: tuple[float, float], tuned: tuple[float, float], runs: int = 40
) -> list[str]:
    """Of models with (share of questions known, points by which wordings differ)."""
    rng = np.random.default_rng(11)
    clusters = cluster_units(np.zeros(QUESTIONS), np.arange(QUESTIONS))
    said = []
    for seed in range(runs):
        rights = {}
        for name, (known, moved) in (("base", base), ("tuned", tuned)):
            gain = np.array([0, moved / 2, moved])[:, None, None] / (1 - known)
            chance = np.where(rng.random(QUESTIONS) < known, 1.0, 0.25 + gain)
            rights[name, "study"] = rng.random((3, 3, QUESTIONS)) < chance
        settings = Settings(200, 200, 0.95, seed)
        entries = spread_entries("d", clusters, rights, ["base", "tuned"], settings)
        by_key = {entry["key"]: entry for entry in entries}
        said.append(by_key["choices.d.spread"]["differences"][0]["verdict"])
    return said


@pytest.mark.parametrize("moved", [0.0, 0.04])
def test_a_more_accurate_model_is_not_more_consistent_for_its_smaller_noise(moved):
    """Of equal true spreads the less accurate model has the larger one by noise."""
    said = words_said((0.2, moved), (0.93, moved))
    # At most 5 % of 40, and two standard errors.
    assert len(said) - said.count("no difference seen") <= 4


@pytest.mark.parametrize(
    ("base", "tuned", "word"),
    [
        ((0.2, 0.25), (0.2, 0.0), "more consistent"),
        ((0.2, 0.25), (0.8, 0.0), "more consistent"),
        ((0.8, 0.0), (0.2, 0.25), "less consistent"),
    ],
)
def test_a_model_that_wording_moves_is_found_beside_one_that_it_does_not(
    base, tuned, word
):
    assert words_said(base, tuned).count(word) >= 36


def test_every_spread_stands_beside_what_noise_would_give():
    measured = equal_models(UNEVEN)
    for name in SPREADS:
        for entry in measured[name]["values"]:
            assert 0 < entry["expected"] < entry["expected_high"]
            exceeds = entry["value"] > entry["expected_high"]
            assert entry["exceeds_noise"] == exceeds
    for entry in measured["spread_expected"]["values"]:
        assert entry["low"] is None and entry["reason"] == UPPER_END


def test_one_order_spreads_over_instructions_and_not_over_orders():
    rng = np.random.default_rng(7)
    models = ["base", "tuned"]
    rights = {(m, "study"): rng.random((3, 1, 40)) < 0.5 for m in models}
    clusters = cluster_units(np.zeros(40), np.arange(40))
    settings = Settings(100, 100, 0.95, 0)
    entries = {
        entry["key"].removeprefix("choices.mmlu."): entry
        for entry in spread_entries("mmlu", clusters, rights, models, settings)
    }
    over_orders = entries["spread_orders"]
    assert [entry["value"] for entry in over_orders["values"]] == [None, None]
    assert over_orders["values"][0]["reason"] == ONE_SETTING
    assert over_orders["differences"][0]["value"] is None
    for name in ("spread", "spread_nine"):
        assert all(entry["value"] > 0 for entry in entries[name]["values"])
        assert entries[name]["differences"][0]["p"] is not None


def test_the_page_says_whose_spread_may_be_noise_alone():
    expected = {"value": 0.1, "expected": 0.05, "expected_high": 0.08}
    values = [
        {"model": "base", **expected, "exceeds_noise": True},
        {"model": "wordings", **expected, "exceeds_noise": False},
        {"model": "other", **expected, "exceeds_noise": False},
        {"model": "mute", "value": None, "reason": "one setting"},
    ]
    key = "choices.mmlu.spread"
    measure = {"key": key, "dataset": "mmlu", "values": values, "differences": []}
    tuned = ["wordings", "other", "mute"]
    findings = Findings({"base": "base", "tuned": tuned, "measures": [measure]})
    (figure,) = choice_figures(findings)
    assert "The spread of base is larger than noise alone would give." in figure.reading
    assert (
        "The spread of wordings and other is no larger than noise alone may give and "
        "shows nothing."
    ) in figure.reading
    assert "mute" not in figure.reading
