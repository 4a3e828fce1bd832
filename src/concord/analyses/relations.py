"""In which layers does a prompt's last token tell its relation?

Cosines of last-token states of pairs of prompts with different subjects and objects, of
one relation (two templates) or of two, at every layer; and, within each fact, cosines
of its template pairs with equal and with different predictions.

Templates of a relation often end in one word, which alone makes states alike: pairs
whose last tokens differ are kept apart (the headline) from pairs of any kind.

Source: Fierro et al. (2024), section 4, Figures 3, 4, 6 and 7. Its number of pairs is
open, and so is whether its pairs may share the last token.
"""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from concord.analyses.budgets import remembered_budget
from concord.analyses.facts import Question, fact_contexts
from concord.analyses.part import Part, Task
from concord.analyses.probing import (
    Probe,
    known_predictions,
    lists,
    predictions_of,
    probes_of,
    require_lengths,
    sampled_questions,
)
from concord.analyses.relation_pairs import PromptPairs, draw_pairs
from concord.models.contexts import Context
from concord.models.states import as_unit, prompt_states

AGREEING, DISAGREEING = "agreeing", "disagreeing"
SINGLE = {AGREEING: "agreeing_pair", DISAGREEING: "disagreeing_pair"}
"""Kinds of rows that hold one pair of a fact, by whether its predictions agree."""
CHUNK_FACTS = 64
CHUNK_PAIRS = 512
BLOCK_PROMPTS = 2048
COLUMNS = (
    "relation",
    "fact",
    "subject",
    "template",
    "other_relation",
    "other_fact",
    "other_template",
    "kind",
    "last_token",
    "pair_count",
    "cosines",
)
"""Of every row, behind those of its context."""


def run(task: Task) -> Iterator[Part]:
    """Two parts for each context: pairs across facts, and pairs within each fact."""
    questions = sampled_questions(task, task.study.relations.facts)
    for context in fact_contexts(task):
        names = [f"{context.contexts}-{context.index}-{w}" for w in ("pairs", "split")]
        missing = [name for name in names if name not in task.finished]
        if not missing:
            task.advance(len(questions))
            continue
        pairs = draw_pairs(task, questions, _last_tokens(task, context, questions))
        known = known_predictions(task, context)
        predictions = predictions_of(task, context, questions, known)
        with tempfile.TemporaryDirectory() as folder:
            pool = _Pool(Path(folder), pairs.places)
            split = _within_facts(task, context, questions, predictions, pool)
            across = _across_facts(context, questions, pairs, pool)
            for name, rows in zip(names, (across, split), strict=True):
                if name in missing:
                    yield Part(name, rows)


def _last_tokens(
    task: Task, context: Context, questions: Sequence[Question]
) -> Int[np.ndarray, " prompt"]:
    """The last id of every prompt, which is all that is kept of them."""
    found = np.empty(len(questions), dtype=np.int64)
    for start in range(0, len(questions), BLOCK_PROMPTS):
        block = slice(start, start + BLOCK_PROMPTS)
        probes = probes_of(task, context, questions[block])
        require_lengths(task.model, probes)
        found[block] = [probe.prompt.ids[-1] for probe in probes]
    return found


class _Pool:
    """Unit states of the prompts that pairs are made of, in temporary files."""

    def __init__(self, folder: Path, places: Sequence[int]) -> None:
        self.index = {place: row for row, place in enumerate(places)}
        self._folder = folder
        self._parts: list[np.memmap] = []

    def add(self, place: int, states: Sequence[Float[np.ndarray, "_state _d"]]) -> None:
        """Keep a prompt's states, if a pair wants them."""
        if not self._parts:
            self._parts = [
                np.memmap(
                    self._folder / f"{number}.f32",
                    np.float32,
                    mode="w+",
                    shape=(len(self.index), *own.shape),
                )
                for number, own in enumerate(states)
            ]
        for part, own in zip(self._parts, states, strict=True):
            part[self.index[place]] = own

    def cosines(self, pairs: PromptPairs) -> Float[np.ndarray, "pair state"]:
        """Cosine of each pair at every state."""
        rows = np.zeros(max(self.index) + 1, dtype=np.int64)
        rows[list(self.index)] = list(self.index.values())
        found = []
        for start in range(0, len(pairs), CHUNK_PAIRS):
            own = slice(start, start + CHUNK_PAIRS)
            first, second = rows[pairs.first[own]], rows[pairs.second[own]]
            found.append(_cosines(self._parts, first, second))
        return np.concatenate(found)


