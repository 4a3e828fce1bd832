"""Agreement of choices against hand-worked cases, and a model that says one letter."""

import numpy as np
import pytest

from concord.data.choices import ORDERS, order_of
from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.metrics.choice_agreement import (
    content_agreement,
    letter_shares,
    reordering_agreement,
    rewording_agreement,
)


def always(letter: int, *, wordings: int = 3, options: int = 4) -> np.ndarray:
    """Contents that a model chooses which always says one letter."""
    contents = [order_of(name, options)[letter] for name in ORDERS]
    return np.array([[[content] for content in contents]] * wordings)


def test_a_model_that_always_says_a_has_content_agreement_at_chance():
    # Contents 0, 1 and 3 in three wordings: 3 x 3 equal pairs of 36.
    contents = always(0)
    assert content_agreement(contents)[0] == pytest.approx(9 / 36)
    assert rewording_agreement(contents)[0] == 1
    assert reordering_agreement(contents)[0] == 0
    assert reordering_agreement(np.zeros_like(contents))[0] == 1


def test_a_model_that_follows_the_content_agrees_under_every_order():
    contents = np.full((3, 3, 1), 2)
    assert content_agreement(contents)[0] == 1
    assert reordering_agreement(contents)[0] == 1


def test_a_model_that_answers_nothing_is_not_consistent():
    contents = np.full((3, 3, 1), NO_ANSWER)
    assert content_agreement(contents)[0] == 0
    assert rewording_agreement(contents)[0] == 0
    assert reordering_agreement(contents)[0] == 0


def test_settings_that_repeat_a_prompt_make_no_pair():
    # Two options: rotation is reversal, so two orders are left, in one wording.
    contents = np.array([[[0], [1], [NOT_ASKED]]])
    assert content_agreement(contents)[0] == 0
    assert np.isnan(rewording_agreement(contents)[0])


def test_letter_shares_leave_out_what_is_no_answer():
    shares = letter_shares(np.array([[[0, 0], [1, -2]]]), 3)
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3, 0])
    assert np.isnan(letter_shares(np.array([[[-2]]]), 2)).all()
