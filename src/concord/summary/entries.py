"""Estimates as entries of ``summary.json``: values, differences, relations."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from concord.metrics.rates import contexts_deviation, mean_present
from concord.metrics.significance import adjust_p, sign_flip_p, verdict
from concord.summary.estimates import (
    FEW_RELATIONS,
    NO_INTERVAL,
    Estimates,
    Outcome,
    Pair,
    Sample,
    Settings,
    Sides,
    contributions_of,
    intervals_of,
    number,
    on_common_strata,
    per_context_values,
    ratios_of,
    relation_intervals_of,
    resample,
)
from concord.summary.measures import describe


def measure_entries(
    sample: Sample, models: list[str], settings: Settings
) -> list[dict[str, Any]]:
    """The ``measures`` of a sample, in the order in which keys were added."""
    pairs = [on_common_strata(sample, pair) for pair in sample.pairs]
    outcomes = [
        *sample.values.values(),
        *(pair.after for pair in pairs),
        *(pair.before for pair in pairs),
    ]
    if not outcomes:
        return []
    drawn = resample(sample, outcomes, settings)
    values = _value_entries(sample, drawn, settings)
    differences = _difference_entries(sample, pairs, drawn, settings)
    keys = dict.fromkeys([key for key, _ in values] + [key for key, _ in differences])
    entries = []
    for key in keys:
        measure = describe(key)
        suffix = key.partition("@")[2]
        own_values = [
            values.get((key, model)) or _absent(sample, key, model)
            for model in models
            if suffix != "prompt" and (not suffix or model != models[0])
        ]
        own_differences = [
            differences.get((key, model)) or _absent(sample, key, model, models[0])
            for model in models[1:]
        ]
        entries.append(
            {
                "key": key,
                "title": measure.title,
                "meaning": measure.meaning,
                "formula": measure.formula,
                "analysis": sample.analysis,
                "dataset": sample.dataset,
                "contexts": suffix or "study",
                "unit": measure.unit,
                "lowest": measure.lowest,
                "highest": measure.highest,
                "better": measure.better,
                "headline": measure.headline,
                "values": own_values,
                "differences": own_differences,
            }
        )
    return entries


def relation_entries(sample: Sample) -> list[dict[str, Any]]:
    """The ``by_relation`` rows of the keys that are shown so."""
    rows = []
    for (key, model), outcome in sample.values.items():
        if not (describe(key).by_relation and sample.strata_are_relations):
            continue
        ratios = sample.by_relation.get((key, model))
        if ratios is None:
            ratios = mean_present(ratios_of(sample, outcome).T)
        counts = np.bincount(
            sample.clusters.stratum_of_unit[outcome.is_counted],
            minlength=len(sample.strata),
        )
        rows += [
            {
                "key": key,
                "model": model,
                "relation": relation,
                "value": number(value),
                "n": int(count),
            }
            for relation, value, count in zip(
                sample.strata, ratios, counts, strict=True
            )
        ]
    return rows


def _value_entries(
    sample: Sample, pool: Estimates, settings: Settings
) -> dict[tuple[str, str], dict[str, Any]]:
    names = list(sample.values)
    drawn = pool.take(range(len(names)))
    keys = [key for key, _ in names]
    low, high = _within_range(keys, intervals_of(drawn, settings))
    wide = _within_range(keys, relation_intervals_of(sample, drawn, settings))
    entries = {}
    for index, (key, model) in enumerate(names):
        outcome = sample.values[key, model]
        is_drawn = outcome.has_interval
        per_context = per_context_values(sample, outcome)
        value = drawn.estimate[index]
        entries[key, model] = {
            "model": model,
            "value": number(value),
            "low": number(low[index]) if is_drawn else None,
            "high": number(high[index]) if is_drawn else None,
            "relations_low": number(wide[0, index]) if is_drawn else None,
            "relations_high": number(wide[1, index]) if is_drawn else None,
            "relations_reason": _relations_reason(sample, wide[0, index], is_drawn),
            "n": _counts(sample, outcome),
            "contexts_sd": number(contexts_deviation(per_context)),
            "micro": number(_micro(outcome)) if is_drawn else None,
            "reason": _reason(
                sample, (key, model), value, low[index], is_drawn, outcome.reason
            ),
        }
    return entries


def _difference_entries(
    sample: Sample, pairs: list[Pair], pool: Estimates, settings: Settings
) -> dict[tuple[str, str], dict[str, Any]]:
    if not pairs:
        return {}
    first, count = len(sample.values), len(pairs)
    after = pool.take(range(first, first + count))
    before = pool.take(range(first + count, first + 2 * count))
    drawn = after.minus(before)
    keys = [pair.key for pair in pairs]
    low, high = _within_range(keys, intervals_of(drawn, settings), of="difference")
    narrow = intervals_of(drawn, settings, level=2 * settings.level - 1)
    wide = relation_intervals_of(sample, drawn, settings)
    wide = _within_range(keys, wide, of="difference")
    contributions = np.empty((len(sample.clusters), count))
    sums: dict[int, Sides] = {}
    for index, pair in enumerate(pairs):
        contributions[:, index] = contributions_of(sample, pair, sums)
    p_values = sign_flip_p(
        sample.by_draw(contributions),
        permutations=settings.permutations,
        seed=settings.seed,
    )
    is_drawn = np.array([pair.after.has_interval for pair in pairs])
    usable = is_drawn & ~np.isnan(drawn.estimate) & ~np.isnan(low)
    p_values = np.where(usable, p_values, np.nan)
    adjusted = _adjusted_within_keys(keys, p_values, settings)
    entries = {}
    for index, pair in enumerate(pairs):
        inside = bool(is_drawn[index])
        interval = (float(low[index]), float(high[index]))
        entries[pair.key, pair.model] = {
            "model": pair.model,
            "value": number(drawn.estimate[index]),
            "low": number(interval[0]) if inside else None,
            "high": number(interval[1]) if inside else None,
            "relations_low": number(wide[0, index]) if inside else None,
            "relations_high": number(wide[1, index]) if inside else None,
            "relations_reason": _relations_reason(sample, wide[0, index], inside),
            "after": number(after.estimate[index]),
            "before": number(before.estimate[index]),
            "p": number(p_values[index]),
            "p_adjusted": number(adjusted[index]),
            "verdict": verdict(
                interval if inside else (np.nan, np.nan),
                (float(narrow[0][index]), float(narrow[1][index])),
                words=describe(pair.key).words,
                margin=settings.margin,
                is_significant=not adjusted[index] > 1 - settings.level,
            ),
            "n": _counts(sample, pair.after),
            "reason": _reason(
                sample,
                (pair.key, pair.model),
                drawn.estimate[index],
                low[index],
                inside,
                _left_out(pair),
            ),
        }
    return entries


def _micro(outcome: Outcome) -> float:
    bottom = outcome.denominator.sum(axis=1)
    top = outcome.numerator.sum(axis=1)
    ratio = top / np.where(bottom != 0, bottom, np.nan)
    return float(mean_present(ratio[:, None])[0])


def _counts(sample: Sample, outcome: Outcome) -> dict[str, int | None]:
    counted = outcome.is_counted
    clusters, drawn = sample.clusters, sample.drawn
    relations = int(np.bincount(clusters.stratum_of_unit[counted]).astype(bool).sum())
    return {
        "facts": int(counted.sum()),
        "subjects": drawn.count_with(counted),
        "relations": relations if sample.strata_are_relations else None,
        "prompts": outcome.prompts,
    }


def _reason(
    sample: Sample,
    place: tuple[str, str],
    value: float,
    low: float,
    is_drawn: bool,
    noted: str,
) -> str | None:
    key = place[0]
    if np.isnan(value):
        if place in sample.reasons:
            return sample.reasons[place]
        if noted:
            return noted
        return "no unit that this measure needs"
    if not is_drawn and not key.startswith("pararel."):
        return "a number of all questions together: no interval"
    if not is_drawn:
        return "a mean over templates: no interval over subjects"
    if np.isnan(low):
        return NO_INTERVAL
    return noted or None


def _left_out(pair: Pair) -> str:
    """What was left out of a difference, on either side."""
    base = f"of the base: {pair.before.reason}" if pair.before.reason else ""
    return "; ".join(filter(None, (pair.after.reason, base)))


def _relations_reason(sample: Sample, low: float, is_drawn: bool) -> str | None:
    """Why there is no interval over relations, where there are relations at all."""
    asked = is_drawn and sample.strata_are_relations
    return FEW_RELATIONS if asked and np.isnan(low) else None


def _absent(
    sample: Sample, key: str, model: str, base: str | None = None
) -> dict[str, Any]:
    """The entry of a model for which the key was not measured."""
    reason = sample.reasons.get((key, model))
    if base is not None and (key, model) in sample.values:
        reason = reason or f"not measured for {base}: no difference"
    names = ("value", "low", "high", "relations_low", "relations_high")
    return {
        "model": model,
        **dict.fromkeys(names),
        "n": {"facts": 0, "subjects": 0, "relations": 0, "prompts": 0},
        "reason": reason or _nothing_measured(sample, key, model),
    }


def _nothing_measured(sample: Sample, key: str, model: str) -> str:
    contexts = {own.partition("@")[2] for own, name in sample.values if name == model}
    if key.partition("@")[2] in contexts:
        return "not measured for this model"
    where = " in these contexts" if contexts else ""
    return f"no rows of {sample.analysis} for this model{where}"


def _within_range(
    keys: list[str],
    ends: Float[np.ndarray, "2 entry"],
    *,
    of: Literal["value", "difference"] = "value",
) -> Float[np.ndarray, "2 entry"]:
    """No end beyond what the measure, or a difference of it, can be.

    Ends of few clusters lie on a line through the estimate, which knows no bounds.
    """
    measures = [describe(key) for key in keys]
    lowest = np.array([m.lowest for m in measures], dtype=float)
    highest = np.array([m.highest for m in measures], dtype=float)
    if of == "difference":
        lowest, highest = lowest - highest, highest - lowest
    return np.fmin(np.fmax(ends, lowest), highest) + 0 * ends


def _adjusted_within_keys(
    keys: list[str], p_values: Float[np.ndarray, " pair"], settings: Settings
) -> Float[np.ndarray, " pair"]:
    """Adjusted for the models tested, each measure by itself."""
    adjusted = np.full(len(keys), np.nan)
    labels = np.array(keys)
    for key in dict.fromkeys(keys):
        own = labels == key
        adjusted[own] = adjust_p(p_values[own], settings.adjustment)
    return adjusted
