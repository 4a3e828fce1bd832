"""Intervals, tests, and measures that are taken besides the study's own."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from concord.study.section import Section

OtherMeasure = Literal[
    "rankc",
    "posix",
    "format_spread",
    "prompt_sensi_score",
    "paraphrastic_consistency",
    "consistency_rate",
    "xparacon",
    "sensitivity",
    "class_consistency",
]
OTHER_MEASURES: tuple[str, ...] = get_args(OtherMeasure)
"""Names that ``measures`` may hold."""


class StatisticsConfig(Section):
    """Intervals, tests and verdicts."""

    replicates: Annotated[int, Field(ge=100)] = 2_000
    """Bootstrap replicates, subjects drawn within each relation."""
    permutations: Annotated[int, Field(ge=100)] = 10_000
    """Sign flips of subjects for each p-value."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Coverage of the intervals."""
    margin: Annotated[float, Field(gt=0)] | None = None
    """A difference this small counts as "same" (two one-sided tests), in shares."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Kind of bootstrap interval; ``bca`` corrects for bias and for skewness."""
    adjustment: Literal["holm", "benjamini_hochberg"] = "holm"
    """How p-values are adjusted for the number of tuned models: ``holm`` bounds the
    chance of any false finding, ``benjamini_hochberg`` the share of false findings."""
