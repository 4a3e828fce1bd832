"""Format spread is the distance of best and worst."""

import numpy as np
import pytest

from concord.metrics.format_spread import format_spread


def test_best_minus_worst():
    assert format_spread(np.array([0.4, 0.7, 0.55])) == pytest.approx(0.3)


def test_one_format_has_no_spread():
    assert np.isnan(format_spread(np.array([0.4])))
