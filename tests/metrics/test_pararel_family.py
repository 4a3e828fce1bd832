"""ParaRel's and mParaRel's measures for two facts and three templates, by hand."""

import numpy as np
import pytest

from concord.metrics.agreement import NO_ANSWER, NOT_ASKED, pairwise_agreement
from concord.metrics.pararel_family import (
    agreement_by_form,
    edge_out,
    mpararel_measures,
    pararel_measures,
    successful_patterns,
)

# fact 0: a a b, right is a; fact 1: c c c, right is d; fact 2: d d d, right is d
PREDICTIONS = np.array([[0, 2, 3], [0, 2, 3], [1, 2, 3]])
RIGHT = PREDICTIONS == np.array([0, 3, 3])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("consistency", (1 + 3 + 3) / 9),
        ("lama_accuracy", 2 / 3),
        ("consistent_accuracy", 1 / 3),
        ("group_unacc", 1 / 3),
        ("consistent_subjects", 2 / 3),
        ("successful_subjects", 2 / 3),
        ("knowledgable_consistency", (1 + 3) / 6),
        ("unknowledgable_consistency", 3 / 3),
        # fact 0: partners agree 1/2, 1/2, 0 -> 1 + 1 + 0 bits; others 0: 2 of 9
        ("avg_entropy", 2 / 9),
    ],
)
def test_pararel_measure_worked_by_hand(name: str, expected: float):
    assert pararel_measures(PREDICTIONS, RIGHT)[name].value == pytest.approx(expected)


def test_edge_out_worked_by_hand():
    # c_01 = 1, c_02 = c_12 = 2/3; o = 5/6, 5/6, 2/3
    # sum o^2 / sum o = (25/36 + 25/36 + 16/36) / (7/3)
    expected = (66 / 36) / (7 / 3)
    assert edge_out(PREDICTIONS).value == pytest.approx(expected)


def test_edge_out_linear_term_predicts_a_reweighting():
    predictions = np.random.default_rng(0).integers(3, size=(4, 2000))
    predictions[1, ::2] = predictions[0, ::2]
    found = edge_out(predictions)
    fact = int(np.argmax(found.numerator))
    doubled = np.concatenate([predictions, predictions[:, [fact]]], axis=1)
    moved = edge_out(doubled).value - found.value
    expected = (found.numerator[fact] - found.value) / 2001
    assert moved == pytest.approx(expected, rel=0.02)


def test_successful_patterns_worked_by_hand():
    # templates 0 and 1 are right for facts 0 and 2, template 2 for fact 2
    asked = np.ones_like(RIGHT)
    assert successful_patterns(RIGHT, asked) == 1.0
    assert successful_patterns(RIGHT[:, :1], asked[:, :1]) == pytest.approx(2 / 3)
    assert successful_patterns(RIGHT[:, 1:2], asked[:, :1]) == 0.0
    assert np.isnan(successful_patterns(RIGHT[:0], asked[:0]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", (2 / 3 + 0 + 1) / 3),
        ("consistency", (1 / 3 + 1 + 1) / 3),
        ("accuracy_consistency", (1 / 3 + 0 + 1) / 3),
    ],
)
def test_mpararel_measure_worked_by_hand(name: str, expected: float):
    assert mpararel_measures(PREDICTIONS, RIGHT)[name].value == pytest.approx(expected)


def test_consistency_is_mean_agreement_when_all_facts_have_all_templates():
    predictions = np.random.default_rng(1).integers(3, size=(5, 40))
    found = pararel_measures(predictions, predictions == 0)
    assert found["consistency"].value == pytest.approx(
        pairwise_agreement(predictions).mean()
    )


def test_two_absent_answers_do_not_agree():
    predictions = np.full((3, 2), NO_ANSWER)
    found = pararel_measures(predictions, np.zeros((3, 2), dtype=bool))
    assert found["consistency"].value == 0.0
    assert found["consistent_subjects"].value == 0.0


def test_measures_without_facts_that_count_are_missing():
    predictions = np.array([[0, 1], [NOT_ASKED, NOT_ASKED]])
    found = pararel_measures(predictions, predictions == 0)
    assert np.isnan(found["consistency"].value)
    assert np.isnan(found["consistent_subjects"].value)
    assert np.isnan(edge_out(predictions).value)
    knows_all = pararel_measures(PREDICTIONS, np.ones_like(RIGHT))
    assert np.isnan(knows_all["unknowledgable_consistency"].value)


def test_lama_accuracy_needs_the_first_template():
    predictions = np.array([[NOT_ASKED, NOT_ASKED], [0, 1]])
    found = pararel_measures(predictions, predictions == 0)
    assert np.isnan(found["lama_accuracy"].value)


def test_agreement_by_lemma_worked_by_hand():
    # Same lemma: pair (0, 1), equal for all three facts; other: (0, 2) and (1, 2),
    # equal for facts 1 and 2 -> 4 of 6
    same, other = agreement_by_form(PREDICTIONS, ["be", "be", "lie"])
    assert same.value == pytest.approx(1.0)
    assert other.value == pytest.approx(4 / 6)
