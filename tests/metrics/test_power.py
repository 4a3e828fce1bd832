"""Power against the textbook and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from concord.metrics.power import (
    is_announceable,
    smallest_difference,
    subjects_needed,
)
from concord.metrics.significance import holm, sign_flip_p, smallest_p


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
    assert subjects_needed(0.0280, 0.01, 100, level=0.95) in (100, 101)
    assert subjects_needed(0.0140, 0.01, 100, level=0.95) == pytest.approx(400, abs=2)


@pytest.mark.parametrize("difference", [0.005, 0.02, 0.05, 0.3])
def test_so_many_subjects_see_the_difference_and_one_fewer_does_not(difference):
    """With the degrees of freedom of that many, not of those measured."""
    needed = subjects_needed(difference, 0.01, 40, level=0.95, degrees=39)
    assert needed is not None

    def seen(count: int) -> float:
        error = 0.01 * math.sqrt(40 / count)
        return smallest_difference(error, level=0.95, degrees=count - 1)

    assert seen(needed) <= difference
    # Six subjects are the fewest that can announce anything: 2 / 2^6 = .031.
    assert needed == 6 or seen(needed - 1) > difference


@pytest.mark.parametrize("count", [2, 5, 6, 12])
def test_the_smallest_p_is_that_of_subjects_that_all_gain(count):
    gains = np.random.default_rng(count).random((count, 1))
    assert sign_flip_p(gains)[0] == smallest_p(count, 10_000)
    assert smallest_p(200, 99) == sign_flip_p(np.ones((200, 1)), permutations=99)[0]


def test_fewer_subjects_than_can_announce_are_never_enough():
    assert not is_announceable(5, level=0.95)
    assert is_announceable(6, level=0.95)
    # 10 x 2 / 2^9 = .039
    assert not is_announceable(8, level=0.95, tests=10)
    assert is_announceable(9, level=0.95, tests=10)
    assert subjects_needed(9.0, 0.01, 40, level=0.95, tests=10) == 9
    # 100 sign flips: 10 / 101 = .099, whatever the number of subjects.
    assert not is_announceable(500, level=0.95, tests=10, permutations=100)
    few = {"level": 0.95, "tests": 10, "permutations": 100}
    assert subjects_needed(0.01, 0.01, 40, **few) is None


def test_without_a_standard_error_nothing_is_said():
    assert math.isnan(smallest_difference(math.nan, level=0.95))
    assert subjects_needed(0.01, math.nan, 100, level=0.95) is None


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
