"""Spread of accuracy over settings as entries of ``summary.json``.

A largest minus a smallest value is no mean over questions, so it has entries of its
own: interval from resampled questions, the same for all models; difference from the
base; and beside it what noise alone would give.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from concord.metrics.bootstrap import Clusters
from concord.metrics.spread import (
    Spread,
    SpreadEstimate,
    estimate_spread,
    spread_over_instructions,
    spread_over_orders,
    spread_over_settings,
)
from concord.summary.estimates import NO_INTERVAL, Settings, number
from concord.summary.measures import describe
from concord.summary.spread_differences import (
    absent,
    counts,
    interval_of,
    spread_differences,
    spread_of,
)
from concord.summary.spread_draws import Draws, Place, Right, draw_accuracies

SPREADS: Mapping[str, Spread] = {
    "spread": spread_over_instructions,
    "spread_nine": spread_over_settings,
    "spread_orders": spread_over_orders,
}
"""The three readings of the study's word, by name; the first is the headline."""
ONE_SETTING = "one setting: nothing to compare"
UPPER_END = "noise alone stays below the upper end; a lower end bounds nothing"


def spread_entries(
    dataset: str,
    clusters: Clusters,
    rights: Right,
    models: list[str],
    settings: Settings,
) -> list[dict[str, Any]]:
    """The ``measures`` of all spreads of a data set, in shares of questions.

    Args:
        dataset: Its name, as in keys.
        clusters: Of the questions, which stand the order of the arrays' last axis.
        rights: What was measured.
        models: Labels, the base first.
        settings: How intervals and tests are made.
    """
    draws = draw_accuracies(clusters, rights, models[0], settings)
    entries = []
    for name, spread in SPREADS.items():
        noises = _noises(spread, draws, settings)
        for contexts in dict.fromkeys(contexts for _, contexts in rights):
            suffix = "" if contexts == "study" else f"@{contexts}"
            key = f"choices.{dataset}.{name}{suffix}"
            asked = models if contexts == "study" else models[1:]
            values = [
                _value((model, contexts), spread, draws, noises, settings)
                for model in asked
            ]
            tuned = [(model, contexts) for model in models[1:]]
            differences = spread_differences(
                tuned, spread, draws, noises, settings, words=describe(key).words
            )
            entries.append(_entry(key, dataset, contexts, values, differences))
            if name == "spread":
                entries.append(_expected_entry(key, dataset, contexts, values))
    return entries


def _entry(
    key: str,
    dataset: str,
    contexts: str,
    values: list[dict[str, Any]],
    differences: list[dict[str, Any]],
) -> dict[str, Any]:
    measure = describe(key)
    return {
        "key": key,
        "title": measure.title,
        "meaning": measure.meaning,
        "formula": measure.formula,
        "analysis": "choices",
        "dataset": dataset,
        "contexts": contexts,
        "unit": measure.unit,
        "lowest": measure.lowest,
        "highest": measure.highest,
        "better": measure.better,
        "headline": measure.headline,
        "values": values,
        "differences": differences,
    }


def _expected_entry(
    key: str, dataset: str, contexts: str, values: list[dict[str, Any]]
) -> dict[str, Any]:
    """The spread that noise alone would give, as a measure of its own."""
    name, at, suffix = key.partition("@")
    own = [
        {
            "model": entry["model"],
            "value": entry.get("expected"),
            "low": None,
            "high": entry.get("expected_high"),
            "relations_low": None,
            "relations_high": None,
            "n": entry["n"],
            "reason": entry["reason"] or UPPER_END,
        }
        for entry in values
    ]
    return _entry(f"{name}_expected{at}{suffix}", dataset, contexts, own, [])


def _noises(
    spread: Spread, draws: Draws, settings: Settings
) -> dict[Place, SpreadEstimate]:
    """What the spreads would be if all settings were equally good."""
    return {
        place: estimate_spread(
            np.moveaxis(right, -1, 0),
            spread,
            clusters=draws.clusters,
            level=settings.level,
            replicates=settings.replicates,
            seed=settings.seed,
        )
        for place, right in draws.rights.items()
        if not _has_nothing_to_compare(right.shape, spread)
    }


def _has_nothing_to_compare(shape: tuple[int, ...], spread: Spread) -> bool:
    """One instruction spreads over none, one order likewise: that is no 0."""
    wordings, orders, _ = shape
    if spread is spread_over_instructions:
        return wordings < 2
    return (orders if spread is spread_over_orders else wordings * orders) < 2


def _value(
    place: Place,
    spread: Spread,
    draws: Draws,
    noises: Mapping[Place, SpreadEstimate],
    settings: Settings,
) -> dict[str, Any]:
    model, right = place[0], draws.rights.get(place)
    if right is None:
        where = " in these contexts" if model in dict(draws.rights) else ""
        return absent(model, f"no rows of choices for this model{where}")
    if place not in noises:
        return absent(model, ONE_SETTING)
    noise, observed = noises[place], spread_of(right, spread)
    drawn = spread(draws.resampled[place])
    low, high = interval_of(drawn, observed, draws.clusters, settings.level)
    return {
        "model": model,
        "value": number(observed),
        "low": number(max(low, 0.0)),
        "high": number(min(high, 1.0)),
        "relations_low": None,
        "relations_high": None,
        "expected": number(noise.expected / 100),
        "expected_high": number(noise.expected_high / 100),
        "exceeds_noise": noise.exceeds_noise,
        "n": counts(right, draws.clusters),
        "contexts_sd": None,
        "micro": None,
        "reason": NO_INTERVAL if np.isnan(low) else None,
    }
