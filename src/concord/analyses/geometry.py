"""Cosines within and across sets of sentences, exactly, in one pass over the states.

With unit vectors u and set means m_p, the sums of the definitions collapse:

- within a set of M: sum over pairs i != j of u_i.u_j = |sum u|^2 - sum |u|^2
- across sets: m_p . (sum_q m_q - m_p), so no pair is drawn and none is visited

A set's own part of the second needs the sum over all sets, so means are kept in a
temporary file, not in memory.

Source: Fierro et al. (2024), eqs 4, 5 and 8, with 1 / (M (M - 1)) for 1 / M in eq 4 and
two different sets in eq 8 (both are misprinted).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

BLOCK_SETS = 256
"""Sets looked at together."""


class SetCosines:
    """Collects unit vectors set by set; then gives every set's two cosines.

    Args:
        folder: For the temporary file of means.
        set_count: Sets to come.
        state_count: Vectors per sentence (layers).
        width: Length of a vector.
    """

    def __init__(self, folder: Path, set_count: int, state_count: int, width: int):
        shape = (set_count, state_count, width)
        self._means = np.memmap(
            folder / f"means-{id(self)}.f32", np.float32, mode="w+", shape=shape
        )
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
        self, relations: Int[np.ndarray, " set"], subjects: Int[np.ndarray, " set"]
    ) -> dict[str, Float[np.ndarray, "set state"]]:
        """Cosine with sets of the same relation, of the same subject, and of neither.

        Args:
            relations: Relation of each set.
            subjects: Subject of each set, once in each relation.

        Returns:
            ``same_relation``, ``same_subject``, ``neither``; NaN where no such set is.
        """
        total, count = self._sum(slice(None)), len(self._means)
        relation_sums, relation_sizes = self._group_sums(relations)
        subject_sums, subject_sizes = self._group_sums(subjects)
        shape = self._within.shape
        parts = {
            name: np.full(shape, np.nan)
            for name in ("same_relation", "same_subject", "neither")
        }
        for block in self._blocks():
            mean = np.asarray(self._means[block], dtype=np.float64)
            relation, subject = relations[block], subjects[block]
            relation_sum = relation_sums[relation] - mean
            subject_sum = subject_sums[subject] - mean
            relation_size = relation_sizes[relation] - 1
            subject_size = subject_sizes[subject] - 1
            rest = total - relation_sum - subject_sum - mean
            rest_size = count - relation_size - subject_size - 1
            for name, other, size in (
                ("same_relation", relation_sum, relation_size),
                ("same_subject", subject_sum, subject_size),
                ("neither", rest, rest_size),
            ):
                dots = np.einsum("usd,usd->us", mean, other)
                parts[name][block] = dots / _or_nan(size)[:, None]
        return parts

    def _group_sums(self, groups: Int[np.ndarray, " set"]) -> tuple[np.ndarray, ...]:
        sizes = np.bincount(groups)
        sums = np.zeros((len(sizes), *self._means.shape[1:]))
        for block in self._blocks():
            np.add.at(sums, groups[block], self._means[block])
        return sums, sizes

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


def _or_nan(size: int | np.ndarray) -> np.ndarray:
    """Sizes as divisors: NaN where nothing is there to average."""
    sizes = np.asarray(size, dtype=np.float64)
    return np.where(sizes > 0, sizes, np.nan)


def codes(names: Sequence[str | None]) -> Int[np.ndarray, " name"]:
    """Equal names -> equal small numbers, from 0."""
    known: dict[str | None, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=int)
