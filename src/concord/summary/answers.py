"""Rows of predictions -> arrays by context, template and fact, alike for all models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from concord.ahead import ahead
from concord.metrics.agreement import NOT_ASKED, pairwise_agreement
from concord.results import Run, read_rows
from concord.summary.columns import (
    codes_of,
    common_labels,
    first_rows,
    integers_of,
    numbers_of,
    places_of,
)

ANALYSIS = "facts"
NOT_TOLD = "the likeliest token is not told by its server or log"
_COLUMNS = [
    "contexts",
    "context",
    "fact",
    "template",
    "prediction_index",
    "is_correct",
    "free_prediction",
    "margin",
]
_FACT_COLUMNS = [
    "contexts",
    "fact",
    "relation",
    "subject",
    "object",
    "is_trivial",
    "candidate_count",
]
_TEXTS = ("contexts", "fact", "relation", "subject", "object", "free_prediction")


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts that every model was asked, grouped by relation."""

    fact: list[str]
    subject: np.ndarray
    relations: tuple[str, ...]
    relation: Int[np.ndarray, " fact"]
    object: np.ndarray
    is_trivial: Bool[np.ndarray, " fact"]
    candidate_count: Int[np.ndarray, " fact"]
    left_out: int
    """Facts that only some of the models were asked."""

    def by_relation(self) -> Iterator[tuple[int, Int[np.ndarray, " own"]]]:
        """Each relation's index with the indices of its facts."""
        for index in range(len(self.relations)):
            yield index, np.flatnonzero(self.relation == index)


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model answered in one set of contexts; codes of `metrics.agreement`."""

    predictions: Int[np.ndarray, "context template fact"]
    is_right: Bool[np.ndarray, "context template fact"]
    free: Int[np.ndarray, "context template fact"]
    margin: Float[np.ndarray, "context template fact"]
    """Nats; NaN where there is no runner-up."""

    @property
    def asked(self) -> Bool[np.ndarray, "context template fact"]:
        """Prompts there are."""
        return self.predictions != NOT_ASKED

    @cached_property
    def agreement(self) -> Float[np.ndarray, "context fact"]:
        """Share of template pairs with one answer; NaN for a fact without a pair."""
        return per_context(pairwise_agreement, self.predictions)

    def without_near_ties(self, delta: float) -> "Answers":
        """The answers with prompts left out whose margin the noise can bridge."""
        near = self.margin < 2 * delta
        return replace(self, predictions=np.where(near, NOT_ASKED, self.predictions))


def common_facts(run: Run, models: list[str]) -> Facts | None:
    """Facts asked of every model that has rows, in every set of contexts it has."""
    tables: list[pa.Table] = []
    whole: pa.Table | None = None
    places = partial(read_rows, run, ANALYSIS, columns=_FACT_COLUMNS[:2], coded=_TEXTS)
    for model, table in zip(models, ahead(places, models), strict=True):
        if table is not None:
            if whole is None:
                whole = read_rows(run, ANALYSIS, model, _FACT_COLUMNS, coded=_TEXTS)
            tables.append(table)
    common, seen = common_labels(tables, "fact")
    if whole is None or not common:
        return None
    table = first_rows(whole, "fact", common)
    table = table.sort_by([("relation", "ascending"), ("fact", "ascending")])
    relation, relations = codes_of(table["relation"])
    return Facts(
        table["fact"].to_pylist(),
        np.array(table["subject"].to_pylist()),
        tuple(relations),
        relation,
        np.array(table["object"].to_pylist()),
        integers_of(table["is_trivial"]) == 1,
        integers_of(table["candidate_count"]),
        len(seen) - len(common),
    )


def answers_of(run: Run, model: str, facts: Facts) -> dict[str, Answers]:
    """Answers of a model in each set of contexts it was asked in."""
    table = read_rows(run, ANALYSIS, model, columns=_COLUMNS, coded=_TEXTS)
    if table is None:
        return {}
    fact = places_of(table["fact"], facts.fact)
    context = integers_of(table["context"])
    template = integers_of(table["template"])
    cells = (
        (integers_of(table["prediction_index"]).astype(np.int32), NOT_ASKED),
        (integers_of(table["is_correct"]) == 1, False),
        (_told(codes_of(table["free_prediction"])[0].astype(np.int32)), NOT_ASKED),
        (numbers_of(table["margin"]), np.nan),
    )
    names, labels = codes_of(table["contexts"])
    found = {}
    for code, label in enumerate(labels):
        rows = np.flatnonzero((names == code) & (fact >= 0))
        place = (context[rows], template[rows], fact[rows])
        size = (int(context[rows].max(initial=0)), int(template.max(initial=0)))
        shape = (size[0] + 1, size[1] + 1, len(facts.fact))
        found[label] = Answers(
            *(_placed(shape, place, cell[rows], absent) for cell, absent in cells)
        )
    return found


def _told(codes: Int[np.ndarray, " row"]) -> Int[np.ndarray, " row"]:
    """A null is no answer of the model but one that its endpoint keeps: not asked."""
    return np.where(codes >= 0, codes, NOT_ASKED)


def per_context(
    measure: Callable[..., np.ndarray], *arrays: np.ndarray
) -> Float[np.ndarray, "context fact"]:
    """A measure per fact, computed in each context by itself."""
    return np.stack([measure(*own) for own in zip(*arrays, strict=True)])


def dataset_of(run: Run) -> str:
    """Name of the run's facts: ``pararel`` or a path."""
    return str(run.study.get("facts", {}).get("source", "pararel"))


def _placed(
    shape: tuple[int, int, int],
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    values: np.ndarray,
    absent: Any,
) -> np.ndarray:
    array = np.full(shape, absent, dtype=values.dtype)
    array[place] = values
    return array
