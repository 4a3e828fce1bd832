"""Concentration of answers, worked by hand."""

import numpy as np
import pytest

from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.metrics.concentration import (
    answer_concentration,
    majority_baseline,
    uniform_baseline,
)


def test_top_share_and_entropy_worked_by_hand():
    # Answers a a / a b: p(a) = 3/4, p(b) = 1/4, of 4 candidates.
    found = answer_concentration(np.array([[0, 0], [0, 1]]), 4)
    assert found.top_share == pytest.approx(0.75)
    bits = 0.75 * np.log2(4 / 3) + 0.25 * 2
    assert found.entropy == pytest.approx(bits / 2)
    np.testing.assert_allclose(found.top_share_per_fact, [1.0, 0.5])
    assert found.entropy_per_fact.mean() == pytest.approx(found.entropy)


def test_one_answer_to_everything_is_full_concentration():
    found = answer_concentration(np.full((3, 5), 2), 7)
    assert (found.top_share, found.entropy) == (1.0, 0.0)


def test_all_candidates_equally_often_have_entropy_one():
    found = answer_concentration(np.arange(8).reshape(2, 4), 8)
    assert found.entropy == pytest.approx(1.0)


def test_facts_weigh_alike_whatever_their_prompts():
    # fact 0: a asked twice; fact 1: b asked once -> p = (1/2, 1/2)
    found = answer_concentration(np.array([[0, 1], [0, NOT_ASKED]]), 2)
    assert found.top_share == pytest.approx(0.5)


def test_without_answers_nothing_is_measured():
    found = answer_concentration(np.full((2, 3), NO_ANSWER), 4)
    assert np.isnan(found.top_share) and np.isnan(found.entropy)


def test_one_candidate_has_no_entropy():
    assert np.isnan(answer_concentration(np.zeros((2, 3), dtype=int), 1).entropy)


def test_baselines_worked_by_hand():
    assert majority_baseline(np.array([2, 2, 0, 1])) == 0.5
    assert uniform_baseline(8) == 0.125
    assert np.isnan(majority_baseline(np.array([], dtype=int)))


def test_majority_baseline_is_that_of_the_published_counts(shared):
    import csv

    path = shared / "spec" / "published" / "pararel_relations.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paired = [row for row in rows if int(row["object_final_templates"]) > 1]
    paired = [row for row in paired if row["in_38"] == "1"]
    shares = []
    for row in paired:
        count = round(float(row["majority_object_share"]) * int(row["tuples"]))
        others = np.arange(1, int(row["tuples"]) - count + 1)
        shares.append(majority_baseline(np.concatenate([np.zeros(count, int), others])))
    assert len(paired) == 35
    assert np.mean(shares) == pytest.approx(0.245, abs=0.0005)
