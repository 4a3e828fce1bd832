"""Spread of accuracy over settings as entries of ``summary.json``.

A largest minus a smallest value is no mean over questions, so it has entries of its
own: interval from resampled questions, the same for all models; difference from the
base, with a p-value from exchanging the two models' answers to a question at random;
and beside it what noise alone would give.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.bootstrap import Clusters
from concord.metrics.few_clusters import precision, stretched
from concord.metrics.intervals import percentile_interval
from concord.metrics.significance import adjust_p, verdict
from concord.metrics.spread import (
    Spread,
    estimate_spread,
    spread_over_instructions,
    spread_over_orders,
    spread_over_settings,
)
from concord.summary.estimates import NO_INTERVAL, Settings, number
from concord.summary.measures import describe
from concord.summary.spread_draws import (
    Draws,
    Place,
    Right,
    draw_accuracies,
)

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
        for contexts in dict.fromkeys(contexts for _, contexts in rights):
            suffix = "" if contexts == "study" else f"@{contexts}"
            key = f"choices.{dataset}.{name}{suffix}"
            asked = models if contexts == "study" else models[1:]
            values = [
                _value((model, contexts), spread, draws, settings) for model in asked
            ]
            differences = _differences(key, contexts, models, spread, draws, settings)
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


def _value(
    place: Place, spread: Spread, draws: Draws, settings: Settings
) -> dict[str, Any]:
    model, right = place[0], draws.rights.get(place)
    if right is None:
        return _absent(model, "no rows of choices for this model")
    if _has_nothing_to_compare(right, spread):
        return _absent(model, ONE_SETTING)
    observed = _spread_of(right, spread)
    drawn = spread(draws.resampled[place])
    low, high = _interval(drawn, observed, draws.clusters, settings)
    return {
        "model": model,
        "value": number(observed),
        "low": number(max(low, 0.0)),
        "high": number(min(high, 1.0)),
        "relations_low": None,
        "relations_high": None,
        **_noise(right, spread, draws.clusters, settings),
        "n": _counts(right, draws.clusters),
        "contexts_sd": None,
        "micro": None,
        "reason": NO_INTERVAL if np.isnan(low) else None,
    }


def _noise(
    right: Bool[np.ndarray, "wording order item"],
    spread: Spread,
    clusters: Clusters,
    settings: Settings,
) -> dict[str, Any]:
    """What the spread would be if all settings were equally good."""
    noise = estimate_spread(
        np.moveaxis(right, -1, 0),
        spread,
        clusters=clusters,
        level=settings.level,
        replicates=settings.replicates,
        seed=settings.seed,
    )
    return {
        "expected": number(noise.expected / 100),
        "expected_high": number(noise.expected_high / 100),
        "exceeds_noise": noise.exceeds_noise,
    }


def _differences(
    key: str,
    contexts: str,
    models: list[str],
    spread: Spread,
    draws: Draws,
    settings: Settings,
) -> list[dict[str, Any]]:
    places = [(model, contexts) for model in models[1:]]
    p_values = np.array([_exchange_p(place, spread, draws) for place in places])
    adjusted = adjust_p(p_values, settings.adjustment)
    return [
        _difference(key, place, spread, draws, settings, (float(p), float(wide)))
        for place, p, wide in zip(places, p_values, adjusted, strict=True)
    ]


def _difference(
    key: str,
    place: Place,
    spread: Spread,
    draws: Draws,
    settings: Settings,
    p_values: tuple[float, float],
) -> dict[str, Any]:
    """Tuned minus base; p-values are its own, and that for all models tested."""
    if np.isnan(p_values[0]):
        reason = "not measured for both models in two or more settings: no difference"
        return _absent(place[0], reason) | {
            "p": None,
            "p_adjusted": None,
            "verdict": "",
        }
    after, before = _sides(place, spread, draws)
    drawn = spread(draws.resampled[place]) - spread(draws.resampled[draws.base])
    given = (drawn, after - before, draws.clusters, settings)
    interval = _interval(*given)
    narrow = _interval(*given, level=2 * settings.level - 1)
    return {
        "model": place[0],
        "value": number(after - before),
        "low": number(interval[0]),
        "high": number(interval[1]),
        "relations_low": None,
        "relations_high": None,
        "after": number(after),
        "before": number(before),
        "p": number(p_values[0]),
        "p_adjusted": number(p_values[1]),
        "verdict": verdict(
            interval,
            narrow,
            words=describe(key).words,
            margin=settings.margin,
            is_significant=not p_values[1] > 1 - settings.level,
        ),
        "n": _counts(draws.rights[place], draws.clusters),
        "reason": NO_INTERVAL if np.isnan(interval[0]) else None,
    }


def _sides(place: Place, spread: Spread, draws: Draws) -> tuple[float, float]:
    """The spread of a tuned model and that of the base."""
    after, before = (draws.rights[side] for side in (place, draws.base))
    return _spread_of(after, spread), _spread_of(before, spread)


def _exchange_p(place: Place, spread: Spread, draws: Draws) -> float:
    """Share of exchanges whose difference is at least as large, in either direction.

    Returns:
        In (0, 1]; NaN where the models cannot be compared.
    """
    if place not in draws.exchanged:
        return float("nan")
    if _has_nothing_to_compare(draws.rights[place], spread):
        return float("nan")
    after, before = _sides(place, spread, draws)
    exchanged = draws.exchanged[place]
    differences = np.abs(spread(exchanged[0]) - spread(exchanged[1]))
    # A hair below, so that rounding does not part equal differences.
    hits = int((differences >= abs(after - before) - 1e-9).sum())
    return (hits + 1) / (len(differences) + 1)


def _has_nothing_to_compare(
    right: Bool[np.ndarray, "wording order item"], spread: Spread
) -> bool:
    """One instruction spreads over none, one order likewise: that is no 0."""
    wordings, orders, _ = right.shape
    if spread is spread_over_instructions:
        return wordings < 2
    return (orders if spread is spread_over_orders else wordings * orders) < 2


def _spread_of(right: Bool[np.ndarray, "wording order item"], spread: Spread) -> float:
    return float(spread(right.mean(axis=-1)))


def _interval(
    drawn: Float[np.ndarray, " replicate"],
    observed: float,
    clusters: Clusters,
    settings: Settings,
    *,
    level: float | None = None,
) -> tuple[float, float]:
    """Both ends, as far as few clusters ask; NaN where there are too few."""
    level = level or settings.level
    column = np.ones((len(clusters), 1))
    reach = precision(column, clusters=clusters, weighting="micro").reach(level)
    ends = percentile_interval(drawn[:, None], level)
    low, high = stretched(ends, np.array([observed]), reach)
    return float(low[0]), float(high[0])


def _counts(
    right: Bool[np.ndarray, "wording order item"], clusters: Clusters
) -> dict[str, int | None]:
    return {
        "facts": right.shape[-1],
        "subjects": len(clusters),
        "relations": None,
        "prompts": right.size,
    }


def _absent(model: str, reason: str) -> dict[str, Any]:
    names = ("value", "low", "high", "relations_low", "relations_high")
    return {
        "model": model,
        **dict.fromkeys(names),
        "n": {"facts": 0, "subjects": 0, "relations": 0, "prompts": 0},
        "reason": reason,
    }
