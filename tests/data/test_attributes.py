"""Texts about subjects: read from a file, or found in a corpus."""

import json
from pathlib import Path

import pytest

from concord.data.attributes import find_attribute_texts, read_attribute_texts
from concord.errors import DataError


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_texts_of_one_subject_are_joined_cleaned_and_merged(tmp_path: Path):
    path = written(
        tmp_path / "texts.jsonl",
        [
            {"subject": "Ada", "texts": ["<b>Ada</b> &amp; Ben", "Ada & Ben"]},
            {"subject": "Ada", "text": "Ada again"},
            {"subject": "Ben", "texts": [" "]},
        ],
    )
    found = read_attribute_texts(path)
    assert found.texts == {"Ada": ("Ada & Ben", "Ada again")}
    assert found.counts["subjects"] == 1 and found.counts["texts"] == 2
    assert read_attribute_texts(tmp_path).texts == found.texts


def test_a_row_without_texts_is_named(tmp_path: Path):
    path = written(tmp_path / "texts.jsonl", [{"subject": "Ada", "texts": 3}])
    with pytest.raises(DataError, match="line 1: found int in place of texts"):
        read_attribute_texts(path)


def test_a_folder_must_hold_one_file(tmp_path: Path):
    with pytest.raises(DataError, match="found 0 files"):
        read_attribute_texts(tmp_path)


def test_passages_must_name_the_subject_and_the_best_come_first(tmp_path: Path):
    passages = [
        "Ada Stone was a baker. Ada Stone baked.",
        "A stone lies in the garden of Ada.",
        "Nothing to see here but a very long walk by the sea.",
        "In a long text on other things, ada stone is named once and then no more.",
    ]
    path = written(tmp_path / "corpus.jsonl", [{"text": text} for text in passages])
    found = find_attribute_texts(path, ["Ada Stone", "Ben Hill"])
    assert found.texts == {"Ada Stone": (passages[0], passages[3])}
    assert found.counts["passages"] == 4 and found.counts["subjects_asked"] == 2


def test_the_evidence_sentences_of_real_subjects_are_read(shared: Path):
    found = read_attribute_texts(shared / "data" / "attributes")
    assert found.counts["subjects"] == 17_294
    assert found.counts["texts"] == 44_960
