"""BECEL's consistencies: is a classifier's answer kept, or changed, as it should be?

Each function gives a value per row, so that rows of one original can be drawn together;
the consistency is their mean. A classifier that always gives one class has semantic and
symmetric consistency 1: read them with the share of its most frequent class.

Source: Jang, Kwon and Lukasiewicz (2022), BECEL; Fierro et al. (2024), section 3, where
"1 - tau" is printed for what already is the consistency.
"""

import numpy as np
from jaxtyping import Float, Int

Classes = Int[np.ndarray, "... row"]
Values = Float[np.ndarray, "... row"]


def kept_consistency(original: Classes, changed: Classes) -> Values:
    """1 where both answers are equal: semantic and symmetric consistency.

    Returns:
        0 or 1; the mean 1 means that no paraphrase, or exchange, changes an answer.
    """
    return (original == changed).astype(np.float64)


def negation_consistency(
    original: Classes, changed: Classes, label: Classes, changed_label: Classes
) -> Values:
    """1 where the answer changes if, and only if, the right class does.

    In WiC a negation leaves the sense of the word, and so the class, alone: there an
    equal answer is right.

    Returns:
        0 or 1.
    """
    is_same = changed_label == label
    return ((original == changed) == is_same).astype(np.float64)


def negation_paper(original: Classes, changed: Classes) -> Values:
    """1 where the answer changes: the published rule, wrong for WiC.

    Returns:
        0 or 1; for WiC its mean is 1 - that of `negation_consistency`.
    """
    return (original != changed).astype(np.float64)


def negation_exact(
    original: Classes, changed: Classes, label: Classes, changed_label: Classes
) -> Values:
    """1 where both answers are right; of three classes any change would do above.

    Returns:
        0 or 1; at most `negation_consistency`.
    """
    return ((original == label) & (changed == changed_label)).astype(np.float64)


def conditioned(values: Values, original: Classes, label: Classes) -> Values:
    """The values of rows whose first answer is right; NaN for the others.

    BECEL's own code leaves out class 0 here, which is a mistake in it.

    Returns:
        As given, or NaN; all NaN where no first answer is right.
    """
    return np.where(original == label, values, np.nan)


def top_class_share(predictions: Classes) -> float:
    """Share of the most frequent class among the answers; NaN without any.

    Returns:
        In (0, 1]; 1 means one class for everything.
    """
    if len(predictions) == 0:
        return float("nan")
    return float(np.bincount(predictions).max() / len(predictions))
