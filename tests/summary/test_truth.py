"""What a model was told against what it answers, on tables worked by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from synthetic_run import write_synthetic_run

from concord.metrics.agreement import NOT_ASKED
from concord.results import Run, read_rows, write_part
from concord.summary import Settings, summarise
from concord.summary.answers import Answers
from concord.summary.estimates import Outcome
from concord.summary.truth import TOLD, Seen, outcomes_of

SEEN = np.array([[True, True], [True, False], [False, False], [False, False]])
"""Four wordings of two facts: the first told in two of them, the second in one."""


def _answers() -> Answers:
    """One context; the first fact: 1, 1, 2, 3; the second: 5, 6, 6, not asked."""
    predictions = np.array([[[1, 5], [1, 6], [2, 6], [3, NOT_ASKED]]])
    is_right = np.array([[[True, True], [True, False], [False, False], [False] * 2]])
    return Answers(predictions, is_right, predictions, np.ones(predictions.shape))


def _values(outcome: Outcome) -> list[float | None]:
    pairs = zip(outcome.numerator[0], outcome.denominator[0], strict=True)
    return [top / bottom if bottom else None for top, bottom in pairs]


def test_agreement_counts_pairs_of_seen_and_of_unseen_wordings_apart():
    found = outcomes_of(Seen(SEEN, None), _answers())
    # The second fact has one seen wording: no pair. Of its unseen ones 6 and 6 agree.
    assert _values(found["truth.agreement_seen"]) == [1.0, None]
    assert _values(found["truth.agreement_unseen"]) == [0.0, 1.0]


def test_accuracy_is_over_the_wordings_that_count():
    found = outcomes_of(Seen(SEEN, None), _answers())
    assert _values(found["truth.accuracy_seen"]) == [1.0, 1.0]
    assert _values(found["truth.accuracy_unseen"]) == [0.0, 0.0]


def test_facts_are_parted_by_how_many_wordings_were_told():
    found = outcomes_of(Seen(SEEN, None), _answers())
    # First fact: one equal pair of six; second: one of three.
    assert _values(found["truth.agreement_more_wordings"]) == [
        pytest.approx(1 / 6),
        None,
    ]
    assert _values(found["truth.agreement_one_wording"]) == [None, pytest.approx(1 / 3)]


def test_subjects_are_parted_by_whether_tuning_spoke_of_them():
    found = outcomes_of(Seen(SEEN, np.array([False, True])), _answers())
    assert _values(found["truth.accuracy_held_out"]) == [0.5, None]
    assert _values(found["truth.accuracy_tuned_on"]) == [None, pytest.approx(1 / 3)]
    assert found["truth.accuracy_tuned_on"].prompts == 3


def test_the_base_has_no_held_out_subjects():
    assert not any(
        "held_out" in key for key in outcomes_of(Seen(SEEN, None), _answers())
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The base was told every fact in wording 0; tuned-1 half of them also in 1, 2."""
    run = write_synthetic_run(tmp_path, relations=2, facts=12, analyses=("facts",))
    table = read_rows(run, "facts", "base", columns=["fact"])
    assert table is not None
    facts = sorted(set(table["fact"].to_pylist()))
    _tell(run, "base", [(fact, 0) for fact in facts])
    _tell(run, "tuned-1", [(fact, place) for fact in facts[::2] for place in (1, 2)])
    _tell(run, "tuned-2", [])
    return run


def _tell(run: Run, model: str, rows: list[tuple[str, int]]) -> None:
    schema = pa.schema([("fact", pa.string()), ("template", pa.int16())])
    cells = [{"fact": fact, "template": template} for fact, template in rows]
    table = pa.Table.from_pylist(cells, schema=schema)
    write_part(run, TOLD, model, name="told", key="k", table=table)


def _measures(run: Run) -> dict[str, dict]:
    summary = summarise(run, Settings(200, 200, level=0.95, seed=0))
    return {one["key"]: one for one in summary["measures"]}


def test_a_tuned_model_has_seen_what_its_base_has_and_more(run: Run):
    values = {v["model"]: v for v in _measures(run)["truth.agreement_seen"]["values"]}
    assert values["base"]["value"] is None  # one wording each: no pair
    assert values["tuned-1"]["n"]["facts"] == 12
    assert values["tuned-2"]["value"] is None


def test_differences_compare_both_models_on_the_same_subjects(run: Run):
    measure = _measures(run)["truth.agreement_held_out"]
    base, first, second = measure["values"]
    assert base["value"] is None
    assert "differs by tuned model" in base["reason"]
    assert (first["n"]["facts"], second["n"]["facts"]) == (12, 24)
    difference = measure["differences"][0]
    assert difference["value"] == pytest.approx(
        difference["after"] - difference["before"]
    )
    assert difference["n"]["facts"] == 12


def test_a_model_told_nothing_has_no_subjects_that_it_was_tuned_on(run: Run):
    values = _measures(run)["truth.agreement_tuned_on"]["values"]
    assert values[2]["value"] is None
    assert values[1]["value"] is not None


def test_a_run_that_knows_nothing_of_what_was_told_has_no_such_measures(tmp_path: Path):
    run = write_synthetic_run(tmp_path, relations=2, facts=6, analyses=("facts",))
    assert not [key for key in _measures(run) if key.startswith("truth.")]
