"""A figure: charts under one title, with the words that say how to read them.

A figure holds data and words only; `concord.report.marks` draws, the page and the SVG
files put in the colours.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert

from concord.report import marks
from concord.report.findings import Findings, is_number
from concord.report.formats import counts, number, percent
from concord.report.palette import THEMES, colours, dashes, painted, shapes
from concord.results import write_text

SVG_WIDTH = 640
_QUESTIONS = {"facts": "questions", "subjects": "clusters"}
_UNITS = {
    "representation": {"facts": "sets or pairs", "subjects": "clusters"},
    "choices": _QUESTIONS,
    "answers": _QUESTIONS,
}
"""What the summary's n counts, by analysis; of facts its own words."""


@dataclass(frozen=True)
class LegendEntry:
    """How one model, or one kind of difference, is drawn."""

    label: str
    colour: str
    shape: str
    dash: str = ""
    """An SVG dash pattern; empty where the figure has no lines."""


@dataclass(frozen=True)
class Panel:
    """One chart of a figure."""

    name: str
    title: str
    specification: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One or more charts under one title, and the sentence that says how to read it."""

    name: str
    title: str
    reading: str
    basis: str
    panels: tuple[Panel, ...]
    legend: tuple[LegendEntry, ...] = ()
    """Shown once for all panels; none where the axis names the models."""


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Every panel as an SVG file in the light colours, titled.

    Returns:
        The files, named after figure and panel.
    """
    panels = [(figure, panel) for figure in figures for panel in figure.panels]
    paths = [folder / f"{panel.name}.svg" for _, panel in panels]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for path, text in zip(
            paths, threads.map(lambda one: _svg(*one), panels), strict=True
        ):
            write_text(path, text)
    return paths


def interval_panel(
    findings: Findings,
    key: str,
    title: str,
    *,
    axis: str,
    ticks: str | None = None,
    ticks_label: str = "lexical gap",
) -> Panel | None:
    """One row per model for a measure; None if no model has a number.

    Args:
        findings: The run's numbers.
        key: The measure.
        title: Above the panel.
        axis: Below it.
        ticks: Another measure, drawn as a tick in each row.
        ticks_label: What the tick is called.
    """
    rows = []
    for model in findings.models:
        entry = findings.value(key, model)
        if is_number(entry.get("value")):
            tick = findings.value(ticks, model).get("value") if ticks else None
            rows.append(
                {
                    "model": model,
                    "is_base": model == findings.base,
                    **{part: entry.get(part) for part in ("value", "low", "high")},
                    "tick": tick,
                }
            )
    if not rows:
        return None
    has_ticks = any(is_number(row["tick"]) for row in rows)
    specification = marks.interval_rows(
        rows, findings.models, axis=axis, ticks=ticks_label if has_ticks else None
    )
    return Panel(slug(key), title, specification)


def curve_panel(
    findings: Findings, key: str, title: str, *, axis: str, is_share: bool = False
) -> Panel | None:
    """Layer curves of a measure, one line per model; None if there are none.

    Args:
        findings: The run's numbers.
        key: The measure.
        title: Above the panel.
        axis: Beside it.
        is_share: Bands, which are symmetric, end at 0 and 1.
    """
    curves = findings.curves(key)
    rows = [row for curve in curves for row in _curve_rows(curve)]
    if is_share:
        rows = [_within_shares(row) for row in rows]
    if not rows:
        return None
    specification = marks.layer_curves(
        rows, findings.models, _lexical_rules(findings, curves, rows), axis=axis
    )
    return Panel(f"{slug(key)}-by-layer", title, specification)


def difference_panel(
    findings: Findings, key: str, contexts: str, title: str, *, axis: str
) -> Panel | None:
    """Tuned minus base layer by layer, around 0; None if there are no curves."""
    curves = findings.curve_differences(key, contexts)
    rows = [row for curve in curves for row in _curve_rows(curve)]
    if not rows:
        return None
    zero = [{"value": 0, "label": ""}]
    specification = marks.layer_curves(rows, findings.models, zero, axis=axis)
    return Panel(
        f"{slug(key)}-difference-by-layer-{slug(contexts)}", title, specification
    )


