"""Is tuned minus base real, and what may one say about it?

Models answer the same prompts, so all tests are paired; the unit is the subject.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binomtest

from concord.metrics.bootstrap import (
    Clusters,
    Weighting,
    influence,
    stratum_ratios,
    stratum_shares,
    stratum_sums,
)

Adjustment = Literal["holm", "benjamini_hochberg"]
"""How p-values of several tests are adjusted for their number."""
EXACT_UP_TO = 12
"""With this many clusters or fewer all sign patterns are counted instead of drawn."""
MOST_GROUPS = 4096
_BLOCK_BYTES = 1 << 22
_ROUNDING = 1e-9
"""By which ends of intervals may differ from a margin that they are equal to."""
_SINGLE_TOLERANCE = 1e-6
"""Share of the sum of all sizes by which two sums may differ through rounding."""


def paired_contributions(
    numerators: tuple[
        Float[np.ndarray, "cluster column"], Float[np.ndarray, "cluster column"]
    ],
    denominators: tuple[
        Float[np.ndarray, "cluster column"], Float[np.ndarray, "cluster column"]
    ],
    *,
    clusters: Clusters,
    weighting: Weighting = "macro",
) -> Float[np.ndarray, "cluster column"]:
    """What each cluster adds to tuned minus base; the sum is the difference.

    For a mean over facts it is the cluster's own difference, weighted as the mean does.
    For a ratio it is the linear term plus the cluster's share of the difference.

    Args:
        numerators: Sums per cluster of base and of tuned.
        denominators: Likewise; 0 in the same strata for both.
        clusters: The design.
        weighting: How strata are averaged.
    """
    of, ratios, shares, moved = clusters.stratum, [], [], []
    for top, bottom in zip(numerators, denominators, strict=True):
        total = stratum_sums(bottom, clusters)[of]
        ratios.append(stratum_ratios(top, bottom, clusters))
        shares.append(bottom / np.where(total != 0, total, np.nan))
        moved.append(influence(top, bottom, clusters=clusters, weighting=weighting))
    difference = ratios[1] - ratios[0]
    share = stratum_shares(~np.isnan(difference), clusters, weighting)
    spread_out = (share * difference)[of] * (shares[0] + shares[1]) / 2
    return moved[1] - moved[0] + np.where(np.isnan(spread_out), 0.0, spread_out)


def sign_flip_p(
    contributions: Float[np.ndarray, "cluster column"],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> Float[np.ndarray, " column"]:
    """p-value of a sum under random exchange of base and tuned in whole clusters.

    If tuning changes nothing, a cluster's difference is as likely as its opposite. p is
    the share of sign patterns with a sum at least as far from 0; the observed one
    counts as one of those drawn. With `EXACT_UP_TO` clusters or fewer all patterns are
    counted. More than `MOST_GROUPS` are dealt at random to so many groups, which change
    sides as a whole: also an exact test, since what may be exchanged alone may be
    exchanged together, and its p differs by a few hundredths of itself.

    Returns:
        In (0, 1]; NaN without clusters.

    Source:
        Hemerik & Goeman (2018) for tests by a subgroup of all exchanges.
    """
    if len(contributions) > MOST_GROUPS:
        contributions = _in_groups(contributions, seed)
    cluster_count, column_count = contributions.shape
    if cluster_count == 0:
        return np.full(column_count, np.nan)
    observed = np.abs(contributions.sum(axis=0))
    whole = np.abs(contributions).sum(axis=0)
    # Sums of the same numbers in another order differ in the last bits.
    limit = observed - 1e-9 * whole
    if cluster_count <= EXACT_UP_TO:
        patterns = np.arange(2**cluster_count)[:, None] >> np.arange(cluster_count)
        signs = 1.0 - 2.0 * (patterns & 1)
        return (np.abs(signs @ contributions) >= limit).mean(axis=0)
    rng = np.random.default_rng(seed)
    row_bytes = -(-cluster_count // 8)
    step = max(1, _BLOCK_BYTES // (8 * row_bytes))
    beyond = np.zeros(column_count, dtype=np.int64)
    # Single precision halves the time; a pattern must be nearer than it to differ.
    scaled = (contributions / np.where(whole > 0, whole, 1)).astype(np.float32)
    half = scaled.sum(axis=0, dtype=np.float64)
    limit = np.abs(half) - _SINGLE_TOLERANCE
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        packed = np.frombuffer(rng.bytes(rows * row_bytes), np.uint8)
        flips = np.unpackbits(packed.reshape(rows, row_bytes), axis=1)
        flips = flips[:, :cluster_count].astype(np.float32)
        beyond += (np.abs(2 * (flips @ scaled) - half) >= limit).sum(axis=0)
    return (1 + beyond) / (1 + permutations)


def smallest_p(cluster_count: int, permutations: int) -> float:
    """The smallest p-value that `sign_flip_p` can give.

    Of n clusters two patterns in 2^n have the largest sum, all signs alike; where
    patterns are drawn, the observed one is one of them.

    Returns:
        In (0, 1].
    """
    exact = min(1.0, 2.0 ** (1 - min(cluster_count, 1000)))
    drawn = 1 / (permutations + 1) if cluster_count > EXACT_UP_TO else 0.0
    return max(exact, drawn)


def _in_groups(
    contributions: Float[np.ndarray, "cluster column"], seed: int
) -> Float[np.ndarray, "group column"]:
    """Sums over groups of equal size, one cluster more or less, drawn by seed."""
    rng = np.random.default_rng([seed, len(contributions)])
    order = rng.permutation(len(contributions))
    firsts = np.linspace(0, len(order), MOST_GROUPS, endpoint=False).astype(np.intp)
    return np.add.reduceat(contributions[order], firsts, axis=0)


def mcnemar_p(
    before: Bool[np.ndarray, " fact"], after: Bool[np.ndarray, " fact"]
) -> float:
    """Exact p-value that as many facts change from yes to no as from no to yes.

    Returns:
        In (0, 1]; 1 when no fact changes.

    Source:
        McNemar (1947); exact binomial form.
    """
    gained = int((~before & after).sum())
    lost = int((before & ~after).sum())
    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def holm(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """p-values adjusted so that the chance of any false finding is bounded.

    NaN stays NaN and is not counted as a test.

    Source:
        Holm (1979).
    """
    return _adjust(p_values, _holm_sorted)


def benjamini_hochberg(
    p_values: Float[np.ndarray, " test"],
) -> Float[np.ndarray, " test"]:
    """p-values adjusted so that the expected share of false findings is bounded.

    NaN stays NaN and is not counted as a test.

    Source:
        Benjamini & Hochberg (1995).
    """
    return _adjust(p_values, _hochberg_sorted)


def adjust_p(
    p_values: Float[np.ndarray, " test"], method: Adjustment
) -> Float[np.ndarray, " test"]:
    """p-values of a family of tests, adjusted as the study asks; NaN is no test.

    `holm` bounds the chance of any false finding, `benjamini_hochberg` the expected
    share of false findings.
    """
    adjust = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}[method]
    return adjust(p_values)


def is_equivalent(low: float, high: float, margin: float) -> bool:
    """Both one-sided tests pass: the whole interval lies within +-margin.

    Args:
        low: Lower end of the interval of coverage 2 level - 1 (90 % for level 95 %).
        high: Upper end of it.
        margin: Largest difference that counts as the same, in the measure's unit.

    Source:
        Schuirmann (1987), two one-sided tests.
    """
    return -margin < low and high < margin


def is_not_worse(
    low: float, high: float, margin: float, better: Literal["higher", "lower"]
) -> bool:
    """The interval excludes a loss beyond the margin (non-inferiority).

    A loss of just the margin is tolerated: of two models that answer alike, whose
    interval is 0 to 0, none has lost more than 0.

    Args:
        low: Lower end of the interval of tuned minus base.
        high: Upper end of it.
        margin: Largest loss that is tolerated, >= 0, in the measure's unit.
        better: Which direction is a gain.
    """
    lost = -low if better == "higher" else high
    return lost <= margin + _ROUNDING


def is_worse(
    low: float, high: float, margin: float, better: Literal["higher", "lower"]
) -> bool:
    """The whole interval lies beyond a loss of the margin: the loss is real."""
    lost = -high if better == "higher" else low
    return lost > margin + _ROUNDING


def verdict(
    interval: tuple[float, float],
    narrow: tuple[float, float],
    *,
    words: tuple[str, str] = ("more consistent", "less consistent"),
    margin: float | None = None,
    is_significant: bool = True,
) -> str | None:
    """What may be said of tuned minus base, in words.

    A difference shown to be within the margin is called the same, even where it is
    also shown to be other than 0.

    Args:
        interval: Of tuned minus base.
        narrow: The interval of coverage 2 level - 1, for the two one-sided tests.
        words: For an interval above 0, and below 0.
        margin: Largest difference that counts as the same.
        is_significant: Whether the p-value, adjusted for all models tested, allows a
            difference to be claimed; an interval takes no account of their number.

    Returns:
        One of the words, ``no difference seen`` (the interval includes 0, or the
        difference is not significant) or ``same within MARGIN``; None without an
        interval.
    """
    low, high = interval
    if np.isnan(low) or np.isnan(high):
        return None
    if margin is not None and is_equivalent(*narrow, margin):
        return f"same within {margin:g}"
    if low > 0 and is_significant:
        return words[0]
    return words[1] if high < 0 and is_significant else "no difference seen"


def _adjust(
    p_values: Float[np.ndarray, " test"],
    adjust: Callable[[np.ndarray], np.ndarray],
) -> Float[np.ndarray, " test"]:
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    adjusted[order] = np.minimum(adjust(p_values[order]), 1.0)
    return adjusted


def _holm_sorted(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    left = len(p_values) - np.arange(len(p_values))
    return np.maximum.accumulate(p_values * left)


def _hochberg_sorted(
    p_values: Float[np.ndarray, " test"],
) -> Float[np.ndarray, " test"]:
    scaled = p_values * len(p_values) / (1 + np.arange(len(p_values)))
    return np.minimum.accumulate(scaled[::-1])[::-1]
