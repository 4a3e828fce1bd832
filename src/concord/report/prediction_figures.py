"""Figures of the predictions: agreement, its guards, differences and relations."""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.report import marks
from concord.report.figure import (
    Figure,
    LegendEntry,
    Panel,
    basis_of,
    interval_panel,
    legend_of,
)
from concord.report.findings import Findings, is_number
from concord.report.formats import number, signed

KINDS = (
    ("", "each under its own prompts (study)", "@ink", "circle"),
    ("@same", "both under the base's prompts (weights)", "@c0", "square"),
    ("@prompt", "part due to the prompt", "@c1", "triangle-up"),
    ("@chat", "tuned model in its chat format", "@c2", "triangle-down"),
)
"""The differences of the forest plot: suffix of the key, words, colour and shape."""

GUARDS = (
    ("facts.chance_corrected_agreement", "corrected for chance"),
    ("facts.top_answer_share", "share of the top answer"),
    ("facts.answer_entropy", "entropy of answers"),
)


def prediction_figures(findings: Findings, wordings: Mapping[str, str]) -> list[Figure]:
    """Agreement against accuracy, the collapse guard, differences, relations.

    Args:
        findings: The run's numbers.
        wordings: First wording of each relation, for the tooltips.
    """
    figures = [
        _agreement_and_accuracy(findings),
        _collapse(findings),
        _differences(findings),
        _relations(findings, wordings),
    ]
    return [figure for figure in figures if figure is not None]


def relation_order(findings: Findings) -> list[str]:
    """Relations by the base's agreement, the lowest first; unmeasured ones last."""
    entries = [
        entry
        for entry in findings.content.get("by_relation", [])
        if entry["key"] == "facts.agreement"
    ]
    base = {e["relation"]: e["value"] for e in entries if e["model"] == findings.base}
    names = sorted({entry["relation"] for entry in entries})
    return sorted(
        names, key=lambda name: base[name] if is_number(base.get(name)) else 9.0
    )


def _agreement_and_accuracy(findings: Findings) -> Figure | None:
    rows = [_pair(findings, model) for model in findings.models]
    rows = [row for row in rows if is_number(row["x"]) and is_number(row["y"])]
    if not rows:
        return None
    specification = marks.scatter(
        rows,
        findings.models,
        x_axis="accuracy (share of answers that are right)",
        y_axis="agreement (share of pairs of wordings)",
    )
    name = "agreement-against-accuracy"
    return Figure(
        name,
        "Do models that agree more also know more?",
        "Up: two wordings of a question get the same answer more often. Right: answers "
        "are right more often. A model that moves up without moving right became more "
        "consistent without knowing more. Bars are intervals both ways; the diamond is "
        "the base.",
        basis_of(findings, "facts.agreement", "facts.accuracy") + _baselines(findings),
        (Panel(name, "", specification, description=_points(rows)),),
        legend_of(findings.models),
    )


def _pair(findings: Findings, model: str) -> dict[str, Any]:
    x = findings.value("facts.accuracy", model)
    y = findings.value("facts.agreement", model)
    return {
        "model": model,
        "is_base": model == findings.base,
        **{"x": x.get("value"), "x_low": x.get("low"), "x_high": x.get("high")},
        **{"y": y.get("value"), "y_low": y.get("low"), "y_high": y.get("high")},
    }


def _baselines(findings: Findings) -> str:
    """What answering without the subject would give."""
    baselines = findings.content.get("baselines") or {}
    majority = baselines.get("majority_accuracy")
    uniform = baselines.get("uniform_accuracy")
    if not (is_number(majority) and is_number(uniform)):
        return ""
    return (
        f" Always giving a relation's most common object would be right "
        f"{number(majority)} of the time, guessing {number(uniform)}."
    )


