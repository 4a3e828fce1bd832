"""Format spread: best minus worst accuracy over a fixed list of formats."""

import numpy as np
from jaxtyping import Float


def format_spread(accuracy: Float[np.ndarray, " format"]) -> float:
    """max_f acc(f) - min_f acc(f).

    Args:
        accuracy: One per format (instruction, separator, casing, order, ...).

    Returns:
        In the unit of the accuracies, from 0: format does not matter; NaN with fewer
        than two formats. Biased upwards by sampling noise: see `metrics.spread`.

    Source:
        Sclar et al. (2024), section 3. They draw formats from a grammar under a budget;
        here every format of a fixed list is evaluated.
    """
    if len(accuracy) < 2:
        return float("nan")
    return float(np.max(accuracy) - np.min(accuracy))
