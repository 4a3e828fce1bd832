"""Columns of rows as analyses write them; what was not measured is null."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float


def strings(values: Iterable[str | None]) -> pa.Array:
    """Texts; None is null."""
    return pa.array(list(values), pa.string())


def repeated(value: object, count: int, kind: pa.DataType | None = None) -> pa.Array:
    """One value in every row; a text by default."""
    return pa.array([value] * count, pa.string() if kind is None else kind)


def floats(values: Float[np.ndarray, " row"]) -> pa.Array:
    """Float32; NaN is null."""
    return pa.array(np.asarray(values, np.float32), from_pandas=True)


def in_question_order(
    scores: Float[np.ndarray, " letter"], places: Sequence[int]
) -> list[float | None]:
    """The score of each option's letter by the option's place in the question.

    Whatever letter an option stands behind, its score has one place in all settings;
    None where it is not told.
    """
    placed: list[float | None] = [None] * len(places)
    for place, score in zip(places, scores.tolist(), strict=True):
        placed[place] = score if np.isfinite(score) else None
    return placed
