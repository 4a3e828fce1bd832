"""Rows of multiple choice as arrays: what each model chose in every setting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.metrics.group_agreement import NO_GROUP
from concord.results import Run, read_rows
from concord.summary.columns import (
    codes_of,
    common_labels,
    first_rows,
    integers_of,
    numbers_of,
    places_of,
)

ANALYSIS = "choices"
LETTERS = "ABCDEFGHIJ"
_COLUMNS = [
    *("contexts", "item", "topic", "cluster", "wording", "order", "is_repeat"),
    *(
        "order_name",
        "letter",
        "right_letter",
        "content",
        "right_option",
        "is_correct",
        "scores",
    ),
    *(
        "option_count",
        "has_answer",
        "letters_are_whole",
        "perturbation",
        "speaks_of_others",
    ),
    *("answer", "margin", "score", "option", "score_alone", "option_alone"),
]


@dataclass(frozen=True, eq=False)
class Items:
    """The questions that every model was asked in every set of contexts."""

    item: list[str]
    topic: np.ndarray
    cluster: np.ndarray
    option_count: Int[np.ndarray, " item"]
    right_option: Int[np.ndarray, " item"]
    speaks_of_others: Bool[np.ndarray, " item"]
    group: Int[np.ndarray, " item"]
    """Items of one group are wordings of one question; `NO_GROUP` for the others."""
    has_fixed_options: bool
    """All questions have the same options: these are classes."""
    left_out: int


@dataclass(frozen=True, eq=False)
class Choices:
    """What one model chose in one set of contexts."""

    contents: Int[np.ndarray, "wording order item"]
    """`NOT_ASKED` where the prompt repeats that of an earlier setting."""
    texts: Int[np.ndarray, "wording order item"]
    """Code of the chosen option's text, the same text having one code in all items."""
    letters: Int[np.ndarray, "wording order item"]
    right_letters: Int[np.ndarray, "wording order item"]
    is_right: Bool[np.ndarray, "wording order item"]
    is_repeat: Bool[np.ndarray, "wording order item"]
    has_answer: Bool[np.ndarray, "wording order item"]
    scores: Float[np.ndarray, "wording order item option"]
    margin: Float[np.ndarray, "wording order item"]
    """Nats between the best letter and the next."""
    noise: dict[str, Any]
    """What asking a sample again, one by one, showed; empty without a sample."""
    letters_are_whole: bool
    is_first_token_told: bool
    """Whether the likeliest token is a letter is known; some endpoints keep it."""
    plain_count: int
    """Wordings without a perturbation; they stand first."""
    orders: tuple[str, ...]
    """Names of the orders of the options."""

    def of_wordings(self, chosen: Sequence[int]) -> "Choices":
        """The same in some of the wordings."""
        arrays = {
            name: value[list(chosen)]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    @property
    def asked(self) -> Bool[np.ndarray, "wording order item"]:
        """Prompts that are no repeat of an earlier setting's: only these count."""
        return ~self.is_repeat

    @property
    def answered(self) -> Int[np.ndarray, "wording order item"]:
        """The contents; `NO_ANSWER` where the likeliest token is no letter."""
        return self.where_answered(self.contents)

    @property
    def answered_letters(self) -> Int[np.ndarray, "wording order item"]:
        """Places of the letters, with the codes of `answered`."""
        return self.where_answered(self.letters)

    def where_answered(
        self, codes: Int[np.ndarray, "wording order item"]
    ) -> Int[np.ndarray, "wording order item"]:
        """Codes of what was chosen where an answer was given and the prompt counts."""
        given = np.where(self.has_answer & (codes >= 0), codes, NO_ANSWER)
        return np.where(self.asked, given, NOT_ASKED)

    @property
    def firm(self) -> Int[np.ndarray, "wording order item"]:
        """The contents, near ties left out: what the noise can change.

        A prompt without an answer stays: no letter's lead decides that it has none.
        """
        near = self.has_answer & (self.margin < 2 * self.noise["delta"])
        return np.where(near, NOT_ASKED, self.answered)

    @property
    def prompts(self) -> int:
        """Prompts they were computed from."""
        return int(self.asked.sum())


def common_items(run: Run, dataset: str) -> Items | None:
    """The questions of a data set that every model has rows of; None without any."""
    columns = ["item", "contexts", "topic", "cluster", "option_count", "right_option"]
    columns += ["speaks_of_others", "has_fixed_options", "group"]
    tables = [
        table
        for model in run.models()
        if (table := _rows(run, dataset, model, columns)) is not None
    ]
    common, seen = common_labels(tables, "item")
    # A run that was cut may lack settings: only questions with all of them count.
    settings = [_complete(run, dataset, model) for model in run.models()]
    for complete in settings:
        common &= complete if complete is not None else common
    if not common:
        return None
    table = first_rows(tables[0], "item", common).sort_by("item")
    return Items(
        item=table["item"].to_pylist(),
        topic=np.array(table["topic"].to_pylist()),
        cluster=np.array(table["cluster"].to_pylist()),
        option_count=integers_of(table["option_count"]),
        right_option=integers_of(table["right_option"]),
        speaks_of_others=integers_of(table["speaks_of_others"]).astype(bool),
        group=np.maximum(codes_of(table["group"])[0], NO_GROUP),
        has_fixed_options=bool(integers_of(table["has_fixed_options"]).all()),
        left_out=len(seen) - len(common),
    )


def _complete(run: Run, dataset: str, model: str) -> set[str] | None:
    """Questions with a row in every setting that the model has rows of."""
    table = _rows(run, dataset, model, ["item", "contexts", "wording", "order"])
    if table is None:
        return None
    settings = table.group_by(["contexts", "wording", "order"]).aggregate([])
    counts = table.group_by("item").aggregate([("order", "count")])
    whole = counts.filter(pc.field("order_count") == settings.num_rows)
    return set(whole["item"].to_pylist())


def _rows(run: Run, dataset: str, model: str, columns: list[str]) -> Any:
    table = read_rows(
        run, ANALYSIS, model, columns=columns, filter=pc.field("dataset") == dataset
    )
    return table if table is not None and table.num_rows else None


def choices_of(run: Run, dataset: str, model: str, items: Items) -> dict[str, Choices]:
    """What a model chose, by set of contexts; nothing without rows."""
    table = _rows(run, dataset, model, _COLUMNS)
    if table is None:
        return {}
    found = {}
    for contexts in table["contexts"].unique().to_pylist():
        rows = table.filter(pc.field("contexts") == contexts)
        found[contexts] = _choices(rows, items)
    return found


def _choices(table: Any, items: Items) -> Choices:
    item = places_of(table["item"], items.item)
    kept = item >= 0
    is_plain = np.array(table["perturbation"].to_pylist()) == ""
    wording, order = integers_of(table["wording"]), integers_of(table["order"])
    place = (wording[kept], order[kept], item[kept])
    shape = (int(wording.max()) + 1, int(order.max()) + 1, len(items.item))

    def grid(values: np.ndarray) -> np.ndarray:
        placed = np.zeros(shape, values.dtype)
        placed[place] = values[kept]
        return placed

    is_repeat = grid(integers_of(table["is_repeat"])).astype(bool)
    contents = grid(integers_of(table["content"]))
    width = int(items.option_count.max())
    scores = np.full((*shape, width), np.nan)
    options = items.option_count[np.where(kept, item, 0)]
    lists: Any = table["scores"].combine_chunks()
    flat = numbers_of(lists.flatten())
    ends = np.cumsum(integers_of(lists.value_lengths()))
    for size in np.unique(options[kept]):
        own = kept & (options == size)
        cells = ends[own][:, None] - size + np.arange(size)
        scores[wording[own], order[own], item[own], :size] = flat[cells]
    return Choices(
        contents=np.where(is_repeat, NOT_ASKED, contents),
        texts=np.where(is_repeat, NOT_ASKED, grid(codes_of(table["answer"])[0])),
        letters=grid(places_of(table["letter"], LETTERS)),
        right_letters=grid(places_of(table["right_letter"], LETTERS)),
        is_right=grid(integers_of(table["is_correct"])).astype(bool),
        is_repeat=is_repeat,
        has_answer=grid(integers_of(table["has_answer"])).astype(bool),
        scores=scores,
        margin=grid(numbers_of(table["margin"])),
        noise=_noise(table),
        plain_count=len(np.unique(wording[is_plain])),
        is_first_token_told=table["has_answer"].null_count == 0,
        letters_are_whole=bool(integers_of(table["letters_are_whole"]).all()),
        orders=_order_names(order, table["order_name"].to_pylist()),
    )


def _order_names(order: Int[np.ndarray, " row"], names: list[str]) -> tuple[str, ...]:
    _, first = np.unique(order, return_index=True)
    return tuple(names[row] for row in first.tolist())


def _noise(table: Any) -> dict[str, Any]:
    """How far scores and choices moved when a sample was asked again alone."""
    moved = np.abs(numbers_of(table["score"]) - numbers_of(table["score_alone"]))
    asked = ~np.isnan(moved)
    if not asked.any():
        return {}
    delta = float(moved[asked].max())
    same = integers_of(table["option"]) == integers_of(table["option_alone"])
    return {
        "delta": delta,
        "self_agreement": float(same[asked].mean()),
        "n": int(asked.sum()),
        "near_ties": float((numbers_of(table["margin"]) < 2 * delta).mean()),
    }
