import json

import pyarrow
import pyarrow.parquet
import pytest

from concord.data.mrpc import read_mrpc, read_pairs
from concord.errors import DataError

HEADER = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


def write(path, text):
    path.write_bytes(text.encode())
    return path


def test_the_whole_corpus_has_the_official_counts(shared):
    data = read_mrpc(shared / "data" / "mrpc")
    assert data.counts["pairs_train"] == 4_076
    assert data.counts["pairs_test"] == 1_725
    assert (data.counts["paraphrases"], data.counts["non_paraphrases"]) == (3900, 1901)
    assert len(data.pairs) == len({pair.id for pair in data.pairs}) == 5_801
    quoted = [p for p in data.pairs if '"' in p.first or '"' in p.second]
    assert len(quoted) == 854 + 367
    assert data.notes == ()


def test_quotes_and_the_byte_order_mark_of_the_original_layout(tmp_path):
    rows = '1\t10\t11\t"Yes , he said .\tYes .\n0\t12\t13\tNo .\tMaybe " .\n'
    write(tmp_path / "msr_paraphrase_train.txt", HEADER + rows)
    data = read_mrpc(tmp_path)
    assert [(p.id, p.first, p.second, p.is_paraphrase) for p in data.pairs] == [
        ("train:1", '"Yes , he said .', "Yes .", True),
        ("train:2", "No .", 'Maybe " .', False),
    ]


def test_columns_of_glue_in_parquet_json_lines_and_tabs(tmp_path):
    table = pyarrow.table(
        {"sentence1": ["a"], "sentence2": ["b"], "label": [1], "idx": [0]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    row = {"sentence1": "c", "sentence2": "d", "label": 0, "idx": 0}
    write(tmp_path / "validation.jsonl", json.dumps(row))
    write(tmp_path / "test.tsv", "idx\tsentence1\tsentence2\tlabel\n0\te\tf\t1\n")
    data = read_mrpc(tmp_path)
    assert [(p.id, p.first, p.is_paraphrase) for p in data.pairs] == [
        ("train:1", "a", True),
        ("validation:1", "c", False),
        ("test:1", "e", True),
    ]


def test_one_file_is_enough(tmp_path):
    file = write(tmp_path / "pairs.tsv", HEADER + "1\t1\t2\ta\tb\n")
    assert read_mrpc(file).counts["pairs_pairs"] == 1


@pytest.mark.parametrize(("split", "size"), [("train", 4_045), ("test", 1_713)])
def test_copies_that_lost_quoted_rows_are_noted(tmp_path, split, size):
    rows = "".join(f"1\t{i}\t{i}\ta {i}\tb {i}\n" for i in range(size))
    write(tmp_path / f"msr_paraphrase_{split}.txt", HEADER + rows)
    (note,) = read_mrpc(tmp_path).notes
    assert f"{size:,} rows" in note
    assert "quote" in note


def test_a_folder_without_mrpc_or_with_two_of_a_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="concord data get mrpc"):
        read_mrpc(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read_mrpc(tmp_path / "nowhere")
    write(tmp_path / "train.tsv", "x")
    write(tmp_path / "train.jsonl", "x")
    with pytest.raises(DataError, match="look like train"):
        read_mrpc(tmp_path)


def test_rows_without_a_label_are_refused_by_line(tmp_path):
    header = "sentence1\tsentence2\tlabel\n"
    write(tmp_path / "test.tsv", f"{header}a\tb\t1\na\tb\t-1\n")
    with pytest.raises(DataError, match=r"test\.tsv, line 3: label '-1'"):
        read_mrpc(tmp_path)


def test_paws_has_no_header_and_ends_its_lines_with_two_characters(shared):
    data = read_pairs(shared / "data" / "paws_wiki" / "dev.tsv")
    assert data.counts["pairs"] == 8_000
    assert data.counts["paraphrases"] == 3_539
    assert data.counts["non_paraphrases"] == 4_461
    assert data.counts["pairs_identical"] == 7
    assert data.counts["pairs_repeated"] == 6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"first": "a", "second": "b, c", "is_paraphrase": true}\n'),
        ("a.csv", 'first,second,is_paraphrase\na,"b, c",1\n'),
        ("a.tsv", "sentence1\tsentence2\tlabel\r\na\tb, c\tTrue\r\n"),
    ],
)
def test_own_pairs_come_in_three_formats(tmp_path, name, text):
    (pair,) = read_pairs(write(tmp_path / name, text)).pairs
    assert (pair.id, pair.first, pair.second) == ("a:1", "a", "b, c")
    assert pair.is_paraphrase is True


def test_own_pairs_with_a_wrong_column_are_refused(tmp_path):
    file = write(tmp_path / "a.csv", "frist,second,label\na,b,1\n")
    with pytest.raises(DataError, match=r"line 2: no column 'first'.*'frist'"):
        read_pairs(file)


def test_identical_and_repeated_pairs_are_kept_and_noted(tmp_path):
    lines = "first,second,label\na,a,1\nb,c,0\nb,c,0\n"
    data = read_pairs(write(tmp_path / "a.csv", lines))
    assert data.counts["pairs"] == 3
    assert len(data.notes) == 2
