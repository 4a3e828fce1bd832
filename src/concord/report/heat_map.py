"""A number for each model and layer as a shade, models as rows."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from concord.report.marks import as_specification, data_chart, tooltip_of, unchecked

ROW_HEIGHT = 20
_FAINTEST = 0.04
"""So that a cell that was measured as 0 differs from one that was not measured."""


@unchecked
def heat_map(
    rows: Sequence[dict[str, Any]], models: Sequence[str], *, axis: str
) -> dict[str, Any]:
    """Rows of shaded cells; the largest value has the full colour.

    Shades are opacities of one colour, so that they follow the theme.

    Args:
        rows: ``model``, ``layer``, ``value``, ``low``, ``high``; values from 0 up.
        models: All labels, the base first.
        axis: What the number is, for the tooltip.
    """
    shown = [model for model in models if any(row["model"] == model for row in rows)]
    largest = max(row["value"] for row in rows) or 1.0
    fields = [
        ("model", "model", "N"),
        ("layer", "layer", "Q"),
        ("value", axis, "Q"),
        ("low", "from", "Q"),
        ("high", "to", "Q"),
    ]
    chart: Any = data_chart(rows)
    cells = chart.mark_rect(color="@c0", stroke="@paper", strokeWidth=1).encode(
        x=alt.X(
            "layer:O",
            title="layer",
            axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=6),
        ),
        y=alt.Y(
            "model:N",
            sort=shown,
            title=None,
            axis=alt.Axis(labelLimit=150, grid=False),
        ),
        opacity=alt.Opacity(
            "value:Q",
            scale=alt.Scale(domain=[0, largest], range=[_FAINTEST, 1]),
            legend=None,
        ),
        tooltip=tooltip_of(fields),
    )
    return as_specification(cells, height=ROW_HEIGHT * len(shown) + 6)
