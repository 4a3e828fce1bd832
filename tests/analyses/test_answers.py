"""Written answers on tiny models, through the analysis, summary and report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from choice_models import write_pair, write_single_minded
from tiny_passes import rows_fed
from transformers import AutoTokenizer

from concord.analyses import answers
from concord.analyses.answers import end_ids_of
from concord.analyses.part import Task
from concord.compare import compare
from concord.data.answer_text import answer_in, normalised
from concord.data.collection import read_collection
from concord.models.load import load_model
from concord.results import Run, read_rows
from concord.study import resolve_study

ROWS = [
    {"question": f"Which town is number {i}?", "right": right, "fact": fact}
    for i, (right, fact) in enumerate(
        [("the", "x"), ("Avon", "x"), (["Brill", "a"], "y"), ("Corby", "y")]
    )
]


def write_task(folder: Path) -> Path:
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8"
    )
    path = folder / "towns.yaml"
    task = {
        "kind": "free",
        "data": "rows.jsonl",
        "answer": "right",
        "group": "fact",
        "instructions": ["Answer.", "Be brief.", "Name it."],
        "prompt": "{{ instruction }}\n{{ question }}\nAnswer:",
        "max_tokens": 3,
    }
    path.write_text(yaml.safe_dump(task), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Run:
    """A model that always writes one word, one that ends at once, an ordinary one."""
    folder = tmp_path_factory.mktemp("answers")
    base, tuned = write_pair(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    end = tokenizer.eos_token
    says_the = write_single_minded(base, folder / "says-the", " the")
    mute = write_single_minded(base, folder / "mute", end)
    study = resolve_study(
        {
            "base": str(says_the),
            "tuned": [str(mute), str(tuned)],
            "analyses": ["answers"],
            "answers": {
                "tasks": [str(write_task(folder))],
                "perturbations": ["case"],
            },
            "measures": ["consistency_rate", "posix", "format_spread"],
            "statistics": {"replicates": 200, "permutations": 200},
        }
    )
    return compare(study, folder / "run")


@pytest.fixture(scope="module")
def summary(run: Run) -> dict[str, Any]:
    return json.loads((run.path / "summary.json").read_text(encoding="utf-8"))


def entry(summary: dict[str, Any], name: str, model: str) -> dict[str, Any]:
    key = f"answers.towns.{name}"
    found = next(m for m in summary["measures"] if m["key"] == key)
    return next(v for v in found["values"] if v["model"] == model)


def test_a_mute_model_is_not_called_consistent(summary: dict[str, Any]):
    for name in ("agreement", "group_agreement", "perturbed_agreement", "accuracy"):
        assert entry(summary, name, "mute")["value"] == 0
    assert entry(summary, "consistency_rate", "mute")["value"] == 0
    assert entry(summary, "no_answer", "mute")["value"] == 1
    assert entry(summary, "top_answer_share", "mute")["value"] is None
    warning = next(
        text
        for text in summary["answers"]["warnings"]
        if text.startswith("No answer: in 100% of prompts mute on towns (study)")
    )
    assert warning in summary["notes"]


def test_a_model_that_writes_one_answer_is_shown_as_collapsed(summary: dict[str, Any]):
    # It writes "the the the", which is right nowhere: the answer "the" is one word.
    assert entry(summary, "agreement", "says-the")["value"] == 1
    assert entry(summary, "top_answer_share", "says-the")["value"] == 1
    assert entry(summary, "accuracy", "says-the")["value"] == 0
    corrected = entry(summary, "chance_corrected_agreement", "says-the")
    assert corrected["value"] is None
    assert "agreement by chance is 1" in corrected["reason"]


def test_what_rows_cannot_tell_is_null_with_its_reason(summary: dict[str, Any]):
    posix = entry(summary, "posix", "says-the")
    assert (posix["value"], "every other wording" in posix["reason"]) == (None, True)
    assert entry(summary, "format_spread", "says-the")["value"] == 0


def test_rows_hold_the_text_and_the_answer_in_it(run: Run):
    table = read_rows(run, "answers", "tuned")
    assert table is not None
    rows = table.to_pylist()
    assert len(rows) == 4 * 4 * 2
    for row in rows:
        answer = answer_in(row["text"], ["\n"])
        assert row["answer"] == answer
        assert row["normalised"] == (None if answer is None else normalised(answer))
        assert row["tokens"] <= 3
    changed = [row for row in rows if row["perturbation"]]
    assert {row["parent"] for row in changed} == {row["item"] for row in rows}
    assert all("\nwhich town" in row["prompt"] for row in changed)
    asked = {row["contexts"]: row["prompt"] for row in rows}
    assert asked["same"].endswith("Answer:")
    assert asked["study"].endswith("Answer:\n")


@pytest.mark.parametrize("most", [1, 2, 5])
def test_answers_are_the_same_whatever_the_batch_size(run: Run, most: int):
    settings = run.study | {"batch_size": most}
    study = resolve_study(settings)
    task = Task(load_model(study, study.models[2]), read_collection(study), study)
    with rows_fed(task.model.network) as fed:
        again = pa.concat_tables([part.rows for part in answers.run(task)])
    whole = read_rows(run, "answers", "tuned")
    assert whole is not None
    assert max(fed) == 1 << (most.bit_length() - 1)
    place = [(key, "ascending") for key in ("contexts", "wording", "item")]
    again, whole = again.sort_by(place), whole.sort_by(place)
    assert again["text"].to_pylist() == whole["text"].to_pylist()
    np.testing.assert_allclose(
        again["log_probability"], whole["log_probability"], atol=1e-4
    )


def test_agreement_equals_its_definition_on_the_rows(run: Run, summary: dict[str, Any]):
    table = read_rows(run, "answers", "tuned")
    assert table is not None
    rows = [r for r in table.to_pylist() if r["contexts"] == "study"]
    plain = [row for row in rows if not row["perturbation"]]
    by_item: dict[str, list[Any]] = {}
    for row in plain:
        by_item.setdefault(row["item"], []).append(row["normalised"])
    shares = [
        sum(a == b is not None for a, b in ((x, y), (x, z), (y, z))) / 3
        for x, y, z in by_item.values()
    ]
    expected = sum(shares) / len(shares)
    assert entry(summary, "agreement", "tuned")["value"] == pytest.approx(expected)
    right = sum(row["is_correct"] for row in plain) / len(plain)
    assert entry(summary, "accuracy", "tuned")["value"] == pytest.approx(right)


def test_the_report_has_its_section_and_tables(run: Run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert '<section id="answers">' in page
    assert '<section id="other-measures">' in page
    assert "No answer: in 100% of prompts mute" in page
    table = (run.path / "tables" / "answers.csv").read_text(encoding="utf-8")
    assert "mute" in table
    others = (run.path / "tables" / "other-measures.md").read_text(encoding="utf-8")
    assert "SCORE consistency rate" in others
    assert "only its own was measured" in others


def test_a_new_texts_begin_ends_an_answer_too(run: Run):
    study = resolve_study(
        {"base": run.study["base"], "tuned": run.study["tuned"]},
        {"analyses": ["answers"], "answers": run.study["answers"]},
    )
    task = Task(load_model(study, study.base), read_collection(study), study)
    tokenizer: Any = task.model.tokenizer
    assert {tokenizer.eos_token_id, tokenizer.bos_token_id} <= end_ids_of(task)
