"""Paraphrastic consistency: are two wordings both right, or both wrong?"""

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.prompt_sensi_score import prompt_sensi_score


def paraphrastic_consistency(
    is_right: Bool[np.ndarray, "wording item"],
) -> Float[np.ndarray, " item"]:
    """Share of pairs of wordings that are both right or both wrong.

    1 - `prompt_sensi_score` of the correctness. Two different wrong answers count as
    consistent, which agreement does not allow.

    Returns:
        Values in [0, 1]; 1 means all right or all wrong; NaN with fewer than two
        wordings.

    Source:
        Srikanth et al. (2024), How often are errors in natural language reasoning due
        to paraphrastic variability?
    """
    return 1 - prompt_sensi_score(is_right.astype(np.float64))
