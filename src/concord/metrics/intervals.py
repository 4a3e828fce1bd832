"""From replicates to intervals: percentile, BCa, bands, closed forms.

The replicates come from `metrics.bootstrap`.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from concord.metrics.bootstrap import Clusters

MOST_MISSING = 0.05
"""Share of replicates without any unit up to which there is an interval."""


def standard_error(
    moved: Float[np.ndarray, "cluster column"], clusters: Clusters
) -> Float[np.ndarray, " column"]:
    """Closed-form standard error of an estimate from its `influence`.

    Clusters within strata are independent draws, so variances add:
    sum_s n/(n-1) sum_i (moved_i - mean_s)^2. Strata of one cluster add nothing.

    Returns:
        In the estimate's unit; NaN when no stratum has two clusters.
    """
    sizes = np.bincount(clusters.stratum)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(moved, starts, axis=0) / sizes[:, None]
    squares = np.add.reduceat((moved - means[clusters.stratum]) ** 2, starts, axis=0)
    several = sizes > 1
    if not several.any():
        return np.full(moved.shape[1], np.nan)
    factor = sizes[several] / (sizes[several] - 1)
    return np.sqrt(factor @ squares[several])


def percentile_interval(
    replicates: Float[np.ndarray, "replicate column"], level: float
) -> Float[np.ndarray, "2 column"]:
    """Lower and upper percentile of the replicates.

    Replicates in which no unit was drawn are NaN and left out; with more than one in
    twenty of them there is no interval (NaN).
    """
    ends = [(1 - level) / 2, (1 + level) / 2]
    missing = np.isnan(replicates).mean(axis=0)
    interval = np.full((2, replicates.shape[1]), np.nan)
    whole = missing == 0
    interval[:, whole] = np.quantile(replicates[:, whole], ends, axis=0)
    for column in np.flatnonzero((missing > 0) & (missing <= MOST_MISSING)):
        interval[:, column] = np.nanquantile(replicates[:, column], ends)
    return interval


def bca_interval(
    replicates: Float[np.ndarray, "replicate column"],
    estimate: Float[np.ndarray, " column"],
    moved: Float[np.ndarray, "cluster column"],
    level: float,
) -> Float[np.ndarray, "2 column"]:
    """Percentile interval corrected for bias and for skewness.

    Args:
        replicates: Estimates from resamples.
        estimate: Estimates from the data.
        moved: Their `influence`, for the acceleration sum u^3 / (6 (sum u^2)^1.5).
        level: Coverage.

    Returns:
        Lower and upper end; the percentile interval's where all replicates are equal.

    Source:
        Efron (1987), Better bootstrap confidence intervals.
    """
    below = (replicates < estimate).mean(axis=0)
    below = below + (replicates == estimate).mean(axis=0) / 2
    count = len(replicates)
    bias = norm.ppf(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    spread = (moved**2).sum(axis=0) ** 1.5
    skew = (moved**3).sum(axis=0) / np.where(spread > 0, 6 * spread, np.inf)
    tail = norm.ppf([[(1 - level) / 2], [(1 + level) / 2]])
    shifted = bias + (bias + tail) / (1 - skew * (bias + tail))
    ends = [
        np.quantile(column, norm.cdf(points))
        for column, points in zip(replicates.T, shifted.T, strict=True)
    ]
    return np.array(ends).T.reshape(2, -1)


def simultaneous_band(
    replicates: Float[np.ndarray, "replicate point"],
    estimate: Float[np.ndarray, " point"],
    level: float,
) -> Float[np.ndarray, "2 point"]:
    """A band that holds the whole curve with the given chance (max-t).

    The half-width at each point is its bootstrap standard error times the quantile of
    the largest standardised deviation over points.
    """
    error = replicates.std(axis=0, ddof=1)
    scale = np.where(error > 0, error, np.inf)
    largest = np.abs((replicates - estimate) / scale).max(axis=1)
    reach = np.quantile(largest, level) * error
    return np.stack([estimate - reach, estimate + reach])


def wilson_interval(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Interval of a share of independent trials, good also near 0 and 1.

    Only for trials that are independent; prompts of one subject are not.

    Returns:
        Lower and upper end in [0, 1]; NaN without trials.

    Source:
        Wilson (1927).
    """
    if trials == 0:
        return float("nan"), float("nan")
    z = float(norm.ppf((1 + level) / 2))
    share, shrink = successes / trials, 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / shrink
    half = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / shrink
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
