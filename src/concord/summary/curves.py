"""The gap layer by layer, with pointwise intervals and one band for the whole curve."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from concord.metrics.intervals import simultaneous_band
from concord.metrics.rates import mean_present
from concord.summary.estimates import (
    NO_INTERVAL,
    Estimates,
    Outcome,
    Sample,
    Settings,
    intervals_of,
    number,
    resample,
)

NO_BAND = "too few subjects to draw from: no band for all layers at once"
"""Reason for a curve that has intervals at its layers only."""
_COLUMNS_AT_ONCE = 264
"""Layers of several curves: drawing then costs little, and they need 0.2 GB."""
_GAP_OF_FACTS = "representation.pararel.gap"
"""Over the templates of the study's facts, whatever their source."""
_GAP_OF_PAIRS = re.compile(r"relations\.gap_(?:dis)?agreeing(?:_context_(\d+))?")


def gap_curves(
    sample: Sample,
    layers: dict[tuple[str, str], dict[int, Outcome]],
    base_model: str,
    settings: Settings,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Curves of all models, and of tuned minus base, with interval and band."""
    base = layers.get((base_model, "study"), {})
    curves, differences = [], []
    base_drawn: Estimates | None = None
    for (model, contexts), own, drawn in _resampled(sample, layers, settings):
        if (model, contexts) == (base_model, "study"):
            base_drawn = drawn
        head = {
            "key": f"representation.{sample.dataset}.gap",
            "model": model,
            "contexts": contexts,
            "state": "hidden, last point final",
            "layers": list(own),
        }
        shape = with_band(drawn, settings)
        curves.append(head | shape | _lexical(sample, model, contexts))
        if base_drawn is not None and model != base_model and list(own) == list(base):
            differences.append(head | with_band(drawn.minus(base_drawn), settings))
    return curves, differences


def _resampled(
    sample: Sample,
    layers: dict[tuple[str, str], dict[int, Outcome]],
    settings: Settings,
) -> Iterator[tuple[tuple[str, str], dict[int, Outcome], Estimates]]:
    """All curves, some at a time: the draws are made once for each group."""
    names = list(layers)
    longest = max(map(len, layers.values()), default=1)
    step = max(1, _COLUMNS_AT_ONCE // max(longest, 1))
    for start in range(0, len(names), step):
        group = names[start : start + step]
        outcomes = [outcome for name in group for outcome in layers[name].values()]
        drawn = resample(sample, outcomes, settings) if outcomes else None
        first = 0
        for name in group:
            last = first + len(layers[name])
            if drawn is not None:
                yield name, layers[name], drawn.take(range(first, last))
            first = last


def with_band(drawn: Estimates, settings: Settings) -> dict[str, Any]:
    """A curve's values with pointwise interval and simultaneous band, for JSON.

    Either is null, with a ``reason``, where there are too few clusters to draw from.
    """
    low, high = intervals_of(drawn, settings)
    band_low, band_high = simultaneous_band(
        drawn.within, drawn.estimate, settings.level, drawn.precision
    )
    columns = {
        "value": drawn.estimate,
        "low": low,
        "high": high,
        "band_low": band_low,
        "band_high": band_high,
    }
    shape = {name: [number(one) for one in own] for name, own in columns.items()}
    measured = np.isfinite(drawn.estimate)
    reason = None
    if np.isnan(low[measured]).any():
        reason = NO_INTERVAL
    elif np.isnan(band_low[measured]).any():
        reason = NO_BAND
    return shape | {"reason": reason}


def with_lexical_gaps(curves: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The curves, those of a fact's pairs of templates with the facts' lexical gap.

    It is that of all pairs of the same prompts, alike for those that agree and those
    that do not: what `representation` measured for the model in the same contexts, or
    in the one context of the curve; null where it did not.
    """
    known = {
        (curve["model"], curve["contexts"]): curve
        for curve in curves
        if curve["key"] == _GAP_OF_FACTS
    }
    found = []
    for curve in curves:
        pairs = _GAP_OF_PAIRS.fullmatch(curve["key"])
        if pairs:
            measured = known.get((curve["model"], curve["contexts"]), {})
            curve = curve | {"lexical": _lexical_of(measured, pairs[1])}
        found.append(curve)
    return found


def _lexical_of(curve: dict[str, Any], context: str | None) -> float | None:
    if context is None:
        return curve.get("lexical")
    return dict(enumerate(curve.get("lexical_by_context", ()))).get(int(context))


def _lexical(sample: Sample, model: str, contexts: str) -> dict[str, Any]:
    """The lexical gap of a data set, over all contexts and in each; null without."""
    suffix = "" if contexts == "study" else f"@{contexts}"
    key = f"representation.{sample.dataset}.lexical_gap{suffix}"
    outcome = sample.values.get((key, model))
    if outcome is None:
        return {"lexical": None, "lexical_by_context": []}
    values = np.where(outcome.denominator > 0, outcome.numerator, np.nan)
    return {
        "lexical": number(mean_present(values.reshape(-1, 1))[0]),
        "lexical_by_context": [number(one) for one in mean_present(values.T)],
    }
