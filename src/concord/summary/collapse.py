"""Is a gain in agreement what the model's favourite answers give by chance?"""

from typing import Any

import numpy as np

from concord.summary.estimates import (
    Outcome,
    Sample,
    Settings,
    intervals_of,
    number,
    ratios_of,
    resample,
)

_AGREEMENT = "facts.agreement"
_CORRECTED = "facts.chance_corrected_agreement"


def gains_by_chance(
    sample: Sample, models: list[str], settings: Settings
) -> dict[str, dict[str, Any]]:
    """How much of each tuned model's gain is gone when corrected for chance.

    The gain in agreement less the gain in chance-corrected agreement, both over the
    relations in which both models' agreement can be corrected, from the same resamples.
    That the corrected gain may be 0 shows nothing by itself; an interval above 0 here
    shows that the correction takes some of it away.

    Returns:
        By model ``value``, ``low``, ``high`` in agreement's unit, and ``reason``; only
        models whose agreement was measured beside the base's.
    """
    measured = [
        model
        for model in models[1:]
        if (_AGREEMENT, model) in sample.values
        and (_AGREEMENT, models[0]) in sample.values
    ]
    if not measured:
        return {}
    sides = [side for model in measured for side in _sides(sample, model, models[0])]
    drawn = resample(sample, sides, settings)
    parts = [drawn.take(range(place, len(sides), 4)) for place in range(4)]
    gain, corrected = parts[0].minus(parts[1]), parts[2].minus(parts[3])
    lost = gain.minus(corrected)
    low, high = intervals_of(lost, settings)
    return {
        model: {
            "value": number(lost.estimate[at]),
            "low": number(low[at]),
            "high": number(high[at]),
            "reason": None if np.isfinite(low[at]) else "agreement is not corrected",
        }
        for at, model in enumerate(measured)
    }


def _sides(sample: Sample, tuned: str, base: str) -> list[Outcome]:
    """Agreement of both, then corrected agreement, over the relations of all four."""
    outcomes = [
        sample.values[key, model]
        for key in (_AGREEMENT, _CORRECTED)
        for model in (tuned, base)
    ]
    measured = [~np.isnan(ratios_of(sample, one)).all(axis=1) for one in outcomes]
    is_common = np.logical_and.reduce(measured)
    if is_common.all():
        return outcomes
    kept = is_common[sample.clusters.stratum_of_unit]
    return [outcome.only(kept) for outcome in outcomes]
