"""The chart kinds of the report: values with intervals, a scatter, layer curves.

Each function takes tidy rows and returns one Vega-Lite specification with colour tokens
(`concord.report.palette`). Rows carry text from models and data only as values; no such
text reaches an expression. Widths follow the page; heights follow the rows.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
from altair.utils.schemapi import debug_mode

from concord.report.findings import is_number
from concord.report.palette import SHAPE_PATHS, colours, dashes, shapes

Rows = Sequence[dict[str, Any]]
Limits = tuple[float | None, float | None]
"""The least and the greatest value that a measure can have; None: no such end."""

SHARE: Limits = (0.0, 1.0)
ROW_HEIGHT = 24
LONGEST_LINE = 30
"""Letters of an axis title's line; beyond, its unit in brackets stands below."""
_SCALE = alt.Scale(zero=False, nice=False, padding=12)
_ENDS = (("low", "from", "Q"), ("high", "to", "Q"))
_SIZE = alt.condition("datum.is_base", alt.value(170), alt.value(95))
_LEGEND = alt.Legend(title=None, orient="bottom", columns=3, labelLimit=260)

unchecked = debug_mode(False)
"""Objects are not held against the schema as they are made, which takes longer than all
the rest: a figure that breaks it is not drawn, and the tests draw every kind."""


@unchecked
def interval_rows(
    rows: Rows,
    models: Sequence[str],
    *,
    axis: str,
    ticks: str | None = None,
    limits: Limits = (None, None),
) -> dict[str, Any]:
    """One row per model: a point, its interval, and the base's value as a line.

    Args:
        rows: ``model``, ``value``, ``low``, ``high``, ``is_base``; and ``tick`` if
            ``ticks`` is given.
        models: All labels, the base first.
        axis: Title of the axis, with its unit.
        ticks: Name of a second number shown as a bar across the row.
        limits: Ends beyond which the axis does not go.
    """
    y = alt.Y(
        "model:N",
        sort=list(models),
        title=None,
        axis=alt.Axis(labelLimit=150, grid=False),
    )
    look = _by_model(models, legend=None)
    fields = [("model", "model", "N"), ("value", axis, "Q"), *_ENDS]
    if ticks:
        fields.append(("tick", ticks, "Q"))
    x = _x("value", axis, scale=_within(rows, ("value", "low", "high", "tick"), limits))
    layers = [
        data_chart(rows)
        .mark_point(filled=True, opacity=1)
        .encode(y=y, x=x, size=_SIZE, tooltip=tooltip_of(fields), **look)
    ]
    if _any(rows, "low"):
        whiskers = data_chart(rows).mark_rule(strokeWidth=2)
        layers.insert(
            0, whiskers.encode(y=y, x="low:Q", x2="high:Q", color=look["color"])
        )
    if any(row["is_base"] for row in rows):
        line = data_chart(rows, filters="datum.is_base").mark_rule(
            color="@muted", strokeDash=[2, 3]
        )
        layers.insert(0, line.encode(x="value:Q"))
    if ticks:
        layers.append(
            data_chart(rows, filters="isValid(datum.tick)")
            .mark_tick(color="@muted", thickness=3, size=16)
            .encode(y=y, x="tick:Q", tooltip=tooltip_of(fields))
        )
    return as_specification(alt.layer(*layers), height=ROW_HEIGHT * len(rows) + 6)


@unchecked
def forest(
    rows: Rows,
    models: Sequence[str],
    kinds: Sequence[tuple[str, str, str]],
    *,
    axis: str,
) -> dict[str, Any]:
    """Differences from the base: an interval for each kind and tuned model, around 0.

    Args:
        rows: ``model``, ``kind``, ``value``, ``low``, ``high``, ``p_adjusted``.
        models: Tuned labels in order.
        kinds: What a difference may be, in order, the first is the headline: name,
            colour and shape.
        axis: Title of the axis, with its unit.
    """
    names, kind_colours, kind_shapes = map(list, zip(*kinds, strict=True))
    look = {
        "color": alt.Color(
            "kind:N",
            scale=alt.Scale(domain=names, range=kind_colours),
            legend=_LEGEND,
        ),
        "shape": alt.Shape(
            "kind:N",
            scale=alt.Scale(domain=names, range=_paths(kind_shapes)),
            legend=_LEGEND,
        ),
    }
    y = alt.Y(
        "model:N",
        sort=list(models),
        title=None,
        axis=alt.Axis(labelLimit=150, grid=False),
        scale=alt.Scale(paddingInner=0.25),
    )
    offset = alt.YOffset("kind:N", sort=names)
    fields = [
        ("model", "model", "N"),
        ("kind", "difference", "N"),
        ("value", axis, "Q"),
        *_ENDS,
        ("p_adjusted", "p, adjusted", "Q"),
    ]
    zero = (
        alt.Chart(alt.InlineData(values=[{"zero": 0}]))
        .mark_rule(color="@muted")
        .encode(x="zero:Q")
    )
    layers: list[Any] = [zero]
    if _any(rows, "low"):
        whiskers = data_chart(rows).mark_rule(strokeWidth=2)
        ends = {"x": "low:Q", "x2": "high:Q", "color": look["color"]}
        layers.append(whiskers.encode(y=y, yOffset=offset, **ends))
    points = (
        data_chart(rows)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            y=y,
            yOffset=offset,
            x=_x("value", axis, form="+f"),
            tooltip=tooltip_of(fields),
            **look,
        )
    )
    band = 18 * max(1, len({row["kind"] for row in rows})) + 8
    return as_specification(alt.layer(*layers, points), height=band * len(models) + 6)


