"""The link of a mechanism to consistency, worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mechanism_run import (
    CONTEXTS,
    FACTS,
    SETTINGS,
    TEMPLATES,
    identity,
    mechanism_run,
    silent,
    write,
    write_extraction,
)

from concord.metrics.agreement import NOT_ASKED
from concord.metrics.bootstrap import cluster_units
from concord.results import Run
from concord.summary.answers import Answers
from concord.summary.estimates import Outcome, Sample
from concord.summary.link import FLIPS, GROUPS, _linked, fact_groups, link_entries
from concord.summary.mechanism import MechanismSummary, summarise_mechanism


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return mechanism_run(tmp_path)


def write_facts(run: Run, model: str, contexts: str, answers: np.ndarray) -> None:
    rows = [
        identity(contexts, *place)
        | {"object": "x", "prediction_index": int(answers[place])}
        | {"is_correct": bool(answers[place] == 0)}
        | {"is_trivial": False, "candidate_count": 4, "margin": 1.0}
        | {"free_prediction": "a"}
        for place in np.ndindex(CONTEXTS, FACTS, TEMPLATES)
    ]
    write(run, "facts", model, contexts, rows)


def linked_run(run: Run) -> list[dict]:
    """Facts 0, 1 agree before and after; 2, 3 only after; 4 only before; 5 never."""
    before = np.zeros((CONTEXTS, FACTS, TEMPLATES), dtype=int)
    after = before.copy()
    before[:, [2, 3, 5], 1] = 1
    after[:, [4, 5], 1] = 1
    events = np.zeros((CONTEXTS, FACTS, TEMPLATES, 3))
    more = events.copy()
    more[:, [2, 3]] = 1  # every prompt of those that became consistent
    more[:, 0, 0] = 1  # a quarter of the prompts of those that stayed so
    for model, answers, own in (("base", before, events), ("tuned", after, more)):
        write_facts(run, model, "study", answers)
        write_extraction(run, model, "study", own)
    summaries = summarise_mechanism(run, SETTINGS, silent)
    entries = link_entries(run, summaries, SETTINGS, silent)
    return [entry for entry in entries if entry["key"] == "extraction.mhsa"]


def test_the_link_splits_the_change_by_what_became_of_consistency(run: Run):
    found = {e["group"]: e for e in linked_run(run) if not e["against"]}
    changes = {group: entry["value"] for group, entry in found.items()}
    # Answer 0 is right. Both models give it everywhere for facts 0 and 1 alone; half of
    # the prompts are right for all six, in both models, and for fact 5 only half.
    assert changes == {
        "all facts": pytest.approx((2 + 0.5) / 6),
        "same and right in both": 0.25,
        "all right in both": 0.25,
        "some right in both": 0.0,
        "none right in both": None,
        "known to both": pytest.approx((2 + 0.5) / 6),
        "became consistent": 1.0,
        "stayed consistent": 0.25,
        "stayed inconsistent": 0.0,
        "became inconsistent": 0.0,
    }
    assert found["all facts"]["low"] < 2.5 / 6 < found["all facts"]["high"]
    assert found["became consistent"]["n"] == {"facts": 2, "subjects": 2}
    # Two of six subjects: more than one replicate in twenty draws neither.
    assert found["stayed consistent"]["low"] is None
    assert "too few subjects" in found["stayed consistent"]["reason"]


def test_groups_of_one_or_two_subjects_are_not_compared(run: Run):
    found = {(e["group"], e["against"]): e for e in linked_run(run) if e["against"]}
    assert {(e["value"], e["low"]) for e in found.values()} == {(None, None)}
    entry = found["became consistent", "stayed inconsistent"]
    assert entry["n"] == {"facts": 2, "subjects": 2}
    assert entry["n_against"] == {"facts": 1, "subjects": 1}
    assert entry["reason"] == (
        "found 2 subjects in the group 'became consistent' and 1 subjects in the group "
        "'stayed inconsistent'; a comparison needs 3 in each"
    )


def test_the_interval_of_a_contrast_is_drawn_over_subjects():
    # 40 facts of one subject each: 20 became consistent and gained 0 or 1 by turns, 20
    # stayed inconsistent and gained nothing. The contrast is .5, its standard error
    # sqrt(.25 / 20) = .112 whatever the interval is made from.
    gained = np.array([[i % 2 if i < 20 else 0 for i in range(40)]], dtype=float)
    clusters = cluster_units(np.zeros(40), np.arange(40))
    sample = Sample("extraction", "pararel", clusters, ("all",), "micro", False)
    one = np.ones((1, 40))
    sample.values["extraction.any", "tuned"] = Outcome(gained, one)
    sample.values["extraction.any", "base"] = Outcome(np.zeros((1, 40)), one)
    summary = MechanismSummary(sample, [f"f{i}" for i in range(40)])
    groups = {name: np.zeros(40, dtype=bool) for name in GROUPS}
    groups["became consistent"][:20] = True
    groups["stayed inconsistent"][20:] = True
    place = {"model": "tuned", "contexts": "study"}
    settings = replace(SETTINGS, replicates=4000)
    entries = _linked(summary, place, "base", groups, settings)
    (found,) = [entry for entry in entries if entry["against"] == "stayed inconsistent"]
    assert found["value"] == 0.5
    assert found["n"] == found["n_against"] == {"facts": 20, "subjects": 20}
    (empty,) = [entry for entry in entries if entry["against"] == "stayed consistent"]
    assert empty["value"] is None and "0 subjects" in empty["reason"]
    half = 1.96 * np.sqrt(0.25 / 20)
    assert found["low"] == pytest.approx(0.5 - half, abs=0.04)
    assert found["high"] == pytest.approx(0.5 + half, abs=0.04)


def made_answers(*right: list[list[int]]) -> Answers:
    """Right [context][template][fact]; a wrong answer is 1."""
    is_right = np.array(right, dtype=bool)
    nothing = np.zeros(is_right.shape)
    return Answers(1 - is_right.astype(int), is_right, nothing.astype(int), nothing)


def test_all_some_and_none_right_are_told_by_templates_in_most_contexts():
    # The base, context by context; fact 0: all, some, all; 1: some, some, all; 2: none,
    # none, some; 3: all, some, none; 4: some in the base, none in the tuned model.
    base = made_answers(
        [[1, 1, 0, 1, 1], [1, 0, 0, 1, 0]],
        [[1, 0, 0, 1, 1], [0, 1, 0, 0, 0]],
        [[1, 1, 1, 0, 1], [1, 1, 0, 0, 0]],
    )
    tuned = made_answers(*[[[1, 1, 0, 1, 0], [1, 0, 0, 1, 0]]] * 3)
    found = fact_groups(base, tuned)
    assert found["all right in both"].tolist() == [True] + [False] * 4
    assert found["some right in both"].tolist() == [False, True] + [False] * 3
    assert found["none right in both"].tolist() == [False] * 2 + [True] + [False] * 2


def test_known_and_right_are_shares_of_prompts():
    base = made_answers([[1, 1, 0, 0], [1, 0, 0, 1]])
    tuned = made_answers([[1, 1, 1, 0], [1, 1, 0, 0]])
    found = fact_groups(base, tuned)
    assert found["known to both"].tolist() == [True, True, False, False]
    assert found["all right in both"].tolist() == [True, False, False, False]
    assert not found["some right in both"].any()
    assert not found["none right in both"].any()
    assert found["same and right in both"].tolist() == [True, False, False, False]
    assert found["became consistent"].tolist() == [False, True, False, True]
    assert found["became inconsistent"].tolist() == [False, False, True, False]


def test_a_fact_without_a_pair_neither_became_nor_stayed_anything():
    """Fact 0 was asked with one template; 1 disagrees, 2 agrees, in both models."""
    predictions = np.array([[[1, 0, 1], [NOT_ASKED, 1, 1]]])
    agreement = np.array([[np.nan, 0.0, 1.0]])
    right = np.zeros(predictions.shape, dtype=bool)
    both = Answers(predictions, right, predictions, np.ones(predictions.shape))
    np.testing.assert_array_equal(both.agreement, agreement)
    groups = fact_groups(both, both)
    found = {name: own.tolist() for name, own in groups.items() if name in FLIPS}
    assert found == {
        "became consistent": [False, False, False],
        "stayed consistent": [False, False, True],
        "stayed inconsistent": [False, True, False],
        "became inconsistent": [False, False, False],
    }
    # One pair in one of the models only: nothing is known of a change.
    predictions = np.array([[[1, 0, 1], [1, 1, 1]]])
    tuned = Answers(predictions, right, predictions, np.ones(predictions.shape))
    groups = fact_groups(both, tuned)
    assert not any(groups[name][0] for name in FLIPS)
