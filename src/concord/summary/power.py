"""What differences this run can see, as ``power`` of ``summary.json``."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from concord.metrics.few_clusters import FEWEST_DEGREES
from concord.metrics.intervals import standard_error
from concord.metrics.power import (
    is_announceable,
    smallest_difference,
    subjects_needed,
)
from concord.metrics.significance import smallest_p
from concord.summary.estimates import (
    Pair,
    Sample,
    Settings,
    moved_by,
    number,
    on_common_strata,
    precision_of,
)
from concord.summary.measures import describe

DIFFERENCE_ASKED = 0.01
"""The difference that is spoken of when the study names no margin."""


@dataclass(frozen=True)
class _Spread:
    """How surely a difference is known."""

    error: float
    """Standard error, in the measure's unit."""
    degrees: float
    """Degrees of freedom of it."""
    size: int
    """Subjects measured for both models."""
    reason: str | None
    """Why no power can be told from it."""

    @property
    def is_tested(self) -> bool:
        """Whether it has a p-value, which those of the other models are adjusted for.

        So has a model of which all subjects change alike, or not at all.
        """
        return self.size > 0 and self.degrees >= FEWEST_DEGREES


def power_entries(sample: Sample, settings: Settings) -> list[dict[str, Any]]:
    """The entries of the headline keys.

    A difference is seen when it is announced: so the level is adjusted for the number
    of tuned models tested (``tests``), and there is none where the smallest p-value
    that so few subjects allow would not be announced.
    """
    pairs = [pair for pair in sample.pairs if describe(pair.key).headline]
    spreads = [_spread_of(sample, on_common_strata(sample, pair)) for pair in pairs]
    tested = Counter(
        pair.key
        for pair, spread in zip(pairs, spreads, strict=True)
        if spread.is_tested
    )
    return [
        _entry(pair, spread, tested[pair.key], settings)
        for pair, spread in zip(pairs, spreads, strict=True)
    ]


def _entry(
    pair: Pair, spread: _Spread, tests: int, settings: Settings
) -> dict[str, Any]:
    asked = settings.margin or DIFFERENCE_ASKED
    smallest, needed, reason = float("nan"), None, spread.reason
    adjusted: dict[str, Any] = {"level": settings.level, "tests": tests}
    if reason is None:
        flips = settings.permutations
        needed = subjects_needed(
            asked,
            spread.error,
            spread.size,
            degrees=spread.degrees,
            permutations=flips,
            **adjusted,
        )
        smallest = smallest_difference(spread.error, degrees=spread.degrees, **adjusted)
        if not is_announceable(spread.size, permutations=flips, **adjusted):
            smallest = float("nan")
            least = min(smallest_p(spread.size, flips) * tests, 1.0)
            reason = (
                f"no difference can be announced: {spread.size} subjects and {flips:,} "
                f"sign flips give no adjusted p below {least:.2g}"
            )
    return {
        "key": pair.key,
        "model": pair.model,
        "standard_error": None if spread.reason else spread.error,
        "smallest_difference": number(smallest),
        "n": spread.size,
        "tests": tests,
        "difference": asked,
        "n_needed": needed,
        "reason": reason,
    }


def _spread_of(sample: Sample, pair: Pair) -> _Spread:
    counted = pair.after.is_counted & pair.before.is_counted
    size = sample.drawn.count_with(counted)
    if not size:
        return _Spread(float("nan"), 0.0, 0, "not measured for both models")
    moved = moved_by(sample, pair.after) - moved_by(sample, pair.before)
    error = standard_error(sample.by_draw(moved[:, None]), sample.drawn)[0]
    bottom = sample.clusters.sums(counted[:, None].astype(float))
    found = precision_of(sample, bottom)
    error, degrees = float(error * found.shortfall[0]), float(found.degrees[0])
    reason = None
    if degrees < FEWEST_DEGREES:
        reason = "too few subjects to know the variance"
    # Equal changes leave a remainder of rounding, not an exact 0.
    elif error < 1e-12:
        reason = "all subjects change alike: no variance to plan with"
    return _Spread(error, degrees, size, reason)
