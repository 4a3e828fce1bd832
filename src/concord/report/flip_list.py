"""The flips that the page carries, packed small: each string once, else numbers."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from concord.report.formats import safe_json

ROWS_AT_ONCE = 4096
KINDS = ("to_agree", "to_disagree", "new_answer", "other", "one_wording")
"""Wordings disagreed and now agree; the reverse; agree before and after, on another
answer; neither before nor after; a fact with one wording, which cannot agree."""
RIGHTNESS = ("same", "gained", "lost")
"""All wordings right before and after or neither; only after; only before."""


@dataclass(frozen=True)
class FlipsInPage:
    """What the page's browser gets."""

    json: str
    """Compact lists; their layout is documented at `pack`."""
    shown: int
    total: int


@dataclass(frozen=True)
class ListedFlips:
    """What the page may list of a run's flips, as tables."""

    rows: pa.Table
    """Changed wordings with their flip's kind, ordered by fact, then by flip."""
    answers: pa.Table
    """The base's answers to all wordings of those facts."""
    tuned: list[str]
    """Labels of the tuned models."""


def pack(listed: ListedFlips | None, *, total: int, budget: int) -> FlipsInPage:
    """Flips as nested lists, facts in the order drawn, until the budget is spent.

    Layout: ``words`` (all strings); ``models``, ``sets``: names; ``facts``: [relation,
    subject, object, {context: [template, prediction, wording, ...]}]; ``flips``: [fact,
    model, set, context, kind, rightness, margin, near tie, then for each changed
    wording: template, prediction, base margin, tuned margin]. Strings are numbers into
    ``words``, margins hundredths of a nat, -1 stands for null.

    Args:
        listed: As many as could fit, or more; those that do not fit are not looked at.
        total: Number of all flips.
        budget: Bytes of JSON at most.
    """
    if listed is None:
        return FlipsInPage("null", 0, total)
    words = _Words()
    tuned, answers = listed.tuned, _groups(_read(listed.answers), "relation", "fact")
    sets = sorted(listed.rows["contexts"].unique().to_pylist(), key=_study_first)
    facts: list[str] = []
    flips: list[str] = []
    spent = 0
    for name, own in _groups(_read(listed.rows), "relation", "fact"):
        group = list(own)
        before = next(list(part) for fact, part in answers if fact == name)
        known = len(words.index)
        fact = _compact(_fact(group[0], before, words))
        items = [
            _compact(_flip(list(part), len(facts), words, tuned, sets))
            for _, part in _groups(group, "model", "contexts", "context")
        ]
        spent += len(fact) + 1 + sum(len(item) + 1 for item in items)
        if spent + words.size > budget:
            kept = list(words.index)[:known]
            break
        facts.append(fact)
        flips += items
    else:
        kept = list(words.index)
    head = _compact({"words": kept, "models": tuned, "sets": sets})
    body = f'"facts":[{",".join(facts)}],"flips":[{",".join(flips)}]'
    return FlipsInPage(f"{head[:-1]},{body}}}", len(flips), total)


class _Words:
    """Strings numbered in the order of their first use, with the room they take."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.size = 0

    def number(self, text: str) -> int:
        if text not in self.index:
            self.index[text] = len(self.index)
            self.size += len(safe_json(_compact(text)).encode()) + 1
        return self.index[text]


def _fact(
    first: dict[str, Any], answers: list[dict[str, Any]], words: _Words
) -> list[Any]:
    contexts: dict[int, list[int]] = {}
    for row in answers:
        contexts.setdefault(row["context"], []).extend(
            (
                row["template"],
                words.number(row["prediction"]),
                words.number(row["wording"]),
            )
        )
    texts = [words.number(first[name]) for name in ("relation", "subject", "object")]
    return [*texts, contexts]


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _flip(
    part: list[dict[str, Any]],
    fact: int,
    words: _Words,
    tuned: list[str],
    sets: list[str],
) -> list[int]:
    first = part[0]
    changes = [
        number
        for row in part
        for number in (
            row["template"],
            words.number(row["tuned_prediction"]),
            _hundredths(row["base_margin"]),
            _hundredths(row["tuned_margin"]),
        )
    ]
    return [
        fact,
        tuned.index(first["model"]),
        sets.index(first["contexts"]),
        first["context"],
        KINDS.index(first["kind"]),
        RIGHTNESS.index(first["rightness"]),
        _hundredths(first["margin"]),
        int(first["is_near_tie"] or 0),
        *changes,
    ]


def _read(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows one after the other, none before it is asked for."""
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _groups(
    rows: Iterable[dict[str, Any]], *names: str
) -> Iterator[tuple[tuple[Any, ...], Iterator[dict[str, Any]]]]:
    """Rows that agree in these columns; they stand together."""
    return groupby(rows, key=itemgetter(*names))


def _hundredths(margin: float | None) -> int:
    return -1 if margin is None else round(100 * margin)


def _study_first(name: str) -> tuple[bool, str]:
    return (name != "study", name)
