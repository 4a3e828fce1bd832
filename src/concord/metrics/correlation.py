"""Do two measures go together across models? See Table 7.

The items are models, so n is small: with ten little is certain. The base is left out
by the caller, since tuned models of one base are compared with one another.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

FEWEST_MODELS = 4


def pearson(x: Float[np.ndarray, " model"], y: Float[np.ndarray, " model"]) -> float:
    """Linear correlation.

    Returns:
        In [-1, 1]; NaN with fewer than `FEWEST_MODELS` or when either does not vary.
    """
    if len(x) < FEWEST_MODELS:
        return float("nan")
    return float(_row_correlations(x[None], y[None])[0])


def spearman(x: Float[np.ndarray, " model"], y: Float[np.ndarray, " model"]) -> float:
    """Correlation of ranks, ties sharing their mean rank; otherwise as `pearson`."""
    return pearson(rankdata(x), rankdata(y))


def partial_correlation(
    x: Float[np.ndarray, " model"],
    y: Float[np.ndarray, " model"],
    given: Float[np.ndarray, " model"],
) -> float:
    """Correlation of what a third measure does not explain linearly.

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)). Agreement follows accuracy, so
    a rate that follows accuracy correlates with agreement too.

    Returns:
        In [-1, 1]; NaN as `pearson`, or when the third measure explains one fully.
    """
    r_xy, r_xz, r_yz = pearson(x, y), pearson(x, given), pearson(y, given)
    left = (1 - r_xz**2) * (1 - r_yz**2)
    if np.isnan(left) or left < 1e-12:
        return float("nan")
    return float((r_xy - r_xz * r_yz) / np.sqrt(left))


def permutation_p(
    x: Float[np.ndarray, " model"],
    y: Float[np.ndarray, " model"],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> float:
    """Share of random pairings of the models with |r| at least as large.

    Assumes no distribution; the observed pairing counts as one of those drawn. Of
    ranks (`rankdata`) it is the p-value of Spearman's correlation.

    Returns:
        In (0, 1]; NaN as `pearson`.
    """
    observed = abs(pearson(x, y))
    if np.isnan(observed):
        return float("nan")
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(y, (permutations, 1)), axis=1)
    drawn = np.abs(_row_correlations(np.broadcast_to(x, shuffled.shape), shuffled))
    return float((1 + (drawn >= observed - 1e-12).sum()) / (1 + permutations))


def correlation_interval(
    x: Float[np.ndarray, " model"],
    y: Float[np.ndarray, " model"],
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
    of_ranks: bool = False,
) -> tuple[float, float]:
    """Percentile interval of Pearson's r over resamples of the models.

    Resamples in which either measure does not vary have no r and are left out.

    Args:
        x: One measure.
        y: The other.
        level: Coverage.
        replicates: Resamples.
        seed: Of them.
        of_ranks: Spearman's correlation instead: each resample is ranked anew.

    Returns:
        Lower and upper end in [-1, 1]; NaN as `pearson`.
    """
    if np.isnan(pearson(x, y)):
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(len(x), size=(replicates, len(x)))
    sides = (x[drawn], y[drawn])
    if of_ranks:
        sides = (rankdata(sides[0], axis=1), rankdata(sides[1], axis=1))
    correlations = _row_correlations(*sides)
    tail = (1 - level) / 2
    low, high = np.nanquantile(correlations, [tail, 1 - tail])
    return float(low), float(high)


def _row_correlations(
    x: Float[np.ndarray, "row model"], y: Float[np.ndarray, "row model"]
) -> Float[np.ndarray, " row"]:
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    product = (x * y).sum(axis=1)
    # Equal numbers leave a remainder of rounding, not an exact 0.
    varies = (x**2).max(axis=1) * (y**2).max(axis=1) > 1e-28
    return np.where(varies, product / np.where(varies, scale, 1.0), np.nan)
