"""Tuned minus base of a spread: what of it noise alone may have made.

Noise adds to a spread: as much as to equal settings where these are equal, nothing
where they lie far apart, and unlike amounts in models of unlike accuracy. Where two
true spreads are alike, what their difference owes to noise lies between 0 and the
difference of what noise alone would give. The difference shown is that of the spreads
as measured; its interval and its p-value, from exchanging the two models' answers to a
question at random, hold whatever it owes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.bootstrap import Clusters
from concord.metrics.few_clusters import precision, stretched
from concord.metrics.intervals import percentile_interval
from concord.metrics.significance import adjust_p, verdict
from concord.metrics.spread import Spread, SpreadEstimate
from concord.summary.estimates import NO_INTERVAL, Settings, number
from concord.summary.spread_draws import Draws, Place

_NO_DIFFERENCE = "not measured for both models in two or more settings: no difference"


@dataclass(frozen=True)
class _Sides:
    """The spreads of a tuned model and of the base, and what noise alone would give."""

    after: float
    before: float
    noise_after: float
    noise_before: float

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def owed(self) -> float:
        """What the difference owes to noise, if that is not 0."""
        return self.noise_after - self.noise_before

    @property
    def claimed(self) -> float:
        """What is left of the difference whatever it owes; 0 where the sign changes."""
        ends = (self.difference, self.difference - self.owed)
        return 0.0 if min(ends) <= 0 <= max(ends) else min(ends, key=abs)


def spread_differences(
    places: Sequence[Place],
    spread: Spread,
    draws: Draws,
    noises: Mapping[Place, SpreadEstimate],
    settings: Settings,
    *,
    words: tuple[str, str],
) -> list[dict[str, Any]]:
    """One entry for each tuned model.

    Args:
        places: The tuned models in one set of contexts.
        spread: One of the three.
        draws: Resampled and exchanged accuracies.
        noises: What noise alone would give, where there are settings to compare.
        settings: How intervals and tests are made.
        words: For a larger and a smaller spread.
    """
    sides = [_sides(place, spread, draws, noises) for place in places]
    p_values = np.array(
        [
            np.nan if own is None else _exchange_p(own, spread(draws.exchanged[place]))
            for place, own in zip(places, sides, strict=True)
        ]
    )
    adjusted = adjust_p(p_values, settings.adjustment)
    tested = zip(places, sides, p_values.tolist(), adjusted.tolist(), strict=True)
    found = []
    for place, own, *ps in tested:
        if own is None:
            tests = {"p": None, "p_adjusted": None, "verdict": ""}
            found.append(absent(place[0], _NO_DIFFERENCE) | tests)
        else:
            drawn = spread(draws.resampled[place]) - spread(draws.resampled[draws.base])
            found.append(_difference(place, own, drawn, draws, settings, ps, words))
    return found


def _sides(
    place: Place, spread: Spread, draws: Draws, noises: Mapping[Place, SpreadEstimate]
) -> _Sides | None:
    """None where the models cannot be compared."""
    if place not in draws.exchanged or place not in noises:
        return None
    after, before = (spread_of(draws.rights[at], spread) for at in (place, draws.base))
    noise = (noises[at].expected / 100 for at in (place, draws.base))
    return _Sides(after, before, *noise)


def _exchange_p(
    sides: _Sides, exchanged: Float[np.ndarray, "side permutation"]
) -> float:
    """Share of exchanges whose difference is at least what is left of the measured one.

    Exchanged sides are mixtures of both models: noise adds alike to both.

    Returns:
        In (0, 1].
    """
    differences = np.abs(exchanged[0] - exchanged[1])
    # A hair below, so that rounding does not part equal differences.
    hits = int((differences >= abs(sides.claimed) - 1e-9).sum())
    return (hits + 1) / (len(differences) + 1)


def _difference(
    place: Place,
    sides: _Sides,
    drawn: Float[np.ndarray, " replicate"],
    draws: Draws,
    settings: Settings,
    p_values: Sequence[float],
    words: tuple[str, str],
) -> dict[str, Any]:
    value, owed = sides.difference, sides.owed
    # Resampling adds noise once more: only how far replicates scatter counts.
    centred = drawn - drawn.mean() + value
    low, high = interval_of(centred, value, draws.clusters, settings.level)
    level = 2 * settings.level - 1
    narrow = interval_of(centred, value, draws.clusters, level)
    interval = min(low, low - owed), max(high, high - owed)
    return {
        "model": place[0],
        "value": number(value),
        "low": number(interval[0]),
        "high": number(interval[1]),
        "relations_low": None,
        "relations_high": None,
        "after": number(sides.after),
        "before": number(sides.before),
        "p": number(p_values[0]),
        "p_adjusted": number(p_values[1]),
        "verdict": verdict(
            interval,
            # True spreads that differ may owe noise on one side alone.
            (narrow[0] - sides.noise_after, narrow[1] + sides.noise_before),
            words=words,
            margin=settings.margin,
            is_significant=not p_values[1] > 1 - settings.level,
        ),
        "n": counts(draws.rights[place], draws.clusters),
        "reason": NO_INTERVAL if np.isnan(low) else None,
    }


def spread_of(right: Bool[np.ndarray, "wording order item"], spread: Spread) -> float:
    """The spread as measured, a share of questions."""
    return float(spread(right.mean(axis=-1)))


def interval_of(
    drawn: Float[np.ndarray, " replicate"],
    observed: float,
    clusters: Clusters,
    level: float,
) -> tuple[float, float]:
    """Both ends, as far as few clusters ask; NaN where there are too few."""
    column = np.ones((len(clusters), 1))
    reach = precision(column, clusters=clusters, weighting="micro").reach(level)
    ends = percentile_interval(drawn[:, None], level)
    low, high = stretched(ends, np.array([observed]), reach)
    return float(low[0]), float(high[0])


def counts(
    right: Bool[np.ndarray, "wording order item"], clusters: Clusters
) -> dict[str, int | None]:
    """What a spread was computed from."""
    return {
        "facts": right.shape[-1],
        "subjects": len(clusters),
        "relations": None,
        "prompts": right.size,
    }


def absent(model: str, reason: str) -> dict[str, Any]:
    """The entry of a model without this spread."""
    names = ("value", "low", "high", "relations_low", "relations_high")
    return {
        "model": model,
        **dict.fromkeys(names),
        "n": {"facts": 0, "subjects": 0, "relations": 0, "prompts": 0},
        "reason": reason,
    }
