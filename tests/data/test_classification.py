"""Folders of classification tasks: what is read, and what is refused by line."""

import json
from pathlib import Path
from typing import Any

import pytest
from training_worlds import pair, write_table, write_task

from concord.data.becel import LAYOUTS
from concord.data.classification import Example, Layout, read_folder
from concord.data.task_layout import OWN_LAYOUT, layout_of
from concord.errors import DataError


def read(folder: Path) -> Any:
    return read_folder("own", folder, layout_of(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_task(tmp_path / "own")


def test_a_folder_of_ones_own_needs_nothing_but_its_files(folder: Path):
    task = read(folder)
    assert task.layout.labels == ("0", "1")
    assert task.layout.scored == "validation"
    assert task.counts == {
        "train": 24,
        "validation": 8,
        "semantic": 8,
        "negational": 8,
        "symmetric": 4,
        "symmetric_held_out": 8,
    }
    exchanged = task.partners["symmetric"][0]
    assert exchanged.original.first.startswith("Number")
    assert exchanged.changed == exchanged.original.exchanged


def test_classes_are_sorted_as_numbers_or_as_words(tmp_path: Path):
    rows = [pair("a", f"b{label}", label) for label in (10, 2, 1)]
    write_table(tmp_path / "n" / "train.tsv", rows)
    write_table(tmp_path / "n" / "test.tsv", rows)
    assert read(tmp_path / "n").layout.labels == ("1", "2", "10")
    rows = [pair("a", "b", label) for label in ("no", "yes", "maybe")]
    write_table(tmp_path / "w" / "train.tsv", rows)
    write_table(tmp_path / "w" / "validation.tsv", rows)
    assert read(tmp_path / "w").layout.labels == ("maybe", "no", "yes")


def test_json_lines_and_a_single_text_are_read_too(tmp_path: Path):
    rows = [{"review": f"Text {i}.", "stars": i % 3} for i in range(6)]
    changed = [{**row, "review_paraphrase": f"{row['review']}!"} for row in rows]
    for name, own in (("train", rows), ("test", rows), ("semantic", changed)):
        text = "".join(json.dumps(row) + "\n" for row in own)
        (tmp_path / f"{name}.jsonl").write_text(text, "utf-8")
    (tmp_path / "task.yaml").write_text("columns: [review]\nlabel: stars\n", "utf-8")
    task = read(tmp_path)
    assert task.layout.labels == ("0", "1", "2")
    assert "symmetric_held_out" not in task.partners
    example = task.scored[0]
    assert example.filled(task.layout.text) == "Text 0."
    assert task.partners["semantic"][0].changed.second == "Text 0.!"


def test_all_slots_are_filled_at_once():
    example = Example("{second}", "b", 0, word="w")
    assert example.filled("{word}: {first}, {second}") == "w: {second}, b"


def test_only_one_class_may_hold_in_both_directions(folder: Path):
    (folder / "task.yaml").write_text("symmetric: 1\nlabels: [0, 1]\n", "utf-8")
    task = read(folder)
    kept = task.partners["symmetric_held_out"]
    assert len(kept) == 4
    assert all(one.original.label == 1 for one in kept)


def change(path: Path, old: str, new: str, count: int = 1) -> None:
    path.write_text(path.read_text("utf-8").replace(old, new, count), "utf-8")


def test_a_label_that_is_not_in_the_training_set_is_refused(folder: Path):
    change(folder / "validation.tsv", "\t1\n", "\t7\n")
    message = r"validation\.tsv, line 3: label is '7', but one of 0, 1 is needed"
    with pytest.raises(DataError, match=message):
        read(folder)


def test_a_class_without_a_training_row_is_refused(folder: Path):
    change(folder / "train.tsv", "\t1\n", "\t0\n", 99)
    with pytest.raises(DataError, match=r"train\.tsv, all 24 rows: 0 found, but two"):
        read(folder)
    (folder / "task.yaml").write_text("labels: [0, 1]\n", "utf-8")
    message = r"train\.tsv, all 24 rows: no row of class '1' found"
    with pytest.raises(DataError, match=message):
        read(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_words: [a, b, c]\n", r"3 label_words found, but 2 are needed.*0, 1"),
        ("symmetric: 7\n", "symmetric is '7'.*Known: 0, 1, all"),
    ],
)
def test_what_speaks_of_classes_must_fit_those_of_the_training_file(
    folder: Path, text: str, message: str
):
    (folder / "task.yaml").write_text(text, "utf-8")
    with pytest.raises(DataError, match=rf"task\.yaml: {message}"):
        read(folder)


def test_a_quote_that_is_not_closed_is_refused_and_merges_no_rows(folder: Path):
    header = "sentence1\tsentence2\tlabel\n"
    (folder / "train.tsv").write_text(
        f'{header}a\tb\t0\n"He said\tyes\t1\nc\td\t1\n', "utf-8"
    )
    with pytest.raises(DataError, match=r"train\.tsv, line 3: not CSV"):
        read(folder)


def test_a_blank_line_is_passed_over(folder: Path):
    before = len(read(folder).splits["train"])
    path = folder / "train.tsv"
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert len(read(folder).splits["train"]) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "train",
            "sentence2",
            "sentense2",
            "needed sentence2: did you mean 'sentense2'",
        ),
        ("train", "label", "lable", "needed label: did you mean 'lable'"),
        ("semantic", "sentence2_para", "sentence2_pari", "did you mean 'sentence2_pa"),
        ("negational", "neg_label", "neglabel", "no column 'neg_label'.*'neglabel'"),
    ],
)
def test_a_missing_column_is_named_with_its_near_match(
    folder: Path, name: str, old: str, new: str, message: str
):
    change(folder / f"{name}.tsv", old, new)
    with pytest.raises(DataError, match=rf"{name}\.tsv, line .*{message}"):
        read(folder)


