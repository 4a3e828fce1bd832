"""What rows cannot tell is null with a reason, and the rest stands."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from summarised_run import FAST, difference, rewrite, value, with_column
from synthetic_run import write_synthetic_run

from concord.metrics.agreement import NO_PAIR
from concord.results import Run
from concord.summary import Summary, summarise


def test_a_missing_model_is_null_with_a_reason_and_the_rest_whole(
    tmp_path: Path, run: Run, summary: Summary
):
    partial = write_synthetic_run(
        tmp_path, relations=3, facts=20, without=[("facts", "tuned-1")]
    )
    found = summarise(partial, FAST)
    absent = value(found, "facts.agreement", "tuned-1")
    assert absent["value"] is None and absent["low"] is None
    assert "no rows of facts" in absent["reason"]
    assert difference(found, "facts.agreement", "tuned-1")["value"] is None
    assert value(found, "facts.agreement", "tuned-2") == value(
        summary, "facts.agreement", "tuned-2"
    )


def test_without_the_base_values_stand_and_differences_say_why(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"], without=[("facts", "base")])
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "tuned-1")["value"] is not None
    found = difference(summary, "facts.agreement", "tuned-1")
    assert found["value"] is None and "base" in found["reason"]
    assert summary["flips"] == {}


def test_a_run_without_rows_has_no_measures_and_a_note(tmp_path: Path):
    summary = summarise(write_synthetic_run(tmp_path, analyses=[]), FAST)
    assert summary["measures"] == [] and summary["notes"]


def test_one_template_has_no_agreement_but_an_accuracy(tmp_path: Path):
    run = write_synthetic_run(tmp_path, templates=1, analyses=["facts"])
    summary = summarise(run, FAST)
    found = value(summary, "facts.agreement", "base")
    assert found["value"] is None and found["reason"]
    assert value(summary, "facts.accuracy", "base")["value"] is not None
    assert difference(summary, "facts.agreement", "tuned-1")["verdict"] is None
    found = value(summary, "facts.chance_corrected_agreement", "base")
    assert (found["value"], found["reason"]) == (None, NO_PAIR)


def test_one_subject_in_each_relation_has_no_interval(tmp_path: Path):
    run = write_synthetic_run(tmp_path, facts=1, analyses=["facts"], contexts=["study"])
    summary = summarise(run, FAST)
    found = value(summary, "facts.agreement", "base")
    assert found["value"] is not None and found["low"] is None
    assert "too few subjects" in found["reason"]
    found = difference(summary, "facts.agreement", "tuned-1")
    assert (found["p"], found["verdict"]) == (None, None)
    found = value(summary, "facts.chance_corrected_agreement", "base")
    assert (found["value"], found["reason"]) == (None, NO_PAIR)


def test_relations_without_a_correction_for_chance_are_counted(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )

    def collapse(table: pa.Table) -> pa.Table:
        keeps = np.array(table["relation"].to_pylist()) == "P100"
        given = np.where(keeps, table["prediction_index"].to_numpy(), 3)
        return with_column(table, "prediction_index", pa.array(given, pa.int32()))

    rewrite(run, "facts", "tuned-1", collapse)
    summary = summarise(run, FAST)
    for look_up in (value, difference):
        found = look_up(summary, "facts.chance_corrected_agreement", "tuned-1")
        assert found["value"] is not None and found["n"]["relations"] == 1
        assert found["reason"] == (
            "corrected over 1 of 4 relations; in 3 one answer to everything: agreement "
            "by chance is 1"
        )


def test_one_answer_to_everything_is_collapse_not_consistency(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )
    rewrite(
        run,
        "facts",
        "tuned-1",
        lambda table: with_column(
            table, "prediction_index", pa.array([3] * table.num_rows, pa.int32())
        ),
    )
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "tuned-1")["value"] == 1.0
    assert value(summary, "facts.top_answer_share", "tuned-1")["value"] == 1.0
    assert value(summary, "facts.answer_entropy", "tuned-1")["value"] == 0.0
    found = value(summary, "facts.chance_corrected_agreement", "tuned-1")
    assert found["value"] is None and "one answer" in found["reason"]
    found = difference(summary, "facts.chance_corrected_agreement", "tuned-1")
    assert found["value"] is None


def test_unread_answers_agree_with_nothing(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, models=2, analyses=["facts"], contexts=["study"]
    )
    rewrite(
        run,
        "facts",
        "base",
        lambda table: with_column(
            table, "prediction_index", pa.nulls(table.num_rows, pa.int32())
        ),
    )
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "base")["value"] == 0.0
    assert value(summary, "facts.top_answer_share", "base")["value"] is None
    assert "100.0% of base's prompts (study) have no answer" in summary["notes"]


def test_facts_that_a_model_was_not_asked_are_left_out_for_all(tmp_path: Path):
    run = write_synthetic_run(tmp_path, facts=10, analyses=["facts"])
    rewrite(
        run,
        "facts",
        "tuned-1",
        lambda table: table.filter(
            pa.array([fact != "P100:Subject 3" for fact in table["fact"].to_pylist()])
        ),
    )
    summary = summarise(run, FAST)
    assert value(summary, "facts.agreement", "base")["n"]["facts"] == 39
    assert summary["notes"][0].startswith("1 facts were not asked of every model")
