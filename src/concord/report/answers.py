"""Figures and tables of written answers, and of the measures of other papers."""

from collections.abc import Mapping
from typing import Any

from concord.report import formats
from concord.report.figure import Figure, Panel, basis_of, interval_panel
from concord.report.findings import Findings, is_number
from concord.report.table import Column, Table
from concord.study import OTHER_MEASURES

_COLUMNS = {
    "accuracy": "accuracy",
    "agreement": "agreement",
    "chance_corrected_agreement": "beyond chance",
    "group_agreement": "within groups",
    "perturbed_agreement": "under perturbation",
    "no_answer": "no answer",
    "top_answer_share": "most common answer",
}
_PARTS = ("value", "low", "high")


def answer_tasks(findings: Findings) -> list[str]:
    """Tasks with written answers, in the summary's order."""
    names = [
        str(measure.get("dataset"))
        for measure in findings.measures
        if measure["key"].startswith("answers.")
    ]
    return list(dict.fromkeys(names))


def answer_warnings(findings: Findings) -> list[str]:
    """What has to be known before these numbers are read as consistency."""
    return list((findings.content.get("answers") or {}).get("warnings") or [])


def answer_figures(findings: Findings) -> list[Figure]:
    """One figure for each task: accuracy and agreements."""
    figures = [_figure(findings, task) for task in answer_tasks(findings)]
    return [figure for figure in figures if figure is not None]


def answer_tables(findings: Findings) -> list[Table]:
    """Written answers; and other papers' measures of anything."""
    return [_answers(findings), _others(findings)]


def _figure(findings: Findings, task: str) -> Figure | None:
    key = f"answers.{task}"
    panels = {
        "accuracy": ("Accuracy", "share right"),
        "agreement": ("Same answer to other instructions", "share of pairs"),
        "group_agreement": ("Same answer within a group", "share of pairs"),
        "no_answer": ("No answer", "share of prompts"),
    }
    drawn = [
        interval_panel(findings, f"{key}.{name}", title, axis=axis)
        for name, (title, axis) in panels.items()
    ]
    found: tuple[Panel, ...] = tuple(panel for panel in drawn if panel)
    if not found:
        return None
    return Figure(
        f"answers-{task}",
        f"Written answers, {task}: does the instruction change the answer?",
        "An answer is what stands before the first stop, compared in small letters and "
        "without punctuation. A prompt without an answer agrees with nothing. A model "
        "that writes one answer to everything agrees with itself: read agreement with "
        "accuracy.",
        basis_of(findings, *(panel.key for panel in found)),
        found,
    )


def _answers(findings: Findings) -> Table:
    tasks = answer_tasks(findings)
    shown = [
        name
        for name in _COLUMNS
        if any(findings.has_values(f"answers.{task}.{name}") for task in tasks)
    ]
    rows = [
        (task, model, *(findings.value(f"answers.{task}.{n}", model) for n in shown))
        for task in tasks
        for model in findings.models
    ]
    columns = (
        Column("task"),
        Column("model"),
        *(
            Column(
                _COLUMNS[name],
                formats.with_interval,
                _PARTS,
                f"answers.{tasks[0]}.{name}",
            )
            for name in shown
        ),
    )
    caption = "Written answers, mean over instructions."
    return Table("answers", caption, columns, tuple(rows), block=0)


def _others(findings: Findings) -> Table:
    """A row per measure and data, a column per model; why a number is missing."""
    rows = [
        (
            measure["title"],
            f"{measure['analysis']}: {measure['dataset']}",
            *(findings.value(measure["key"], model) for model in findings.models),
            _why(measure),
        )
        for measure in findings.measures
        if _is_other(measure["key"])
    ]
    columns = (
        Column("measure"),
        Column("of"),
        *(Column(m, formats.with_interval, _PARTS) for m in findings.models),
        Column("not measured, because"),
    )
    caption = (
        "Measures of other papers, by their own names and formulas, each model under "
        "its own prompts."
    )
    return Table("other-measures", caption, columns, tuple(rows), block=0)


def _is_other(key: str) -> bool:
    analysis, _, rest = key.partition(".")
    return (
        analysis in ("facts", "choices", "answers", "finetuned")
        and rest.rpartition(".")[2].removesuffix("_deviation") in OTHER_MEASURES
    )


def _why(measure: Mapping[str, Any]) -> str:
    reasons = dict.fromkeys(
        str(value["reason"])
        for value in measure["values"]
        if value.get("reason") and not is_number(value.get("value"))
    )
    return "; ".join(reasons)
