"""POSIX: how far the probability of an answer moves when the prompt is reworded."""

import numpy as np
from jaxtyping import Float, Int


def posix(
    log_probabilities: Float[np.ndarray, "item wording answer"],
    lengths: Int[np.ndarray, "item answer"],
) -> Float[np.ndarray, " item"]:
    """Mean change of an answer's log-probability per token, over ordered pairs.

    1 / (n (n - 1)) sum_{i,j} |log P(y_j | x_i) - log P(y_j | x_j)| / len(y_j), where
    y_j is the answer given under wording x_j.

    Args:
        log_probabilities: Natural logs, [item, i, j] that of y_j under x_i.
        lengths: Tokens of each answer.

    Returns:
        Values in [0, inf), in nats per token; 0 means that wording changes nothing; NaN
        with fewer than two wordings.

    Source:
        Chatterjee et al. (2024), POSIX: A Prompt Sensitivity Index. Their code divides
        by the largest length allowed; the true length stands here.
    """
    item_count, wording_count, _ = log_probabilities.shape
    if wording_count < 2:
        return np.full(item_count, np.nan)
    own = np.diagonal(log_probabilities, axis1=1, axis2=2)
    moved = np.abs(log_probabilities - own[:, None, :]).sum(axis=1) / lengths
    return moved.sum(axis=1) / (wording_count * (wording_count - 1))
