"""The one table at the end of a comparison, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from concord.report.findings import Findings
from concord.report.formats import NOTHING, digits_of, interval, percent, signed, value
from concord.report.verdict import claim_of

SHORTEST = 10
"""Columns that a model's name and a verdict's words get at least."""


def console_table(summary: Mapping[str, Any]) -> Group:
    """Base, each tuned model, difference, interval and verdict per headline measure.

    One table below the other with common widths, so that 80 columns are enough however
    long the name of a measure or of its data set.

    Args:
        summary: The content of ``summary.json``.
    """
    findings = Findings(summary)
    measures = findings.headlines()
    if not measures:
        return Group(Text("no headline measure in this run; the report has the others"))
    cells = [
        [_cells(findings, one["key"], model) for model in findings.tuned]
        for one in measures
    ]
    names = ("model", "base", "tuned", "change", percent(findings.level))
    widths = [
        max(len(name), *(len(row[place]) for rows in cells for row in rows))
        for place, name in enumerate(names)
    ]
    heading = Text(f"Tuned minus base ({findings.base})", style="bold")
    tables: list[RenderableType] = [heading, Text()]
    for position, (measure, rows) in enumerate(zip(measures, cells, strict=True)):
        table = _table(names, widths, has_header=position == 0)
        table.title = Text(_with_data_set(measure), style="bold italic")
        for row in rows:
            table.add_row(*map(Text, row))
        tables += [table, Text()]
    return Group(*tables)


def _table(names: Sequence[str], widths: Sequence[int], *, has_header: bool) -> Table:
    """An empty table, a column for each name and one for the verdict."""
    table = Table(
        box=None,
        collapse_padding=True,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_header=has_header,
        title_justify="left",
    )
    table.add_column(names[0], overflow="fold", min_width=min(widths[0], SHORTEST))
    for name, width in zip(names[1:], widths[1:], strict=True):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    table.add_column("verdict", min_width=SHORTEST)
    return table


def _cells(findings: Findings, key: str, model: str) -> tuple[str, ...]:
    difference = findings.difference(key, model)
    verdict = claim_of(difference) or difference.get("reason") or NOTHING
    return (
        model,
        value(findings.value(key, findings.base)),
        value(findings.value(key, model)),
        signed(difference.get("value"), digits_of(difference)),
        interval(difference) or NOTHING,
        str(verdict),
    )


def _with_data_set(measure: Mapping[str, Any]) -> str:
    title = str(measure.get("title") or measure["key"])
    if measure["key"].startswith(("representation.", "choices.")):
        return f"{title} ({measure.get('dataset')})"
    return title
