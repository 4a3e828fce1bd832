"""Accuracies of all settings, resampled and exchanged: what every spread is drawn from.

One bootstrap and one set of exchanges serve all models, contexts and spreads.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.bootstrap import Clusters, bootstrap
from concord.summary.estimates import Settings

_BLOCK_CELLS = 1 << 23

Place = tuple[str, str]
"""(model, contexts)."""
Right = Mapping[Place, Bool[np.ndarray, "_wording _order item"]]
"""What was answered rightly."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Accuracies that all spreads are computed from, by (model, contexts)."""

    clusters: Clusters
    rights: Right
    base: Place
    resampled: Mapping[Place, Float[np.ndarray, "replicate _wording _order"]]
    """In resamples of the questions, the same for all."""
    exchanged: Mapping[Place, Float[np.ndarray, "side permutation _wording _order"]]
    """Tuned and base after their answers to each question are exchanged at random."""


def draw_accuracies(
    clusters: Clusters, rights: Right, base: str, settings: Settings
) -> Draws:
    """Everything that is drawn, once for all spreads."""
    place = (base, "study")
    usable = {name: r for name, r in rights.items() if not has_one_setting(r)}
    before = usable.get(place)
    paired = {
        name: right
        for name, right in usable.items()
        if name[0] != base and before is not None and right.shape == before.shape
    }
    exchanged = (
        _exchanged(paired, before, clusters, settings)
        if before is not None and paired
        else {}
    )
    resampled = _resampled(usable, clusters, settings) if usable else {}
    return Draws(clusters, rights, place, resampled, exchanged)


def _resampled(
    rights: Right, clusters: Clusters, settings: Settings
) -> dict[Place, Float[np.ndarray, "replicate _wording _order"]]:
    """One bootstrap for every model and setting; accuracy is a ratio of sums."""
    columns = np.concatenate([_columns(right) for right in rights.values()], axis=1)
    sums = clusters.sums(columns)
    sizes = clusters.sums(np.ones((len(columns), 1)))
    drawn = bootstrap(
        sums,
        np.broadcast_to(sizes, sums.shape).copy(),
        clusters=clusters,
        weighting="micro",
        replicates=settings.replicates,
        seed=settings.seed,
    )
    ends = np.cumsum([right.shape[0] * right.shape[1] for right in rights.values()])
    parts = np.split(drawn.within, ends[:-1], axis=1)
    return {
        name: part.reshape(-1, *right.shape[:2])
        for (name, right), part in zip(rights.items(), parts, strict=True)
    }


def _exchanged(
    rights: Right,
    before: Bool[np.ndarray, "wording order item"],
    clusters: Clusters,
    settings: Settings,
) -> dict[Place, Float[np.ndarray, "side permutation _wording _order"]]:
    """If two models were one, their answers to a question could be exchanged.

    All settings of a question, and all questions of a cluster, are exchanged together;
    the exchanges are the same for all models.
    """
    base = clusters.sums(_columns(before))
    tuned = [clusters.sums(_columns(right)) for right in rights.values()]
    # Whole numbers far below 2^24, so that single precision is exact.
    gains = np.concatenate([one - base for one in tuned], axis=1).astype(np.float32)
    rng = np.random.default_rng(settings.seed)
    step = max(1, _BLOCK_CELLS // max(len(gains), 1))
    moved = np.concatenate(
        [
            _signs(rng, min(step, settings.permutations - start), len(gains)) @ gains
            for start in range(0, settings.permutations, step)
        ]
    )
    found = {}
    parts = np.split(moved, len(tuned), axis=1)
    for name, one, part in zip(rights, tuned, parts, strict=True):
        middle = (one + base).sum(axis=0)
        sides = np.stack([middle + part, middle - part]) / (2 * before.shape[-1])
        found[name] = sides.reshape(2, -1, *before.shape[:2])
    return found


def _signs(
    rng: np.random.Generator, rows: int, columns: int
) -> Float[np.ndarray, "row column"]:
    return rng.integers(0, 2, (rows, columns), dtype=np.int8) * np.float32(2) - 1


def _columns(
    right: Bool[np.ndarray, "wording order item"],
) -> Float[np.ndarray, "item setting"]:
    return right.reshape(-1, right.shape[-1]).T.astype(np.float64)


def has_one_setting(right: Bool[np.ndarray, "wording order item"]) -> bool:
    """Nothing to compare."""
    return right.shape[0] * right.shape[1] < 2
