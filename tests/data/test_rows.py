import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concord.data.rows import read_headerless, read_rows, unused_columns
from concord.errors import DataError


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_json_lines_keep_their_place_and_skip_blank_lines(tmp_path):
    rows = read_rows(write(tmp_path / "a.jsonl", '{"x": "1"}\n\n{"x": "2"}\r\n'))
    assert [row.text("x") for row in rows] == ["1", "2"]
    assert rows[1].place.endswith("a.jsonl, line 3")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    rows = read_rows(write(tmp_path / "a.tsv", "\ufeffx\ty\na\tb\n"))
    assert rows[0].cells == {"x": "a", "y": "b"}


def test_quotes_enclose_in_csv_and_are_text_between_tabs(tmp_path):
    quoted = read_rows(write(tmp_path / "a.csv", 'x,y\n"a, ""b""\nc",d\ne,f\n'))
    assert quoted[0].text("x") == 'a, "b"\nc'
    assert quoted[1].place.endswith("line 4")
    plain = read_rows(write(tmp_path / "a.tsv", 'x\ty\n"a\tb\n'))
    assert plain[0].text("x") == '"a'


def test_a_line_separator_inside_a_sentence_does_not_end_the_line(tmp_path):
    rows = read_rows(write(tmp_path / "a.tsv", "x\ty\na\u2028b\tc\x85d\n"))
    assert rows[0].cells == {"x": "a\u2028b", "y": "c\x85d"}


def test_parquet_rows_count_from_one(tmp_path):
    table = pyarrow.table({"x": ["a", None], "n": [1, 2]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    rows = read_rows(tmp_path / "a.parquet")
    assert rows[0].identifier("n") == "1"
    with pytest.raises(DataError, match=r"a\.parquet, row 2: 'x' holds None"):
        rows[1].text("x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "line 1: no rows"),
        ("a.csv", "x,y\n", "no rows"),
        ("a.jsonl", b'{"x": "1"}\n{"x": "\xff"}\n', "line 2: byte 0xff is not UTF-8"),
        ("a.jsonl", '{"x": "1"}\n{"x": \n', "line 2: not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", '["x"]\n', "line 1: list found"),
        ("a.csv", 'x,y\na,"b\n', "line 2: not CSV"),
        ("a.csv", 'x,y\na,"b"c\n', "line 2: not CSV"),
        ("a.csv", "x,y\na,b,c\n", "line 2: 3 cells found, but 2"),
        ("a.tsv", "x\tx\na\tb\n", "line 1: column 'x' stands twice"),
        ("a.parquet", "not parquet", "not a Parquet file"),
        ("a.xlsx", "x", "ending in '.xlsx'"),
    ],
)
def test_a_faulty_file_is_refused_by_file_and_line(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as refused:
        read_rows(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / name)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "a.jsonl")


def test_a_missing_column_names_the_near_one(tmp_path):
    (row,) = read_rows(write(tmp_path / "a.jsonl", '{"txt": "a", "group": "g"}\n'))
    with pytest.raises(DataError, match=r"line 1: no column 'text'.*mean 'txt'"):
        row.text("text")


@pytest.mark.parametrize("cell", ["1", "null", '" "', '"\\ud800"', "true"])
def test_a_cell_that_is_no_text_is_refused(tmp_path, cell):
    (row,) = read_rows(write(tmp_path / "a.jsonl", f'{{"x": {cell}}}\n'))
    with pytest.raises(DataError, match="line 1: 'x'"):
        row.text("x")


def test_a_whole_number_is_an_identifier_but_true_is_not(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"x": 7}\n{"x": true}\n')
    number, flag = read_rows(path)
    assert number.identifier("x") == "7"
    with pytest.raises(DataError):
        flag.identifier("x")


def test_without_a_header_the_first_line_is_a_row(tmp_path):
    path = write(tmp_path / "a.tsv", "1\ta\r\n2\tb\tc\r\n")
    rows = read_headerless(path, ("id", "x", "y"), required=2)
    assert [dict(row.cells) for row in rows] == [
        {"id": "1", "x": "a", "y": ""},
        {"id": "2", "x": "b", "y": "c"},
    ]


def test_a_header_where_none_is_expected_is_passed_over(tmp_path):
    path = write(tmp_path / "a.csv", "id,x\n1,a\n")
    assert [row.text("x") for row in read_headerless(path, ("id", "x"))] == ["a"]


def test_too_few_or_too_many_cells_are_refused_without_a_header_too(tmp_path):
    for line in ("1", "1\ta\tb"):
        path = write(tmp_path / "a.tsv", f"0\tz\n{line}\n")
        with pytest.raises(DataError, match="line 2"):
            read_headerless(path, ("id", "x"))
    with pytest.raises(DataError, match="without a header"):
        read_headerless(write(tmp_path / "a.jsonl", "{}"), ("id", "x"))


def test_columns_nobody_reads_are_listed(tmp_path):
    rows = read_rows(write(tmp_path / "a.csv", "x,z,y\n1,2,3\n"))
    assert unused_columns(rows, ["x"]) == ["y", "z"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([".jsonl", ".csv", ".tsv", ".parquet"]),
    st.binary(max_size=60)
    | st.text('{}[]",:\n\r\tx1\\\x00', max_size=40).map(str.encode),
)
def test_any_bytes_are_rows_or_a_data_error(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    try:
        rows = read_rows(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert all(row.place.startswith(str(path)) for row in rows)
