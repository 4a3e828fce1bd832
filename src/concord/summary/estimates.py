"""Outcomes per unit, resampled: estimates of many outcomes from the same resamples.

An outcome of one model is a numerator and a denominator per context and unit (fact,
paraphrase set, pair). Its value is, per context, the mean over strata (relations) of
sum(numerator) / sum(denominator); then the mean over contexts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.metrics.bootstrap import (
    Clusters,
    Weighting,
    bootstrap,
    influence,
    stratum_ratios,
    stratum_shares,
)
from concord.metrics.few_clusters import (
    FEWEST_DEGREES,
    Precision,
    precision,
    precision_of_strata,
    stretched,
)
from concord.metrics.intervals import bca_interval, percentile_interval
from concord.metrics.rates import mean_present
from concord.metrics.significance import Adjustment, paired_contributions

NO_INTERVAL = "too few subjects to draw from: no interval"
"""Reason for a value without an interval."""
FEW_RELATIONS = f"fewer than {FEWEST_DEGREES + 1} relations: no interval over relations"


@dataclass(frozen=True)
class Settings:
    """How intervals and tests are made."""

    replicates: int
    permutations: int
    level: float
    seed: int
    margin: float | None = None
    interval: Literal["percentile", "bca"] = "percentile"
    adjustment: Adjustment = "holm"


@dataclass(frozen=True, eq=False)
class Outcome:
    """One measure of one model in one set of contexts."""

    numerator: Float[np.ndarray, "context unit"]
    denominator: Float[np.ndarray, "context unit"] | Bool[np.ndarray, "context unit"]
    """0 where the unit does not count; truths where all that count count alike."""
    prompts: int | None = None
    """Prompts it was computed from."""
    has_interval: bool = True
    """False for a number that is no mean over units; then numerator is constant."""
    reason: str = ""
    """Why it has no value, or what was left out of it."""

    @property
    def is_mean(self) -> bool:
        """Contexts have one denominator, so they may be averaged unit by unit."""
        return bool((self.denominator == self.denominator[:1]).all())

    @property
    def is_counted(self) -> Bool[np.ndarray, " unit"]:
        """Whether a unit counts in any of the contexts."""
        return np.asarray(self.denominator.any(axis=0))

    def columns(
        self,
    ) -> tuple[Float[np.ndarray, "unit column"], Float[np.ndarray, "unit column"]]:
        """Numerators and denominators as columns: one, or one for each context."""
        if self.is_mean:
            top, bottom = self.numerator.mean(axis=0)[:, None], self.denominator[:1].T
        else:
            top, bottom = self.numerator.T, self.denominator.T
        return top, bottom.astype(float)

    def over_contexts(self) -> "Outcome":
        """The same in one column, where contexts may be averaged."""
        if not self.is_mean:
            return self
        top = self.numerator.mean(axis=0, keepdims=True)
        return replace(self, numerator=top, denominator=self.denominator[:1])

    def only(self, kept: Bool[np.ndarray, " unit"]) -> "Outcome":
        """The same over some of the units."""
        return Outcome(
            self.numerator * kept,
            self.denominator * kept,
            self.prompts,
            reason=self.reason,
        )


def mean_outcome(
    values: Float[np.ndarray, "context unit"], prompts: int | None = None
) -> Outcome:
    """A mean over units; NaN marks a unit that does not count."""
    present = ~np.isnan(values)
    return Outcome(np.where(present, values, 0.0), present, prompts)


@dataclass(frozen=True)
class Pair:
    """A difference to be estimated: one outcome minus another."""

    key: str
    model: str
    after: Outcome
    before: Outcome


@dataclass(frozen=True, eq=False)
class Sample:
    """Units measured alike for all models, and what was measured on them."""

    analysis: str
    dataset: str
    clusters: Clusters
    strata: tuple[str, ...]
    """Labels of the strata, in their order."""
    weighting: Weighting
    strata_are_relations: bool
    values: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    """(key, model) -> outcome."""
    pairs: list[Pair] = field(default_factory=list)
    by_relation: dict[tuple[str, str], Float[np.ndarray, " stratum"]] = field(
        default_factory=dict
    )
    """Values of strata where these are not the outcome's own: linear terms of pairs of
    sets have a mean over all sets only."""
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    """(key, model) -> why it could not be measured."""
    is_joint: bool = False
    """Subjects are drawn from all strata at once: what is measured of a subject is one
    number in each of its relations."""

    @property
    def drawn(self) -> Clusters:
        """What is drawn: clusters within strata, or all subjects jointly."""
        return self.clusters.pool if self.is_joint else self.clusters

    def by_draw(
        self, values: Float[np.ndarray, "cluster column"]
    ) -> Float[np.ndarray, "_drawn column"]:
        """Sums per cluster as sums per what is drawn."""
        return self.clusters.by_subject(values) if self.is_joint else values

    def forget(self) -> None:
        """Let go of the values, which are large, when they are reduced to entries."""
        self.values.clear()
        self.pairs.clear()
        self.by_relation.clear()


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates of a list of outcomes, one column for each."""

    estimate: Float[np.ndarray, " outcome"]
    within: Float[np.ndarray, "replicate outcome"]
    across: Float[np.ndarray, "replicate outcome"]
    precision: Precision
    """What the clusters allow to be said."""
    relation_precision: Precision
    """What the strata allow to be said when they are drawn."""
    moved: Float[np.ndarray, "cluster outcome"] | None
    """How much each cluster moves an estimate; only intervals of kind BCa need it."""

    def take(self, places: Sequence[int]) -> "Estimates":
        """The estimates of some of the outcomes."""
        return Estimates(
            self.estimate[places],
            self.within[:, places],
            self.across[:, places],
            self.precision.take(places),
            self.relation_precision.take(places),
            None if self.moved is None else self.moved[:, places],
        )

    def minus(self, other: "Estimates") -> "Estimates":
        """Differences, paired since the resamples are shared."""
        both = (self.moved, other.moved)
        return Estimates(
            self.estimate - other.estimate,
            self.within - other.within,
            self.across - other.across,
            self.precision.with_other(other.precision),
            self.relation_precision.with_other(other.relation_precision),
            None if both[0] is None or both[1] is None else both[0] - both[1],
        )


