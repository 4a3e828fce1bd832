"""Other papers' measures over multiple choice, on arrays worked by hand."""

import numpy as np
import pytest
from choice_grids import choices_of, items_of

from concord.data.choices import ORDERS
from concord.study import OTHER_MEASURES
from concord.summary.choice_rows import Choices, Items
from concord.summary.other_choices import (
    NO_CLASSES,
    NO_PAIR,
    NOT_TOLD,
    NOTHING_MOVES,
    OF_SCORES,
    ONE_SETTING,
    ONE_WORDING,
    other_outcomes,
)


def given(scores: list[list[list[float]]]) -> tuple[Items, Choices]:
    """Two wordings, one order, two questions of two options."""
    items = items_of([0, 0], 2)
    letters = np.zeros((2, 1, 2), int)
    placed = np.array(scores)[:, None]
    return items, choices_of(letters, items, ["identity"], scores=placed)


def test_only_questions_with_all_scores_count_where_scores_are_needed():
    nan = np.nan
    items, choices = given([[[-0.1, -2.0], [-0.2, nan]], [[-0.3, -1.0], [-0.2, -3.0]]])
    found, reasons = other_outcomes(items, choices, ["posix", "consistency_rate"])
    assert not reasons
    assert found["posix"].denominator.tolist() == [[1, 0]]
    # Both wordings choose the first option: |-.1 + .3| in both directions.
    assert found["posix"].numerator[0, 0] == pytest.approx(0.2)
    assert found["consistency_rate"].denominator.tolist() == [[1, 1]]


def test_without_any_score_they_are_null_with_the_reason():
    items, choices = given([[[np.nan, np.nan]] * 2] * 2)
    found, reasons = other_outcomes(items, choices, list(OF_SCORES))
    assert reasons == dict.fromkeys(OF_SCORES, NOT_TOLD)
    assert not any(outcome.denominator.any() for outcome in found.values())


def test_a_repeated_prompt_counts_once():
    """With two options rotation is reversal: three orders are two prompts.

    Always A is right in the first and wrong in the second.
    """
    items = items_of([0], 2)
    scores = np.log([[[[0.75, 0.25]], [[0.25, 0.75]], [[0.25, 0.75]]]])
    choices = choices_of(np.zeros((1, 3, 1), int), items, ORDERS, scores=scores)
    found, _ = other_outcomes(items, choices, OTHER_MEASURES)
    values = {name: float(one.numerator[0, 0]) for name, one in found.items()}
    assert values["prompt_sensi_score"] == pytest.approx(1.0)
    assert values["paraphrastic_consistency"] == pytest.approx(0.0)
    assert values["consistency_rate"] == pytest.approx(0.0)
    # The option chosen has log-probability log .75 there, log .25 in the other.
    assert values["posix"] == pytest.approx(np.log(3))
    # The rankings are opposite: w_2 alone.
    assert values["rankc"] == pytest.approx(1 / (np.e + 1))
    assert values["sensitivity"] == pytest.approx(1.0)
    assert values["format_spread"] == pytest.approx(1.0)


def test_each_null_has_the_reason_that_is_its_own():
    items = items_of([0, 1], 2)
    one = choices_of(np.zeros((1, 1, 2), int), items, ["identity"])
    _, reasons = other_outcomes(items, one, OTHER_MEASURES)
    assert reasons == {
        "rankc": ONE_SETTING,
        "posix": ONE_SETTING,
        "format_spread": ONE_SETTING,
        "prompt_sensi_score": ONE_SETTING,
        "paraphrastic_consistency": ONE_SETTING,
        "consistency_rate": ONE_SETTING,
        "xparacon": ONE_WORDING,
        "xparacon_deviation": ONE_WORDING,
        "class_consistency": NO_PAIR,
    }
    two = choices_of(np.zeros((2, 1, 2), int), items, ["identity"])
    found, reasons = other_outcomes(items, two, ["xparacon"])
    assert reasons == {"xparacon": NOTHING_MOVES}
    assert found["xparacon_deviation"].numerator.tolist() == [[0, 0]]
    own = items_of([0, 0], 2)
    own = type(own)(**vars(own) | {"has_fixed_options": False})
    _, reasons = other_outcomes(own, two, ["class_consistency"])
    assert reasons == {"class_consistency": NO_CLASSES}
