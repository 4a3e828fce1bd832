"""Order of averaging, worked by hand."""

import numpy as np
import pytest

from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.metrics.rates import (
    contexts_deviation,
    group_means,
    is_known,
    mean_present,
    no_answer_rate,
)


def test_a_mean_leaves_out_what_was_not_measured():
    # 1; (1 + 0) / 2; nothing
    values = np.array([[1.0, 1.0, np.nan], [np.nan, 0.0, np.nan]])
    np.testing.assert_array_equal(mean_present(values), [1.0, 0.5, np.nan])


def test_a_relation_s_mean_is_over_its_facts_that_were_measured():
    values = np.array([1.0, 0.0, np.nan, np.nan, 1.0])
    found = group_means(values, np.array([0, 0, 0, 1, 2]), 4)
    np.testing.assert_array_equal(found, [0.5, np.nan, 1.0, np.nan])


def test_deviation_over_contexts_has_one_degree_less():
    # 1, 2, 3: mean 2, squares 1 + 0 + 1, over 2
    assert contexts_deviation(np.array([1.0, 2.0, 3.0])) == pytest.approx(1.0)
    assert np.isnan(contexts_deviation(np.array([1.0])))


def test_no_answer_rate_is_of_prompts_asked():
    predictions = np.array([[NO_ANSWER, 3], [NOT_ASKED, 3]])
    assert no_answer_rate(predictions) == pytest.approx(1 / 3)
    assert np.isnan(no_answer_rate(np.array([NOT_ASKED])))


def test_known_means_half_or_more_right():
    np.testing.assert_array_equal(
        is_known(np.array([0.49, 0.5, np.nan])), [False, True, False]
    )
