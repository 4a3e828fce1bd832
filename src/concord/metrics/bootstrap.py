"""How far a number would move with other subjects, and with other relations.

Prompts of one subject are not independent, so subjects are drawn, within each relation:
a stratified cluster bootstrap. Every statistic here is a weighted mean over strata
(relations) of sum(numerator) / sum(denominator) over the units (facts) of a stratum, so
all models and measures are resampled by one product of a weight matrix with the sums
per cluster; columns share their resamples, which keeps differences paired.

A subject label that occurs in several relations is one cluster in each: strata are
drawn independently, and correlation across relations is not modelled. Where one number
of a subject stands in all of its relations, subjects are drawn jointly: each replicate
draws from all subjects at once, and a subject counts as often in every relation.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

Weighting = Literal["macro", "micro"]
_BLOCK_CELLS = 1 << 18


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which units are drawn together, and from which stratum.

    Clusters are numbered stratum by stratum, so those of one stratum stand together.
    """

    of_unit: Int[np.ndarray, " unit"]
    """Cluster of each unit."""
    stratum: Int[np.ndarray, " cluster"]
    """Stratum of each cluster, ascending."""
    unit_count: Int[np.ndarray, " stratum"]
    """Units in each stratum."""
    subject: Int[np.ndarray, " cluster"]
    """What a cluster is of, numbered from 0: one number, wherever its label occurs."""

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.stratum)

    @cached_property
    def stratum_of_unit(self) -> Int[np.ndarray, " unit"]:
        """Stratum of each unit."""
        return self.stratum[self.of_unit]

    def sums(
        self, values: Float[np.ndarray, "unit column"]
    ) -> Float[np.ndarray, "cluster column"]:
        """Sum over the units of each cluster."""
        if len(values) == 0:
            return np.zeros((0, values.shape[1]))
        ordered = values if self._is_ordered else values[self._order]
        if len(self) == len(values):
            return ordered
        return np.add.reduceat(ordered, self._first_unit, axis=0)

    def count_with(self, counted: Bool[np.ndarray, " unit"]) -> int:
        """Number of clusters that have one of these units."""
        has_one = np.zeros(len(self), dtype=bool)
        has_one[self.of_unit[counted]] = True
        return int(has_one.sum())

    @cached_property
    def first(self) -> Int[np.ndarray, " stratum"]:
        """First cluster of each stratum."""
        return np.searchsorted(self.stratum, np.arange(len(self.unit_count)))

    @cached_property
    def _order(self) -> Int[np.ndarray, " unit"]:
        return np.argsort(self.of_unit, kind="stable")

    @cached_property
    def _is_ordered(self) -> bool:
        return bool((np.diff(self.of_unit) >= 0).all())

    @cached_property
    def _first_unit(self) -> Int[np.ndarray, " cluster"]:
        return np.searchsorted(self.of_unit[self._order], np.arange(len(self)))

    @cached_property
    def pool(self) -> "Clusters":
        """All subjects in one stratum: the design of a joint draw."""
        subjects = np.arange(int(self.subject.max(initial=-1)) + 1)
        units = np.array([len(self.of_unit)])
        of_unit = self.subject[self.of_unit]
        return Clusters(of_unit, np.zeros_like(subjects), units, subjects)

    def by_subject(
        self, values: Float[np.ndarray, "cluster column"]
    ) -> Float[np.ndarray, "subject column"]:
        """Sum over the strata in which a subject stands."""
        order = np.argsort(self.subject, kind="stable")
        first = np.searchsorted(self.subject[order], self.pool.subject)
        return np.add.reduceat(values[order], first, axis=0)

    def weights(self, weighting: Weighting) -> Float[np.ndarray, " stratum"]:
        """What a stratum counts: alike (macro), or as many units as it has (micro)."""
        if weighting == "macro":
            return np.ones(len(self.unit_count))
        return self.unit_count.astype(float)


