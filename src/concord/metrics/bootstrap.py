"""How far a number would move with other subjects, and with other relations.

Prompts of one subject are not independent, so subjects are drawn, within each relation:
a stratified cluster bootstrap. Every statistic here is a weighted mean over strata
(relations) of sum(numerator) / sum(denominator) over the units (facts) of a stratum, so
all models and measures are resampled by one product of a weight matrix with the sums
per cluster; columns share their resamples, which keeps differences paired.

A subject label that occurs in several relations is one cluster in each: strata are
drawn independently, and correlation across relations is not modelled.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

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
    return Clusters(of_unit, codes // max(len(labels), 1), np.bincount(stratum))


@dataclass(frozen=True, eq=False)
class Replicates:
    """Estimates of every column, from the data and from its resamples."""

    estimate: Float[np.ndarray, " column"]
    within: Float[np.ndarray, "replicate column"]
    """Subjects drawn within each relation."""
    across: Float[np.ndarray, "replicate column"]
    """Relations drawn too; NaN with a single stratum."""


def bootstrap(
    numerator: Float[np.ndarray, "cluster column"],
    denominator: Float[np.ndarray, "cluster distinct"],
    *,
    clusters: Clusters,
    denominator_of: Int[np.ndarray, " column"] | None = None,
    weighting: Weighting = "macro",
    replicates: int = 2000,
    seed: int = 0,
) -> Replicates:
    """Resample clusters within strata, and strata, for all columns at once.

    A stratum whose denominator is 0, in the data or in a replicate, is left out there.
    Of n clusters n - 1 are drawn: the replicates' variance is then that of the closed
    form, s^2 / n, where n draws give (n - 1) / n of it: too little in small strata.

    Args:
        numerator: Sums per cluster, as from `Clusters.sums`.
        denominator: Likewise; a number of units, or the lower half of a ratio.
        clusters: The design.
        denominator_of: For each numerator the place of its denominator; one each, in
            the same order, without it.
        weighting: How strata are averaged.
        replicates: Number of resamples.
        seed: The same seed gives the same resamples, whatever the columns.

    Source:
        Davison & Hinkley (1997), sections 3.2 and 3.8; McCarthy & Snowden (1985) for
        the number of draws.
    """
    if denominator_of is None:
        denominator, denominator_of = _distinct_columns(denominator)
    counts = clusters.weights(weighting)
    tally = _Tally(replicates, numerator.shape[1], len(counts))
    strata_seed, *seeds = np.random.SeedSequence(seed).spawn(len(counts) + 1)
    rng = np.random.default_rng(strata_seed)
    drawn = _drawn_counts(rng, len(counts), len(counts), replicates)
    bounds = [*clusters.first.tolist(), len(clusters)]
    estimate = _Tally(1, numerator.shape[1], len(counts))
    for stratum, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        own, lower = numerator[first:last], denominator[first:last]
        whole = (own.sum(axis=0)[None], lower.sum(axis=0)[None][:, denominator_of])
        estimate.add(slice(0, 1), *whole, counts[stratum], np.ones(1))
        rng = np.random.default_rng(seeds[stratum])
        step = max(1, _BLOCK_CELLS // max(last - first, 1))
        for start in range(0, replicates, step):
            block = slice(start, min(start + step, replicates))
            draws = max(last - first - 1, 1)
            weights = _drawn_counts(rng, last - first, draws, block.stop - start)
            parts = (weights @ own, (weights @ lower)[:, denominator_of])
            tally.add(block, *parts, counts[stratum], drawn[block, stratum])
    return Replicates(estimate.within[0], tally.within, tally.across)


class _Tally:
    """Weighted sums over strata, filled stratum by stratum to keep memory small."""

    def __init__(self, replicates: int, columns: int, strata: int) -> None:
        self._total = np.zeros((2, replicates, columns))
        self._weight = np.zeros((2, replicates, columns))
        self._strata = strata

    def add(
        self,
        rows: slice,
        numerator: Float[np.ndarray, "replicate column"],
        denominator: Float[np.ndarray, "replicate column"],
        count: float,
        drawn: Float[np.ndarray, " replicate"],
    ) -> None:
        present = denominator != 0
        weight: Float[np.ndarray, "replicate column"] | float = count
        if present.all():
            value = count * (numerator / denominator)
        else:
            weight = count * present
            value = weight * np.divide(
                numerator, denominator, out=np.zeros_like(numerator), where=present
            )
        for kind, times in enumerate((1.0, drawn[:, None])):
            self._total[kind, rows] += times * value
            self._weight[kind, rows] += times * weight

    @property
    def within(self) -> Float[np.ndarray, "replicate column"]:
        return self._mean(0)

    @property
    def across(self) -> Float[np.ndarray, "replicate column"]:
        if self._strata < 2:
            return np.full(self._total.shape[1:], np.nan)
        return self._mean(1)

    def _mean(self, kind: int) -> Float[np.ndarray, "replicate column"]:
        weight = self._weight[kind]
        return self._total[kind] / np.where(weight > 0, weight, np.nan)


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
    rng: np.random.Generator, size: int, draws: int, replicates: int
) -> Float[np.ndarray, "replicate item"]:
    """How often each of ``size`` items is drawn in so many draws with replacement."""
    drawn = rng.integers(size, size=(replicates, draws), dtype=np.int32)
    drawn = drawn.astype(np.intp)
    drawn += np.arange(0, replicates * size, size)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=replicates * size)
    return counts.reshape(replicates, size).astype(np.float64)


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
