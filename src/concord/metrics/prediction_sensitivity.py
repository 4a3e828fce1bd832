"""Sensitivity and class consistency of a classifier under rewording, without labels."""

import numpy as np
from jaxtyping import Float, Int


def sensitivity(
    distributions: Float[np.ndarray, "wording item class"],
) -> Float[np.ndarray, " item"]:
    """Entropy of the mean class distribution over wordings: H(p_x) / log C.

    Args:
        distributions: Probabilities of the classes; one-hot predictions are one, too.
            NaN, in all wordings alike, where an item has fewer classes.

    Returns:
        Values in [0, 1]; 0 means one class in every wording, 1 that all classes are
        equally likely; NaN with fewer than two classes.

    Source:
        Errica et al. (2025), What did I do wrong?, section 3.
    """
    mean = _mean(distributions)
    counts = (~np.isnan(mean)).sum(axis=-1)
    given = np.where(mean > 0, mean, 1.0)
    entropy = -(np.where(mean > 0, mean, 0.0) * np.log(given)).sum(axis=-1)
    return entropy / np.where(counts > 1, np.log(np.maximum(counts, 2)), np.nan)


def class_consistency(
    distributions: Float[np.ndarray, "wording item class"],
    classes: Int[np.ndarray, " item"],
    class_count: int,
) -> Float[np.ndarray, " right_class"]:
    """Likeness of the mean distributions of two items of one class, mean over pairs.

    1 - (1/2) sum_k |p_x(k) - p_x'(k)| over pairs x, x' of the class, p_x as in
    `sensitivity`. It compares items with one another, where agreement compares
    wordings. For each k the sum over pairs follows from the sorted values, as in
    `prompt_sensi_score`.

    Args:
        distributions: See `sensitivity`; the classes are the same for all items.
        classes: The right class of each item.
        class_count: How many classes there are.

    Returns:
        Values in [0, 1]; 1 means that all items of a class are answered alike; NaN for
        a class with fewer than two items.

    Source:
        Errica et al. (2025), section 3.
    """
    mean = _mean(distributions)
    values = np.full(class_count, np.nan)
    for index in range(class_count):
        own = np.sort(mean[classes == index], axis=0)
        count = len(own)
        if count >= 2:
            weights = 2 * np.arange(count) - count + 1
            distance = (weights @ own).sum() / 2
            values[index] = 1 - distance / (count * (count - 1) / 2)
    return values


def _mean(
    distributions: Float[np.ndarray, "wording item class"],
) -> Float[np.ndarray, "item class"]:
    return distributions.mean(axis=0)