def resample(
    sample: Sample, outcomes: Iterable[Outcome], settings: Settings
) -> Estimates:
    """Estimates of outcomes, all from the same resamples.

    An outcome that occurs several times is computed once.
    """
    given = list(outcomes)
    distinct = {id(outcome): outcome for outcome in given}
    index = {name: place for place, name in enumerate(distinct)}
    drawn = _resample_distinct(sample, list(distinct.values()), settings)
    return drawn.take([index[id(outcome)] for outcome in given])


def _resample_distinct(
    sample: Sample, outcomes: list[Outcome], settings: Settings
) -> Estimates:
    top, bottom, bottom_of, parts = _cluster_sums(sample.clusters, outcomes)
    design: dict[str, Any] = {
        "clusters": sample.clusters,
        "weighting": sample.weighting,
    }
    drawn = bootstrap(
        top,
        bottom,
        denominator_of=bottom_of,
        replicates=settings.replicates,
        seed=settings.seed,
        is_joint=sample.is_joint,
        **design,
    )
    moved = None
    if settings.interval == "bca":
        moved = influence(top, bottom[:, bottom_of], **design)
        moved = sample.by_draw(_mean_of_parts(moved, parts))
    return Estimates(
        _mean_of_parts(drawn.estimate[None], parts)[0],
        _mean_of_parts(drawn.within, parts),
        _mean_of_parts(drawn.across, parts),
        precision_of(sample, bottom).of_means(bottom_of, parts),
        precision_of_strata(bottom, sample.clusters).of_means(bottom_of, parts),
        moved,
    )


def precision_of(
    sample: Sample, bottom: Float[np.ndarray, "cluster column"]
) -> Precision:
    """That of the strata; of a joint draw no better than that of the subjects."""
    weighting = sample.weighting
    found = precision(bottom, clusters=sample.clusters, weighting=weighting)
    if not sample.is_joint:
        return found
    bottom = sample.by_draw(bottom)
    return found.with_other(
        precision(bottom, clusters=sample.drawn, weighting=weighting)
    )


def _cluster_sums(
    clusters: Clusters, outcomes: Sequence[Outcome]
) -> tuple[
    Float[np.ndarray, "cluster column"],
    Float[np.ndarray, "cluster distinct"],
    Int[np.ndarray, " column"],
    list[slice],
]:
    """Numerators, the denominators that differ, whose each is, and outcomes' columns.

    Of thousands of columns most share their denominators, so few of those are kept.
    """
    sizes = [1 if one.is_mean else len(one.numerator) for one in outcomes]
    ends = np.cumsum(sizes).tolist()
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    top = np.empty((len(clusters), ends[-1]))
    places: dict[bytes, int] = {}
    bottoms: list[np.ndarray] = []
    bottom_of = np.empty(ends[-1], dtype=np.intp)
    for outcome, part in zip(outcomes, parts, strict=True):
        own, counted = outcome.columns()
        top[:, part] = clusters.sums(own)
        for column, values in zip(range(part.start, part.stop), counted.T, strict=True):
            place = places.setdefault(values.tobytes(), len(bottoms))
            if place == len(bottoms):
                bottoms.append(clusters.sums(values[:, None])[:, 0])
            bottom_of[column] = place
    return top, np.stack(bottoms, axis=1), bottom_of, parts


