"""Figure and tables of fine-tuned classifiers: accuracy and three consistencies."""

from typing import Any

from concord.report import formats
from concord.report.figure import Figure, Panel, basis_of, interval_panel
from concord.report.findings import Findings
from concord.report.table import Column, Table

_COLUMNS = {
    "accuracy": "accuracy",
    "semantic": "semantic",
    "negational": "negational",
    "negational_paper": "negational, published rule",
    "symmetric": "symmetric",
    "symmetric_becel": "symmetric, the set's own rows",
    "top_class_share": "most common class given",
    "majority_share": "most common right class",
}
MEAN = "mean"
"""Stands for a data set in the mean over tasks."""


def classified_tasks(findings: Findings) -> list[str]:
    """Tasks of fine-tuned classifiers, in the summary's order, the mean last."""
    names = [
        str(measure.get("dataset"))
        for measure in findings.measures
        if measure["key"].startswith("finetuned.")
    ]
    found = list(dict.fromkeys(names))
    # The mean of a single task says nothing new.
    return [name for name in found if name != MEAN or len(found) > 2]


def classifier_warnings(findings: Findings) -> list[str]:
    """What has to be known before these numbers are read as consistency."""
    return list((findings.content.get("finetuned") or {}).get("warnings") or [])


def finetuned_figures(findings: Findings) -> list[Figure]:
    """One figure for each task, and for their mean; four panels."""
    figures = [_figure(findings, task) for task in classified_tasks(findings)]
    return [figure for figure in figures if figure is not None]


def finetuned_tables(findings: Findings) -> list[Table]:
    """The measures, and what the held-out rows said of every learning rate."""
    return [_measures(findings), _trainings(findings)]


def _figure(findings: Findings, task: str) -> Figure | None:
    key = f"finetuned.{task}"
    panels = [
        interval_panel(
            findings,
            f"{key}.accuracy",
            "Accuracy",
            axis="share right",
            ticks=f"{key}.majority_share",
            ticks_label="the most common right class",
        ),
        interval_panel(
            findings,
            f"{key}.semantic",
            "Same class when paraphrased",
            axis="share of rows",
        ),
        interval_panel(
            findings,
            f"{key}.negational",
            "Right change when negated",
            axis="share of rows",
            ticks=f"{key}.negational_paper",
            ticks_label="published rule",
        ),
        interval_panel(
            findings,
            f"{key}.symmetric",
            "Same class when exchanged",
            axis="share of rows",
            ticks=f"{key}.symmetric_becel",
            ticks_label="the set's own rows",
        ),
    ]
    found: tuple[Panel, ...] = tuple(panel for panel in panels if panel)
    if not found:
        return None
    named = "mean over tasks" if task == MEAN else task
    return Figure(
        f"finetuned-{task}",
        f"Fine-tuned classifiers, {named}: are changed texts classified alike?",
        "Each model was fine-tuned on the same rows. A classifier that gives one class "
        "to everything keeps it under paraphrase and exchange, and is right at most as "
        "often as the bar says: read the other panels where accuracy is beyond it. "
        "The bars of the lower panels are named in brackets.",
        basis_of(findings, *(panel.key for panel in found)),
        found,
    )


def _measures(findings: Findings) -> Table:
    rows = [
        (
            task,
            model,
            *(findings.value(f"finetuned.{task}.{n}", model) for n in _COLUMNS),
            _deviation(findings.value(f"finetuned.{task}.accuracy", model)),
        )
        for task in classified_tasks(findings)
        for model in findings.models
    ]
    columns = (
        Column("task"),
        Column("model"),
        *(
            Column(
                title,
                formats.with_interval,
                ("value", "low", "high"),
                f"finetuned.{task}.{name}",
            )
            for name, title in _COLUMNS.items()
            for task in classified_tasks(findings)[:1]
        ),
        Column("accuracy's deviation over seeds", _number),
    )
    caption = "Fine-tuned classifiers at the chosen learning rate, mean over seeds."
    return Table("finetuned", caption, columns, tuple(rows))


def _trainings(findings: Findings) -> Table:
    """A row for each model, task and learning rate."""
    trainings = (findings.content.get("finetuned") or {}).get("trainings") or []
    rows = [
        (
            row["task"],
            row["model"],
            f"{row['rate']:g}",
            "chosen" if row["is_chosen"] else "",
            {"value": row["accuracy"]},
            {"value": row["loss"]},
            f"{row['rounds']:g}",
            ", ".join(map(str, row["seeds"])),
            formats.count(row["trained_weights"]),
        )
        for row in trainings
    ]
    columns = (
        *(Column(name) for name in ("task", "model", "learning rate", "")),
        Column("held-out accuracy", _number),
        Column("held-out loss", _number),
        *(Column(name) for name in ("looks", "seeds", "weights trained")),
    )
    caption = "Learning rates, chosen per model and task on held-out rows."
    return Table("finetuned-rates", caption, columns, tuple(rows))


def _deviation(entry: Any) -> dict[str, Any]:
    return {"value": entry.get("contexts_sd")}


def _number(entry: Any) -> str:
    return formats.number(entry.get("value"))
