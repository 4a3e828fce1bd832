"""Power against the textbook and by simulation."""

import math

import numpy as np
import pytest

from concord.metrics.power import smallest_difference, subjects_needed


def test_smallest_difference_is_the_textbook_multiple_of_the_standard_error():
    # 1.960 + 0.842 = 2.80
    assert smallest_difference(0.01) == pytest.approx(0.0280, abs=0.0001)


def test_subjects_needed_fall_with_the_square_of_the_difference():
    # 100 subjects see 2.80 standard errors; half of it needs four times as many.
    assert subjects_needed(0.0280, 0.01, 100) in (100, 101)
    assert subjects_needed(0.0140, 0.01, 100) == pytest.approx(400, abs=2)


def test_without_a_standard_error_nothing_is_said():
    assert math.isnan(smallest_difference(math.nan))
    assert subjects_needed(0.01, math.nan, 100) is None


def test_a_difference_of_that_size_is_found_four_times_in_five():
    rng = np.random.default_rng(0)
    error = 1 / np.sqrt(100)
    samples = rng.normal(smallest_difference(error), 1, size=(4000, 100))
    found = np.abs(samples.mean(axis=1)) / error > 1.96
    assert found.mean() == pytest.approx(0.8, abs=0.02)
