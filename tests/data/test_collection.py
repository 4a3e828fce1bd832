from pathlib import Path
from typing import Any

import pytest
from small_study import SUBJECTS, TOWNS, write_lines

from concord.data.collection import read_collection
from concord.errors import DataError, StudyError
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


def write_groups(path: Path) -> str:
    write_lines(path, [{"group": "0", "text": text} for text in ("I go.", "I leave.")])
    return str(path)


@pytest.mark.parametrize("second", ["other/mine.jsonl", "mrpc.jsonl", "facts.jsonl"])
def test_a_name_of_two_data_sets_is_refused(
    settings: dict[str, Any], tmp_path: Path, second: str
):
    """The rows of one would silently replace those of the other."""
    files = [write_groups(tmp_path / name) for name in ("mine.jsonl", second)]
    asked = {"datasets": ["mrpc", *files]}
    with pytest.raises(StudyError, match=r"representation\.datasets: .*rename"):
        read(settings, representation=asked)


def test_a_data_set_named_twice_is_refused(settings: dict[str, Any]):
    with pytest.raises(StudyError, match="two data sets are called 'mrpc'"):
        read(settings, representation={"datasets": ["mrpc", "mrpc"]})
