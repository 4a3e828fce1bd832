"""The flips that the page carries, packed small: each string once, else numbers."""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from concord.report.formats import safe_json
from concord.summary.columns import codes_of, integers_of, numbers_of

FLIPS_AT_ONCE = 2000
"""Flips of one block: few enough to fill a page closely, enough to compress well."""
KINDS = ("to_agree", "to_disagree", "new_answer", "other", "one_wording")
"""Wordings disagreed and now agree; the reverse; agree before and after, on another
answer; neither before nor after; a fact with one wording, which cannot agree."""
RIGHTNESS = ("same", "gained", "lost")
"""All wordings right before and after or neither; only after; only before."""


@dataclass(frozen=True)
class FlipsInPage:
    """What the page's browser gets."""

    json: str
    """The layout is documented at `pack`."""
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
    """Flips in compressed blocks, facts in the order drawn, until the budget is spent.

    Layout: ``models``, ``sets``: names; ``blocks``: each JSON, compressed (zlib), in
    base64. A block has ``words``: strings that no block before it has; ``facts``:
    [relation, subject, object, {context: [template, prediction, wording, ...]}];
    ``flips``: columns fact, model, set, context, kind, rightness, margin, near tie (1,
    0, or -1: unknown); ``counts``: changed wordings of each flip; ``changes``: their
    columns template, prediction, base margin, tuned margin. Strings are numbers into
    the words of all blocks, facts into the facts of all; margins are hundredths of a
    nat, -1 is null.

    Args:
        listed: As many as could fit, or more; those that do not fit are left out.
        total: Number of all flips.
        budget: Bytes of the blocks at most.
    """
    if listed is None:
        return FlipsInPage("null", 0, total)
    listing = _Listing(listed)
    blocks: list[str] = []
    known = np.full(listing.word_count, -1)
    first = spent = shown = 0
    is_full = False
    while first < listing.fact_count and not is_full:
        last = listing.last_of_block(first)
        block, numbered = listing.block(first, last, known)
        while spent + len(block) > budget and last > first:
            last, is_full = first + (last - first) // 2, True
            block, numbered = listing.block(first, last, known)
        if last > first:
            blocks.append(block)
            shown += listing.flips_of(first, last)
        spent, known, first = spent + len(block) + len('"",'), numbered, last
    content = {"models": listed.tuned, "sets": listing.sets, "blocks": blocks}
    return FlipsInPage(safe_json(_compact(content)), shown, total)


