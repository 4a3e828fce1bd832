"""XParaCon: how little accuracy over shuffled choices moves between wordings."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class XParaCon:
    """The index and the mean standard deviation it is made of."""

    value: float
    """-log2 of the mean deviation, from 1: higher is more consistent. NaN, for not
    measured, when nothing moves at all (it would be infinite) or with fewer than two
    wordings."""
    mean_deviation: float
    """In [0, 0.5]; 0 means that wording does not matter."""


def xparacon(is_right: Bool[np.ndarray, "wording order item"]) -> XParaCon:
    """-log2( mean over items of std_v acc(item, v) ), acc over orders of the choices.

    Source:
        Choi (2025), RoParQ; population standard deviation.
    """
    return index_of(wording_deviation(is_right))


def wording_deviation(
    is_right: Bool[np.ndarray, "wording order item"],
) -> Float[np.ndarray, " item"]:
    """Standard deviation over wordings of an item's accuracy over orders.

    Returns:
        Values in [0, 0.5]; 0 means that wording does not matter; NaN with fewer than
        two wordings.
    """
    if len(is_right) < 2:
        return np.full(is_right.shape[-1], np.nan)
    return is_right.mean(axis=1).std(axis=0)


def index_of(deviations: Float[np.ndarray, " item"]) -> XParaCon:
    """The index of items' deviations; NaN marks an item that does not count."""
    known = deviations[~np.isnan(deviations)]
    if known.size == 0:
        return XParaCon(float("nan"), float("nan"))
    deviation = float(known.mean())
    value = float(-np.log2(deviation)) if deviation > 0 else float("nan")
    return XParaCon(value, deviation)
