"""XParaCon against a case worked by hand."""

import numpy as np
import pytest

from concord.metrics.xparacon import xparacon


def test_two_items_worked_by_hand():
    # Item 0: accuracy 1 and 1/2 over two orders: population std 1/4. Item 1: 0.
    # Mean 1/8, -log2 = 3.
    is_right = np.array(
        [[[True, False], [True, False]], [[True, False], [False, False]]]
    )
    found = xparacon(is_right)
    assert found.mean_deviation == pytest.approx(0.125)
    assert found.value == pytest.approx(3.0)


def test_it_is_not_measured_where_nothing_moves():
    found = xparacon(np.ones((3, 2, 4), bool))
    assert np.isnan(found.value)
    assert found.mean_deviation == 0


def test_one_wording_cannot_vary():
    assert np.isnan(xparacon(np.ones((1, 2, 4), bool)).mean_deviation)