def intervals_of(
    drawn: Estimates, settings: Settings, *, level: float | None = None
) -> Float[np.ndarray, "2 outcome"]:
    """Both ends; NaN where there are too few clusters to draw from."""
    level = level or settings.level
    if drawn.moved is not None:
        ends = bca_interval(drawn.within, drawn.estimate, drawn.moved, level)
    else:
        ends = percentile_interval(drawn.within, level)
    return stretched(ends, drawn.estimate, drawn.precision.reach(level))


def relation_intervals_of(
    sample: Sample, drawn: Estimates, settings: Settings
) -> Float[np.ndarray, "2 outcome"]:
    """Both ends with relations drawn; NaN where they are few or strata are none."""
    if not sample.strata_are_relations:
        return np.full((2, len(drawn.estimate)), np.nan)
    ends = percentile_interval(drawn.across, settings.level)
    reach = drawn.relation_precision.reach(settings.level)
    return stretched(ends, drawn.estimate, reach)


def on_common_strata(sample: Sample, pair: Pair) -> Pair:
    """The pair over the strata in which both sides were measured."""
    after, before = (
        np.asarray(~np.isnan(ratios_of(sample, outcome)).all(axis=1))
        for outcome in (pair.after, pair.before)
    )
    if np.array_equal(after, before):
        return pair
    kept = (after & before)[sample.clusters.stratum_of_unit]
    return Pair(pair.key, pair.model, pair.after.only(kept), pair.before.only(kept))


Sides = tuple[Float[np.ndarray, "cluster column"], Float[np.ndarray, "cluster column"]]
"""Sums per cluster of what is averaged, and of what it is divided by."""


def contributions_of(
    sample: Sample, pair: Pair, known: dict[int, Sides]
) -> Float[np.ndarray, " cluster"]:
    """What each cluster adds to a difference; the sum is the difference.

    Args:
        sample: The design.
        pair: Tuned and base.
        known: Sums of bases by identity, filled here: ten pairs share one.
    """
    if id(pair.before) not in known:
        known[id(pair.before)] = _sides(sample, pair.before)
    sides = known[id(pair.before)], _sides(sample, pair.after)
    width = max(top.shape[1] for top, _ in sides)
    sums = [
        tuple(np.repeat(part, width // part.shape[1], axis=1) for part in side)
        for side in sides
    ]
    return paired_contributions(
        (sums[0][0], sums[1][0]),
        (sums[0][1], sums[1][1]),
        clusters=sample.clusters,
        weighting=sample.weighting,
    ).mean(axis=1)


def _sides(sample: Sample, outcome: Outcome) -> Sides:
    top, bottom = outcome.columns()
    return sample.clusters.sums(top), sample.clusters.sums(bottom)


def moved_by(sample: Sample, outcome: Outcome) -> Float[np.ndarray, " cluster"]:
    """How much each cluster moves an outcome's value, mean over contexts."""
    top, bottom = outcome.columns()
    return influence(
        sample.clusters.sums(top),
        sample.clusters.sums(bottom),
        clusters=sample.clusters,
        weighting=sample.weighting,
    ).mean(axis=1)


def ratios_of(sample: Sample, outcome: Outcome) -> Float[np.ndarray, "stratum context"]:
    """Value of each stratum in each context."""
    return stratum_ratios(
        sample.clusters.sums(outcome.numerator.T),
        sample.clusters.sums(outcome.denominator.T.astype(float)),
        sample.clusters,
    )


def per_context_values(
    sample: Sample, outcome: Outcome
) -> Float[np.ndarray, " context"]:
    """Value in each context."""
    ratios = ratios_of(sample, outcome)
    share = stratum_shares(~np.isnan(ratios), sample.clusters, sample.weighting)
    return np.where(np.isnan(ratios), 0.0, ratios * share).sum(axis=0)


def add_pairs(sample: Sample, models: list[str]) -> None:
    """Tuned minus base for every key; and the part of it due to the prompt."""
    base = models[0]
    for key, model in list(sample.values):
        name, _, suffix = key.partition("@")
        before = sample.values.get((name, base))
        if model == base or before is None:
            continue
        after = sample.values[key, model]
        sample.pairs.append(Pair(key, model, after, before))
        own = sample.values.get((name, model))
        if suffix == "same" and own is not None:
            sample.pairs.append(Pair(f"{name}@prompt", model, own, after))


def number(value: float) -> float | None:
    """A number for JSON: null where nothing was measured."""
    return float(value) if np.isfinite(value) else None


def _mean_of_parts(
    values: Float[np.ndarray, "row column"], parts: list[slice]
) -> Float[np.ndarray, "row part"]:
    if all(part.stop - part.start == 1 for part in parts):
        return values
    return np.stack([mean_present(values[:, part].T) for part in parts], axis=1)
