"""Measures by name: the same numbers as their functions, on answers of one model."""

from typing import get_args

import numpy as np
import pytest

from concord.metrics.other_measures import (
    ITEM_MEASURES,
    MEASURE_NAMES,
    NUMBER_MEASURES,
    WordedAnswers,
)
from concord.study import OtherMeasure


def answers(**changes: object) -> WordedAnswers:
    """One item with two options, asked in two wordings and one order."""
    fields: dict[str, object] = {
        "contents": np.array([[[0]], [[1]]]),
        "is_right": np.array([[[True]], [[False]]]),
        "scores": np.log(np.array([[[[0.6, 0.2]]], [[[0.1, 0.3]]]])),
        "classes": np.array([0]),
        "has_fixed_options": True,
    }
    return WordedAnswers(**fields | changes)


def test_a_study_may_name_exactly_these():
    assert sorted(get_args(OtherMeasure)) == sorted(MEASURE_NAMES)


def test_values_worked_by_hand():
    one = answers()
    found = {name: float(of(one)[0]) for name, of in ITEM_MEASURES.items()}
    assert found["consistency_rate"] == 0
    assert found["prompt_sensi_score"] == 1
    assert found["paraphrastic_consistency"] == 0
    # |log .6 - log .1| for the first choice, |log .3 - log .2| for the second.
    assert found["posix"] == pytest.approx((np.log(6) + np.log(1.5)) / 2)
    # (3/4, 1/4) and (1/4, 3/4): their mean is even.
    assert found["sensitivity"] == pytest.approx(1.0)
    assert found["rankc"] == pytest.approx(1 / (np.e + 1))
    assert NUMBER_MEASURES["format_spread"](one) == 1
    # Accuracies 1 and 0: population std 1/2, -log2 = 1.
    assert NUMBER_MEASURES["xparacon"](one) == pytest.approx(1.0)


def test_class_consistency_needs_the_same_options_everywhere():
    assert np.isnan(NUMBER_MEASURES["class_consistency"](answers()))
    two = WordedAnswers(
        contents=np.zeros((1, 1, 2), int),
        is_right=np.ones((1, 1, 2), bool),
        scores=np.log(np.array([[[[0.5, 0.5], [1.0, 1e-12]]]])),
        classes=np.array([0, 0]),
        has_fixed_options=True,
    )
    measure = NUMBER_MEASURES["class_consistency"]
    assert measure(two) == pytest.approx(0.5)
