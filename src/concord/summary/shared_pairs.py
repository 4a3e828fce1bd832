"""Pairs of templates on which base and tuned both agree, or both disagree.

Which pairs agree differs from model to model, so that the gap of "agreeing pairs" of a
tuned model and its base is over other pairs. Here both are over the same ones.

Source: Fierro et al. (2024), Figures 4, 6 and 7 compare each model's own pairs; this is
the comparison that those figures leave out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from concord.summary.layers import Values, matrix_of

KINDS = {"agreeing_pair": "agreeing", "disagreeing_pair": "disagreeing"}
_PLACE = ("context", "fact", "template", "other_template")


def shared_pairs(own: pa.Table, base: pa.Table) -> pa.Table:
    """Rows of a tuned model's single pairs that are of one kind in its base, too.

    Base and tuned meet in the context of the same number; only under the base's prompts
    (contexts ``same``) is that the same prompt.

    Args:
        own: Rows of the tuned model, with a column ``gaps``.
        base: Rows of the base; its prompts are those of contexts ``study``.

    Returns:
        The tuned model's rows, with the base's gaps of each as ``base_gaps``.
    """
    base = base.filter(pc.field("contexts") == "study")
    theirs = {(kind, *place): row for row, kind, place in _single(base)}
    rows, partners = [], []
    for row, kind, place in _single(own):
        partner = theirs.get((kind, *place))
        if partner is not None:
            rows.append(row)
            partners.append(partner)
    found = own.take(pa.array(rows, pa.int64()))
    base_gaps = base["gaps"].take(pa.array(partners, pa.int64()))
    return found.append_column("base_gaps", base_gaps)


def _single(table: pa.Table) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
    """Each single pair: its row, whether it agrees, and which pair it is."""
    kinds = table["kind"].to_pylist()
    places = zip(*(table[name].to_pylist() for name in _PLACE), strict=True)
    for row, (kind, place) in enumerate(zip(kinds, places, strict=True)):
        if kind in KINDS:
            yield row, KINDS[kind], place


def shared_gaps(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Gaps of both models over the pairs of `shared_pairs`, a row for each pair."""
    sides = {"": matrix_of(table["gaps"]), "_of_base": matrix_of(table["base_gaps"])}
    kinds = pc.call_function("equal", [table["kind"], "agreeing_pair"])
    agrees = kinds.to_numpy()[:, None]
    return {
        f"gap_both_{word}{side}": np.where(chosen, gaps, np.nan)
        for word, chosen in (("agreeing", agrees), ("disagreeing", ~agrees))
        for side, gaps in sides.items()
        if chosen.any()
    }
