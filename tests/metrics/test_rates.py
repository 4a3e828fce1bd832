"""Order of averaging, worked by hand."""

import numpy as np
import pytest

from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.metrics.rates import (
    contexts_deviation,
    is_known,
    macro_mean,
    micro_mean,
    no_answer_rate,
)

GROUP = np.array([0, 0, 0, 1])


def test_macro_weighs_relations_alike_and_micro_facts():
    # Contexts average to 1 0 0 1: relation 0 has 1/3, relation 1 has 1.
    values = np.array([[1.0, 0, 0, 1], [1.0, 0, 0, 1]])
    assert macro_mean(values, GROUP) == pytest.approx((1 / 3 + 1) / 2)
    assert micro_mean(values) == pytest.approx(0.5)


def test_contexts_are_averaged_first():
    # Fact 0 is measured in one context only: its mean is that one, 1; not 1/2.
    values = np.array([[1.0, 0.0], [np.nan, 1.0]])
    assert micro_mean(values) == pytest.approx((1 + 0.5) / 2)


def test_relations_without_a_value_are_left_out():
    values = np.array([[1.0, 0.0, np.nan, np.nan]])
    assert macro_mean(values, GROUP) == pytest.approx(0.5)


def test_nothing_measured_is_missing():
    assert np.isnan(macro_mean(np.full((2, 4), np.nan), GROUP))
    assert np.isnan(micro_mean(np.full((2, 4), np.nan)))
    assert np.isnan(macro_mean(np.empty((3, 0)), np.empty(0, dtype=int)))


def test_order_of_facts_does_not_matter():
    rng = np.random.default_rng(0)
    values, order = rng.random((3, 50)), rng.permutation(50)
    group = rng.integers(5, size=50)
    assert macro_mean(values[:, order], group[order]) == pytest.approx(
        macro_mean(values, group)
    )


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
