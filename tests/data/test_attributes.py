"""Texts about subjects: read from a file, or found in a corpus."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from concord.data.attributes import find_attribute_texts, read_attribute_texts
from concord.data.collection import read_collection
from concord.errors import DataError, StudyError
from concord.study import resolve_study


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


def test_a_passage_that_names_the_subject_is_found_behind_any_number_of_others(
    tmp_path: Path,
):
    others = [f"Who {number}? Who the?" for number in range(1500)]
    naming = [
        f"In a long report on music, The\tWho are named once, in line {number}."
        for number in range(5)
    ]
    rows: list[dict[str, object]] = [{"text": text} for text in (*others, *naming)]
    found = find_attribute_texts(written(tmp_path / "corpus.jsonl", rows), ["The Who"])
    assert found.texts == {"The Who": tuple(naming)}


def test_of_more_passages_than_are_taken_the_best_are(tmp_path: Path):
    long = [f"Ada {number} {'and so on ' * 9}" for number in range(120)]
    short = [f"Ada {number}" for number in range(120, 150)]
    rows: list[dict[str, object]] = [{"text": text} for text in (*long, *short)]
    found = find_attribute_texts(written(tmp_path / "corpus.jsonl", rows), ["Ada"])
    assert len(found.texts["Ada"]) == 100
    assert set(short) < set(found.texts["Ada"])


def test_a_name_is_whole_words(tmp_path: Path):
    rows: list[dict[str, object]] = [
        {"text": "Al Gorevan lies in the hills; Al and Gore were here."},
        {"text": "AL GORE's film."},
        {"text": "It costs $9.99 in town, not $9.999."},
    ]
    path = written(tmp_path / "corpus.jsonl", rows)
    found = find_attribute_texts(path, ["Al Gore", "$9.99", "Gorev"])
    assert found.texts == {
        "Al Gore": ("AL GORE's film.",),
        "$9.99": ("It costs $9.99 in town, not $9.999.",),
    }


def test_a_subject_without_a_word_is_counted_and_finds_nothing(tmp_path: Path):
    path = written(tmp_path / "corpus.jsonl", [{"text": "Ada was here!!!"}])
    found = find_attribute_texts(path, ["!!!", "Ada"])
    assert list(found.texts) == ["Ada"]
    assert found.counts["subjects_without_a_word"] == 1


def test_a_corpus_without_a_word_is_refused(tmp_path: Path):
    path = written(tmp_path / "corpus.jsonl", [{"text": "..."}, {"text": "!!"}])
    with pytest.raises(DataError, match="found no word in its 2 passages"):
        find_attribute_texts(path, ["Ada"])


def test_the_search_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = written(tmp_path / "corpus.jsonl", [{"text": "Ada was here"}])
    with caplog.at_level(logging.DEBUG):
        find_attribute_texts(path, ["Ada"])
    assert not caplog.records


def test_words_on_both_sides_of_a_line_break_are_two(tmp_path: Path):
    text = "Paris<br/>London<P>Ro<b>me</b></P>Oslo"
    path = written(tmp_path / "texts.jsonl", [{"subject": "Ada", "text": text}])
    (found,) = read_attribute_texts(path).texts["Ada"]
    assert found.split() == ["Paris", "London", "Rome", "Oslo"]


def test_texts_and_passages_together_are_refused(settings: dict[str, Any]):
    both = {"texts": "texts.jsonl", "passages": "corpus.jsonl"}
    study = resolve_study(settings, {"analyses": ["enrichment"], "enrichment": both})
    with pytest.raises(StudyError, match=r"texts texts\.jsonl and passages corpus"):
        read_collection(study)


def test_the_evidence_sentences_of_real_subjects_are_read(shared: Path):
    found = read_attribute_texts(shared / "data" / "attributes")
    assert found.counts["subjects"] == 17_294
    assert found.counts["texts"] == 44_960
