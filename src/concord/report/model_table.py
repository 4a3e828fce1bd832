"""A row per model, a column per measure, and why a cell is empty."""

from collections.abc import Mapping
from typing import Any

from concord.report import formats
from concord.report.findings import Findings, is_number
from concord.report.table import Column, Table

Published = Mapping[tuple[str, str], float]
"""Printed numbers by model and key."""
BOUNDS = ("value", "low", "high")


def by_model(
    name: str,
    caption: str,
    findings: Findings,
    titles: Mapping[str, str],
    published: Published,
    *,
    reasons: bool = False,
) -> Table:
    """A row per model, a column per measure, printed numbers beside those that have.

    Args:
        name: Of the table's files.
        caption: Of the table.
        findings: The run's numbers.
        titles: Keys of the measures and their columns' titles.
        published: Printed numbers by model and key.
        reasons: Whether a last column says why cells are empty.
    """
    columns = [Column("model")]
    keys: list[tuple[str, bool]] = []
    for key, title in titles.items():
        columns.append(Column(title, formats.with_interval, BOUNDS, key))
        keys.append((key, False))
        if any((model, key) in published for model in findings.models):
            columns.append(Column(f"{title}, printed", formats.value))
            keys.append((key, True))
    rows = []
    for model in findings.models:
        cells: list[Any] = [
            {"value": published.get((model, key))}
            if is_printed
            else findings.value(key, model)
            for key, is_printed in keys
        ]
        if reasons:
            cells.append(_reasons(findings, model, titles))
        rows.append((model, *cells))
    if reasons:
        columns.append(Column("not measured"))
    return without_empty(Table(name, caption, tuple(columns), tuple(rows)))


def without_empty(table: Table) -> Table:
    """The table without its column of reasons where there is none to give."""
    if any(row[-1] for row in table.rows) or table.columns[-1].show:
        return table
    rows = tuple(row[:-1] for row in table.rows)
    return Table(table.name, table.caption, table.columns[:-1], rows)


def _reasons(findings: Findings, model: str, titles: Mapping[str, str]) -> str:
    """Why cells of a model's row are empty, each reason once."""
    found: dict[str, list[str]] = {}
    for key, title in titles.items():
        entry = findings.value(key, model)
        if not is_number(entry.get("value")):
            reason = _reason(findings, key, entry)
            found.setdefault(reason, []).append(title)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found.items())


def _reason(findings: Findings, key: str, entry: Mapping[str, Any]) -> str:
    analysis, _, rest = key.partition(".")
    measured = [name for name in findings.keys() if name.startswith(f"{analysis}.")]
    if not measured:
        return f"the analysis {analysis} was not run"
    dataset = rest.partition(".")[0]
    is_split = analysis in ("representation", "choices")
    if is_split and not any(name.split(".")[1] == dataset for name in measured):
        return f"the analysis {analysis} was not run on it"
    return str(entry.get("reason") or "not measured in this run")
