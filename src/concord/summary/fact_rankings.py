"""Measures of the facts that need every candidate's score (``facts.scoring: full``)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from concord.metrics.posix import posix
from concord.metrics.prediction_sensitivity import class_consistency, sensitivity
from concord.metrics.rankc import rankc
from concord.results import Run, read_rows
from concord.summary.answers import ANALYSIS, Facts
from concord.summary.columns import integers_of, numbers_of, places_of

TOKENS = "candidate_tokens"
_COLUMNS = ["contexts", "context", "fact", "template", "prediction_index", "scores"]


@dataclass(frozen=True, eq=False)
class Scored:
    """Facts of one relation that were asked with the same templates, in one context."""

    facts: Int[np.ndarray, " fact"]
    """Places among all facts."""
    scores: Float[np.ndarray, "template fact candidate"]
    """Natural logs of probabilities."""
    predictions: Int[np.ndarray, "template fact"]
    tokens: Int[np.ndarray, "template fact candidate"] | None
    """Length of each candidate; None where the rows do not tell."""

    @property
    def distributions(self) -> Float[np.ndarray, "template fact candidate"]:
        """Probabilities of the candidates among themselves."""
        mass = np.exp(self.scores - self.scores.max(axis=-1, keepdims=True))
        return mass / mass.sum(axis=-1, keepdims=True)


def has_column(run: Run, model: str, name: str) -> bool:
    """Whether all rows of a model have a column; ``scores`` only with full scoring."""
    parts = run.parts(ANALYSIS, model)
    return bool(parts) and all(name in pq.read_schema(p).names for p in parts)


def score_measures(
    run: Run, model: str, contexts: str, facts: Facts, named: Sequence[str]
) -> dict[str, Float[np.ndarray, "context fact"]]:
    """Values per fact over its templates, in each context, by name.

    A relation's class consistency stands at all its facts.
    """
    groups = list(_scored(run, model, contexts, facts)) if named else []
    shape = (1 + max((context for context, _ in groups), default=0), len(facts.fact))
    values = {name: np.full(shape, np.nan) for name in named}
    means: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for context, own in groups:
        for name in named:
            if name in _BY_FACT and len(own.scores) > 1:
                values[name][context, own.facts] = _BY_FACT[name](own)
        relation = int(facts.relation[own.facts[0]])
        mean = own.distributions.mean(axis=0)
        means.setdefault((context, relation), []).append((own.facts, mean))
    if "class_consistency" in named:
        for (context, relation), parts in means.items():
            places = np.concatenate([place for place, _ in parts])
            mean = np.concatenate([part for _, part in parts])
            members = np.flatnonzero(facts.relation == relation)
            found = _likeness(mean, facts.object[places])
            values["class_consistency"][context, members] = found
    return values


def _likeness(mean: Float[np.ndarray, "fact candidate"], objects: np.ndarray) -> float:
    """Mean over the classes of a relation, facts with one right object."""
    labels, classes = np.unique(objects, return_inverse=True)
    values = class_consistency(mean[None], classes, len(labels))
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _scored(
    run: Run, model: str, contexts: str, facts: Facts
) -> Iterator[tuple[int, Scored]]:
    """Groups of facts with their context; one relation's grid at a time."""
    has_tokens = has_column(run, model, TOKENS)
    table: Any = read_rows(
        run,
        ANALYSIS,
        model,
        columns=[*_COLUMNS, TOKENS] if has_tokens else _COLUMNS,
        filter=pc.field("contexts") == contexts,
    )
    item = places_of(table["fact"], facts.fact)
    context, template = (integers_of(table[n]) for n in ("context", "template"))
    predictions = integers_of(table["prediction_index"])
    lists: Any = table["scores"].combine_chunks()
    scores, ends = numbers_of(lists.flatten()), np.cumsum(lists.value_lengths())
    tokens = (
        integers_of(table[TOKENS].combine_chunks().flatten()) if has_tokens else None
    )
    templates = int(template.max(initial=0)) + 1
    for number in np.unique(context):
        for relation, members in facts.by_relation():
            rows = (context == number) & (item >= 0)
            rows &= facts.relation[np.maximum(item, 0)] == relation
            at = (template[rows], np.searchsorted(members, item[rows]))
            count = int(facts.candidate_count[members].max())
            cells = ends[rows][:, None] - count + np.arange(count)
            shape = (templates, len(members))
            grid = np.full((*shape, count), np.nan)
            grid[at] = scores[cells]
            chosen = np.zeros(shape, np.int64)
            chosen[at] = predictions[rows]
            lengths = None
            if tokens is not None:
                lengths = np.ones((*shape, count), np.int64)
                lengths[at] = tokens[cells]
            yield from (
                (
                    int(number),
                    Scored(
                        members[own],
                        grid[np.ix_(asked, own)],
                        chosen[np.ix_(asked, own)],
                        None if lengths is None else lengths[np.ix_(asked, own)],
                    ),
                )
                for asked, own in _asked_alike(~np.isnan(grid[:, :, 0]))
            )


def _asked_alike(asked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Templates, and the facts that were asked under these and no others."""
    kinds, kind_of = np.unique(asked.T, axis=0, return_inverse=True)
    for kind, templates in enumerate(kinds):
        if templates.any():
            yield templates, np.flatnonzero(kind_of.ravel() == kind)


def _posix(own: Scored) -> Float[np.ndarray, " fact"]:
    """The prediction of each template, under every template."""
    assert own.tokens is not None
    scores = own.scores.swapaxes(0, 1)
    chosen = own.predictions.T
    places = np.broadcast_to(chosen[:, None, :], (*scores.shape[:2], chosen.shape[1]))
    lengths = np.take_along_axis(own.tokens, own.predictions[..., None], axis=-1)
    return posix(np.take_along_axis(scores, places, axis=-1), lengths[..., 0].T)


_BY_FACT: Mapping[str, Callable[[Scored], Float[np.ndarray, " fact"]]] = {
    "rankc": lambda own: rankc(own.scores),
    "posix": _posix,
    "sensitivity": lambda own: sensitivity(own.distributions),
}

SCORE_MEASURES = (*_BY_FACT, "class_consistency")
"""What every candidate's score can tell, and nothing or less without."""
