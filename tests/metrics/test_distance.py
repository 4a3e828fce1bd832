"""The gap and its kin, against sums over all pairs and worked by hand."""

from itertools import combinations

import numpy as np
import pytest
from gap_definitions import (
    auc,
    centred,
    gap_terms,
    labelled_gap,
    lexical_gap,
    unit_rows,
)

from concord.metrics.distance import linearised_difference, placements


def sets_of(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def pairwise_gap(states: np.ndarray, sets: np.ndarray) -> float:
    """Equations 4, 5 and 8 as corrected, one pair after the other."""
    unit = unit_rows(states)
    members = [np.flatnonzero(sets == p) for p in np.unique(sets)]
    members = [own for own in members if len(own) > 1]
    near = [
        np.mean([unit[i] @ unit[j] for i, j in combinations(m, 2)]) for m in members
    ]
    far = [
        np.mean([unit[i] @ unit[j] for i in one for j in other])
        for a, one in enumerate(members)
        for b, other in enumerate(members)
        if a != b
    ]
    return float(np.mean(near) - np.mean(far))


def test_gap_equals_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    sets = sets_of([2, 3, 1, 5, 4])
    states = rng.normal(size=(len(sets), 6)) + 1
    assert gap_terms(states, sets).gap == pytest.approx(pairwise_gap(states, sets))


def test_gap_of_two_orthogonal_sets_is_one():
    states = np.array([[1.0, 0], [2.0, 0], [0, 3.0], [0, 1.0]])
    terms = gap_terms(states, sets_of([2, 2]))
    np.testing.assert_allclose(terms.cos_para, [1, 1])
    np.testing.assert_allclose(terms.cos_nonpara, [0, 0])
    assert terms.gap == pytest.approx(1)


def test_gap_of_opposite_sets_is_two():
    states = np.array([[1.0, 0], [1.0, 0], [-1.0, 0], [-1.0, 0]])
    assert gap_terms(states, sets_of([2, 2])).gap == pytest.approx(2)


def test_equal_states_have_no_gap():
    states = np.ones((6, 3))
    assert gap_terms(states, sets_of([2, 2, 2])).gap == pytest.approx(0)


def test_gap_ignores_the_length_of_states_and_the_order_of_rows():
    rng = np.random.default_rng(1)
    sets = sets_of([3, 2, 4])
    states = rng.normal(size=(9, 5))
    order = rng.permutation(9)
    scaled = states * rng.uniform(0.1, 9, size=(9, 1))
    expected = gap_terms(states, sets).gap
    assert gap_terms(scaled[order], sets[order]).gap == pytest.approx(expected)


def test_sets_of_one_are_left_out_of_both_terms():
    rng = np.random.default_rng(2)
    states = rng.normal(size=(5, 3))
    whole = gap_terms(states[:4], sets_of([2, 2])).gap
    terms = gap_terms(states, sets_of([2, 2, 1]))
    assert terms.gap == pytest.approx(whole)
    assert np.isnan(terms.cos_para[2]) and np.isnan(terms.cos_nonpara[2])


@pytest.mark.parametrize("sizes", [[], [1, 1], [3]])
def test_without_two_sets_of_two_there_is_no_gap(sizes: list[int]):
    states = np.random.default_rng(3).normal(size=(sum(sizes), 4))
    assert np.isnan(gap_terms(states, sets_of(sizes)).gap)


def test_linear_terms_average_to_the_gap():
    rng = np.random.default_rng(4)
    sets = sets_of([2, 3, 1, 4])
    terms = gap_terms(rng.normal(size=(10, 5)) + 0.5, sets)
    assert np.nanmean(terms.linearised) == pytest.approx(terms.gap)


def test_linear_terms_predict_the_gap_without_a_set():
    rng = np.random.default_rng(5)
    count = 400
    sets = np.repeat(np.arange(count), 3)
    states = np.repeat(rng.normal(size=(count, 8)), 3, axis=0) + rng.normal(
        size=(3 * count, 8)
    )
    terms = gap_terms(states + 0.7, sets)
    out = int(np.argmax(terms.linearised))
    without = gap_terms(states[sets != out] + 0.7, sets[: 3 * (count - 1)]).gap
    moved = (terms.gap - terms.linearised[out]) / (count - 1)
    assert without - terms.gap == pytest.approx(moved, rel=0.05)


def test_linearised_difference_of_labelled_pairs_is_the_labelled_gap():
    # paraphrases .9 .7, others .2: gap .8 - .2 = .6
    near = np.array([0.9, np.nan, 0.7])
    far = np.array([np.nan, 0.2, np.nan])
    assert linearised_difference(near, far).mean() == pytest.approx(0.6)
    assert labelled_gap(np.array([0.9, 0.7]), np.array([0.2])) == pytest.approx(0.6)


def test_linearised_difference_has_the_variance_of_two_means():
    rng = np.random.default_rng(10)
    values, is_near = rng.normal(size=300), np.arange(300) < 60
    near = np.where(is_near, values, np.nan)
    far = np.where(is_near, np.nan, values)
    linear = linearised_difference(near, far)
    found = sum(
        (linear[kind] - linear[kind].mean()) @ linear[kind]
        for kind in (is_near, ~is_near)
    )
    expected = values[is_near].var() / 60 + values[~is_near].var() / 240
    assert found / 300**2 == pytest.approx(expected)


def test_linearised_difference_needs_both_kinds():
    near, far = np.array([0.9, 0.7]), np.full(2, np.nan)
    assert np.isnan(linearised_difference(near, far)).all()
    assert np.isnan(labelled_gap(near, np.empty(0)))


def test_lexical_gap_is_the_gap_of_one_hot_states():
    rng = np.random.default_rng(6)
    sets = sets_of([2, 4, 1, 3, 2])
    tokens = rng.integers(4, size=len(sets))
    expected = gap_terms(np.eye(4)[tokens], sets)
    found = lexical_gap(tokens, sets)
    np.testing.assert_allclose(found.cos_para, expected.cos_para)
    np.testing.assert_allclose(found.cos_nonpara, expected.cos_nonpara)
    assert found.gap == pytest.approx(expected.gap)


def test_lexical_gap_worked_by_hand():
    # {is, is}, {is, in}: cos_para 1, 0; between sets 2 of 4 pairs equal -> 1/2 each.
    terms = lexical_gap(np.array(["is", "is", "is", "in"]), sets_of([2, 2]))
    np.testing.assert_allclose(terms.cos_para, [1, 0])
    np.testing.assert_allclose(terms.cos_nonpara, [0.5, 0.5])
    assert terms.gap == pytest.approx(0)


def test_prompts_that_all_end_alike_have_no_lexical_gap():
    assert lexical_gap(np.zeros(6, dtype=int), sets_of([2, 2, 2])).gap == 0


def test_auc_counts_ties_half():
    # .5 against .5 .4: half + 1; .3: 0 + 0 -> 1.5 of 4
    near, far = np.array([0.5, 0.3]), np.array([0.5, 0.4])
    assert auc(near, far) == pytest.approx(1.5 / 4)


def test_auc_is_the_mean_of_either_placement_and_antisymmetric():
    rng = np.random.default_rng(7)
    near, far = rng.integers(9, size=30) / 9, rng.integers(9, size=20) / 9
    first, second = placements(near, far)
    expected = np.mean([(a > b) + (a == b) / 2 for a in near for b in far])
    assert first.mean() == pytest.approx(expected)
    assert second.mean() == pytest.approx(expected)
    assert auc(far, near) == pytest.approx(1 - expected)


def test_auc_ignores_monotone_change_of_scale():
    rng = np.random.default_rng(8)
    near, far = rng.random(20), rng.random(20)
    assert auc(np.exp(near), np.exp(far)) == pytest.approx(auc(near, far))


def test_auc_needs_both_kinds():
    assert np.isnan(auc(np.array([1.0]), np.empty(0)))
    assert np.isnan(auc(np.empty(0), np.array([1.0])))


def test_centring_takes_a_common_direction_away():
    rng = np.random.default_rng(9)
    sets = sets_of([3, 3, 3])
    states = rng.normal(size=(9, 5))
    shifted = states + 100.0
    assert gap_terms(centred(shifted), sets).gap == pytest.approx(
        gap_terms(centred(states), sets).gap
    )
    assert abs(gap_terms(shifted, sets).gap) < 0.01
