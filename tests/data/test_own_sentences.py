import pytest

from concord.data.own_sentences import read_own_sentences
from concord.errors import DataError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_tell_groups_from_pairs(tmp_path):
    groups = write(tmp_path / "groups.csv", "group,text\na,one\na,two\n")
    assert [one.sentences for one in read_own_sentences(groups).sets] == [
        ("one", "two")
    ]
    line = '{"first": "one", "second": "two", "is_paraphrase": 0}\n'
    pairs = read_own_sentences(write(tmp_path / "pairs.jsonl", line)).pairs
    assert [(one.first, one.is_paraphrase) for one in pairs] == [("one", False)]


def test_a_table_without_a_header_is_read_as_pairs(tmp_path):
    file = write(tmp_path / "dev.tsv", "1\tone\ttwo\t1\n2\tone\tthree\t0\n")
    found = [(one.second, one.is_paraphrase) for one in read_own_sentences(file).pairs]
    assert found == [("two", True), ("three", False)]


def test_other_columns_are_refused_with_both_layouts(tmp_path):
    file = write(tmp_path / "a.csv", "left,right\na,b\n")
    with pytest.raises(DataError, match=r"line 1: columns left, right found.*'first'"):
        read_own_sentences(file)


def test_a_group_without_text_is_refused_by_its_column(tmp_path):
    file = write(tmp_path / "a.csv", "group,txt\na,b\n")
    with pytest.raises(DataError, match=r"line 2: no column 'text'"):
        read_own_sentences(file)
