"""How a model looks, the same in every figure: colour, shape and dash together.

Specifications carry tokens (``@ink``, ``@c0``); the page puts in the colours of the
light or the dark theme, the SVG files those of the light one. Colours follow Okabe and
Ito's palette, darkened or lightened until each stands out from its background; shapes
and dashes repeat with other periods than the colours, so that no pair looks alike and
the figures can be read in grey.
"""

import json
from collections.abc import Mapping
from typing import Any

THEMES = {
    "light": {
        "@ink": "#15191e",
        "@muted": "#5b6570",
        "@grid": "#e4e7ea",
        "@paper": "#ffffff",
        "@c0": "#0072b2",
        "@c1": "#d55e00",
        "@c2": "#00875f",
        "@c3": "#b85c94",
        "@c4": "#a87400",
        "@c5": "#3489c4",
    },
    "dark": {
        "@ink": "#f2f4f6",
        "@muted": "#a3adb8",
        "@grid": "#2e353d",
        "@paper": "#171b20",
        "@c0": "#5cb3ec",
        "@c1": "#f58a4b",
        "@c2": "#35c79a",
        "@c3": "#e59cc8",
        "@c4": "#e8b53e",
        "@c5": "#9bd4f7",
    },
}
"""Colours by token for each theme."""

_COLOURS = ("@c0", "@c1", "@c2", "@c3", "@c4", "@c5")
_SHAPES = ("circle", "square", "triangle-up", "cross", "triangle-down")
_DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [4, 2])
BASE_SHAPE = "diamond"
"""The base is a diamond in the colour of the text, everywhere."""

SHAPE_PATHS = {
    "diamond": "M0-6L5 0L0 6L-5 0Z",
    "circle": "M-4.5 0A4.5 4.5 0 1 1 4.5 0A4.5 4.5 0 1 1-4.5 0Z",
    "square": "M-4-4H4V4H-4Z",
    "triangle-up": "M0-5L5 4H-5Z",
    "triangle-down": "M0 5L5-4H-5Z",
    "cross": "M-5-1.7H-1.7V-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5Z",
}
"""The shapes as SVG paths around the origin, for the page's legends."""


def colours(model_count: int) -> list[str]:
    """Tokens of the base and the tuned models, in order."""
    return ["@ink", *(_COLOURS[i % len(_COLOURS)] for i in range(model_count - 1))]


def shapes(model_count: int) -> list[str]:
    """Point shapes of the base and the tuned models, in order."""
    return [BASE_SHAPE, *(_SHAPES[i % len(_SHAPES)] for i in range(model_count - 1))]


def dashes(model_count: int) -> list[list[int]]:
    """Line dashes of the base and the tuned models, in order; the base is solid."""
    return [[1, 0], *(_DASHES[i % len(_DASHES)] for i in range(model_count - 1))]


def painted(specification: dict[str, Any], theme: Mapping[str, str]) -> dict[str, Any]:
    """A specification with colours in place of the tokens.

    Args:
        specification: Vega-Lite with colour tokens.
        theme: Colour by token, such as ``THEMES["light"]``.
    """
    text = json.dumps(specification)
    for token, colour in theme.items():
        text = text.replace(f'"{token}"', json.dumps(colour))
    return json.loads(text)
