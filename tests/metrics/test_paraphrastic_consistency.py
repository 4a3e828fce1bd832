"""Paraphrastic consistency counts two different wrong answers as consistent."""

import numpy as np
import pytest

from concord.metrics.paraphrastic_consistency import paraphrastic_consistency


def test_one_of_three_right_leaves_one_pair_of_three():
    is_right = np.array([[True, False], [False, False], [False, False]])
    np.testing.assert_allclose(paraphrastic_consistency(is_right), [1 / 3, 1.0])


def test_it_is_the_chance_that_two_draws_without_replacement_are_alike():
    # k = 2 of n = 4: (2 * 1 + 2 * 1) / (4 * 3)
    is_right = np.array([[True], [True], [False], [False]])
    assert paraphrastic_consistency(is_right)[0] == pytest.approx(4 / 12)
