"""Agreement: worked by hand, against its definition in plain Python, and laws."""

from itertools import combinations, permutations

import numpy as np
import pytest

from concord.metrics.agreement import (
    NO_ANSWER,
    NO_PAIR,
    NOT_ASKED,
    ONE_ANSWER,
    accuracy,
    agreeing_partner_share,
    all_agree,
    chance_agreement,
    consistent_and_correct,
    context_agreement,
    equal_pair_count,
    pairwise_agreement,
)


def reference_agreement(answers: list[int]) -> float:
    """The definition, one pair after the other."""
    asked = [answer for answer in answers if answer != NOT_ASKED]
    pairs = list(combinations(asked, 2))
    if not pairs:
        return float("nan")
    return sum(one == other and one >= 0 for one, other in pairs) / len(pairs)


def random_predictions(seed: int, templates: int = 7, facts: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(NO_ANSWER, 4, size=(templates, facts))


def test_one_of_three_pairs_agrees():
    # fact 0: a a b -> 1 of 3 pairs; fact 1: all the same -> 1
    predictions = np.array([[0, 5], [0, 5], [1, 5]])
    np.testing.assert_allclose(pairwise_agreement(predictions), [1 / 3, 1.0])


def test_two_pairs_of_equal_answers_are_two_of_six():
    # a b a b: pairs (1,3) and (2,4) agree, of 6
    np.testing.assert_allclose(
        pairwise_agreement(np.array([[0], [1], [0], [1]])), [2 / 6]
    )


def test_agreement_equals_its_definition_on_random_answers():
    predictions = random_predictions(0)
    expected = [reference_agreement(list(column)) for column in predictions.T]
    np.testing.assert_allclose(pairwise_agreement(predictions), expected)


def test_a_template_not_asked_takes_part_in_no_pair():
    # a a -: one pair, equal; a - -: no pair
    predictions = np.array([[0, 0], [0, NOT_ASKED], [NOT_ASKED, NOT_ASKED]])
    np.testing.assert_array_equal(pairwise_agreement(predictions), [1.0, np.nan])


def test_an_unread_answer_never_agrees_with_another():
    # ? ? a a: one of six pairs agrees
    predictions = np.array([[NO_ANSWER], [NO_ANSWER], [2], [2]])
    np.testing.assert_allclose(pairwise_agreement(predictions), [1 / 6])


@pytest.mark.parametrize("templates", [0, 1])
def test_without_a_pair_there_is_no_agreement(templates: int):
    predictions = np.zeros((templates, 3), dtype=np.int64)
    assert np.isnan(pairwise_agreement(predictions)).all()


def test_agreement_of_no_facts_is_empty():
    assert pairwise_agreement(np.zeros((3, 0), dtype=np.int64)).shape == (0,)


def test_agreement_ignores_order_of_templates_and_names_of_answers():
    predictions = random_predictions(1)
    shuffled = np.random.default_rng(2).permutation(predictions, axis=0)
    renamed = np.where(predictions >= 0, 3 - predictions, predictions)
    expected = pairwise_agreement(predictions)
    np.testing.assert_array_equal(pairwise_agreement(shuffled), expected)
    np.testing.assert_array_equal(pairwise_agreement(renamed), expected)


def test_partner_shares_average_to_the_agreement():
    predictions = random_predictions(3)
    predictions[:2, 0] = 1, 2
    shares = agreeing_partner_share(predictions)
    with_pair = ~np.isnan(pairwise_agreement(predictions))
    np.testing.assert_allclose(
        np.nanmean(shares[:, with_pair], axis=0),
        pairwise_agreement(predictions)[with_pair],
    )


def test_partner_shares_of_a_a_b_are_half_half_none():
    shares = agreeing_partner_share(np.array([[4], [4], [1]]))
    np.testing.assert_allclose(shares[:, 0], [0.5, 0.5, 0.0])


def test_accuracy_counts_asked_templates_only():
    right = np.array([[True, True], [False, True], [True, True]])
    asked = np.array([[True, False], [True, False], [False, False]])
    # fact 0: right, wrong -> 1/2; fact 1: nothing asked
    np.testing.assert_array_equal(accuracy(right, asked), [0.5, np.nan])


def test_consistent_and_correct_needs_every_template():
    right = np.array([[True, True], [True, False]])
    asked = np.ones((2, 2), dtype=bool)
    np.testing.assert_array_equal(consistent_and_correct(right, asked), [1.0, 0.0])


def test_all_agree_needs_every_pair():
    predictions = np.array([[1, 1, 1], [1, 2, NOT_ASKED]])
    agreement = pairwise_agreement(predictions)
    np.testing.assert_array_equal(all_agree(agreement), [1.0, 0.0, np.nan])


def test_context_agreement_compares_contexts_for_each_template():
    # template 0: a a b -> 1/3; template 1: c c c -> 1; mean 2/3
    predictions = np.array([[[0], [2]], [[0], [2]], [[1], [2]]])
    np.testing.assert_allclose(context_agreement(predictions), [2 / 3])


def test_one_context_has_no_context_agreement():
    assert np.isnan(context_agreement(np.zeros((1, 2, 3), dtype=np.int64))).all()


def test_chance_agreement_of_no_template_is_null_with_its_reason():
    chance = chance_agreement(np.zeros((0, 3), dtype=int))
    assert np.isnan(chance.value) and np.isnan(chance.per_fact).all()
    assert chance.per_fact.shape == (3,) and chance.reason == NO_PAIR


def test_chance_agreement_of_two_answers_worked_by_hand():
    # Template 0 answers a a b b, template 1 a a a b: of 16 pairs of facts 2 * 3 + 2 * 1
    # answer alike, 3 of them a fact with itself: A_e = (8 - 3) / (16 - 4) = 5/12;
    # A = 3/4; k = (3/4 - 5/12) / (1 - 5/12) = 4/7
    predictions = np.array([[0, 0, 1, 1], [0, 0, 0, 1]])
    chance = chance_agreement(predictions)
    assert chance.value == pytest.approx(5 / 12)
    assert chance.per_fact.mean() == pytest.approx(5 / 12)
    assert _corrected(predictions) == pytest.approx(4 / 7)


def test_chance_agreement_is_that_of_pairs_of_different_facts():
    rng = np.random.default_rng(8)
    predictions = rng.integers(3, size=(4, 6))
    predictions[rng.random(predictions.shape) < 0.2] = NOT_ASKED
    predictions[rng.random(predictions.shape) < 0.1] = NO_ANSWER
    asked = predictions != NOT_ASKED
    expected = []
    for fact in range(6):
        shares = []
        for one, other in permutations(np.flatnonzero(asked[:, fact]), 2):
            alike = [
                predictions[one, f] == predictions[other, g] >= 0
                for f, g in permutations(range(6), 2)
                if asked[one, f] and asked[other, g]
            ]
            shares.append(np.mean(alike))
        if shares:
            expected.append(np.mean(shares))
    chance = chance_agreement(predictions)
    assert chance.value == pytest.approx(np.mean(expected))
    assert np.nanmean(chance.per_fact) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("facts", [2, 5, 20])
def test_correction_for_chance_is_unbiased_in_small_relations(facts: int):
    # Answers are a fact's own with chance .8, else uniform: k = .8^2, however many the
    # facts. With a fact's own pairs counted as chance it is .48 for two of them.
    rng = np.random.default_rng(9)
    found = []
    for _ in range(500):
        own, other = rng.integers(5, size=facts), rng.integers(5, size=(4, facts))
        answers = np.where(rng.random((4, facts)) < 0.8, own, other)
        if chance_agreement(answers).value < 1:
            found.append(_corrected(answers))
    assert 0.54 < np.mean(found) < 0.7


def test_one_answer_to_everything_leaves_nothing_to_correct():
    chance = chance_agreement(np.zeros((4, 9), dtype=np.int64))
    assert chance.value == 1
    assert chance.reason == ONE_ANSWER


def test_one_fact_or_one_template_has_no_agreement_by_chance():
    for shape in ((4, 1), (1, 9), (1, 1)):
        chance = chance_agreement(np.zeros(shape, dtype=np.int64))
        assert np.isnan(chance.value)
        assert np.isnan(chance.per_fact).all()
        assert chance.reason == NO_PAIR


def test_independent_answers_agree_as_chance_says():
    predictions = np.random.default_rng(4).integers(5, size=(6, 4000))
    assert chance_agreement(predictions).value == pytest.approx(1 / 5, abs=0.01)
    assert _corrected(predictions) == pytest.approx(0, abs=0.02)


def test_answers_that_could_not_be_read_agree_with_none_by_chance():
    # Of the two pairs of different facts, (a, a) and (unread, unread), one agrees.
    predictions = np.array([[0, NO_ANSWER], [NO_ANSWER, 0]])
    assert chance_agreement(predictions).value == pytest.approx(1 / 2)


def test_chance_agreement_leaves_templates_not_asked_out():
    # Fact 2 has no second template. Template 0: a b b; template 1 over facts 0, 1: a b.
    # Pairs of different facts: a-b, b-a, b-a, b-b: 1 of 4 agrees; fact 2 has no pair.
    predictions = np.array([[0, 1, 1], [0, 1, NOT_ASKED]])
    chance = chance_agreement(predictions)
    assert chance.value == pytest.approx(1 / 4)
    np.testing.assert_array_equal(np.isnan(chance.per_fact), [False, False, True])


def test_linear_term_worked_by_hand():
    # Templates answer a a b and a b b. A fact's two answers are met in the others:
    # fact 0: a in (b, b) 0 of 2, a in (a, b) 1 of 2; fact 1: a in (a, b) 1, b in (a, b)
    # 1; fact 2: b in (a, b) 1, b in (a, a) 0. Means h of 4: 1/4, 1/2, 1/4; A_e = 1/3.
    # The linear term of a mean over pairs is 2 h - A_e.
    predictions = np.array([[0, 0, 1], [0, 1, 1]])
    chance = chance_agreement(predictions)
    assert chance.value == pytest.approx(1 / 3)
    np.testing.assert_allclose(chance.per_fact, [1 / 6, 2 / 3, 1 / 6])


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_linear_term_of_chance_agreement_predicts_a_reweighting(missing: float):
    # Doubling one fact moves A_e by (its value - A_e) / (n + 1), to first order.
    rng = np.random.default_rng(5)
    predictions = rng.integers(4, size=(5, 3000))
    predictions[rng.random(predictions.shape) < missing] = NOT_ASKED
    chance = chance_agreement(predictions)
    fact = int(np.nanargmax(chance.per_fact))
    doubled = np.concatenate([predictions, predictions[:, [fact]]], axis=1)
    moved = chance_agreement(doubled).value - chance.value
    count = np.isfinite(chance.per_fact).sum()
    expected = (chance.per_fact[fact] - chance.value) / (count + 1)
    assert moved == pytest.approx(expected, rel=0.02)


def test_equal_pairs_of_no_templates_are_none():
    np.testing.assert_array_equal(
        equal_pair_count(np.zeros((0, 2), dtype=np.int64)), [0, 0]
    )


def _corrected(predictions: np.ndarray) -> float:
    chance = chance_agreement(predictions).value
    return float((pairwise_agreement(predictions).mean() - chance) / (1 - chance))
