"""Columns of rows as arrays: codes for text, NaN for null, places of known labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int

NULL = -2
"""The code of a null, `metrics.agreement.NO_ANSWER`."""


def codes_of(column: pa.ChunkedArray) -> tuple[Int[np.ndarray, " row"], list[Any]]:
    """A column as integers, and the values they stand for; null is `NULL`."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), NULL).to_numpy()
    return codes, encoded.dictionary.to_pylist()


def places_of(
    column: pa.ChunkedArray, labels: Sequence[str]
) -> Int[np.ndarray, " row"]:
    """Where each cell stands among the labels; -1 for a cell that is none of them."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    known = pc.call_function(
        "index_in",
        [encoded.dictionary.cast(pa.string())],
        pc.SetLookupOptions(value_set=pa.array(labels, pa.string())),
    )
    place_of_code = np.append(pc.fill_null(known, -1).to_numpy(), -1)
    return place_of_code[codes].astype(np.int64)


def numbers_of(column: pa.Array | pa.ChunkedArray) -> Float[np.ndarray, " row"]:
    """A column of numbers in double precision, null as NaN."""
    return pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()


def integers_of(column: pa.Array | pa.ChunkedArray) -> Int[np.ndarray, " row"]:
    """A column of whole numbers or truths as 64-bit integers, null as `NULL`."""
    return pc.fill_null(column.cast(pa.int64()), NULL).to_numpy()


def common_labels(tables: Sequence[pa.Table], column: str) -> tuple[set[str], set[str]]:
    """Labels that occur in every table and every set of contexts, and all labels."""
    common: set[str] | None = None
    seen: set[str] = set()
    before: pa.Array | None = None
    for table in tables:
        names, sets = codes_of(table["contexts"])
        encoded = table[column].combine_chunks().dictionary_encode()
        codes = pc.fill_null(encoded.indices.cast(pa.int64()), NULL).to_numpy()
        labels = encoded.dictionary
        for code in range(len(sets)):
            present = np.bincount(codes[names == code], minlength=len(labels)) > 0
            if present.all() and before is not None and before.equals(labels):
                continue
            own = set(labels.filter(pa.array(present)).to_pylist())
            seen |= own
            common = own if common is None else common & own
            before = labels if present.all() and len(common) == len(labels) else None
    return common or set(), seen


def first_rows(table: pa.Table, column: str, kept: set[str]) -> pa.Table:
    """The first row of each kept label."""
    _, first = np.unique(codes_of(table[column])[0], return_index=True)
    rows = table.take(first)
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            values = rows[field.name].cast(field.type.value_type)
            rows = rows.set_column(place, field.name, values)
    return rows.filter(pc.field(column).isin(sorted(kept)))
