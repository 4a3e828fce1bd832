"""Cosines within and across sets of sentences, exactly, in one pass over the states.

With unit vectors u and set means m_p, the sums of the definitions collapse:

- within a set of M: sum over pairs i != j of u_i.u_j = |sum u|^2 - sum |u|^2
- across sets: m_p . (sum_q m_q - m_p), so no pair is drawn and none is visited

A set's own part of the second needs the sum over all sets, so means are kept on disk,
not in memory.

Source: Fierro et al. (2024), eqs 4, 5 and 8, with 1 / (M (M - 1)) for 1 / M in eq 4 and
two different sets in eq 8 (both are misprinted).
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

BLOCK_SETS = 256
"""Sets looked at together."""


def on_disk(shape: tuple[int, ...], folder: Path | None) -> np.memmap:
    """Zeros in a file without a name, which goes with the array or a killed process.

    Args:
        shape: Of the array, in float32.
        folder: Whose disk holds it; None: the system's for temporary files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float32, mode="w+", shape=shape)


class SetCosines:
    """Collects unit vectors set by set; then gives every set's two cosines.

    Args:
        set_count: Sets to come.
        state_count: Vectors per sentence (layers).
        width: Length of a vector.
        folder: For the means; see `on_disk`.
    """

    def __init__(
        self, set_count: int, state_count: int, width: int, *, folder: Path | None
    ):
        shape = (set_count, state_count, width)
        self._means = on_disk(shape, folder)
        self._within = np.full(shape[:2], np.nan)

    def add(
        self,
        first: int,
        members: Sequence[Int[np.ndarray, " _member"]],
        vectors: Float[np.ndarray, "row state width"],
    ) -> None:
        """Add consecutive sets.

        Args:
            first: Index of the first of them.
            members: For each set, its rows of ``vectors``.
            vectors: Unit vectors; a row may belong to several sets.
        """
        for offset, rows in enumerate(members):
            chosen = vectors[rows]
            total = chosen.sum(axis=0, dtype=np.float64)
            squares = np.square(chosen, dtype=np.float64).sum(axis=(0, 2))
            size = len(rows)
            pairs = size * (size - 1)
            if pairs:
                square = np.square(total).sum(axis=1)
                self._within[first + offset] = (square - squares) / pairs
            self._means[first + offset] = total / size

    def within(self) -> Float[np.ndarray, "set state"]:
        """Mean cosine over the pairs of each set, in [-1, 1]; NaN for sets of one."""
        return self._within

    def across(
        self, groups: Int[np.ndarray, " set"] | None = None
    ) -> Float[np.ndarray, "set state"]:
        """Mean cosine of each set with all others, in [-1, 1]; NaN without others.

        Args:
            groups: Sets of one group are not compared; by default each is its own.
        """
        total, count = self._sum(slice(None)), len(self._means)
        if groups is None or len(np.unique(groups)) == len(groups):
            return self._against(total, count)
        found = np.full(self._within.shape, np.nan)
        sizes = np.bincount(groups)
        alone = sizes[groups] == 1
        found[alone] = self._against(total, count)[alone]
        for group in np.flatnonzero(sizes > 1):
            own = np.flatnonzero(groups == group)
            rest = total - self._sum(own)
            found[own] = self._dot(own, rest) / _or_nan(count - len(own))
        return found

    def across_parts(
        self,
        relations: Int[np.ndarray, " set"],
        subjects: Int[np.ndarray, " set"],
        *,
        state: int,
    ) -> dict[str, Float[np.ndarray, " set"]]:
        """Cosine with sets of the same relation, of the same subject, and of neither.

        Args:
            relations: Relation of each set.
            subjects: Subject of each set, once in each relation.
            state: The vector of each sentence that is looked at.

        Returns:
            ``same_relation``, ``same_subject``, ``neither``; NaN where no such set is.
        """
        means = self._means[:, state]
        all_dots, others = _own_group(means, np.zeros_like(relations))
        relation_dots, of_relation = _own_group(means, relations)
        subject_dots, of_subject = _own_group(means, subjects)
        rest = others - of_relation - of_subject
        return {
            "same_relation": relation_dots / _or_nan(of_relation),
            "same_subject": subject_dots / _or_nan(of_subject),
            "neither": (all_dots - relation_dots - subject_dots) / _or_nan(rest),
        }

    def _sum(self, chosen: slice | np.ndarray) -> Float[np.ndarray, "state width"]:
        if isinstance(chosen, np.ndarray):
            return self._means[chosen].sum(axis=0, dtype=np.float64)
        blocks = (self._means[block] for block in self._blocks())
        return np.sum([b.sum(axis=0, dtype=np.float64) for b in blocks], axis=0)

    def _against(self, total: np.ndarray, count: int) -> np.ndarray:
        found = np.full(self._within.shape, np.nan)
        for block in self._blocks():
            mean = np.asarray(self._means[block], dtype=np.float64)
            dots = np.einsum("usd,usd->us", mean, total[None] - mean)
            found[block] = dots / _or_nan(count - 1)
        return found

    def _dot(self, own: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.einsum("usd,sd->us", self._means[own], other)

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, len(self._means), BLOCK_SETS):
            yield slice(start, start + BLOCK_SETS)


def _own_group(
    means: Float[np.ndarray, "set width"], groups: Int[np.ndarray, " set"]
) -> tuple[Float[np.ndarray, " set"], Int[np.ndarray, " set"]]:
    """Sum of each set's products with the others of its group; how many these are.

    Some groups at a time, so memory hangs on neither the number of groups nor on how
    many sets one has.
    """
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    ends = np.cumsum(sizes)
    dots = np.empty(len(groups))
    for first in range(0, len(sizes), BLOCK_SETS):
        last = min(first + BLOCK_SETS, len(sizes))
        own = order[ends[first] - sizes[first] : ends[last - 1]]
        blocks = [own[i : i + BLOCK_SETS] for i in range(0, len(own), BLOCK_SETS)]
        sums = np.zeros((last - first, means.shape[1]))
        for block in blocks:
            np.add.at(sums, groups[block] - first, means[block])
        for block in blocks:
            mean = np.asarray(means[block], dtype=np.float64)
            rest = sums[groups[block] - first] - mean
            dots[block] = np.einsum("ud,ud->u", mean, rest)
    return dots, sizes[groups] - 1


def _or_nan(size: int | np.ndarray) -> np.ndarray:
    """Sizes as divisors: NaN where nothing is there to average."""
    sizes = np.asarray(size, dtype=np.float64)
    return np.where(sizes > 0, sizes, np.nan)


def codes(names: Sequence[str | None]) -> Int[np.ndarray, " name"]:
    """Equal names -> equal small numbers, from 0."""
    known: dict[str | None, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=int)
