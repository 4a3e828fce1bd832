"""How a model looks, the same in every figure: colour, shape and dash together.

Specifications carry tokens (``@ink``, ``@c0``); the page puts in the colours of the
light or the dark theme, the SVG files those of the light one. Colours follow Okabe and
Ito's palette, darkened or lightened until each stands out from its background. Shapes
and dashes alone tell a base and eleven tuned models apart, so that the figures can be
read in grey; with the colours, 55 tuned models.
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
    },
}
"""Colours by token for each theme."""

_COLOURS = ("@c0", "@c1", "@c2", "@c3", "@c4")
SHAPE_PATHS = {
    "diamond": "M0-1.25L1.05 0L0 1.25L-1.05 0Z",
    "circle": "M-1 0A1 1 0 1 1 1 0A1 1 0 1 1-1 0Z",
    "square": "M-.9-.9H.9V.9H-.9Z",
    "triangle-up": "M0-1L1.05 .85H-1.05Z",
    "cross": "M-1.05-.36H-.36V-1.05H.36V-.36H1.05V.36H.36V1.05H-.36V.36H-1.05Z",
    "triangle-down": "M0 1L1.05-.85H-1.05Z",
    "frame": "M-1-1H1V1H-1ZM-.55-.55V.55H.55V-.55Z",
    "open-triangle-up": "M0-1.15L1.2 .95H-1.2ZM0-.3L-.52 .57H.52Z",
    "saltire": "M-1-.55L-.55-1L0-.45L.55-1L1-.55L.45 0L1 .55L.55 1L0 .45"
    "L-.55 1L-1 .55L-.45 0Z",
    "open-triangle-down": "M0 1.15L1.2-.95H-1.2ZM0 .3L-.52-.57H.52Z",
    "ring": "M-1.05 0A1.05 1.05 0 1 1 1.05 0A1.05 1.05 0 1 1-1.05 0Z"
    "M-.58 0A.58 .58 0 1 0 .58 0A.58 .58 0 1 0-.58 0Z",
    "hourglass": "M-1-1.1H1L.18 0L1 1.1H-1L-.18 0Z",
}
"""The shapes as SVG paths around the origin, one unit each way; open ones are filled
rims, so that every figure fills alike."""
BASE_SHAPE = "diamond"
"""The base is a diamond in the colour of the text, everywhere."""
_SHAPES = tuple(name for name in SHAPE_PATHS if name != BASE_SHAPE)
_DASHES = (
    *([8, 2], [2, 2], [10, 3, 2, 3], [5, 4], [1, 4], [16, 4]),
    *([6, 2, 1, 2, 1, 2], [3, 7], [12, 2, 5, 2], [14, 5, 4, 5], [12, 3, 1, 3, 1, 3]),
)


def colours(model_count: int) -> list[str]:
    """Tokens of the base and the tuned models, in order."""
    return ["@ink", *(_COLOURS[i % len(_COLOURS)] for i in range(model_count - 1))]


def shapes(model_count: int) -> list[str]:
    """Names of the shapes of the base and the tuned models, in order."""
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
