"""Values per unit whose mean is a gap, or an AUC: what is resampled in their place.

A gap is a mean of cosines less another mean; the cosines of a model's states are summed
up in `analyses.geometry`.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def linearised_difference(
    first: Float[np.ndarray, " unit"],
    second: Float[np.ndarray, " unit"],
    *,
    second_is_of_pairs: bool = False,
) -> Float[np.ndarray, " unit"]:
    """Values per unit whose mean is mean(first) - mean(second), for resampling units.

    theta + (N / N_1) (first - mean) - c (N / N_2) (second - mean), where N_1 and N_2 of
    the N units have a first and a second value.

    Args:
        first: NaN where a unit has none.
        second: Likewise.
        second_is_of_pairs: ``second`` compares a unit with other units, so resampling a
            unit moves its mean twice as much (c = 2, else 1).

    Returns:
        NaN everywhere when no unit has a first, or a second, value; NaN for units that
        have neither, which are not counted in N.
    """
    counted = ~(np.isnan(first) & np.isnan(second))
    values = np.where(counted, 0.0, np.nan)
    for column, factor in ((first, 1), (second, -2 if second_is_of_pairs else -1)):
        present = ~np.isnan(column)
        if not present.any():
            return np.full(len(first), np.nan)
        mean = column[present].mean()
        scale = factor * counted.sum() / present.sum()
        values = values + np.where(present, scale * (column - mean), 0.0)
        values = values + np.sign(factor) * mean
    return values


def placements(
    paraphrases: Float[np.ndarray, " pair"],
    non_paraphrases: Float[np.ndarray, " other_pair"],
) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " other_pair"]]:
    """Where each pair stands among the pairs of the other kind.

    For a paraphrase pair the share of non-paraphrase pairs less similar than it, for a
    non-paraphrase pair the share of paraphrase pairs more similar; ties count half. The
    mean of either is the AUC.

    Source:
        DeLong, DeLong & Clarke-Pearson (1988).
    """
    first, second = len(paraphrases), len(non_paraphrases)
    if first == 0 or second == 0:
        return np.full(first, np.nan), np.full(second, np.nan)
    ranks = rankdata(np.concatenate([paraphrases, non_paraphrases]))
    below = ranks[:first] - rankdata(paraphrases)
    above = first - (ranks[first:] - rankdata(non_paraphrases))
    return below / second, above / first
