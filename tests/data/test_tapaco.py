import json

import pyarrow
import pyarrow.parquet
import pytest

from concord.data.tapaco import read_tapaco
from concord.errors import DataError, StudyError


def row(name, sentence, language="en"):
    return {
        "paraphrase_set_id": name,
        "sentence_id": "9",
        "paraphrase": sentence,
        "lists": [""],
        "tags": [""],
        "language": language,
    }


ROWS = [
    row("1", "Hi."),
    row("1", "Hello."),
    row("1", "Hi."),
    row("2", "Alone."),
    row("3", "Hallo.", "de"),
    row("3", "Guten Tag.", "de"),
    row("007", "Hello."),
    row("007", "Good day."),
]


@pytest.fixture
def hub_file(tmp_path):
    path = tmp_path / "en.jsonl"
    path.write_text("".join(json.dumps(found) + "\n" for found in ROWS))
    return path


@pytest.fixture
def standin(shared):
    return shared / "data" / "tatoeba_paraphrases" / "tapaco_en_standin.jsonl"


def test_sets_sentences_and_clusters_of_the_standin(standin):
    data = read_tapaco(standin)
    assert data.counts["rows"] == 6_113
    assert data.counts["sets"] == len(data.sets) == 2_601
    assert data.counts["sentences_distinct"] == 5_702
    assert data.counts["sentences_in_several_sets"] == 363
    assert data.counts["clusters"] == 2_404
    assert any("stand-in" in note for note in data.notes)


def test_sets_of_different_clusters_share_no_sentence(standin):
    owner = {}
    for found in read_tapaco(standin).sets:
        for sentence in found.sentences:
            assert owner.setdefault(sentence, found.cluster) == found.cluster


def test_a_draw_is_the_same_each_time_and_keeps_the_clusters(standin):
    everything = {found.id: found for found in read_tapaco(standin).sets}
    drawn = read_tapaco(standin, sets=300, seed=5)
    assert len(drawn.sets) == drawn.counts["sets"] == 300
    assert drawn.counts["sets_not_drawn"] == 2_301
    assert all(everything[found.id] == found for found in drawn.sets)
    assert read_tapaco(standin, sets=300, seed=5) == drawn
    assert read_tapaco(standin, sets=300, seed=6).sets != drawn.sets


def test_repeats_sets_of_one_and_other_languages_are_counted(hub_file):
    data = read_tapaco(hub_file)
    assert [(s.id, s.sentences, s.cluster) for s in data.sets] == [
        ("1", ("Hi.", "Hello."), "1"),
        ("007", ("Hello.", "Good day."), "1"),
    ]
    assert data.counts["sentences_repeated"] == 1
    assert data.counts["sets_of_one"] == 1
    assert data.counts["rows_in_other_languages"] == 2


def test_parquet_and_json_lines_give_the_same(hub_file, tmp_path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read_tapaco(tmp_path / "a.parquet") == read_tapaco(hub_file)


def test_the_original_layout_has_no_header_and_may_lack_last_cells(tmp_path):
    path = tmp_path / "en.txt"
    path.write_text('1\t10\tHi.\t907\n1\t11\t"Hello," he said.\n2\t12\tNo.\t\tslang\n')
    (found,) = read_tapaco(path).sets
    assert found.sentences == ("Hi.", '"Hello," he said.')


def test_a_file_without_sets_in_the_language_is_refused(hub_file):
    with pytest.raises(DataError, match="language 'fr' among 8 rows"):
        read_tapaco(hub_file, language="fr")


def test_a_draw_of_no_sets_is_refused(hub_file):
    with pytest.raises(StudyError, match="1 or more"):
        read_tapaco(hub_file, sets=0)


def test_a_missing_sentence_is_refused_by_line(tmp_path):
    path = tmp_path / "en.jsonl"
    path.write_text('{"paraphrase_set_id": "1"}\n')
    with pytest.raises(DataError, match="line 1: no column 'paraphrase'"):
        read_tapaco(path)
