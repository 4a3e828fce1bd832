"""POSIX against a case worked by hand."""

import numpy as np
import pytest

from concord.metrics.posix import posix


def test_two_wordings_with_answers_of_unlike_length():
    # log P(y_0 | x_0) = -1, log P(y_0 | x_1) = -3, y_0 has 2 tokens: |-3 + 1| / 2 = 1.
    # log P(y_1 | x_1) = -2, log P(y_1 | x_0) = -6, y_1 has 1 token: |-6 + 2| / 1 = 4.
    values = np.array([[[-1.0, -6.0], [-3.0, -2.0]]])
    assert posix(values, np.array([[2, 1]]))[0] == pytest.approx((1 + 4) / 2)


def test_equal_probabilities_give_zero_and_one_wording_nothing():
    assert posix(np.full((1, 3, 3), -2.0), np.ones((1, 3), int))[0] == 0
    assert np.isnan(posix(np.zeros((1, 1, 1)), np.ones((1, 1), int))[0])