@unchecked
def scatter(
    rows: Rows, models: Sequence[str], *, x_axis: str, y_axis: str
) -> dict[str, Any]:
    """One point per model with its interval both ways; the base is named.

    Args:
        rows: ``model``, ``is_base``, ``x``, ``x_low``, ``x_high``, ``y``, ``y_low``,
            ``y_high``.
        models: All labels, the base first.
        x_axis: Title of the horizontal axis.
        y_axis: Title of the vertical axis.
    """
    across_scale = _within(rows, ("x", "x_low", "x_high"), SHARE)
    along_scale = _within(rows, ("y", "y_low", "y_high"), SHARE)
    y = alt.Y("y:Q", title=y_axis, scale=along_scale, axis=_axis("f"))
    fields = [
        ("model", "model", "N"),
        ("x", x_axis, "Q"),
        ("x_low", "from", "Q"),
        ("x_high", "to", "Q"),
        ("y", y_axis, "Q"),
        ("y_low", "from (vertical)", "Q"),
        ("y_high", "to (vertical)", "Q"),
    ]
    look = _by_model(models)
    across = (
        data_chart(rows)
        .mark_rule(strokeWidth=1.5)
        .encode(x="x_low:Q", x2="x_high:Q", y="y:Q", color=look["color"])
    )
    along = (
        data_chart(rows)
        .mark_rule(strokeWidth=1.5)
        .encode(x="x:Q", y="y_low:Q", y2="y_high:Q", color=look["color"])
    )
    points = (
        data_chart(rows)
        .mark_point(filled=True, opacity=1)
        .encode(
            x=_x("x", x_axis, scale=across_scale),
            y=y,
            size=_SIZE,
            tooltip=tooltip_of(fields),
            **look,
        )
    )
    layers = [across, along, points]
    if any(row["is_base"] for row in rows):
        name = data_chart(rows, filters="datum.is_base").mark_text(
            text="base", align="left", dx=9, dy=11, color="@ink", fontWeight=600
        )
        layers.append(name.encode(x="x:Q", y="y:Q"))
    return as_specification(alt.layer(*layers), height=340)


@unchecked
def dot_rows(
    rows: Rows, models: Sequence[str], order: Sequence[str], *, axis: str
) -> dict[str, Any]:
    """One row per relation, one point per model.

    Args:
        rows: ``relation``, ``wording``, ``model``, ``value``, ``n``.
        models: All labels, the base first.
        order: Relations from top to bottom.
        axis: Title of the axis, with its unit.
    """
    fields = [
        ("relation", "relation", "N"),
        ("wording", "first wording", "N"),
        ("model", "model", "N"),
        ("value", axis, "Q"),
        ("n", "facts", "Q"),
    ]
    points = (
        data_chart(rows)
        .mark_point(filled=True, size=65, opacity=0.9)
        .encode(
            y=alt.Y(
                "relation:N",
                sort=list(order),
                title=None,
                axis=alt.Axis(grid=True, labelLimit=110),
            ),
            x=_x("value", axis, scale=_within(rows, ("value",), SHARE)),
            tooltip=tooltip_of(fields),
            **_by_model(models),
        )
    )
    return as_specification(points, height=18 * len(order) + 6)