def _cosines(
    parts: Sequence[Float[np.ndarray, "row _state _d"]],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, "pair state"]:
    """Hidden states may be wider than the final one, so they come apart."""
    found = [np.einsum("psd,psd->ps", own[first], own[second]) for own in parts]
    return np.concatenate(found, axis=1)


def _within_facts(
    task: Task,
    context: Context,
    questions: Sequence[Question],
    predictions: Int[np.ndarray, " prompt"],
    pool: _Pool,
) -> pa.Table:
    """Mean cosine of each fact's agreeing and disagreeing pairs, and across facts.

    A fact of one template has no pair and is left out across facts, too. Of some facts
    every pair is kept by itself.
    """
    members: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        members.setdefault(question.fact.id, []).append(place)
    facts, rows = list(members), []
    single = _drawn_facts(task, members)
    means = _Means()
    for start in range(0, len(facts), CHUNK_FACTS):
        chunk = facts[start : start + CHUNK_FACTS]
        needed = [place for fact in chunk for place in members[fact]]
        probes = probes_of(task, context, [questions[place] for place in needed])
        parts = _unit_states(task, probes)
        row_of = {place: row for row, place in enumerate(needed)}
        for place in needed:
            if place in pool.index:
                pool.add(place, [own[row_of[place]] for own in parts])
        for fact in chunk:
            places = members[fact]
            if len(places) < 2:
                continue
            own = np.array([row_of[place] for place in places])
            means.add([part[own].mean(axis=0, dtype=np.float64) for part in parts])
            asked = [questions[place] for place in places]
            pairs = _pairs_of(asked, predictions[places], parts, own)
            rows += _split(asked[0], pairs)
            rows += _singly(asked, pairs) if fact in single else []
        task.advance(len(needed))
    across = means.cosine()
    if across is not None:
        rows.append(_row(None, "nonparaphrase", means.count, across))
    return _table(context, rows)


def _unit_states(
    task: Task, probes: Sequence[Probe]
) -> list[Float[np.ndarray, "prompt _state _d"]]:
    """Unit vectors of h_0 to h_L, and of the state after the final norm."""
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for states in prompt_states(
        task.model,
        [probe.prompt.ids for probe in probes],
        row_limit=task.study.row_limit,
        budget=remembered_budget(task, "states"),
    ):
        hidden, final = as_unit(states.hidden), as_unit(states.final)[:, None]
        for row, index in enumerate(states.indices):
            found[index] = hidden[row], final[row]
    columns = zip(*(found[index] for index in range(len(probes))), strict=True)
    return [np.stack(column) for column in columns]


class _Means:
    """Sums of the facts' mean states: the cosine across facts needs no pairs."""

    def __init__(self) -> None:
        self.count = 0
        self._sums: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []

    def add(self, means: Sequence[Float[np.ndarray, "_state _d"]]) -> None:
        if not self.count:
            self._sums = [np.zeros_like(own) for own in means]
            self._squares = [np.zeros(len(own)) for own in means]
        self.count += 1
        for total, square, own in zip(self._sums, self._squares, means, strict=True):
            total += own
            square += np.square(own).sum(axis=1)

    def cosine(self) -> Float[np.ndarray, " state"] | None:
        """(|sum m|^2 - sum |m|^2) / (N (N - 1)); None with fewer than two facts."""
        if self.count < 2:
            return None
        pairs = self.count * (self.count - 1)
        return np.concatenate(
            [
                (np.square(total).sum(axis=1) - square) / pairs
                for total, square in zip(self._sums, self._squares, strict=True)
            ]
        )


def _drawn_facts(task: Task, members: Mapping[str, Sequence[int]]) -> set[str]:
    """Facts with several templates whose pairs are kept, the same for every model."""
    able = sorted(fact for fact, places in members.items() if len(places) > 1)
    count = min(task.study.relations.single_facts, len(able))
    return set(random.Random(f"{task.study.seed} single facts").sample(able, count))