def test_an_empty_scored_split_is_refused(folder: Path):
    (folder / "validation.tsv").write_text("sentence1\tsentence2\tlabel\n", "utf-8")
    with pytest.raises(DataError, match=r"validation\.tsv, line 1: no rows found"):
        read(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colums: [a]\n", "unknown key 'colums'; did you mean 'columns'"),
        ("text: '{first}'\n", "text needs {second}"),
        ("text: '{second}'\n", "it needs {first} and {second}"),
        ("labels: [a, a]\n", "each class once"),
        ("labels: [a, b]\nsymmetric: c\n", "symmetric is 'c'"),
        ("label_words: [no, yes]\n", "label_words: YAML reads yes, no"),
        ("columns: [a, b, c]\n", "columns: .*at most 2"),
        ("scored: train\n", "scored: .*'validation' or 'test'"),
        ("text: '{first} {second} {foo}'\n", "the slot {foo}; Known: first"),
        ("columns: one\n", "columns: a list is needed"),
        ("- a\n", "found list; needed keys"),
        ("a: [\n", "not YAML"),
    ],
)
def test_a_layout_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str, message: str
):
    (tmp_path / "task.yaml").write_text(text, "utf-8")
    with pytest.raises(DataError, match=rf"task\.yaml(, line 1)?: .*{message}"):
        layout_of(tmp_path)


def test_a_layout_file_changes_only_what_it_says(tmp_path: Path):
    assert layout_of(tmp_path) == OWN_LAYOUT
    assert layout_of(tmp_path, LAYOUTS["snli"]) is LAYOUTS["snli"]
    (tmp_path / "task.yaml").write_text('text: "{first} {second}"\n', "utf-8")
    changed = layout_of(tmp_path, LAYOUTS["rte"])
    assert changed.text == "{first} {second}"
    assert changed.labels == LAYOUTS["rte"].labels
    assert isinstance(changed, Layout)