@unchecked
def layer_curves(
    rows: Rows,
    models: Sequence[str],
    rules: Sequence[float],
    *,
    axis: str,
    limits: Limits = (None, None),
) -> dict[str, Any]:
    """A quantity over layers, one line per model, with bands and dashed rules.

    Args:
        rows: ``model``, ``layer``, ``value``, ``low``, ``high``, ``band_low``,
            ``band_high``.
        models: All labels, the base first.
        rules: Heights of horizontal lines (the lexical gaps, or 0).
        axis: Title of the vertical axis, with its unit.
        limits: Ends beyond which the axis does not go.
    """
    look = _by_model(models)
    # Bands lie on each other: the more there are, the fainter is each.
    faint = min(0.13, 0.5 / len(models))
    size = 40 if len({row["layer"] for row in rows}) <= 16 else 20
    x = alt.X(
        "layer:Q",
        title="layer",
        axis=_axis("d", grid=False),
        scale=alt.Scale(nice=False),
    )
    parts = ("value", "band_low", "band_high")
    heights = [*rows, {"value": 0.0}, *({"value": height} for height in rules)]
    scale = _within(heights, parts, limits)
    y = alt.Y("value:Q", title=_lines(axis), axis=_axis("f"), scale=scale)
    fields = [
        ("model", "model", "N"),
        ("layer", "layer", "Q"),
        ("value", axis, "Q"),
        *_ENDS,
    ]
    dash = alt.StrokeDash(
        "model:N",
        scale=alt.Scale(domain=list(models), range=dashes(len(models))),
        legend=_LEGEND,
    )
    lines = (
        data_chart(rows)
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, color=look["color"], strokeDash=dash)
    )
    points = (
        data_chart(rows)
        .mark_point(filled=True, size=size, opacity=1)
        .encode(x=x, y=y, tooltip=tooltip_of(fields), **look)
    )
    layers = [lines, points]
    if rules:
        levels = data_chart([{"value": height} for height in rules]).mark_rule(
            color="@muted", strokeDash=[5, 4]
        )
        layers.insert(0, levels.encode(y="value:Q"))
    if _any(rows, "band_low"):
        area = data_chart(rows, filters="isValid(datum.band_low)").mark_area(
            opacity=faint
        )
        low = alt.Y("band_low:Q", title=_lines(axis))
        layers.insert(0, area.encode(x=x, y=low, y2="band_high:Q", color=look["color"]))
    return as_specification(alt.layer(*layers), height=270)


def data_chart(rows: Rows, *, filters: str | None = None) -> alt.Chart:
    """A chart over rows that lie in its specification."""
    # Altair copies lists again and again, never a tuple.
    chart = alt.Chart(alt.InlineData(values=tuple(rows)))  # pyright: ignore[reportArgumentType]
    return chart.transform_filter(filters) if filters else chart


def _x(
    field: str, title: str, form: str = "f", scale: alt.Scale | None = None
) -> alt.X:
    return alt.X(
        f"{field}:Q", title=_lines(title), scale=scale or _SCALE, axis=_axis(form)
    )


def _within(rows: Rows, parts: Sequence[str], limits: Limits) -> alt.Scale:
    """A scale over all these numbers, with some room, but not beyond the limits."""
    numbers = [row[part] for row in rows for part in parts if is_number(row.get(part))]
    least, most = min(numbers), max(numbers)
    room = 0.04 * (most - least) or 0.05
    lowest, highest = limits
    low = least - room if lowest is None else min(least, max(least - room, lowest))
    high = most + room if highest is None else max(most, min(most + room, highest))
    return alt.Scale(domain=[low, high], nice=False, zero=False)


def _any(rows: Rows, part: str) -> bool:
    """Whether a layer of this part has anything to draw; Vega warns of empty ones."""
    return any(is_number(row.get(part)) for row in rows)


def _lines(title: str) -> Any:
    """A long title in two lines: a narrow screen would cut it."""
    head, bracket, tail = title.partition(" (")
    is_long = len(title) > LONGEST_LINE and bool(bracket)
    return [head, f"({tail}"] if is_long else title


def _axis(form: str, *, grid: bool = True) -> alt.Axis:
    return alt.Axis(
        format=form,
        grid=grid,
        tickCount=5,
        labelFlush=False,
        labelOverlap="greedy",
        labelSeparation=8,
    )


def _by_model(
    models: Sequence[str], legend: alt.Legend | None = _LEGEND
) -> dict[str, Any]:
    domain = list(models)
    return {
        "color": alt.Color(
            "model:N",
            scale=alt.Scale(domain=domain, range=colours(len(domain))),
            legend=legend,
        ),
        "shape": alt.Shape(
            "model:N",
            scale=alt.Scale(domain=domain, range=_paths(shapes(len(domain)))),
            legend=legend,
        ),
    }


def _paths(names: Sequence[str]) -> list[str]:
    return [SHAPE_PATHS[name] for name in names]


def tooltip_of(fields: Sequence[tuple[str, str, str]]) -> list[alt.Tooltip]:
    """What a mark says when it is pointed at: field, words, type."""
    return [
        alt.Tooltip(f"{name}:{kind}", title=title, format=_number_format(name, kind))
        for name, title, kind in fields
    ]


def _number_format(name: str, kind: str) -> Any:
    if kind != "Q":
        return alt.Undefined
    return ",d" if name in ("n", "layer") else ".4f"


def as_specification(chart: Any, *, height: int) -> dict[str, Any]:
    """The chart with the look of all charts."""
    styled = chart.properties(
        width="container",
        height=height,
        background="transparent",
        # Marks and labels at an end of an axis reach beyond it.
        padding={"left": 5, "right": 16, "top": 8, "bottom": 5},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    ).configure(
        font="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor="@muted",
            titleColor="@ink",
            titleFontWeight=500,
            titleFontSize=12,
            titlePadding=10,
            labelFontSize=12,
            domainColor="@muted",
            tickColor="@muted",
            gridColor="@grid",
        ),
        legend=alt.LegendConfig(
            labelColor="@ink", labelFontSize=12, symbolSize=90, symbolOpacity=1
        ),
    )
    return styled.to_dict(validate=False)
