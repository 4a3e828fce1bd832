"""The gap layer by layer, with pointwise intervals and one band for the whole curve."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from concord.metrics.intervals import percentile_interval, simultaneous_band
from concord.summary.estimates import (
    Estimates,
    Outcome,
    Sample,
    Settings,
    number,
    resample,
)

_COLUMNS_AT_ONCE = 264
"""Layers of several curves: drawing then costs little, and they need 0.2 GB."""


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
        shape = with_band(drawn.within, drawn.estimate, settings.level)
        curves.append(head | shape | {"lexical": _lexical(sample, model, contexts)})
        if base_drawn is not None and model != base_model and list(own) == list(base):
            within = drawn.within - base_drawn.within
            estimate = drawn.estimate - base_drawn.estimate
            differences.append(head | with_band(within, estimate, settings.level))
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


def with_band(
    within: Float[np.ndarray, "replicate layer"],
    estimate: Float[np.ndarray, " layer"],
    level: float,
) -> dict[str, list[float | None]]:
    """A curve's values with pointwise interval and simultaneous band, for JSON."""
    low, high = percentile_interval(within, level)
    band_low, band_high = simultaneous_band(within, estimate, level)
    columns = {
        "value": estimate,
        "low": low,
        "high": high,
        "band_low": band_low,
        "band_high": band_high,
    }
    return {name: [number(one) for one in values] for name, values in columns.items()}


def _lexical(sample: Sample, model: str, contexts: str) -> float | None:
    suffix = "" if contexts == "study" else f"@{contexts}"
    key = f"representation.{sample.dataset}.lexical_gap{suffix}"
    outcome = sample.values.get((key, model))
    if outcome is None:
        return None
    counted = outcome.denominator > 0
    if not counted.any():
        return None
    return float(outcome.numerator.sum() / counted.sum())
