"""A table, and how it is written as CSV, Markdown and LaTeX.

CSV holds numbers as they are, one number per cell; Markdown and LaTeX hold them as a
paper prints them, with the interval. A cell without a number is empty in CSV and a dash
elsewhere.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.report.formats import change, common_digits, value, with_interval
from concord.results import write_text

_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "\N{MINUS SIGN}": "$-$",
}
_MARKDOWN = {sign: f"\\{sign}" for sign in "\\|`*_[]#"} | {
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
}


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Signs with which a spreadsheet's formula begins."""
_SCALED = (value, with_interval, change)
"""Ways of printing whose digits follow the numbers beside them."""


@dataclass(frozen=True)
class Column:
    """One quantity of a table."""

    title: str
    show: Callable[..., str] | None = None
    """How a cell's entry is printed; None: the cell is text or a count."""
    parts: tuple[str, ...] = ("value",)
    """Fields of the entry that CSV gets, a column each."""
    key: str = ""
    """The measure that the column holds, where it is one."""


@dataclass(frozen=True)
class Cell:
    """What a reader sees in one place of a table."""

    text: str
    reason: str = ""
    """Why a number or its interval is missing."""


@dataclass(frozen=True)
class Table:
    """A table before it is written: entries of the summary in rows and columns."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    block: int | None = None
    """Place of a column: rows alike in it hold one quantity, and numbers of a column
    have one precision within them. None: within the whole table."""

    def printed(self) -> list[list[str]]:
        """The body as a reader sees it."""
        return [[cell.text for cell in row] for row in self.cells()]

    def cells(self) -> list[list[Cell]]:
        """The body as a reader sees it, with the reason of what is missing."""
        digits = self._digits()
        return [
            [
                _cell(column, cell, digits[self._block(row)][place])
                for place, (column, cell) in enumerate(
                    zip(self.columns, row, strict=True)
                )
            ]
            for row in self.rows
        ]

    def _block(self, row: tuple[Any, ...]) -> Any:
        return None if self.block is None else row[self.block]

    def _digits(self) -> dict[Any, list[int | None]]:
        """Decimals of each column, block by block."""
        blocks: dict[Any, list[tuple[Any, ...]]] = {}
        for row in self.rows:
            blocks.setdefault(self._block(row), []).append(row)
        return {
            block: [
                common_digits(row[place] for row in rows)
                if column.show in _SCALED
                else None
                for place, column in enumerate(self.columns)
            ]
            for block, rows in blocks.items()
        }


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Every table three times: ``.csv``, ``.md`` and ``.tex``."""
    paths = []
    for table in tables:
        for suffix, text in (
            ("csv", as_csv(table)),
            ("md", as_markdown(table)),
            ("tex", as_latex(table)),
        ):
            path = folder / f"{table.name}.{suffix}"
            write_text(path, text)
            paths.append(path)
    return paths


def as_csv(table: Table) -> str:
    """Plain numbers, a column each for value and ends of the interval."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(name for column in table.columns for name in _csv_names(column))
    for row in table.rows:
        writer.writerow(
            cell
            for column, entry in zip(table.columns, row, strict=True)
            for cell in _csv_cells(column, entry)
        )
    return lines.getvalue()


def as_markdown(table: Table) -> str:
    """A pipe table, caption below."""
    head = [_escaped(column.title, _MARKDOWN) for column in table.columns]
    rule = ["---:" if column.show else "---" for column in table.columns]
    body = [[_escaped(cell, _MARKDOWN) for cell in row] for row in table.printed()]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, rule, *body)]
    return "\n".join([*lines, "", _escaped(table.caption, _MARKDOWN), ""])


def as_latex(table: Table) -> str:
    """A ``table`` with ``booktabs`` rules."""
    head = [_escaped(column.title, _TEX) for column in table.columns]
    body = [[_escaped(cell, _TEX) for cell in row] for row in table.printed()]
    align = "".join("r" if column.show else "l" for column in table.columns)
    rows = [_latex_row(row) for row in body]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{_escaped(table.caption, _TEX)}}}",
            f"\\begin{{tabular}}{{{align}}}",
            r"\toprule",
            f"{' & '.join(head)} \\\\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_row(cells: Sequence[str]) -> str:
    """A row; one that begins with ``[`` or ``*`` would be read as an option."""
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return f"{guard}{' & '.join(cells)} \\\\"


def _cell(column: Column, cell: Any, digits: int | None) -> Cell:
    if not column.show:
        return Cell(str(cell))
    text = column.show(cell) if digits is None else column.show(cell, digits)
    return Cell(text, str(cell.get("reason") or ""))


def _csv_names(column: Column) -> list[str]:
    if not column.show:
        return [column.title]
    return [
        column.title if part == "value" else f"{column.title} {part}"
        for part in column.parts
    ]


def _csv_cells(column: Column, entry: Any) -> list[Any]:
    if not column.show:
        return [defused(entry) if isinstance(entry, str) else entry]
    cells = [entry.get(part) for part in column.parts]
    return ["" if cell is None else cell for cell in cells]


def defused(text: str) -> str:
    """The text behind an apostrophe where a spreadsheet would take it for a formula.

    A carriage return becomes a space: the writer does not quote it.
    """
    guard = "'" if text.startswith(_FORMULA) else ""
    return guard + text.replace("\r", " ")


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    line = " ".join(text.split())
    return "".join(signs.get(sign, sign) for sign in line)