def _collapse(findings: Findings) -> Figure | None:
    panels = [interval_panel(findings, key, title, axis=title) for key, title in GUARDS]
    found = tuple(panel for panel in panels if panel)
    if not found:
        return None
    return Figure(
        "collapse",
        "Is it consistency, or a favourite answer?",
        "A model that collapses on a few answers agrees with itself for the wrong "
        "reason: its top answer takes a larger share, its answers lose entropy, and "
        "its agreement corrected for chance does not rise. The dotted line is the "
        "base.",
        basis_of(findings, *(panel.key for panel in found)),
        found,
    )


def _differences(findings: Findings) -> Figure | None:
    rows = [
        _difference_row(findings, f"facts.agreement{suffix}", model, words)
        for suffix, words, *_ in KINDS
        for model in findings.tuned
    ]
    rows = [row for row in rows if is_number(row["value"])]
    if not rows:
        return None
    measured = {row["kind"] for row in rows}
    kinds = [kind[1:] for kind in KINDS if kind[1] in measured]
    specification = marks.forest(
        rows, findings.tuned, kinds, axis="agreement, tuned − base"
    )
    name = "agreement-differences"
    return Figure(
        name,
        "How much of the change is the model, how much the prompt?",
        "Right of the line: more agreement than the base. The circle is the study's "
        "comparison, where base and tuned model each get their own prompts; the square "
        "gives both the same prompts, so that only the weights differ; the triangle is "
        "what is left for the prompt; one that points down has the tuned model in its "
        "chat format. An interval that crosses the line shows no difference.",
        basis_of(findings, "facts.agreement"),
        (Panel(name, "", specification, description=_forest(rows)),),
        tuple(LegendEntry(*kind) for kind in kinds),
    )


def _difference_row(
    findings: Findings, key: str, model: str, kind: str
) -> dict[str, Any]:
    entry = findings.difference(key, model)
    return {
        "model": model,
        "kind": kind,
        **{part: entry.get(part) for part in ("value", "low", "high", "p_adjusted")},
    }


def _relations(findings: Findings, wordings: Mapping[str, str]) -> Figure | None:
    rows = [
        {
            "relation": entry["relation"],
            "wording": wordings.get(entry["relation"], ""),
            "model": entry["model"],
            "value": entry["value"],
            "n": entry.get("n"),
        }
        for entry in findings.content.get("by_relation", [])
        if entry["key"] == "facts.agreement" and is_number(entry["value"])
    ]
    if not rows:
        return None
    order = relation_order(findings)
    rows.sort(key=lambda row: row["model"] == findings.base)
    specification = marks.dot_rows(
        rows, findings.models, order, axis="agreement (share of pairs of wordings)"
    )
    name = "agreement-by-relation"
    return Figure(
        name,
        "Which relations change?",
        "One row per relation, from the one where the base agrees least to the one "
        "where it agrees most; one mark per model, the diamond is the base. Marks "
        "right of the diamond agree more than the base.",
        f"{len(order)} relations; the table below has the numbers and n.",
        (Panel(name, "", specification, description=_spans(rows, order)),),
        legend_of(findings.models),
    )


def _points(rows: Sequence[Mapping[str, Any]]) -> str:
    """The scatter in words, for those who do not see it."""
    points = [
        f"{row['model']} {number(row['y'])} and {number(row['x'])}" for row in rows
    ]
    return f"agreement and accuracy: {', '.join(points)}"


def _forest(rows: Sequence[Mapping[str, Any]]) -> str:
    kinds: dict[str, list[str]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(
            f"{row['model']} {signed(row['value'])}"
        )
    return "; ".join(f"{kind}: {', '.join(ends)}" for kind, ends in kinds.items())


def _spans(rows: Sequence[Mapping[str, Any]], order: Sequence[str]) -> str:
    values: dict[str, list[float]] = {name: [] for name in order}
    for row in rows:
        values[row["relation"]].append(row["value"])
    spans = [
        f"{name} {number(min(found))} to {number(max(found))}"
        for name, found in values.items()
        if found
    ]
    return f"agreement by relation, all models: {', '.join(spans)}"
