"""Figures and tables of multiple choice: accuracy, spread, agreement, letters."""

from typing import Any

from concord.report import formats
from concord.report.figure import Figure, Panel, basis_of, interval_panel
from concord.report.findings import Findings
from concord.report.table import Column, Table

_COLUMNS = {
    "accuracy": "accuracy",
    "spread": "spread",
    "spread_expected": "spread by noise alone",
    "content_agreement": "content agreement",
    "rewording_agreement": "under rewording",
    "reordering_agreement": "under reordering",
    "letter_agreement": "letters kept",
    "no_answer": "no answer",
}


def choice_datasets(findings: Findings) -> list[str]:
    """Data sets of multiple choice, in the summary's order."""
    names = [
        str(measure.get("dataset"))
        for measure in findings.measures
        if measure["key"].startswith("choices.")
    ]
    return list(dict.fromkeys(names))


def position_warnings(findings: Findings) -> list[str]:
    """What has to be known before these numbers are read as consistency."""
    return list((findings.content.get("choices") or {}).get("warnings") or [])


def choice_figures(findings: Findings) -> list[Figure]:
    """One figure for each data set, four panels."""
    figures = [_figure(findings, dataset) for dataset in choice_datasets(findings)]
    return [figure for figure in figures if figure is not None]


def choice_tables(findings: Findings) -> list[Table]:
    """The measures, and the letters: a row per data set and model."""
    return [_measures(findings), _letters(findings)]


def _figure(findings: Findings, dataset: str) -> Figure | None:
    key = f"choices.{dataset}"
    panels = [
        interval_panel(findings, f"{key}.accuracy", "Accuracy", axis="share right"),
        interval_panel(
            findings,
            f"{key}.spread",
            "Spread over instructions",
            axis="best minus worst accuracy",
            ticks=f"{key}.spread_expected",
            ticks_label="noise alone",
        ),
        interval_panel(
            findings,
            f"{key}.rewording_agreement",
            "Same option when reworded",
            axis="share of pairs of instructions",
        ),
        interval_panel(
            findings,
            f"{key}.reordering_agreement",
            "Same option when reordered",
            axis="share of pairs of orders",
            ticks=f"{key}.letter_agreement",
            ticks_label="same letter",
        ),
    ]
    found: tuple[Panel, ...] = tuple(panel for panel in panels if panel)
    if not found:
        return None
    return Figure(
        f"choices-{dataset}",
        f"Multiple choice, {dataset}: does the wording or the order change the choice?",
        "A small spread alone is no consistency: a model that always says one letter "
        "has none. Read it with accuracy, with the share of pairs that keep the chosen "
        "option, and with its tick, the spread that noise alone would give. A model "
        "whose tick in the last panel lies right of its mark keeps the letter rather "
        "than the option.",
        basis_of(findings, f"{key}.accuracy"),
        found,
    )


def _measures(findings: Findings) -> Table:
    rows = [
        (
            dataset,
            model,
            *(findings.value(f"choices.{dataset}.{n}", model) for n in _COLUMNS),
        )
        for dataset in choice_datasets(findings)
        for model in findings.models
    ]
    columns = (
        Column("data set"),
        Column("model"),
        *(
            Column(title, formats.with_interval, ("value", "low", "high"))
            for title in _COLUMNS.values()
        ),
    )
    caption = "Multiple choice, mean over instructions and orders of the options."
    return Table("choices", caption, columns, tuple(rows))


def _letters(findings: Findings) -> Table:
    """How often each letter was chosen, and how often it was right."""
    rows = (findings.content.get("choices") or {}).get("letters") or []
    letters = list(dict.fromkeys(letter for row in rows for letter in row["chosen"]))
    body: list[tuple[Any, ...]] = [
        (
            row["dataset"],
            row["model"] if kind == "chosen" else "right options",
            row["contexts"],
            *({"value": row[kind].get(letter)} for letter in letters),
        )
        for row in rows
        for kind in ("chosen", "right")
        if kind == "chosen" or row is _last_of(rows, row["dataset"])
    ]
    columns = (
        Column("data set"),
        Column("model"),
        Column("contexts"),
        *(
            Column(letter, lambda e: formats.number(e.get("value")))
            for letter in letters
        ),
    )
    caption = "Share of each letter among the choices, and among the right options."
    return Table("choice-letters", caption, columns, tuple(body))


def _last_of(rows: list[dict[str, Any]], dataset: str) -> dict[str, Any]:
    return [row for row in rows if row["dataset"] == dataset][-1]
