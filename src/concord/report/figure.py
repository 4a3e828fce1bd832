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
from concord.report.formats import count, listing, number, percent
from concord.report.palette import THEMES, colours, dashes, painted, shapes
from concord.report.words import measure_words
from concord.results import write_text

SVG_WIDTH = 640
_QUESTIONS = {"facts": "questions", "subjects": "clusters"}
_UNITS = {
    "representation": {"facts": "sets or pairs", "subjects": "clusters"},
    "choices": _QUESTIONS,
    "answers": _QUESTIONS,
    "finetuned": {"facts": "rows or pairs", "subjects": "clusters"},
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
    key: str = ""
    """The measure drawn, where it is one."""
    description: str = ""
    """What is to be seen, for those who do not see it."""


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
        rows,
        findings.models,
        axis=axis,
        ticks=ticks_label if has_ticks else None,
        limits=_limits(key),
    )
    if has_ticks:
        title = f"{title} (bar: {ticks_label})"
    values = ", ".join(f"{row['model']} {number(row['value'])}" for row in rows)
    return Panel(slug(key), title, specification, key, f"{axis}: {values}")


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
    rules, words = _lexical_rules(findings, curves)
    specification = marks.layer_curves(
        rows,
        findings.models,
        rules,
        axis=axis,
        limits=marks.SHARE if is_share else (None, None),
    )
    title = f"{title}; dashed: {words}" if words else title
    return Panel(
        f"{slug(key)}-by-layer", title, specification, key, _lines_in_words(rows, axis)
    )


def difference_panel(
    findings: Findings, key: str, contexts: str, title: str, *, axis: str
) -> Panel | None:
    """Tuned minus base layer by layer, around 0; None if there are no curves."""
    curves = findings.curve_differences(key, contexts)
    rows = [row for curve in curves for row in _curve_rows(curve)]
    if not rows:
        return None
    specification = marks.layer_curves(rows, findings.models, [0.0], axis=axis)
    name = f"{slug(key)}-difference-by-layer-{slug(contexts)}"
    return Panel(name, title, specification, key, _lines_in_words(rows, axis))


def legend_of(
    models: Sequence[str], *, has_lines: bool = False
) -> tuple[LegendEntry, ...]:
    """How the models are drawn, for the legend."""
    count = len(models)
    patterns = [" ".join(map(str, dash)) if has_lines else "" for dash in dashes(count)]
    return tuple(map(LegendEntry, models, colours(count), shapes(count), patterns))


def basis_of(findings: Findings, *keys: str) -> str:
    """Coverage of the intervals, and n of every measure drawn.

    Models that differ in n give a range. Measures are named where their n differ: by
    their data sets if there are several, else by their titles.
    """
    intervals = f"{percent(findings.level)} intervals"
    sizes = sizes_of(findings, *keys)
    return f"{intervals}; n: {sizes}." if sizes else f"{intervals}."


def sizes_of(findings: Findings, *keys: str) -> str:
    """What the numbers of these measures rest on; empty if none has an n."""
    named: dict[str, list[str]] = {}
    datasets = {findings.measure(key).get("dataset") for key in keys}
    part = "dataset" if len(datasets - {None}) > 1 else "title"
    for key in keys:
        sizes = _sizes(findings, key)
        if sizes:
            name = str(findings.measure(key).get(part) or key)
            named.setdefault(sizes, []).append(name)
    if len(named) < 2:
        return "".join(named)
    return "; ".join(
        f"{listing(list(dict.fromkeys(names)))}: {sizes}"
        for sizes, names in named.items()
    )


def _sizes(findings: Findings, key: str) -> str:
    """``22 to 40 facts, 8 relations (by model)``."""
    values = findings.measure(key).get("values", [])
    measured = [entry for entry in values if is_number(entry.get("value"))]
    sizes: dict[str, list[float]] = {}
    for entry in measured or findings.curves(key):
        for what, size in (entry.get("n") or {}).items():
            if is_number(size):
                sizes.setdefault(what, []).append(size)
    units = _UNITS.get(key.partition(".")[0], {})
    parts = [
        _span(found, units.get(what, what)) for what, found in sizes.items() if found
    ]
    is_by_model = any(min(found) != max(found) for found in sizes.values())
    return ", ".join(parts) + (" (by model)" if parts and is_by_model else "")


def _span(found: Sequence[float], what: str) -> str:
    least, most = min(found), max(found)
    size = count(least) if least == most else f"{count(least)} to {count(most)}"
    return f"{size} {what.removesuffix('s') if most == 1 else what}"


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
    specification["description"] = f"{figure.title} {panel.title}. {panel.description}"
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
    findings: Findings, curves: Sequence[Mapping[str, Any]]
) -> tuple[list[float], str]:
    """Heights of the lexical gaps, and what the panel's title says of them."""
    owners: dict[float, str] = {}
    for curve in curves:
        height = curve.get("lexical")
        if is_number(height) and owners.get(height) != "base":
            owners[height] = "base" if curve["model"] == findings.base else "tuned"
    named = [
        f"{number(height)} ({owner})" if len(owners) > 1 else number(height)
        for height, owner in sorted(owners.items())
    ]
    return sorted(owners), f"lexical gap {listing(named)}" if named else ""


def _limits(key: str) -> marks.Limits:
    words = measure_words(key)
    return (words.lowest, words.highest) if words else (None, None)


def _lines_in_words(rows: Sequence[Mapping[str, Any]], axis: str) -> str:
    """First and last point of every line, for those who do not see it."""
    ends: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: row["layer"]):
        ends.setdefault(row["model"], []).append(row)
    lines = [
        f"{model} from {number(own[0]['value'])} to {number(own[-1]['value'])}"
        for model, own in ends.items()
    ]
    layers = sorted({row["layer"] for row in rows})
    return f"{axis}, layers {layers[0]} to {layers[-1]}: {', '.join(lines)}"