def legend_of(
    models: Sequence[str], *, has_lines: bool = False
) -> tuple[LegendEntry, ...]:
    """How the models are drawn, for the legend."""
    count = len(models)
    patterns = [" ".join(map(str, dash)) if has_lines else "" for dash in dashes(count)]
    return tuple(map(LegendEntry, models, colours(count), shapes(count), patterns))


def basis_of(findings: Findings, *keys: str) -> str:
    """Coverage of the intervals and n of the first model measured, each n once."""
    parts: list[str] = []
    for key in keys:
        entries = findings.measure(key).get("values", [])
        sizes = next(
            (e["n"] for e in entries if any((e.get("n") or {}).values())), None
        )
        if sizes:
            words = _UNITS.get(key.partition(".")[0], {})
            sizes = {words.get(str(n), str(n)): size for n, size in sizes.items()}
        if sizes:
            dataset = findings.measure(key).get("dataset") if len(keys) > 1 else ""
            parts.append(f"{dataset or ''} {counts(sizes)}".strip())
    parts = list(dict.fromkeys(parts))
    intervals = f"{percent(findings.level)} intervals"
    return f"{intervals}; n: {'; '.join(parts)}." if parts else f"{intervals}."


def slug(key: str) -> str:
    """A measure's key as a file's name."""
    kept = "".join(letter if letter.isalnum() else "-" for letter in key)
    return kept.strip("-") or "figure"


def _svg(figure: Figure, panel: Panel) -> str:
    specification = painted(panel.specification, THEMES["light"])
    title = {"text": figure.title, "anchor": "start", "fontSize": 15, "offset": 14}
    if panel.title:
        title["subtitle"] = panel.title
    specification |= {"width": SVG_WIDTH, "title": title, "background": "white"}
    specification["autosize"] = {"type": "pad", "contains": "padding"}
    return vl_convert.vegalite_to_svg(specification)


def _curve_rows(curve: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = ("value", "low", "high", "band_low", "band_high")
    nothing = [None] * len(curve["layers"])
    columns = [curve.get(part) or nothing for part in parts]
    rows = []
    for layer, *numbers in zip(curve["layers"], *columns, strict=True):
        row = dict(zip(parts, numbers, strict=True))
        if is_number(row["value"]):
            rows.append({"model": curve["model"], "layer": layer, **row})
    return rows


def _within_shares(row: dict[str, Any]) -> dict[str, Any]:
    bands = {part: row[part] for part in ("band_low", "band_high")}
    return row | {
        part: min(max(value, 0.0), 1.0)
        for part, value in bands.items()
        if is_number(value)
    }


def _lexical_rules(
    findings: Findings,
    curves: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Horizontal lines at the lexical gaps; lines that nearly meet share a label."""
    found = [curve for curve in curves if is_number(curve.get("lexical"))]
    found.sort(key=lambda curve: curve["lexical"])
    heights = [row["value"] for row in rows] + [curve["lexical"] for curve in found]
    near = 0.09 * (max(heights) - min(*heights, 0))
    rules: list[dict[str, Any]] = []
    for curve in found:
        value = curve["lexical"]
        if rules and value == rules[-1]["value"]:
            continue
        if rules and value - rules[-1]["value"] < near:
            rules[-1]["label"] = ""
        has_base = any(
            one["model"] == findings.base for one in found if one["lexical"] == value
        )
        owner = "base" if has_base else "tuned"
        rules.append(
            {"value": value, "label": f"lexical gap {number(value)} ({owner})"}
        )
    if len(rules) == 1:
        rules[0]["label"] = f"lexical gap {number(rules[0]['value'])}"
    return rules
