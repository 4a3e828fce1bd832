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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from concord.analyses.extraction import lists
from concord.analyses.facts import Question, fact_contexts, questions_of
from concord.analyses.part import Part, Task
from concord.analyses.probing import (
    Probe,
    predictions_of,
    probes_of,
    require_lengths,
)
from concord.models.contexts import Context
from concord.models.states import as_unit, prompt_states

CHUNK_FACTS = 64
ATTEMPTS = 200
"""Draws per pair wanted; then there are not so many."""
CHUNK_PAIRS = 512


@dataclass(frozen=True)
class PromptPair:
    """Two prompts with different subjects and objects."""

    kind: str
    """``same`` or ``different`` relation."""
    last_token: str
    """``any``, or ``differ``: the last tokens are not the same."""
    first: int
    second: int


def run(task: Task) -> Iterator[Part]:
    """Two parts for each context: pairs across facts, and pairs within each fact."""
    assert task.data.facts is not None
    questions = questions_of(task.data.facts)
    for context in fact_contexts(task):
        names = [f"{context.contexts}-{context.index}-{w}" for w in ("pairs", "split")]
        if set(names) <= set(task.finished):
            task.advance(len(questions))
            continue
        probes = probes_of(task, context, questions)
        require_lengths(task.model, probes)
        pairs = draw_pairs(task, probes)
        predictions = predictions_of(task, context, questions)
        with tempfile.TemporaryDirectory() as folder:
            chosen = sorted({place for p in pairs for place in (p.first, p.second)})
            pool = _Pool(Path(folder), chosen)
            split = _within_facts(task, context, probes, predictions, pool)
            across = _across_facts(context, probes, pairs, pool)
            for name, rows in zip(names, (across, split), strict=True):
                if name not in task.finished:
                    yield Part(name, rows)


def draw_pairs(task: Task, probes: Sequence[Probe]) -> list[PromptPair]:
    """Pairs of every relation, drawn by seed, the same for every model.

    Both kinds of ``last_token`` come from one stream of draws, so with one tokenizer
    they are the same pairs in every model.
    """
    config, seed = task.study.relations, task.study.seed
    by_relation: dict[str, list[int]] = {}
    for place, probe in enumerate(probes):
        by_relation.setdefault(probe.question.relation.id, []).append(place)
    pools = {
        relation: random.Random(f"{seed} {relation} pool").sample(
            places, min(config.pool, len(places))
        )
        for relation, places in by_relation.items()
    }
    pairs: list[PromptPair] = []
    for relation, pool in pools.items():
        others = [place for name in pools if name != relation for place in pools[name]]
        for kind, seconds in (("same", pool), ("different", others)):
            stream = random.Random(f"{seed} {relation} {kind}")
            pairs += _drawn(stream, kind, (pool, seconds), probes, config.pairs)
    return pairs


def _drawn(
    stream: random.Random,
    kind: str,
    pools: tuple[list[int], list[int]],
    probes: Sequence[Probe],
    count: int,
) -> list[PromptPair]:
    left = {"any": count, "differ": count}
    pairs = []
    if not pools[1]:
        return []
    for _ in range(ATTEMPTS * count):
        first, second = stream.choice(pools[0]), stream.choice(pools[1])
        if not _may_be_paired(probes[first].question, probes[second].question, kind):
            continue
        differs = probes[first].prompt.ids[-1] != probes[second].prompt.ids[-1]
        for last_token in ("any", "differ") if differs else ("any",):
            if left[last_token]:
                left[last_token] -= 1
                pairs.append(PromptPair(kind, last_token, first, second))
        if not any(left.values()):
            break
    return pairs


def _may_be_paired(one: Question, other: Question, kind: str) -> bool:
    is_other_template = kind != "same" or one.template.index != other.template.index
    return (
        is_other_template
        and one.fact.subject != other.fact.subject
        and set(one.fact.objects).isdisjoint(other.fact.objects)
    )


class _Pool:
    """Unit states of the prompts that pairs are made of, in temporary files."""

    def __init__(self, folder: Path, places: Sequence[int]) -> None:
        self.index = {place: row for row, place in enumerate(places)}
        self._folder = folder
        self._parts: list[np.memmap] = []

    def add(self, place: int, states: Sequence[Float[np.ndarray, "state d"]]) -> None:
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

    def cosines(self, pairs: Sequence[PromptPair]) -> Float[np.ndarray, "pair state"]:
        """Cosine of each pair at every state."""
        found = []
        for start in range(0, len(pairs), CHUNK_PAIRS):
            own = pairs[start : start + CHUNK_PAIRS]
            rows = [[self.index[p.first], self.index[p.second]] for p in own]
            first, second = np.array(rows).T
            found.append(_cosines(self._parts, first, second))
        return np.concatenate(found)


