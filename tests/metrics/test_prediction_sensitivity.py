"""Sensitivity and class consistency against hand-worked cases."""

from itertools import combinations

import numpy as np
import pytest

from concord.metrics.prediction_sensitivity import class_consistency, sensitivity


def test_one_class_in_every_wording_is_zero_and_all_equally_often_is_one():
    always = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    mixed = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert sensitivity(always)[0] == 0
    assert sensitivity(mixed)[0] == pytest.approx(1.0)


def test_one_wording_of_four_differs():
    # p = (3/4, 1/4): H = .75 log2(4/3) + .25 log2 4 = .8113 bits of 1.
    one_hot = np.zeros((4, 1, 2))
    one_hot[:3, 0, 0] = one_hot[3, 0, 1] = 1
    assert sensitivity(one_hot)[0] == pytest.approx(0.811278, abs=1e-6)


def test_items_with_fewer_classes_have_their_own_scale():
    found = np.array([[[0.5, 0.5, np.nan]], [[0.5, 0.5, np.nan]]])
    assert sensitivity(found)[0] == pytest.approx(1.0)


def test_class_consistency_compares_items_of_a_class():
    # Class 0: (1, 0), (.5, .5): 1 - (.5 + .5) / 2 = .5. Class 1: one item, no pair.
    found = np.array([[[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]])
    values = class_consistency(found, np.array([0, 0, 1]), 2)
    assert values[0] == pytest.approx(0.5)
    assert np.isnan(values[1])


def test_sorting_gives_what_comparing_every_pair_gives():
    rng = np.random.default_rng(0)
    found = rng.dirichlet(np.ones(3), size=(4, 30))
    classes = rng.integers(2, size=30)
    mean = found.mean(axis=0)
    for index, value in enumerate(class_consistency(found, classes, 2)):
        own = mean[classes == index]
        pairs = [1 - np.abs(a - b).sum() / 2 for a, b in combinations(own, 2)]
        assert value == pytest.approx(np.mean(pairs))
