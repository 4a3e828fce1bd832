"""Exported tasks lie in their own folder, whatever the relations are called."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from concord.harnesses.lm_eval_task import FUNCTIONS, export_facts, file_name

NAMES = ["P19", "../../../pwn", "was/is", "was_is", "..", "a b", "été", "50%", "a,b"]


def facts_file(folder: Path) -> Path:
    lines = ["relation\tsubject\tobject\ttemplate"]
    for name in NAMES:
        lines += [
            f"{name}\t{subject}\t{place}\t{template}"
            for subject, place in (("Ada", "Avon"), ("Ben", "Brill"))
            for template in ("[X] was born in [Y]", "[X] comes from [Y]")
        ]
    path = folder / "my facts, 2.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def functions_in(folder: Path) -> Any:
    place = folder / f"{FUNCTIONS}.py"
    description = importlib.util.spec_from_file_location(FUNCTIONS, place)
    assert description is not None and description.loader is not None
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


def test_every_relation_has_one_file_inside_the_folder(tmp_path: Path):
    before = facts_file(tmp_path)
    groups = export_facts(tmp_path / "deep" / "er" / "tasks", source=str(before))
    assert groups[0] == "concord_my%20facts%2C%202_base"
    inside = tmp_path / "deep" / "er" / "tasks"
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - {before}
    assert all(inside in path.parents for path in written)
    assert len(list((inside / "facts").iterdir())) == len(NAMES)
    tasks = [path.stem for path in inside.glob("*.yaml")]
    assert not [name for name in tasks if "," in name or "/" in name or " " in name]
    functions = functions_in(inside)
    for name in NAMES:
        found = functions.candidates({"relation": file_name(name)})
        assert found == ["Avon", "Brill"]


@pytest.mark.parametrize(
    ("name", "written"),
    [("P19", "P19"), ("été_1.a-b", "été_1.a-b"), ("a/b", "a%2Fb"), ("%2F", "%252F")],
)
def test_a_name_is_kept_where_it_can_be(name: str, written: str):
    assert file_name(name) == written
