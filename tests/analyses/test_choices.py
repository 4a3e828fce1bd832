"""Choices of the analysis against a plain loop, on tiny models and real questions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from choice_models import some_questions, write_pair, write_questions
from tiny_passes import rows_fed

from concord.analyses import choices
from concord.analyses.part import Task
from concord.data.choices import LETTERS, order_of
from concord.data.collection import read_collection
from concord.errors import ModelError
from concord.models.encoder import EncodedPrompt
from concord.models.load import load_model
from concord.scoring.engine import score_prompts
from concord.scoring.work import WorkCounts
from concord.study import resolve_study


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(settings, {"analyses": ["choices"]}, changes)
    model = load_model(study, study.models[place])
    return Task(model, read_collection(study), study)


def rows_of(task: Task) -> list[dict[str, Any]]:
    return pa.concat_tables([part.rows for part in choices.run(task)]).to_pylist()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def asked(pair: tuple[Path, Path], tmp_path: Path) -> dict[str, Any]:
    """A study of two tiny models on two topics of questions."""
    topics = {"law": some_questions(4), "world_towns": some_questions(3)}
    return {
        "base": str(pair[0]),
        "tuned": [str(pair[1])],
        "data_dir": str(write_questions(tmp_path, topics)),
    }


@pytest.mark.parametrize("place", [0, 1])
def test_choices_equal_a_plain_loop(asked: dict[str, Any], place: int):
    task = task_of(asked, place)
    rows = rows_of(task)
    assert len(rows) == 7 * 9 * (1 + place)
    tokenizer = task.model.tokenizer
    for row in rows[::5]:
        ids = tokenizer(row["prompt"], return_tensors="pt").input_ids
        letters = [tokenizer(f"{row['prompt']} {x}").input_ids[-1] for x in "ABCD"]
        with torch.inference_mode():
            logits = task.model.network(ids).logits[0, -1].double()
        scores = logits.log_softmax(dim=-1)[letters].tolist()
        best = max(range(4), key=lambda place: scores[place])
        order = order_of(row["order_name"], 4)
        assert row["letter"] == LETTERS[best]
        assert row["option"] == order[best]
        assert row["score"] == pytest.approx(scores[best], abs=1e-4)
        in_order = [scores[order.index(option)] for option in range(4)]
        assert row["scores"] == pytest.approx(in_order, abs=1e-4)
        token = int(logits.argmax())
        assert row["free_prediction"] == tokenizer.convert_ids_to_tokens(token)
        assert row["has_answer"] == (token in letters)


def test_the_right_option_moves_with_its_letter(asked: dict[str, Any]):
    for row in rows_of(task_of(asked)):
        order = order_of(row["order_name"], 4)
        assert order["ABCD".index(row["right_letter"])] == row["right_option"]
        assert row["is_correct"] == (row["letter"] == row["right_letter"])
        right = row["prompt"].split(f"\n{row['right_letter']}. ")[1].split("\n")[0]
        number = row["item"].split(":")[1]
        towns = ["Avon", "Brill", f"Corby {int(number) - 1}", "Dover"]
        assert right == towns[row["right_option"]]


def test_every_prompt_is_run_in_one_pass(asked: dict[str, Any], monkeypatch):
    counted: list[WorkCounts] = []

    def counting(*given: Any, **options: Any) -> Any:
        scores, counts = score_prompts(*given, **options)
        counted.append(counts)
        return scores, counts

    monkeypatch.setattr(choices, "score_prompts", counting)
    rows = rows_of(task_of(asked, choices={"noise_prompts": 0}))
    assert sum(counts.prompts for counts in counted) == len(rows)
    for counts in counted:
        assert counts.rounds == 1
        assert counts.rows == counts.distinct_prompts
        assert counts.expansions == counts.distinct_prompts


def test_a_sample_is_asked_again_one_by_one(asked: dict[str, Any]):
    task = task_of(asked, choices={"noise_prompts": 10})
    rows = rows_of(task)
    again = [row for row in rows if row["score_alone"] is not None]
    assert len(again) == 10
    for row in again:
        assert row["score_alone"] == pytest.approx(row["score"], abs=1e-4)
        assert row["option_alone"] == row["option"]
    assert all(r["option_alone"] is None for r in rows if r not in again)
    twice = [r["prompt"] for r in rows_of(task) if r["score_alone"] is not None]
    assert twice == [row["prompt"] for row in again]


def test_topics_are_scored_together_while_they_are_few(monkeypatch):
    monkeypatch.setattr(choices, "SHARED_PROMPTS", 3)
    topics = ["a", "a", "b", "a", "c", "c", "c", "d"]
    assert choices.calls_of(topics) == [[0, 1, 3], [2, 4, 5, 6], [7]]


def test_shared_contexts_change_no_choice(asked: dict[str, Any], monkeypatch):
    shared = rows_of(task_of(asked))
    plain = choices.scoring_config

    def apart(task: Task, prompts: Any) -> Any:
        return replace(plain(task, prompts), share_prefix=False)

    assert plain(task_of(asked), [EncodedPrompt("a b", (1, 2), ())]).share_prefix
    monkeypatch.setattr(choices, "scoring_config", apart)
    for one, other in zip(shared, rows_of(task_of(asked)), strict=True):
        assert one["letter"] == other["letter"]
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_choices_are_the_same_whatever_the_batch_size(asked: dict[str, Any], most: int):
    whole = rows_of(task_of(asked))
    task = task_of(asked, batch_size=most)
    with rows_fed(task.model.network) as fed:
        again = rows_of(task)
    assert max(fed) == most
    for one, other in zip(again, whole, strict=True):
        assert one["letter"] == other["letter"]
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)


def test_tuned_models_are_asked_in_their_turn_and_in_the_bases(asked: dict[str, Any]):
    asked["tuned"] = [{"source": asked["tuned"][0], "prompt_format": "role_tags"}]
    rows = rows_of(task_of(asked, 1))
    study = next(r["prompt"] for r in rows if r["contexts"] == "study")
    assert study.startswith("<|user|>\nThe following are multiple choice questions")
    assert study.endswith("Answer:\n<|assistant|>\nThe answer is:")
    same = next(r["prompt"] for r in rows if r["contexts"] == "same")
    assert same.endswith("\nD. Dover\nAnswer:")


def test_finished_parts_are_left_out(asked: dict[str, Any], monkeypatch):
    monkeypatch.setattr(choices, "PART_PROMPTS", 4)
    task = task_of(asked)
    parts = list(choices.run(task))
    names = [part.name for part in parts]
    assert len(set(names)) == 3 * 7
    rest = Task(task.model, task.data, task.study, frozenset(names[::2]))
    again = list(choices.run(rest))
    assert [part.name for part in again] == names[1::2]


def test_letters_that_share_a_token_are_refused(asked: dict[str, Any], monkeypatch):
    monkeypatch.setattr(choices, "_letter_ids", lambda *_: ((5,), (6,), (5,), (7,)))
    with pytest.raises(ModelError, match="gives two letters the same last token"):
        rows_of(task_of(asked))


def test_a_prompt_beyond_the_window_names_its_question(asked: dict[str, Any]):
    folder = Path(asked["data_dir"])
    long = [["word " * 1200, "a", "b", "c", "d", "A"]]
    write_questions(folder, {"long": long})
    task = task_of(asked)
    with pytest.raises(ModelError, match=r"long_test\.csv, line 1 has \d+ tokens"):
        next(choices.run(task))


def test_perturbed_rows_show_their_parent(asked: dict[str, Any]):
    rows = rows_of(task_of(asked, choices={"perturbations": ["case"]}))
    assert len(rows) == 7 * 4 * 3
    changed = [row for row in rows if row["perturbation"] == "case"]
    assert {row["parent"] for row in changed} == {row["item"] for row in rows}
    assert all("\nwhich town" in row["prompt"] for row in changed)


def test_real_questions_on_a_trained_model(shared: Path, settings: dict[str, Any]):
    weights = str(shared / "weights" / "stories260K-hf")
    task = task_of(
        settings
        | {"base": weights, "tuned": [{"source": weights, "label": "again"}]}
        | {"data_dir": str(shared / "data")},
        choices={"topics": ["abstract_algebra", "global_facts"]},
        limit=6,
    )
    rows = rows_of(task)
    assert len(rows) == 6 * 9
    # Its pieces have no " A", but " B": the last token of each letter stands for it.
    assert not any(row["letters_are_whole"] for row in rows)
    assert {row["topic"] for row in rows} <= {"abstract_algebra", "global_facts"}
