"""Averages over what was measured, and shares of prompts."""

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.metrics.agreement import NO_ANSWER, NOT_ASKED

KNOWN_FROM = 0.5
"""A fact is known when at least this share of its prompts is answered rightly."""


def mean_present(
    values: Float[np.ndarray, "row column"],
) -> Float[np.ndarray, " column"]:
    """Mean of each column over its rows that are not NaN; NaN where all are."""
    present = ~np.isnan(values)
    count = present.sum(axis=0)
    total = np.where(present, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def group_means(
    values: Float[np.ndarray, " fact"], group: Int[np.ndarray, " fact"], count: int
) -> Float[np.ndarray, " group"]:
    """Mean over the facts of each group (relation); NaN for a group without a value.

    Args:
        values: NaN where not measured: left out.
        group: Index of each fact's group.
        count: Number of groups.
    """
    present = ~np.isnan(values)
    sizes = np.bincount(group[present], minlength=count)
    totals = np.bincount(group[present], weights=values[present], minlength=count)
    return np.where(sizes > 0, totals / np.maximum(sizes, 1), np.nan)


def contexts_deviation(per_context: Float[np.ndarray, " context"]) -> float:
    """Standard deviation over contexts (ddof 1); NaN with fewer than two."""
    present = per_context[~np.isnan(per_context)]
    return float(present.std(ddof=1)) if len(present) > 1 else float("nan")


def no_answer_rate(predictions: Int[np.ndarray, "*shape"]) -> float:
    """Share of the prompts asked whose answer could not be read; NaN without any."""
    asked = int((predictions != NOT_ASKED).sum())
    return float((predictions == NO_ANSWER).sum() / asked) if asked else float("nan")


def is_known(accuracy: Float[np.ndarray, " fact"]) -> Bool[np.ndarray, " fact"]:
    """Facts answered rightly in at least half of their prompts.

    ParaRel calls a fact known from one right template on; with many templates and few
    candidates lucky hits pass that bar, so ours is higher.
    """
    return accuracy >= KNOWN_FROM
