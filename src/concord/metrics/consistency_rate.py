"""SCORE's consistency rate: share of pairs of answers that are equal."""

import numpy as np
from jaxtyping import Float, Int

from concord.metrics.agreement import pairwise_agreement


def consistency_rate(
    answers: Int[np.ndarray, "wording item"],
) -> Float[np.ndarray, " item"]:
    """sum_{i<j} [y_i = y_j] / C(n, 2): `pairwise_agreement` under its other name.

    Args:
        answers: Codes of the answers' contents, never of their letters; an answer that
            could not be read is `NO_ANSWER` and agrees with nothing.

    Returns:
        Values in [0, 1]; 1 means one answer in all wordings; NaN with fewer than two.

    Source:
        Nalbandyan et al. (2025), SCORE; after Zhao et al. (2024). The formula in
        lm-evaluation-harness' documentation sums ordered pairs over C(n, 2), which is
        twice too large.
    """
    return pairwise_agreement(answers)
