"""PromptSensiScore: mean difference of an item's scores between two wordings."""

import numpy as np
from jaxtyping import Float


def prompt_sensi_score(
    scores: Float[np.ndarray, "wording item"],
) -> Float[np.ndarray, " item"]:
    """sum_{i<j} |Y_i - Y_j| / C(n, 2), Y in [0, 1] the correctness or score.

    In sorted order the value of rank k is larger than k others and smaller than
    n - 1 - k, so the sum is that of (2 k - n + 1) Y_(k). For yes/no scores with k of n
    right this is 2 k (n - k) / (n (n - 1)).

    Returns:
        Values in [0, 1]; 0 means that wording does not matter; NaN with fewer than two
        wordings.

    Source:
        Zhuo et al. (2024), ProSA: Assessing and Understanding the Prompt Sensitivity of
        LLMs.
    """
    count = len(scores)
    if count < 2:
        return np.full(scores.shape[1], np.nan)
    weights = 2 * np.arange(count) - count + 1
    return weights @ np.sort(scores, axis=0) / (count * (count - 1) / 2)
