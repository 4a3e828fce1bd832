"""Users' task files: rendered in a sandbox, faults by file and line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from concord.data.choice_sets import read_choices
from concord.data.choices import ChoiceData, order_of
from concord.data.task_file import read_task
from concord.errors import DataError
from concord.study import Study, resolve_study

PROMPT = "{{ instruction }}\n\n{{ passage }}\n{{ question }}\n{{ options }}\nAnswer:\n"
ROWS = [
    {"passage": "Snow is white.", "question": "Is snow white?", "right": "yes"},
    {"passage": "Coal is black.", "question": "Is coal white?", "right": "no"},
]


def write(folder: Path, rows: list[dict[str, Any]] = ROWS, **changes: Any) -> Path:
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    task = {
        "data": "rows.jsonl",
        "prompt": PROMPT,
        "options": ["yes", "no"],
        "answer": "right",
        "instructions": ["Read and answer.", "Answer from the passage."],
    }
    path = folder / "snow.yaml"
    path.write_text(yaml.safe_dump(task | changes), encoding="utf-8")
    return path


def study_of(path: Path, **choices: Any) -> Study:
    return resolve_study(
        {
            "base": "a",
            "tuned": ["b"],
            "analyses": ["choices"],
            "choices": {"datasets": [str(path)], **choices},
        }
    )


def data_of(path: Path, **choices: Any) -> ChoiceData:
    return read_choices(study_of(path, **choices))[0]


def test_every_instruction_is_a_wording_of_the_prompt(tmp_path: Path):
    data = data_of(write(tmp_path))
    assert (data.name, len(data.wordings), len(data.items)) == ("snow", 2, 2)
    assert data.items[1].prompt(1, order_of("reversal", 2)) == (
        "Answer from the passage.\n\nCoal is black.\nIs coal white?\n"
        "A. no\nB. yes\nAnswer:"
    )
    assert data.items[1].question.answer == 1
    assert data.has_fixed_options


def test_perturbations_change_the_named_columns_alone(tmp_path: Path):
    data = data_of(write(tmp_path), perturbations=["case"])
    changed = data.items[0].prompt(2, (0, 1))
    assert "Snow is white.\nis snow white?" in changed
    assert data.wordings[2].perturbation == "case"


def test_rows_of_a_cluster_are_drawn_together(tmp_path: Path):
    rows = [row | {"page": 1} for row in ROWS]
    data = data_of(write(tmp_path, rows, cluster="page"))
    assert {item.question.cluster for item in data.items} == {"1"}


def test_boolean_answers_as_text(shared: Path, tmp_path: Path):
    source = shared / "data" / "boolq_commonsenseqa" / "BoolQ_dev.jsonl"
    path = write(tmp_path, data=str(source), options=["True", "False"], answer="answer")
    _, rows = read_task(path)
    assert len(rows) == 3270
    assert sum(row.question.answer == 0 for row in rows) == 2033


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"promt": "x"}, "unknown key 'promt'; did you mean 'prompt'"),
        ({"prompt": "{{ instruction }"}, "prompt: not a Jinja template"),
        ({"prompt": "{{ instruction }}"}, "prints the options 0 times"),
        (
            {"prompt": "{{ text }} {{ options }}"},
            r"rows\.jsonl, line 1: .*'text' is un",
        ),
        ({"answer": "rihgt"}, r"line 1: no column 'rihgt' found.*did you mean 'right'"),
        ({"options": ["yes"]}, "1 options found, but 2 to 10"),
        ({"options": ["yes", "maybe"]}, "line 2: the answer 'no' is none of the 2"),
        ({"data": "other.jsonl"}, r"other\.jsonl: no such file"),
        ({"instructions": []}, r"yaml, line \d: instructions: 0 found.*least 1"),
        ({"instructions": "Answer."}, "instructions: a list is needed"),
        ({"options": [True, False]}, "options: YAML reads yes, no"),
    ],
)
def test_faults_are_explained(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(DataError, match=message):
        read_task(write(tmp_path, **changes))


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }} {{ options }}",
        "{{ question.__init__.__globals__ }} {{ options }}",
        "{% for i in range(999999999) %}{% endfor %}{{ options }}",
        "{% include '/etc/passwd' %}{{ options }}",
        "{{ '%(x)s' % {} }} {{ options }}",
        "{{ '{} {}'.format(question) }} {{ options }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }} {{ options }}",
        "{{ lipsum() }} {{ options }}",
    ],
)
def test_a_prompt_cannot_reach_beyond_its_row(tmp_path: Path, attack: str):
    with pytest.raises(DataError, match="cannot be filled"):
        read_task(write(tmp_path, prompt=attack))


def test_a_prompt_cannot_draw_lots(tmp_path: Path):
    task = write(tmp_path, prompt="{{ [1, 2] | random }} {{ options }}")
    with pytest.raises(DataError, match="No filter named 'random'"):
        read_task(task)