@dataclass(frozen=True, eq=False)
class _FactPairs:
    """The pairs of templates of one fact."""

    first: Int[np.ndarray, " pair"]
    second: Int[np.ndarray, " pair"]
    cosines: Float[np.ndarray, "pair state"]
    is_equal: Bool[np.ndarray, " pair"]
    """Both templates have one prediction."""


def _pairs_of(
    asked: Sequence[Question],
    predictions: Int[np.ndarray, " member"],
    parts: Sequence[np.ndarray],
    rows: Int[np.ndarray, " member"],
) -> _FactPairs:
    first, second = np.triu_indices(len(asked), k=1)
    return _FactPairs(
        first,
        second,
        _cosines(parts, rows[first], rows[second]),
        predictions[first] == predictions[second],
    )


def _split(question: Question, pairs: _FactPairs) -> list[dict[str, object]]:
    """Up to two rows of a fact: its pairs with equal, and with other, predictions."""
    return [
        _row(question, kind, int(chosen.sum()), pairs.cosines[chosen].mean(axis=0))
        for kind, chosen in ((AGREEING, pairs.is_equal), (DISAGREEING, ~pairs.is_equal))
        if chosen.any()
    ]


def _singly(asked: Sequence[Question], pairs: _FactPairs) -> list[dict[str, object]]:
    """One row for each pair of a fact."""
    return [
        _row(asked[0], SINGLE[AGREEING if is_equal else DISAGREEING], 1, cosines)
        | {
            "template": asked[first].template.index,
            "other_template": asked[second].template.index,
        }
        for first, second, cosines, is_equal in zip(
            pairs.first, pairs.second, pairs.cosines, pairs.is_equal, strict=True
        )
    ]


def _across_facts(
    context: Context, questions: Sequence[Question], pairs: PromptPairs, pool: _Pool
) -> pa.Table:
    """One row for each pair."""
    if not len(pairs):
        return _table(context, [])
    named = {
        "relation": pa.array([q.relation.id for q in questions]),
        "fact": pa.array([q.fact.id for q in questions]),
        "subject": pa.array([q.fact.subject for q in questions]),
        "template": pa.array([q.template.index for q in questions], pa.int16()),
    }
    columns = {name: own.take(pa.array(pairs.first)) for name, own in named.items()}
    for name in ("relation", "fact", "template"):
        columns[f"other_{name}"] = named[name].take(pa.array(pairs.second))
    kinds = np.where(pairs.is_same, "same", "different")
    tokens = np.where(pairs.differs, "differ", "any")
    columns |= {
        "kind": pa.array(kinds, pa.string()),
        "last_token": pa.array(tokens, pa.string()),
        "pair_count": pa.array(np.ones(len(pairs), dtype=np.int64)),
        "cosines": lists(pool.cosines(pairs), pa.float32()),
    }
    count = len(pairs)
    place = {
        "contexts": pa.array([context.contexts] * count, pa.string()),
        "context": pa.array([context.index] * count, pa.int8()),
    }
    return pa.table(place | {name: columns[name] for name in COLUMNS})


def _row(
    question: Question | None,
    kind: str,
    count: int,
    cosines: Float[np.ndarray, " state"],
) -> dict[str, object]:
    """Pairs within a fact, or over all facts; nothing of these is paired by token."""
    return {
        "relation": question and question.relation.id,
        "fact": question and question.fact.id,
        "subject": question and question.fact.subject,
        "kind": kind,
        "last_token": "any",
        "pair_count": count,
        "cosines": cosines,
    }


def _table(context: Context, rows: Sequence[dict[str, object]]) -> pa.Table:
    kinds = {
        "template": pa.int16(),
        "other_template": pa.int16(),
        "pair_count": pa.int64(),
        "cosines": pa.list_(pa.float32()),
    }
    columns = {
        "contexts": pa.array([context.contexts] * len(rows), pa.string()),
        "context": pa.array([context.index] * len(rows), pa.int8()),
    }
    for name in COLUMNS:
        values = [row.get(name) for row in rows]
        columns[name] = pa.array(values, kinds.get(name, pa.string()))
    return pa.table(columns)
