"""Which prompts are compared to see where a relation's meaning arises.

Pairs of prompts with different subjects and objects, of one relation (in two templates)
or of two relations, drawn with the seed. Templates of a relation often end in one word,
which alone makes states alike: pairs whose last tokens differ are kept apart.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from concord.analyses.facts import Question
from concord.analyses.part import Task

ATTEMPTS = 50
"""Draws per pair wanted; then there are not so many."""


@dataclass(frozen=True, eq=False)
class PromptPairs:
    """Pairs of prompts by their places in the list of prompts."""

    first: Int[np.ndarray, " pair"]
    second: Int[np.ndarray, " pair"]
    is_same: Bool[np.ndarray, " pair"]
    """One relation in two templates; otherwise two relations."""
    differs: Bool[np.ndarray, " pair"]
    """Drawn among pairs with other last tokens; otherwise among all."""

    def __len__(self) -> int:
        """How many."""
        return len(self.first)

    @property
    def places(self) -> list[int]:
        """Every prompt that a pair wants, ascending."""
        return np.unique(np.concatenate([self.first, self.second])).tolist()


def draw_pairs(
    task: Task, questions: Sequence[Question], last_tokens: Int[np.ndarray, " prompt"]
) -> PromptPairs:
    """Pairs of every relation, drawn by seed, the same for every model.

    Both kinds of last token come from one stream of draws, so with one tokenizer they
    are the same pairs in every model.
    """
    config, seed = task.study.relations, task.study.seed
    prompts = _Prompts.of(questions, last_tokens)
    pools = {
        relation: _stream(seed, relation, "pool").permutation(places)[: config.pool]
        for relation, places in prompts.by_relation.items()
    }
    parts = []
    for relation, pool in pools.items():
        others = [pools[name] for name in pools if name != relation]
        seconds = np.concatenate(others) if others else pool[:0]
        for is_same, partners in ((True, pool), (False, seconds)):
            draws = _stream(seed, relation, "same" if is_same else "different")
            parts.append(
                _drawn(draws, prompts, (pool, partners), is_same, config.pairs)
            )
    return PromptPairs(
        *(np.concatenate(columns) for columns in zip(*parts, strict=True))
    )


@dataclass(frozen=True, eq=False)
class _Prompts:
    """What decides whether two prompts may be paired."""

    questions: Sequence[Question]
    by_relation: dict[str, Int[np.ndarray, " _place"]]
    subject: Int[np.ndarray, " prompt"]
    template: Int[np.ndarray, " prompt"]
    last_token: Int[np.ndarray, " prompt"]
    object: Int[np.ndarray, " prompt"]
    """Code of the only object; -1 where there are several."""

    @classmethod
    def of(
        cls, questions: Sequence[Question], last_tokens: Int[np.ndarray, " prompt"]
    ) -> "_Prompts":
        relation = np.array([question.relation.id for question in questions])
        alone = [
            q.fact.objects[0] if len(q.fact.objects) == 1 else "" for q in questions
        ]
        names, codes = np.unique(alone, return_inverse=True)
        return cls(
            questions,
            {
                name: np.flatnonzero(relation == name)
                for name in dict.fromkeys(relation)
            },
            np.unique([q.fact.subject for q in questions], return_inverse=True)[1],
            np.array([question.template.index for question in questions]),
            last_tokens,
            np.where(names[codes] == "", -1, codes),
        )

    def may_be_paired(
        self,
        first: Int[np.ndarray, " pair"],
        second: Int[np.ndarray, " pair"],
        *,
        is_same: bool,
    ) -> Bool[np.ndarray, " pair"]:
        """Other subject, other objects and, in one relation, another template."""
        kept = self.subject[first] != self.subject[second]
        if is_same:
            kept &= self.template[first] != self.template[second]
        one, other = self.object[first], self.object[second]
        has_several = (one < 0) | (other < 0)
        kept &= has_several | (one != other)
        # Several objects are compared as sets, which is slow and seldom needed.
        for place in np.flatnonzero(kept & has_several):
            kept[place] = self._are_disjoint(first[place], second[place])
        return kept

    def _are_disjoint(self, one: int, other: int) -> bool:
        objects = self.questions[one].fact.objects
        return set(objects).isdisjoint(self.questions[other].fact.objects)


def _drawn(
    draws: np.random.Generator,
    prompts: _Prompts,
    pools: tuple[Int[np.ndarray, " first"], Int[np.ndarray, " second"]],
    is_same: bool,
    count: int,
) -> tuple[np.ndarray, ...]:
    """Up to ``count`` pairs of any kind, and as many with other last tokens."""
    any_pairs, differing = np.zeros((2, 0), np.int64), np.zeros((2, 0), np.int64)
    for _ in range(ATTEMPTS if len(pools[1]) else 0):
        found = np.stack(
            [pool[draws.integers(len(pool), size=count)] for pool in pools]
        )
        found = found[:, prompts.may_be_paired(*found, is_same=is_same)]
        tokens = prompts.last_token[found]
        any_pairs = np.concatenate([any_pairs, found], axis=1)[:, :count]
        found = found[:, tokens[0] != tokens[1]]
        differing = np.concatenate([differing, found], axis=1)[:, :count]
        if min(any_pairs.shape[1], differing.shape[1]) == count:
            break
    first, second = np.concatenate([any_pairs, differing], axis=1)
    differs = np.arange(len(first)) >= any_pairs.shape[1]
    return first, second, np.full(len(first), is_same), differs


def _stream(seed: int, relation: str, what: str) -> np.random.Generator:
    """Draws that depend on these words alone, on every machine."""
    digest = hashlib.sha256(f"{seed}\0{relation}\0{what}".encode()).digest()
    return np.random.default_rng(list(digest))
