"""Rows of JSON lines, CSV, tab-separated and Parquet files, each knowing its place.

Every reader goes through here, so that every fault in a file is named by file and
line. Text is UTF-8; a byte order mark is accepted.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet

from concord.errors import DataError, did_you_mean

SUFFIXES = (".jsonl", ".csv", ".tsv", ".txt", ".parquet")


@dataclass(frozen=True)
class Row:
    """One row of a file: its cells by column name, and where it stands."""

    place: str
    """File and line (for Parquet, row), as error messages name it."""
    cells: Mapping[str, object]

    def column(self, *names: str) -> str:
        """The first of the names that is a column of this row.

        Raises:
            DataError: None is; the message holds the near match.
        """
        for name in names:
            if name in self.cells:
                return name
        raise DataError(
            f"{self.place}: no column {names[0]!r} found, but it is needed; "
            f"{did_you_mean(names[0], self.cells)} Rename or add the column."
        )

    def text(self, *names: str) -> str:
        """The cell under the first of the names that is a column, as it stands.

        Raises:
            DataError: No such column, or no text in it.
        """
        name = self.column(*names)
        value = self.cells[name]
        if not isinstance(value, str):
            raise DataError(
                f"{self.place}: {name!r} holds {value!r}, but text is needed. "
                "Put it in quotes, or correct the row."
            )
        if not value.strip():
            raise DataError(
                f"{self.place}: {name!r} is empty, but text is needed. "
                "Fill it in, or remove the row."
            )
        _refuse_half_characters(value, name, self.place)
        return value

    def identifier(self, *names: str) -> str:
        """The cell as text, where a whole number is welcome too (ids, labels)."""
        value = self.cells[self.column(*names)]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(*names)

    def optional_text(self, name: str) -> str | None:
        """The cell as text, or None where the column is missing or null."""
        return None if self.cells.get(name) is None else self.text(name)


def read_rows(path: Path) -> list[Row]:
    """Rows of a file with named columns, its kind told by the end of its name.

    In CSV quote characters enclose cells; in tab-separated files they are text.

    Args:
        path: A file that ends in .jsonl, .csv, .tsv, .txt (tabs) or .parquet.

    Raises:
        DataError: The file is missing, empty, of another kind, or faulty.
    """
    suffix = _known_suffix(path)
    if suffix == ".parquet":
        rows = list(_parquet_rows(path))
    elif suffix == ".jsonl":
        rows = list(_json_rows(path))
    else:
        rows = list(_table_rows(path))
    return _not_empty(rows, path)


def read_headerless(
    path: Path, columns: Sequence[str], *, required: int | None = None
) -> list[Row]:
    """Rows of a CSV or tab-separated file whose first line is a row already.

    A first line that holds the very names of the columns is passed over all the same.

    Args:
        path: A file that ends in .csv, .tsv or .txt.
        columns: Names for the cells.
        required: How many leading cells a line must have; all, unless given. Missing
            ones read as "".

    Raises:
        DataError: The file is missing, empty, of another kind, or faulty.
    """
    if _known_suffix(path) in (".jsonl", ".parquet"):
        raise DataError(
            f"{path}: a file with named columns found, but a table without a header "
            "is needed. Name the layout that the file has."
        )
    required = len(columns) if required is None else required
    rows = []
    for index, (number, cells) in enumerate(_cells(path)):
        if index == 0 and list(cells[:required]) == list(columns[:required]):
            continue
        if not required <= len(cells) <= len(columns):
            raise _wrong_width(path, number, cells, columns)
        filled = [*cells, *[""] * (len(columns) - len(cells))]
        named = dict(zip(columns, filled, strict=True))
        rows.append(Row(f"{path}, line {number}", named))
    return _not_empty(rows, path)


def column_names(path: Path) -> list[str]:
    """Names of a file's columns: its header, the keys of its first row, its schema.

    Of a table without a header these are the cells of its first row.

    Raises:
        DataError: The file is missing, empty, of another kind, or faulty.
    """
    if _known_suffix(path) in (".jsonl", ".parquet"):
        return list(read_rows(path)[0].cells)
    _, names = next(_cells(path), (1, []))
    return names


def quoted_cells(
    path: Path, *, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Cells of a table in which quote characters enclose cells, with their line.

    A cell may go over several lines; blank lines are passed over.

    Raises:
        DataError: A quote is not closed, or something follows a closed one.
    """
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: not CSV ({error}). Double the quotes inside "
                "quoted cells, or save the table as JSON lines."
            ) from None
        if cells is None:
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1


def unused_columns(rows: Iterable[Row], used: Iterable[str]) -> list[str]:
    """Columns of the rows that nobody reads, sorted: worth a note to the user."""
    return sorted({name for row in rows for name in row.cells} - set(used))


def read_text(path: Path) -> str:
    """The whole file as text; line ends stay as they are.

    Raises:
        DataError: The file is missing, cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file. Check the path, or get the data set again."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte {content[error.start]:#04x} is not UTF-8. "
            "Save the file as UTF-8."
        ) from None


def _refuse_half_characters(value: str, name: str, place: str) -> None:
    # JSON can spell half of a surrogate pair, which no tokenizer or table can hold.
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"{place}: {name!r} holds half a character ({value!r}). Correct the row."
        ) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Only line feeds part lines: str.splitlines would cut at U+2028 inside a sentence.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        place = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{place}: not JSON ({error}). Each line must be one JSON object."
            ) from None
        if not isinstance(cells, dict):
            raise DataError(
                f"{place}: {type(cells).__name__} found, but each line must be a JSON "
                'object such as {"column": "text"}.'
            )
        yield Row(place, cells)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    if path.suffix.lower() == ".csv":
        yield from quoted_cells(path)
    else:
        for number, line in _lines(path):
            yield number, line.split("\t")


def _table_rows(path: Path) -> Iterator[Row]:
    lines = _cells(path)
    number, columns = next(lines, (1, []))
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path}, line {number}: column {repeated[0]!r} stands twice in the "
            "header. Rename one."
        )
    for number, cells in lines:
        if len(cells) != len(columns):
            raise _wrong_width(path, number, cells, columns)
        yield Row(f"{path}, line {number}", dict(zip(columns, cells, strict=True)))


def _wrong_width(
    path: Path, line: int, cells: Sequence[str], columns: Sequence[str]
) -> DataError:
    return DataError(
        f"{path}, line {line}: {len(cells)} cells found, but {len(columns)} are "
        f"needed ({', '.join(columns)}). Correct the line."
    )


def _known_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: a file ending in {suffix or 'nothing'!r} found, but one of "
            f"{', '.join(SUFFIXES)} is needed. Convert or rename it."
        )
    return suffix


def _not_empty(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise DataError(
            f"{path}, line 1: no rows found, but at least one is needed. "
            "Replace the file with a whole copy."
        )
    return rows


def _parquet_rows(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise DataError(
            f"{path}: no such file. Check the path, or get the data set again."
        )
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: not a Parquet file that can be read ({error}). Get it again."
        ) from None
    for number, cells in enumerate(rows, start=1):
        yield Row(f"{path}, row {number}", cells)
