"""Preference for letters: what is warned of, and what one letter alone would give."""

import numpy as np
import pytest
from choice_grids import choices_of, items_of
from jaxtyping import Int

from concord.data.choices import ORDERS
from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.metrics.bootstrap import cluster_units
from concord.summary.choice_rows import Items
from concord.summary.estimates import Settings
from concord.summary.letters import LetterUse, constant_agreement, letter_use

SETTINGS = Settings(replicates=500, permutations=500, level=0.95, seed=0)
PLACE = {"dataset": "d", "model": "m", "contexts": "study"}


def use_of(
    letters: Int[np.ndarray, "wording order item"], items: Items, orders: list[str]
) -> LetterUse:
    clusters = cluster_units(items.topic, items.cluster)
    choices = choices_of(letters, items, orders)
    return letter_use(PLACE, choices, items, clusters, SETTINGS)


def test_a_model_that_chooses_at_random_is_seldom_warned_of():
    rng = np.random.default_rng(0)
    warned = 0
    for _ in range(100):
        items = items_of(rng.integers(0, 4, 60).tolist(), 4)
        letters = rng.integers(0, 4, (3, 3, 60))
        warned += bool(use_of(letters, items, list(ORDERS)).warnings)
    # Both tests together are made at a level of 5 %.
    assert warned <= 12


def test_one_letter_is_warned_of_without_a_second_order():
    items = items_of([0, 1, 2, 3] * 5, 4)
    found = use_of(np.zeros((2, 1, 20), int), items, ["identity"])
    assert found.row["content_agreement"] is None
    assert (found.row["follows_letters"], found.row["favoured"]) == (False, ["A"])
    (warning,) = found.warnings
    assert "letter A takes 100% of answers where it is right in 25%" in warning


def test_a_favoured_letter_is_told_of_the_prompts_that_were_answered():
    """Forced to A in four prompts of five, B in all that it answers."""
    right = np.random.default_rng(0).integers(0, 4, 200)
    items = items_of(right.tolist(), 4)
    has_answer = np.broadcast_to(np.arange(200) < 40, (3, 1, 200))
    letters = has_answer.astype(np.int64)
    choices = choices_of(letters, items, ["identity"], has_answer=has_answer)
    clusters = cluster_units(items.topic, items.cluster)
    found = letter_use(PLACE, choices, items, clusters, SETTINGS)
    share = (right[:40] == 1).mean()
    assert found.row["favoured"] == ["B"]
    assert found.row["answered_chosen"]["B"] == 1
    assert found.row["answered_right"]["B"] == pytest.approx(share)
    assert (
        f"B takes 100% of answers where it is right in {share:.0%}"
        in (found.warnings[0])
    )
    # What scores and the table of letters rest on counts forced choices too.
    assert found.row["chosen"]["B"] == pytest.approx(0.2)


def test_a_model_that_is_right_is_not_warned_of():
    """All right options are the first: so are its letters where nothing moves."""
    items = items_of([0] * 20, 4)
    places = np.array([0, 3, 3])
    letters = np.broadcast_to(places[None, :, None], (2, 3, 20))
    assert not use_of(letters, items, list(ORDERS)).warnings


def test_one_letter_keeps_the_content_where_two_orders_leave_it_behind_the_letter():
    """Identity ABCD, rotation BCDA, reversal DCBA: behind B stand B, C and C."""
    items = items_of([0, 1], 4)
    found = constant_agreement(
        choices_of(np.zeros((3, 3, 2), int), items, ORDERS), items
    )
    # Nine settings, 36 pairs: three of each option, 9 pairs; or three and six, 18.
    np.testing.assert_allclose(found, [9 / 36, 18 / 36, 9 / 36, 18 / 36])


def test_a_repeated_order_is_no_pair_of_one_letters_agreement():
    """With two options rotation is reversal: no pair of orders keeps the content."""
    items = items_of([0, 1], 2)
    found = constant_agreement(
        choices_of(np.zeros((1, 3, 2), int), items, ORDERS), items
    )
    assert found.tolist() == pytest.approx([0.0, 0.0])
    one = constant_agreement(
        choices_of(np.zeros((1, 1, 2), int), items, ["identity"]), items
    )
    assert np.isnan(one).all()


def test_a_prompt_without_an_answer_is_no_near_tie():
    """Where none of the letters is said, the lead of one over the next says nothing."""
    items = items_of([0, 0, 0], 4)
    letters = np.zeros((1, 2, 3), dtype=np.int64)
    has_answer = np.array([[[True, True, False], [True, True, False]]])
    margin = np.array([[[1.0, 0.1, 0.1], [1.0, 0.1, 0.1]]])
    choices = choices_of(
        letters,
        items,
        ["identity", "rotation"],
        has_answer=has_answer,
        margin=margin,
        noise={"delta": 0.2},
    )
    np.testing.assert_array_equal(choices.firm[0, 0], [0, NOT_ASKED, NO_ANSWER])
