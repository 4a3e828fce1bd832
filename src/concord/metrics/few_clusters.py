"""How much further an interval must reach when it rests on few clusters.

Percentiles of replicates are as far from the estimate as those of a normal distribution
whose standard error is known. From n clusters it is estimated, so the ends are moved
from z to Student's t with as many degrees of freedom as the clusters leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, t

from concord.metrics.bootstrap import Clusters, Weighting, stratum_shares, stratum_sums

FEWEST_DEGREES = 4
"""Degrees of freedom (five clusters in one stratum) that an interval needs."""
FEWEST_DEGREES_OF_BAND = 7
"""Those that a band needs: with fewer it holds a curve far less often than it says."""


@dataclass(frozen=True, eq=False)
class Precision:
    """What the clusters allow to be said, by column."""

    degrees: Float[np.ndarray, " column"]
    """Degrees of freedom of the standard error; 0 where no stratum has two clusters."""
    shortfall: Float[np.ndarray, " column"]
    """Standard error over that of the replicates, >= 1."""

    def take(self, columns: Sequence[int] | Int[np.ndarray, " _taken"]) -> "Precision":
        """That of some of the columns, in the order asked for."""
        return Precision(self.degrees[columns], self.shortfall[columns])

    def of_means(
        self, column_of: Int[np.ndarray, " _term"], parts: Sequence[slice]
    ) -> "Precision":
        """Of means over some terms each: no better than any of their terms'.

        Args:
            column_of: The column that each term's precision stands in.
            parts: The terms of each mean, in their order.
        """
        firsts = [part.start for part in parts]
        terms = self.take(column_of)
        return Precision(
            np.minimum.reduceat(terms.degrees, firsts),
            np.maximum.reduceat(terms.shortfall, firsts),
        )

    def with_other(self, other: "Precision") -> "Precision":
        """Of a difference: no better than either side's."""
        return Precision(
            np.minimum(self.degrees, other.degrees),
            np.maximum(self.shortfall, other.shortfall),
        )

    def reach(self, level: float) -> Float[np.ndarray, " column"]:
        """Factor for the distance of an end from the estimate: shortfall t / z.

        Returns:
            At least 1; NaN below `FEWEST_DEGREES`.
        """
        enough = self.degrees >= FEWEST_DEGREES
        degrees = np.where(enough, self.degrees, np.nan)
        tail = (1 + level) / 2
        return self.shortfall * t.ppf(tail, degrees) / norm.ppf(tail)

    def band_reach(self, quantile: float) -> Float[np.ndarray, " column"]:
        """Standard errors that a band reaches where ``quantile`` of known ones would.

        A band's quantile lies further out than that of an interval, where t and z are
        further apart.

        Returns:
            At least ``quantile``; NaN below `FEWEST_DEGREES_OF_BAND`.
        """
        enough = self.degrees >= FEWEST_DEGREES_OF_BAND
        degrees = np.where(enough, self.degrees, np.nan)
        return self.shortfall * t.isf(norm.sf(quantile), degrees)


def precision(
    denominator: Float[np.ndarray, "cluster column"],
    *,
    clusters: Clusters,
    weighting: Weighting = "macro",
) -> Precision:
    """Degrees of freedom of a mean over strata, from the clusters that count in each.

    A stratum of share w with m clusters that count has variance v = w^2 / m, clusters
    varying alike in all strata: then (sum v)^2 / sum(v^2 / (m - 1)) degrees, which is
    sum(m - 1) where strata are alike, and little more than the smallest's where that
    one dominates. A stratum of a single cluster never varies in the replicates; it is
    taken to vary as the others do (``shortfall``).

    Args:
        denominator: Sums per cluster; a cluster counts where it is not 0.
        clusters: The design.
        weighting: How strata are averaged.

    Source:
        Satterthwaite (1946); Lumley (2010), Complex Surveys, chapter 3, for strata
        of a single cluster.
    """
    counted = stratum_sums((denominator != 0).astype(float), clusters)
    share = stratum_shares(counted > 0, clusters, weighting)
    variance = np.nan_to_num(share**2 / np.maximum(counted, 1))
    seen = np.where(counted > 1, variance, 0.0)
    parts = (seen**2 / np.maximum(counted - 1, 1)).sum(axis=0)
    degrees = seen.sum(axis=0) ** 2 / np.where(parts > 0, parts, np.inf)
    sizes = np.bincount(clusters.stratum)
    drawn = variance[sizes > 1].sum(axis=0)
    shortfall = np.sqrt(variance.sum(axis=0) / np.where(drawn > 0, drawn, np.inf))
    return Precision(degrees, np.maximum(shortfall, 1.0))


def precision_of_strata(
    denominator: Float[np.ndarray, "cluster column"], clusters: Clusters
) -> Precision:
    """The same with strata (relations) as what is drawn: their number less one."""
    present = (stratum_sums(denominator, clusters) != 0).sum(axis=0)
    return Precision(np.maximum(present - 1.0, 0.0), np.ones(len(present)))


def stretched(
    interval: Float[np.ndarray, "2 column"],
    estimate: Float[np.ndarray, " column"],
    reach: Float[np.ndarray, " column"],
) -> Float[np.ndarray, "2 column"]:
    """Both ends moved away from the estimate, by `Precision.reach`.

    Source:
        Hesterberg (2015), What teachers should know about the bootstrap, on the width
        of percentile intervals from small samples.
    """
    return estimate + (interval - estimate) * reach