class _Listing:
    """The tables as columns of whole numbers, cut where a fact or a flip begins."""

    def __init__(self, listed: ListedFlips) -> None:
        rows, answers = listed.rows, listed.answers
        words, names = _Strings(), _Strings()
        texts = {name: words.codes(rows[name]) for name in _WORDS}
        fact = names.codes(rows["fact"])
        self.sets = sorted(rows["contexts"].unique().to_pylist(), key=_study_first)
        heads = (
            _places(rows["model"], listed.tuned),
            _places(rows["contexts"], self.sets),
            integers_of(rows["context"]),
        )
        first_rows = _starts(texts["relation"], fact)
        flips = _starts(texts["relation"], fact, *heads)
        self._first_flip = np.searchsorted(flips, [*first_rows, rows.num_rows])
        self._first_change = np.append(flips, rows.num_rows)
        self._counts = np.diff(self._first_change)
        self._texts = [texts[name][first_rows] for name in _WORDS[:3]]
        self._flips = [
            np.searchsorted(first_rows, flips, side="right") - 1,
            *(column[flips] for column in heads),
            _places(rows["kind"], KINDS)[flips],
            _places(rows["rightness"], RIGHTNESS)[flips],
            _hundredths(rows["margin"])[flips],
            np.maximum(integers_of(rows["is_near_tie"])[flips], -1),
        ]
        self._template = integers_of(rows["template"])
        self._prediction = texts["tuned_prediction"]
        self._margins = [
            _hundredths(rows[name]) for name in ("base_margin", "tuned_margin")
        ]
        relation = words.codes(answers["relation"])
        own = names.codes(answers["fact"])
        asked = _starts(relation, own)
        place_of = {
            key: place
            for place, key in enumerate(zip(relation[asked], own[asked], strict=True))
        }
        ends = np.append(asked, answers.num_rows)
        self._asked = [
            slice(*ends[place_of[key] :][:2])
            for key in zip(texts["relation"][first_rows], fact[first_rows], strict=True)
        ]
        self._context = integers_of(answers["context"])
        self._answers = (
            integers_of(answers["template"]),
            words.codes(answers["prediction"]),
            words.codes(answers["wording"]),
        )
        self._words = list(words.index)

    @property
    def word_count(self) -> int:
        """Strings of all facts."""
        return len(self._words)

    @property
    def fact_count(self) -> int:
        """Facts with a flip."""
        return len(self._first_flip) - 1

    def flips_of(self, first: int, last: int) -> int:
        """How many flips these facts have."""
        return int(self._first_flip[last] - self._first_flip[first])

    def last_of_block(self, first: int) -> int:
        """Where a block that begins with a fact ends: after one fact at least."""
        end = self._first_flip[first] + FLIPS_AT_ONCE
        return max(first + 1, int(np.searchsorted(self._first_flip, end, "right")) - 1)

    def block(
        self, first: int, last: int, known: Int[np.ndarray, " word"]
    ) -> tuple[str, Int[np.ndarray, " word"]]:
        """Some facts with their flips, and the numbers of words after it.

        Args:
            first: The first fact.
            last: The one behind the last.
            known: Numbers of the words of earlier blocks; -1: not there.
        """
        flips = slice(*self._first_flip[[first, last]])
        changes = slice(*self._first_change[self._first_flip[[first, last]]])
        template, prediction, wording = self._answers
        used = [column[first:last] for column in self._texts]
        for asked in self._asked[first:last]:
            used += [prediction[asked], wording[asked]]
        used.append(self._prediction[changes])
        new = _unseen(np.concatenate(used), known)
        number = known.copy()
        number[new] = known.max(initial=-1) + 1 + np.arange(len(new))
        facts = []
        for fact in range(first, last):
            asked = self._asked[fact]
            contexts: dict[int, list[int]] = {}
            for context, *one in zip(
                self._context[asked].tolist(),
                template[asked].tolist(),
                number[prediction[asked]].tolist(),
                number[wording[asked]].tolist(),
                strict=True,
            ):
                contexts.setdefault(context, []).extend(one)
            facts.append([*(int(number[text[fact]]) for text in self._texts), contexts])
        content = {
            "words": [self._words[place] for place in new],
            "facts": facts,
            "flips": [column[flips].tolist() for column in self._flips],
            "counts": np.diff(
                self._first_change[flips.start : flips.stop + 1]
            ).tolist(),
            "changes": [
                self._template[changes].tolist(),
                number[self._prediction[changes]].tolist(),
                *(margin[changes].tolist() for margin in self._margins),
            ],
        }
        packed = zlib.compress(_compact(content).encode())
        return base64.b64encode(packed).decode(), number


_WORDS = ("relation", "subject", "object", "tuned_prediction")


class _Strings:
    """Strings of several columns, numbered in the order of their first use."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}

    def codes(self, column: pa.ChunkedArray) -> Int[np.ndarray, " row"]:
        """The numbers of a column's strings; new ones are numbered."""
        codes, labels = codes_of(column)
        numbers = [self.index.setdefault(one, len(self.index)) for one in labels]
        return np.array(numbers, dtype=np.intp)[codes]


def _places(column: pa.ChunkedArray, names: Sequence[str]) -> Int[np.ndarray, " row"]:
    """Where each cell stands among the names."""
    codes, labels = codes_of(column)
    return np.array([names.index(label) for label in labels], dtype=np.intp)[codes]


def _starts(*columns: Int[np.ndarray, " row"]) -> Int[np.ndarray, " start"]:
    """Rows that differ from the one before in any of the columns."""
    is_start = np.zeros(len(columns[0]), dtype=bool)
    is_start[:1] = True
    for column in columns:
        is_start[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_start)


def _unseen(
    used: Int[np.ndarray, " use"], known: Int[np.ndarray, " word"]
) -> Int[np.ndarray, " new"]:
    """Words without a number, in the order of their first use."""
    without = used[known[used] < 0]
    words, first = np.unique(without, return_index=True)
    return words[np.argsort(first)]


def _hundredths(column: pa.ChunkedArray) -> Int[np.ndarray, " row"]:
    """Margins in hundredths of a nat; -1 for null."""
    margins: Float[np.ndarray, " row"] = numbers_of(column)
    return np.where(np.isnan(margins), -1, np.rint(100 * margins)).astype(np.int64)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _study_first(name: str) -> tuple[bool, str]:
    return (name != "study", name)
