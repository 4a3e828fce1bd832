"""SCORE's consistency rate: pairs over C(n, 2), unparsed never agrees."""

import numpy as np

from concord.metrics.agreement import NO_ANSWER
from concord.metrics.consistency_rate import consistency_rate


def test_pairs_are_counted_once():
    # a a b: 1 of 3 pairs; all equal: 1, not 2.
    answers = np.array([[0, 5], [0, 5], [1, 5]])
    np.testing.assert_allclose(consistency_rate(answers), [1 / 3, 1.0])


def test_a_model_that_answers_nothing_is_not_consistent():
    answers = np.full((4, 2), NO_ANSWER)
    np.testing.assert_array_equal(consistency_rate(answers), [0.0, 0.0])
