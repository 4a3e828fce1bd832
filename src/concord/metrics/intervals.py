"""From replicates to intervals: percentile, BCa, bands, closed forms.

The replicates come from `metrics.bootstrap`. Those in which no unit was drawn are NaN
and left out; a column with more than one in twenty of them has no interval (NaN).
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from concord.metrics.bootstrap import Clusters
from concord.metrics.few_clusters import Precision

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
    """Lower and upper percentile of the replicates."""
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
    count = np.maximum((~np.isnan(replicates)).sum(axis=0), 1)
    below = (replicates < estimate).sum(axis=0) / count
    below = below + (replicates == estimate).sum(axis=0) / count / 2
    bias = norm.ppf(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    spread = (moved**2).sum(axis=0) ** 1.5
    skew = (moved**3).sum(axis=0) / np.where(spread > 0, 6 * spread, np.inf)
    tail = norm.ppf([[(1 - level) / 2], [(1 + level) / 2]])
    shifted = bias + (bias + tail) / (1 - skew * (bias + tail))
    interval = np.full((2, len(estimate)), np.nan)
    for column in np.flatnonzero(_has_interval(replicates)):
        points = norm.cdf(shifted[:, column])
        interval[:, column] = np.nanquantile(replicates[:, column], points)
    return interval


def simultaneous_band(
    replicates: Float[np.ndarray, "replicate point"],
    estimate: Float[np.ndarray, " point"],
    level: float,
    precision: Precision | None = None,
) -> Float[np.ndarray, "2 point"]:
    """A band that holds the whole curve with the given chance (max-t).

    The half-width at each point is its bootstrap standard error times the quantile of
    the largest standardised deviation over the points that have an interval; from few
    clusters, the quantile of Student's t with the same tail.

    Args:
        replicates: Estimates from resamples.
        estimate: Estimates from the data.
        level: Coverage.
        precision: What the clusters allow to be said; without it they are many.

    Returns:
        Lower and upper end; NaN at points whose clusters are too few.

    Source:
        Montiel Olea & Plagborg-Moller (2019), Simultaneous confidence bands
        (plug-in sup-t).
    """
    band = np.full((2, len(estimate)), np.nan)
    kept = _has_interval(replicates)
    if not kept.any():
        return band
    own, middle = replicates[:, kept], estimate[kept]
    error = np.nanstd(own, axis=0, ddof=1)
    scale = np.where(error > 0, error, np.inf)
    apart = np.abs(own - middle) / scale
    largest = np.where(np.isnan(apart), 0.0, apart).max(axis=1)
    reach = np.quantile(largest, level)
    if precision is not None:
        reach = precision.band_reach(float(reach))[kept]
    band[:, kept] = middle - reach * error, middle + reach * error
    return band


def _has_interval(
    replicates: Float[np.ndarray, "replicate column"],
) -> Bool[np.ndarray, " column"]:
    return np.isnan(replicates).mean(axis=0) <= MOST_MISSING
