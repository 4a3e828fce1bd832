from pathlib import Path
from typing import Any

import pytest
from small_study import SUBJECTS, TOWNS, write_lines

from concord.data.collection import read_collection
from concord.errors import DataError
from concord.study import resolve_study


def write_facts(path: Path, templates: list[str]) -> str:
    rows = [
        {"relation": "R", "subject": subject, "object": TOWNS[i % 4], "template": text}
        for i, subject in enumerate(SUBJECTS)
        for text in templates
    ]
    write_lines(path, rows)
    return str(path)


def read(settings: dict[str, Any], **changes: Any):
    changes = {"analyses": ["representation"], **changes}
    return read_collection(resolve_study(settings, changes))


def test_own_facts_are_not_called_pararels(settings: dict[str, Any], tmp_path: Path):
    source = write_facts(tmp_path / "own.jsonl", ["[X] is from [Y].", "[X] left [Y]."])
    asked = {"datasets": ["pararel"]}
    (own,) = read(settings, facts={"source": source}, representation=asked).sentences
    (published,) = read(settings, representation=asked).sentences
    assert own.notes == (
        f"The filled templates of the facts in {source}, not ParaRel's.",
    )
    assert published.notes == ()


def test_facts_of_one_wording_have_no_paraphrases(
    settings: dict[str, Any], tmp_path: Path
):
    source = write_facts(tmp_path / "own.jsonl", ["[X] is from [Y]."])
    with pytest.raises(DataError, match="one prompt for each of the 6 facts"):
        read(
            settings, facts={"source": source}, representation={"datasets": ["pararel"]}
        )
