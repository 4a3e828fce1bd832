"""Users' own questions, and CommonsenseQA's as published."""

import json
from pathlib import Path
from typing import Any

import pytest

from concord.data.choice_sets import read_choices
from concord.data.questions import read_questions
from concord.errors import DataError
from concord.study import resolve_study


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(**changes: Any) -> dict[str, Any]:
    return {
        "question": "How many?",
        "options": ["two", "three"],
        "answer": "B",
        "topic": "numbers",
    } | changes


def test_questions_may_differ_in_their_number_of_options_where_the_study_says_so(
    tmp_path: Path,
):
    ten = [str(number) for number in range(10)]
    path = write(tmp_path, row(), row(options=ten, answer="J"), row(answer="two"))
    choices = {"datasets": [str(path)], "option_counts": "any"}
    study = resolve_study({"base": "b", "tuned": ["t"], "choices": choices})
    (data,) = read_choices(study)
    first, second, third = (item.question for item in data.items)
    assert (first.options, first.answer) == (("two", "three"), 1)
    assert (len(second.options), second.answer) == (10, 9)
    assert third.answer == 0
    assert first.topic == "numbers"


def test_unequal_option_counts_are_refused_by_line(tmp_path: Path):
    path = write(tmp_path, row(), row(), row(options=["two", "three", "four"]))
    study = resolve_study(
        {"base": "b", "tuned": ["t"], "choices": {"datasets": [str(path)]}}
    )
    with pytest.raises(DataError, match=r"mine\.jsonl, line 3: 3 options") as error:
        read_choices(study)
    assert "mine.jsonl, line 1 has 2" in str(error.value)
    assert "choices.option_counts: any" in str(error.value)


def test_a_missing_topic_is_the_files_name(tmp_path: Path):
    given = row()
    del given["topic"]
    assert read_questions(write(tmp_path, given))[0].topic == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "C"}, "'C' is none of the 2 options"),
        ({"answer": "four"}, "'four' is none of the 2 options"),
        ({"answer": 1}, "'answer' holds 1, but the letter"),
        ({"options": ["B", "A"], "answer": "A"}, "'A' could be 2"),
        ({"options": ["one"]}, "1 options found, but 2 to 10"),
        ({"options": [str(n) for n in range(11)]}, "11 options found"),
        ({"options": [1, 2]}, "a list of texts is needed"),
        ({"options": ["one", " "]}, "option B is empty"),
        ({"question": " "}, "'question' is empty"),
    ],
)
def test_faults_are_named_by_file_and_line(
    tmp_path: Path, changes: dict[str, Any], message: str
):
    path = write(tmp_path, row(), row(**changes))
    with pytest.raises(DataError, match=r"mine\.jsonl, line 2: .*") as error:
        read_questions(path)
    assert message in str(error.value)


def test_a_missing_column_is_answered_with_the_near_match(tmp_path: Path):
    given = row()
    given["option"] = given.pop("options")
    with pytest.raises(DataError, match="did you mean 'option'"):
        read_questions(write(tmp_path, given))


def test_repeated_ids_are_refused_with_both_places(tmp_path: Path):
    path = write(tmp_path, row(id=7), row(id=7))
    with pytest.raises(DataError, match=r"line 2: id '7' stands at .* line 1"):
        read_questions(path)


def test_commonsense_questions_are_compared_by_letter(shared: Path, tmp_path: Path):
    folder = shared / "data" / "boolq_commonsenseqa"
    lines = (folder / "CommonsenseQA_validation.jsonl").read_text("utf-8").splitlines()
    with pytest.raises(DataError, match=r"line 103: .*'CDE'"):
        read_questions(folder / "CommonsenseQA_validation.jsonl")
    kept = tmp_path / "commonsense.jsonl"
    kept.write_text("\n".join(lines[:102] + lines[103:]), encoding="utf-8")
    questions = read_questions(kept)
    assert len(questions) == 1220
    assert {len(question.options) for question in questions} == {5}
