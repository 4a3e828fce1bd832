"""Every fact's mechanism numbers beside its agreement, worked out by hand."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from concord.results import Run
from concord.summary.answers import Answers, Facts
from concord.summary.by_fact import (
    FILE,
    accuracy_by_fact,
    fact_table,
    rate_by_fact,
    write_by_fact,
)
from concord.summary.estimates import Outcome

FACTS = Facts(
    fact=["f0", "f1", "f2"],
    subject=np.array(["Ada", "Ben", "Ada"]),
    relations=("born", "works"),
    relation=np.array([0, 0, 1]),
    object=np.array(["Avon", "Brill", "baker"]),
    is_trivial=np.zeros(3, dtype=bool),
    candidate_count=np.full(3, 4),
    left_out=0,
)


def answers(predictions: list[list[list[int]]]) -> Answers:
    """Context, template, fact; 0 is right, -1 was not asked."""
    found = np.array(predictions)
    return Answers(found, found == 0, found, np.zeros(found.shape))


BASE = answers([[[0, 1, 0], [2, 1, -1]], [[0, 1, 0], [0, 0, -1]]])
TUNED = answers([[[0, 1, 0], [0, 1, -1]], [[0, 0, 0], [0, 0, -1]]])


def test_every_fact_stands_with_its_agreement_and_its_rates(tmp_path: Path):
    flips = {
        "became consistent": np.array([True, True, False]),
        "stayed inconsistent": np.array([False, False, True]),
    }
    rates = {"extraction.any": (np.array([0.0, 0.5, 1.0]), np.array([1, np.nan, 1]))}
    place = {"model": "tuned", "contexts": "study"}
    table = fact_table(place, FACTS, (BASE, TUNED), flips, rates)
    run = Run(tmp_path)
    write_by_fact(run, [table, table])
    rows = pq.read_table(run.path / FILE).to_pylist()
    assert len(rows) == 6 and rows[:3] == rows[3:]
    assert rows[0] == {
        "model": "tuned",
        "contexts": "study",
        "relation": "born",
        "fact": "f0",
        "subject": "Ada",
        "object": "Avon",
        "consistency": "became consistent",
        "agreement_base": 0.5,
        "agreement_tuned": 1.0,
        "accuracy_base": 0.75,
        "accuracy_tuned": 1.0,
        "extraction_any_base": 0.0,
        "extraction_any_tuned": 1.0,
    }
    assert rows[1]["accuracy_base"] == 0.25 and rows[1]["accuracy_tuned"] == 0.5
    assert rows[1]["extraction_any_tuned"] is None
    # One template is no pair: neither agreement nor a change of it.
    assert rows[2]["agreement_base"] is None and rows[2]["consistency"] is None
    assert rows[2]["accuracy_base"] == 1.0


def test_a_run_without_linked_facts_keeps_no_file_of_an_earlier_drawing(tmp_path: Path):
    path = tmp_path / FILE
    path.parent.mkdir()
    path.write_bytes(b"of before")
    write_by_fact(Run(tmp_path), [])
    assert not path.exists()


def test_accuracy_is_a_share_of_the_prompts_asked():
    np.testing.assert_array_equal(accuracy_by_fact(BASE), [0.75, 0.25, 1.0])


def test_what_was_not_measured_of_a_fact_is_null():
    # Of units 0, 1, 2 the second counts in one of two contexts, the third in none; the
    # last fact is no unit.
    top = np.array([[1.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    count = np.array([[2, 0, 0], [2, 5, 0]])
    outcome = Outcome(top, count.astype(float))
    found = rate_by_fact(outcome, np.array([2, 1, 0, -1]))
    np.testing.assert_array_equal(found, [np.nan, 0.8, 1.0, np.nan])
    assert np.isnan(rate_by_fact(None, np.array([0]))).all()