def cluster_units(
    strata: Shaped[np.ndarray, " unit"], clusters: Shaped[np.ndarray, " unit"]
) -> Clusters:
    """Number the clusters of units, a label in two strata being two clusters.

    Args:
        strata: Stratum of each unit, by any label.
        clusters: Cluster of each unit within its stratum, by any label.
    """
    _, stratum = np.unique(strata, return_inverse=True)
    labels, label = np.unique(clusters, return_inverse=True)
    codes, of_unit = np.unique(stratum * len(labels) + label, return_inverse=True)
    of, subject = np.divmod(codes, max(len(labels), 1))
    return Clusters(of_unit, of, np.bincount(stratum), subject)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Estimates of every column, from the data and from its resamples."""

    estimate: Float[np.ndarray, " column"]
    within: Float[np.ndarray, "replicate column"]
    """Subjects drawn within each relation."""
    across: Float[np.ndarray, "replicate column"]
    """Relations drawn, with what was measured on each; NaN with a single stratum."""


def bootstrap(
    numerator: Float[np.ndarray, "cluster column"],
    denominator: Float[np.ndarray, "cluster distinct"],
    *,
    clusters: Clusters,
    denominator_of: Int[np.ndarray, " column"] | None = None,
    weighting: Weighting = "macro",
    replicates: int = 2000,
    seed: int = 0,
    is_joint: bool = False,
) -> Replicates:
    """Resample clusters within strata, and strata, for all columns at once.

    A stratum whose denominator is 0, in the data or in a replicate, is left out there.
    Of n clusters n - 1 are drawn: the replicates' variance is then that of the closed
    form, s^2 / n, where n draws give (n - 1) / n of it: too little in small strata.
    So too of strata. A stratum's value holds the noise of the subjects it was measured
    on: to draw them anew within each drawn stratum would count that noise again.

    Args:
        numerator: Sums per cluster, as from `Clusters.sums`.
        denominator: Likewise; a number of units, or the lower half of a ratio.
        clusters: The design.
        denominator_of: For each numerator the place of its denominator; one each, in
            the same order, without it.
        weighting: How strata are averaged.
        replicates: Number of resamples.
        seed: The same seed gives the same resamples, whatever the columns.
        is_joint: Subjects are drawn from all strata at once (`Clusters.pool`).

    Source:
        Davison & Hinkley (1997), section 3.2, and 3.8 for the two stages; McCarthy &
        Snowden (1985) for the number of draws.
    """
    if denominator_of is None:
        denominator, denominator_of = _distinct_columns(denominator)
    counts = clusters.weights(weighting)
    within = _Tally(replicates, numerator.shape[1])
    values = np.full((len(counts), numerator.shape[1]), np.nan)
    strata_seed, *seeds = np.random.SeedSequence(seed).spawn(len(counts) + 1)
    pool = _pool_counts(clusters.pool, replicates, seed) if is_joint else None
    bounds = [*clusters.first.tolist(), len(clusters)]
    for stratum, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        own, lower = numerator[first:last], denominator[first:last]
        bottom = lower.sum(axis=0)[denominator_of]
        values[stratum] = own.sum(axis=0) / np.where(bottom != 0, bottom, np.nan)
        rng = np.random.default_rng(seeds[stratum])
        step = max(1, _BLOCK_CELLS // max(last - first, 1))
        for start in range(0, replicates, step):
            block = slice(start, min(start + step, replicates))
            if pool is None:
                weights = _drawn_counts(rng, last - first, block.stop - start)
            else:
                weights = pool[block][:, clusters.subject[first:last]].astype(float)
            parts = (weights @ own, (weights @ lower)[:, denominator_of])
            within.add(block, *parts, counts[stratum])
    once = np.ones((1, len(counts)))
    across = np.full((replicates, numerator.shape[1]), np.nan)
    if len(counts) > 1:
        rng = np.random.default_rng(strata_seed)
        drawn = _drawn_counts(rng, len(counts), replicates)
        across = _over_strata(drawn, values, counts)
    return Replicates(_over_strata(once, values, counts)[0], within.mean, across)


class _Tally:
    """Weighted sums over strata, filled stratum by stratum to keep memory small."""

    def __init__(self, replicates: int, columns: int) -> None:
        self._total = np.zeros((replicates, columns))
        self._weight = np.zeros((replicates, columns))

    def add(
        self,
        rows: slice,
        numerator: Float[np.ndarray, "replicate column"],
        denominator: Float[np.ndarray, "replicate column"],
        count: float,
    ) -> None:
        present = denominator != 0
        if present.all():
            self._total[rows] += count * (numerator / denominator)
            self._weight[rows] += count
            return
        weight = count * present
        self._weight[rows] += weight
        self._total[rows] += weight * np.divide(
            numerator, denominator, out=np.zeros_like(numerator), where=present
        )

    @property
    def mean(self) -> Float[np.ndarray, "replicate column"]:
        return self._total / np.where(self._weight > 0, self._weight, np.nan)


def _over_strata(
    times: Float[np.ndarray, "replicate stratum"],
    values: Float[np.ndarray, "stratum column"],
    counts: Float[np.ndarray, " stratum"],
) -> Float[np.ndarray, "replicate column"]:
    """Mean over strata as often as each was drawn; those without a value left out."""
    present = ~np.isnan(values)
    total = (times * counts) @ np.where(present, values, 0.0)
    weight = (times * counts) @ present.astype(float)
    return total / np.where(weight > 0, weight, np.nan)


def influence(
    numerator: Float[np.ndarray, "cluster column"],
    denominator: Float[np.ndarray, "cluster column"],
    *,
    clusters: Clusters,
    weighting: Weighting = "macro",
) -> Float[np.ndarray, "cluster column"]:
    """How much each cluster moves the estimate: the linear term, summing to 0.

    For a stratum of share w: w (numerator - R denominator) / sum(denominator).
    """
    bottom = stratum_sums(denominator, clusters)
    bottom = np.where(bottom != 0, bottom, np.nan)
    ratio = stratum_sums(numerator, clusters) / bottom
    of = clusters.stratum
    share = stratum_shares(~np.isnan(ratio), clusters, weighting)
    moved = share[of] * (numerator - ratio[of] * denominator) / bottom[of]
    return np.where(np.isnan(moved), 0.0, moved)


def stratum_sums(
    values: Float[np.ndarray, "cluster column"], clusters: Clusters
) -> Float[np.ndarray, "stratum column"]:
    """Sum over the clusters of each stratum."""
    return np.add.reduceat(values, clusters.first, axis=0)


def stratum_ratios(
    numerator: Float[np.ndarray, "cluster column"],
    denominator: Float[np.ndarray, "cluster column"],
    clusters: Clusters,
) -> Float[np.ndarray, "stratum column"]:
    """Value of each stratum: sum(numerator) / sum(denominator); NaN where that is 0."""
    bottom = stratum_sums(denominator, clusters)
    return stratum_sums(numerator, clusters) / np.where(bottom != 0, bottom, np.nan)


def stratum_shares(
    present: Bool[np.ndarray, "stratum column"],
    clusters: Clusters,
    weighting: Weighting,
) -> Float[np.ndarray, "stratum column"]:
    """What each stratum counts in the mean, absent ones nothing; columns sum to 1."""
    weight = clusters.weights(weighting)[:, None] * present
    total = weight.sum(axis=0)
    return weight / np.where(total > 0, total, np.nan)


def _drawn_counts(
    rng: np.random.Generator, size: int, replicates: int
) -> Float[np.ndarray, "replicate item"]:
    """How often each of ``size`` items is drawn in one draw less, with replacement."""
    shape = replicates, max(size - 1, 1)
    drawn = rng.integers(size, size=shape, dtype=np.int32)
    drawn = drawn.astype(np.intp)
    drawn += np.arange(0, replicates * size, size)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=replicates * size)
    return counts.reshape(replicates, size).astype(np.float64)


def _pool_counts(
    pool: Clusters, replicates: int, seed: int
) -> UInt8[np.ndarray, "replicate subject"]:
    """How often each subject is drawn, in small numbers: there are many of them."""
    rng = np.random.default_rng(seed)
    counts = np.empty((replicates, len(pool)), dtype=np.uint8)
    step = max(1, _BLOCK_CELLS // max(len(pool), 1))
    for start in range(0, replicates, step):
        rows = counts[start : start + step]
        rows[:] = _drawn_counts(rng, len(pool), len(rows))
    return counts


def _distinct_columns(
    values: Float[np.ndarray, "cluster column"],
) -> tuple[Float[np.ndarray, "cluster distinct"], Int[np.ndarray, " column"]]:
    """Columns without repeats, and for each column its place among them."""
    places: dict[bytes, int] = {}
    kept, column_of = [], []
    for index, column in enumerate(np.ascontiguousarray(values.T)):
        name = column.tobytes()
        if name not in places:
            places[name] = len(kept)
            kept.append(index)
        column_of.append(places[name])
    return values[:, kept], np.array(column_of, dtype=np.intp)
