"""Written answers: what is said of prompts without one."""

from pathlib import Path

import pyarrow as pa
from summarised_run import FAST
from synthetic_run import begin_synthetic_run

from concord.results import Run, claim, write_part
from concord.summary import summarise


def write_answers(run: Run, model: str, answer: str | None) -> None:
    """Twenty questions in four wordings, the last two of them repeats of a prompt."""
    rows = [
        {"dataset": "qa", "contexts": "study", "item": f"q{item}", "topic": "t"}
        | {"cluster": f"q{item}", "wording": wording, "perturbation": ""}
        | {"normalised": answer, "is_correct": False, "is_repeat": wording >= 2}
        for item in range(20)
        for wording in range(4)
    ]
    table = pa.Table.from_pylist(rows)
    table = table.append_column("group", pa.nulls(len(rows), pa.string()))
    position = table.schema.get_field_index("normalised")
    texts = table["normalised"].cast(pa.string())
    table = table.set_column(position, "normalised", texts)
    key = claim(run, "answers", model, {"x": 1})
    write_part(run, "answers", model, name="00000", key=key, table=table)


def test_the_share_without_an_answer_is_of_the_prompts_that_were_asked(tmp_path: Path):
    run = begin_synthetic_run(tmp_path, ["base", "mute"])
    write_answers(run, "base", "Paris")
    write_answers(run, "mute", None)
    summary = summarise(run, FAST)
    (warning,) = (note for note in summary["notes"] if note.startswith("No answer"))
    assert "in 100% of prompts mute" in warning
    (measure,) = (m for m in summary["measures"] if m["key"] == "answers.qa.no_answer")
    assert [one["value"] for one in measure["values"]] == [0, 1]
