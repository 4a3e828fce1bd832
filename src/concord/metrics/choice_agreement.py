"""Agreement of choices over the settings of a question, and preference for a letter."""

import numpy as np
from jaxtyping import Float, Int

from concord.metrics.agreement import pairwise_agreement


def content_agreement(
    contents: Int[np.ndarray, "wording order item"],
) -> Float[np.ndarray, " item"]:
    """Share of pairs of settings that choose the same choice text.

    A model that always says one letter agrees on the letter, not on the content: with
    four options, and orders that put another option behind that letter each time, its
    content agreement is near chance.

    Args:
        contents: Index of the chosen text; `NOT_ASKED` for a setting whose prompt is
            that of an earlier one; `NO_ANSWER` where none could be read.

    Returns:
        Values in [0, 1]; NaN with fewer than two settings.
    """
    return pairwise_agreement(contents.reshape(-1, contents.shape[-1]))


def rewording_agreement(
    contents: Int[np.ndarray, "wording order item"],
) -> Float[np.ndarray, " item"]:
    """Share of pairs of wordings that choose the same text, the order being the same.

    Returns:
        Values in [0, 1]; 1 means that wording does not matter; NaN with one wording.
    """
    return _within(contents)


def reordering_agreement(
    contents: Int[np.ndarray, "wording order item"],
) -> Float[np.ndarray, " item"]:
    """Share of pairs of orders that choose the same text, the wording being the same.

    Given letters in place of contents, it is the share of pairs that keep the letter: a
    model of which that is larger follows the letter rather than the content.

    Returns:
        Values in [0, 1]; 1 means that order does not matter; NaN with one order.
    """
    return _within(contents.swapaxes(0, 1))


def letter_shares(
    letters: Int[np.ndarray, "wording order item"], letter_count: int
) -> Float[np.ndarray, " letter"]:
    """Share of each letter among the answers given; NaN where there is none.

    Args:
        letters: Place of the chosen letter; negative codes are no answers.
        letter_count: How many letters there are.
    """
    given = letters[letters >= 0]
    if given.size == 0:
        return np.full(letter_count, np.nan)
    return np.bincount(given, minlength=letter_count) / given.size


def _within(
    answers: Int[np.ndarray, "first second item"],
) -> Float[np.ndarray, " item"]:
    """Mean over the second axis of the agreement over the first."""
    first, second, items = answers.shape
    values = pairwise_agreement(answers.reshape(first, second * items))
    values = values.reshape(second, items)
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