def _cosines(
    parts: Sequence[Float[np.ndarray, "row state d"]],
    first: Int[np.ndarray, " pair"],
    second: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, "pair state"]:
    """Hidden states may be wider than the final one, so they come apart."""
    found = [np.einsum("psd,psd->ps", own[first], own[second]) for own in parts]
    return np.concatenate(found, axis=1)


def _within_facts(
    task: Task,
    context: Context,
    probes: Sequence[Probe],
    predictions: Int[np.ndarray, " prompt"],
    pool: _Pool,
) -> pa.Table:
    """Mean cosine of each fact's agreeing and disagreeing pairs, and across facts."""
    members: dict[str, list[int]] = {}
    for place, probe in enumerate(probes):
        members.setdefault(probe.question.fact.id, []).append(place)
    facts, rows = list(members), []
    means = _Means()
    for start in range(0, len(facts), CHUNK_FACTS):
        chunk = facts[start : start + CHUNK_FACTS]
        needed = [place for fact in chunk for place in members[fact]]
        parts = _unit_states(task, [probes[place] for place in needed])
        row_of = {place: row for row, place in enumerate(needed)}
        for place in needed:
            if place in pool.index:
                pool.add(place, [own[row_of[place]] for own in parts])
        for fact in chunk:
            own = np.array([row_of[place] for place in members[fact]])
            means.add([part[own].mean(axis=0, dtype=np.float64) for part in parts])
            rows += _split(probes, members[fact], predictions, parts, own)
        task.advance(len(needed))
    across = means.cosine()
    if across is not None:
        rows.append(_row(None, None, "nonparaphrase", "any", means.count, across))
    return _table(context, rows)


def _unit_states(
    task: Task, probes: Sequence[Probe]
) -> list[Float[np.ndarray, "prompt state d"]]:
    """Unit vectors of h_0 to h_L, and of the state after the final norm."""
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    rows = task.study.batch_size
    for states in prompt_states(
        task.model,
        [probe.prompt.ids for probe in probes],
        row_limit=None if rows == "auto" else rows,
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

    def add(self, means: Sequence[Float[np.ndarray, "state d"]]) -> None:
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


def _split(
    probes: Sequence[Probe],
    places: Sequence[int],
    predictions: Int[np.ndarray, " prompt"],
    parts: Sequence[np.ndarray],
    rows: Int[np.ndarray, " member"],
) -> list[dict[str, object]]:
    """Up to two rows of a fact: its pairs with equal, and with other, predictions."""
    first, second = np.triu_indices(len(places), k=1)
    if not len(first):
        return []
    cosines = _cosines(parts, rows[first], rows[second])
    answers = predictions[list(places)]
    is_equal = answers[first] == answers[second]
    probe = probes[places[0]]
    return [
        _row(probe, None, kind, "any", int(chosen.sum()), cosines[chosen].mean(axis=0))
        for kind, chosen in (("agreeing", is_equal), ("disagreeing", ~is_equal))
        if chosen.any()
    ]


def _across_facts(
    context: Context, probes: Sequence[Probe], pairs: Sequence[PromptPair], pool: _Pool
) -> pa.Table:
    if not pairs:
        return _table(context, [])
    cosines = pool.cosines(pairs)
    return _table(
        context,
        [
            _row(probes[p.first], probes[p.second], p.kind, p.last_token, 1, own)
            for p, own in zip(pairs, cosines, strict=True)
        ],
    )


def _row(
    one: Probe | None,
    other: Probe | None,
    kind: str,
    last_token: str,
    count: int,
    cosines: Float[np.ndarray, " state"],
) -> dict[str, object]:
    first = one.question if one else None
    second = other.question if other else None
    return {
        "relation": first and first.relation.id,
        "fact": first and first.fact.id,
        "subject": first and first.fact.subject,
        "template": first.template.index if first and second else None,
        "other_relation": second and second.relation.id,
        "other_fact": second and second.fact.id,
        "other_template": second.template.index if second else None,
        "kind": kind,
        "last_token": last_token,
        "pair_count": count,
        "cosines": cosines,
    }


def _table(context: Context, rows: Sequence[dict[str, object]]) -> pa.Table:
    kinds = {
        "template": pa.int16(),
        "other_template": pa.int16(),
        "pair_count": pa.int64(),
    }
    names = ("relation", "fact", "subject", "template", "other_relation", "other_fact")
    names += ("other_template", "kind", "last_token", "pair_count")
    columns = {
        "contexts": pa.array([context.contexts] * len(rows), pa.string()),
        "context": pa.array([context.index] * len(rows), pa.int8()),
    }
    for name in names:
        values = [row[name] for row in rows]
        columns[name] = pa.array(values, kinds.get(name, pa.string()))
    cosines = np.array([row["cosines"] for row in rows])
    return pa.table(columns | {"cosines": lists(cosines, pa.float32())})
