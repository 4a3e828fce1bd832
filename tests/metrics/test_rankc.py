"""RankC against a case worked by hand, and its laws."""

import math

import numpy as np
import pytest

from concord.metrics.rankc import rankc


def test_two_of_three_places_exchanged_worked_by_hand():
    # Rankings a b c and a c b: top-1 shared 1/1, top-2 shared 1/2, top-3 shared 3/3.
    # w = softmax(3, 2, 1) = e^2, e, 1 over their sum.
    scores = np.array([[[3.0, 2.0, 1.0]], [[3.0, 1.0, 2.0]]])
    total = math.e**2 + math.e + 1
    expected = (math.e**2 * 1 + math.e * 0.5 + 1 * 1) / total
    assert rankc(scores)[0] == pytest.approx(expected)


def test_the_first_place_weighs_about_two_thirds_whatever_the_number_of_candidates():
    scores = np.stack([np.arange(50.0)[::-1], np.arange(50.0)[::-1]])[:, None]
    other = scores.copy()
    other[1, 0, [0, 1]] = other[1, 0, [1, 0]]
    assert rankc(scores)[0] == pytest.approx(1.0)
    # Only top-1 differs; it weighs (1 - 1/e) / (1 - e^-50).
    assert 1 - rankc(other)[0] == pytest.approx(1 - 1 / math.e)


def test_items_with_fewer_candidates_are_ranked_among_their_own():
    scores = np.array([[[2.0, 1.0, np.nan]], [[1.0, 2.0, np.nan]]])
    weight = 1 / (math.e + 1)
    assert rankc(scores)[0] == pytest.approx(weight)


def test_one_wording_has_no_pair():
    assert np.isnan(rankc(np.ones((1, 2, 3)))).all()
