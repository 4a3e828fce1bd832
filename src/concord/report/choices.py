"""Figures and tables of multiple choice: accuracy, spread, agreement, letters."""

from collections.abc import Callable, Mapping
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
    "forced_agreement": "forced choices",
    "group_agreement": "within groups",
    "perturbed_agreement": "under perturbation",
    "no_answer": "no answer",
}

_LETTER_ROWS = {
    "chosen": "",
    "right": "right options",
    "constant_agreement": "content agreement of one letter",
}
"""What is told of each letter; of all models alike where a name stands."""


def choice_datasets(findings: Findings) -> list[str]:
    """Data sets of multiple choice, in the summary's order."""
    names = [
        str(measure.get("dataset"))
        for measure in findings.measures
        if measure["key"].startswith("choices.")
    ]
    return list(dict.fromkeys(names))


def choice_figures(findings: Findings) -> list[Figure]:
    """One figure for each data set, four panels."""
    figures = [_figure(findings, dataset) for dataset in choice_datasets(findings)]
    return [figure for figure in figures if figure is not None]


def choice_tables(findings: Findings) -> list[Table]:
    """The measures, the letters and the noise: a row per data set and model."""
    return [_measures(findings), _letters(findings), _noise(findings)]


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
        "option, and with its bar, the spread that noise alone would give. A model "
        "whose bar in the last panel lies right of its mark keeps the letter rather "
        "than the option."
        f"{_beyond_noise(findings, f'{key}.spread')}",
        basis_of(findings, *(panel.key for panel in found)),
        found,
    )


def _beyond_noise(findings: Findings, key: str) -> str:
    """Whose spread is larger than equal settings would give, and whose is not."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    for model in findings.models:
        exceeds = findings.value(key, model).get("exceeds_noise")
        if exceeds is not None:
            groups[exceeds].append(model)
    told = (
        (True, "is larger than noise alone would give"),
        (False, "is no larger than noise alone may give and shows nothing"),
    )
    return "".join(
        f" The spread of {formats.listing(groups[exceeds])} {words}."
        for exceeds, words in told
        if groups[exceeds]
    )


def _measures(findings: Findings) -> Table:
    datasets = choice_datasets(findings)
    shown = [
        name
        for name in _COLUMNS
        if any(findings.has_values(f"choices.{one}.{name}") for one in datasets)
    ]
    rows = [
        (
            dataset,
            model,
            *(findings.value(f"choices.{dataset}.{n}", model) for n in shown),
        )
        for dataset in datasets
        for model in findings.models
    ]
    columns = (
        Column("data set"),
        Column("model"),
        *(
            Column(
                _COLUMNS[name],
                formats.with_interval,
                ("value", "low", "high"),
                f"choices.{datasets[0]}.{name}",
            )
            for name in shown
        ),
    )
    caption = "Multiple choice, mean over instructions and orders of the options."
    return Table("choices", caption, columns, tuple(rows), block=0)


def _letters(findings: Findings) -> Table:
    """How often each letter was chosen, and how often it was right."""
    rows = (findings.content.get("choices") or {}).get("letters") or []
    letters = list(dict.fromkeys(letter for row in rows for letter in row["chosen"]))
    body: list[tuple[Any, ...]] = [
        (
            row["dataset"],
            label or row["model"],
            row["contexts"],
            *({"value": row[kind].get(letter)} for letter in letters),
        )
        for row in rows
        for kind, label in _LETTER_ROWS.items()
        if not label or row is _last_of(rows, row["dataset"])
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
    caption = (
        "Share of each letter among the choices, and among the right options; and the "
        "content agreement of a model that always says this letter, which depends on "
        "the orders alone: two orders may put one option behind it."
    )
    return Table("choice-letters", caption, columns, tuple(body))


def _noise(findings: Findings) -> Table:
    """A sample asked again, one by one, without padding."""
    rows = (findings.content.get("choices") or {}).get("noise") or []
    columns = (
        *(Column(name) for name in ("data set", "model", "contexts", "prompts")),
        Column("largest change, nats", _digits(6)),
        Column("same choice", _digits(4)),
        Column("near ties", _digits(4)),
    )
    caption = (
        "Noise floor: a sample of prompts asked again, one by one. A near tie has a "
        "margin within twice the largest change."
    )
    body = [
        (
            *(row[name] for name in ("dataset", "model", "contexts", "n")),
            *({"value": row[n]} for n in ("delta", "self_agreement", "near_ties")),
        )
        for row in rows
    ]
    return Table("choice-noise", caption, columns, tuple(body))


def _digits(digits: int) -> Callable[[Mapping[str, Any]], str]:
    return lambda entry: formats.number(entry.get("value"), digits)


def _last_of(rows: list[dict[str, Any]], dataset: str) -> dict[str, Any]:
    return [row for row in rows if row["dataset"] == dataset][-1]
