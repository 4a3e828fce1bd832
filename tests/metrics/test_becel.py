"""BECEL's consistencies, worked by hand."""

import numpy as np
import pytest

from concord.metrics.becel import (
    conditioned,
    kept_consistency,
    negation_consistency,
    negation_exact,
    negation_paper,
    top_class_share,
)

# Classes 0 -> 2 in rows 0 to 2; the class stays in row 3.
LABEL, CHANGED_LABEL = np.array([0, 0, 0, 1]), np.array([2, 2, 2, 1])
ORIGINAL, CHANGED = np.array([0, 0, 1, 1]), np.array([2, 1, 1, 1])


def test_kept_answers_are_counted():
    np.testing.assert_array_equal(kept_consistency(ORIGINAL, CHANGED), [0, 0, 1, 1])


def test_the_corrected_rule_wants_a_change_only_where_the_class_changes():
    given = (ORIGINAL, CHANGED, LABEL, CHANGED_LABEL)
    np.testing.assert_array_equal(negation_consistency(*given), [1, 1, 0, 1])
    np.testing.assert_array_equal(negation_paper(ORIGINAL, CHANGED), [1, 1, 0, 0])
    np.testing.assert_array_equal(negation_exact(*given), [1, 0, 0, 1])


def test_where_no_class_changes_the_published_rule_is_one_minus_the_corrected():
    rng = np.random.default_rng(0)
    original, changed, label = rng.integers(2, size=(3, 50))
    corrected = negation_consistency(original, changed, label, label)
    np.testing.assert_array_equal(negation_paper(original, changed), 1 - corrected)


def test_a_constant_classifier_scores_one_one_and_zero_by_the_published_rule():
    constant = np.zeros(4, int)
    assert kept_consistency(constant, constant).mean() == 1
    assert negation_paper(constant, constant).mean() == 0
    assert top_class_share(constant) == 1


def test_only_rows_answered_rightly_count_when_conditioned():
    values = conditioned(kept_consistency(ORIGINAL, CHANGED), ORIGINAL, LABEL)
    np.testing.assert_array_equal(values, [0, 0, np.nan, 1])


def test_no_answers_have_no_most_frequent_class():
    assert np.isnan(top_class_share(np.array([], int)))
    assert top_class_share(np.array([1, 1, 0])) == pytest.approx(2 / 3)
