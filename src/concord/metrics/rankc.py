"""RankC: do two wordings rank all candidates alike, the top ones counting most?"""

from itertools import combinations

import numpy as np
from jaxtyping import Float


def rankc(
    scores: Float[np.ndarray, "wording item candidate"],
) -> Float[np.ndarray, " item"]:
    """Weighted overlap of the candidates' rankings, mean over pairs of wordings.

    sum_{j=1..N} w_j |top_j & top'_j| / j with w = softmax over j of (N - j + 1), so the
    first place alone weighs about .63 whatever N.

    Args:
        scores: Higher is better; at equality the lower index ranks first. NaN, in all
            wordings alike, where an item has fewer candidates.

    Returns:
        Values in [0, 1]; 1 means the same ranking in every wording; NaN with fewer than
        two wordings.

    Source:
        Qi et al. (2023), Cross-Lingual Consistency of Factual Knowledge, section 3:
        made for pairs of languages, here over pairs of wordings.
    """
    wording_count, item_count, _ = scores.shape
    values = np.full(item_count, np.nan)
    if wording_count < 2:
        return values
    sizes = (~np.isnan(scores[0])).sum(axis=-1)
    for size in np.unique(sizes):
        own = np.flatnonzero(sizes == size)
        values[own] = _of_one_size(scores[:, own], int(size))
    return values


def _of_one_size(
    scores: Float[np.ndarray, "wording item candidate"], size: int
) -> Float[np.ndarray, " item"]:
    if size == 0:
        return np.full(scores.shape[1], np.nan)
    # Ranks from 0; NaN sorts last, behind all real candidates.
    ranks = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1)
    places = np.arange(1, size + 1)
    weights = np.exp(size - places + 1.0 - size)
    weights /= weights.sum()
    total = np.zeros(scores.shape[1])
    pairs = list(combinations(range(len(scores)), 2))
    for one, other in pairs:
        # A candidate is in both top-j lists from its worse rank on.
        worse = np.maximum(ranks[one], ranks[other])
        shared = (worse[..., None] < places).sum(axis=1)
        total += (shared / places) @ weights
    return total / len(pairs)
