"""Power against the textbook and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from concord.metrics.power import smallest_difference, subjects_needed
from concord.metrics.significance import holm


def test_smallest_difference_is_the_textbook_multiple_of_the_standard_error():
    # 1.960 + 0.842 = 2.80
    found = smallest_difference(0.01, level=0.95)
    assert found == pytest.approx(0.0280, abs=0.0001)


def test_few_degrees_of_freedom_need_a_larger_difference():
    # t_9: 2.262 + 0.883 = 3.15
    found = smallest_difference(0.01, level=0.95, degrees=9)
    assert found == pytest.approx(0.0315, abs=0.0001)


def test_subjects_needed_fall_with_the_square_of_the_difference():
    # 100 subjects see 2.80 standard errors; half of it needs four times as many.
    smallest = smallest_difference(0.01, level=0.95)
    assert subjects_needed(0.0280, smallest, 100) in (100, 101)
    assert subjects_needed(0.0140, smallest, 100) == pytest.approx(400, abs=2)


def test_without_a_standard_error_nothing_is_said():
    assert math.isnan(smallest_difference(math.nan, level=0.95))
    assert subjects_needed(0.01, math.nan, 100) is None


@pytest.mark.parametrize("differing", [1, 10])
def test_a_difference_of_that_size_is_announced_four_times_in_five_or_more(differing):
    # Ten tuned models, of which one or all differ, on 30 subjects each.
    rng, draws = np.random.default_rng(differing), 1500
    error = 1 / np.sqrt(30)
    truth = smallest_difference(error, level=0.95, tests=10, degrees=29)
    samples = rng.normal(size=(draws, 10, 30))
    samples[:, :differing] += truth
    t = samples.mean(axis=2) / (samples.std(axis=2, ddof=1) / np.sqrt(30))
    p_values = 2 * stats.t.sf(np.abs(t), 29)
    found = np.mean([holm(own)[0] <= 0.05 for own in p_values])
    slack = 3 * np.sqrt(0.8 * 0.2 / draws)
    assert found >= 0.8 - slack
    if differing == 1:
        assert found <= 0.8 + slack
