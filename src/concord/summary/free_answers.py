"""Rows of written answers -> accuracy and agreement over instructions.

Units are the questions of a task, those of one group or cluster drawn together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from concord.metrics.agreement import (
    NO_ANSWER,
    NOT_ASKED,
    accuracy,
    chance_agreement,
    pairwise_agreement,
)
from concord.metrics.bootstrap import cluster_units
from concord.metrics.concentration import answer_concentration
from concord.metrics.group_agreement import NO_GROUP, group_agreement
from concord.metrics.rates import no_answer_rate
from concord.results import Run, read_rows
from concord.summary.columns import codes_of, common_labels, first_rows, integers_of
from concord.summary.columns import places_of as places
from concord.summary.estimates import Outcome, Sample, add_pairs, mean_outcome
from concord.summary.named_measures import answer_outcomes

ANALYSIS = "answers"
MUCH = 0.5
"""Share of prompts without an answer from which a warning is given."""
_CORRECTED = "chance_corrected_agreement"
_COLUMNS = ["contexts", "item", "wording", "normalised", "is_correct", "is_repeat"]


@dataclass(frozen=True, eq=False)
class AnswerSummary:
    """Everything that one task with free answers gives to ``summary.json``."""

    sample: Sample
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class Written:
    """What one model answered in one set of contexts."""

    answers: Int[np.ndarray, "wording item"]
    """Codes of the answers; `NO_ANSWER`, or `NOT_ASKED` where a prompt repeats."""
    is_right: Bool[np.ndarray, "wording item"]
    plain_count: int
    """Wordings without a perturbation; they stand first."""


@dataclass(frozen=True, eq=False)
class _Items:
    item: list[str]
    topic: np.ndarray
    cluster: np.ndarray
    group: Int[np.ndarray, " item"]
    left_out: int


def summarise_answers(run: Run, progress: Callable[[str], None]) -> list[AnswerSummary]:
    """One summary for each task that has rows."""
    names: dict[str, None] = {}
    for model in run.models():
        table = read_rows(run, ANALYSIS, model, columns=["dataset"])
        if table is not None:
            names |= dict.fromkeys(table["dataset"].unique().to_pylist())
    found = [_summarise_task(run, name, progress) for name in names]
    return [one for one in found if one is not None]


def _summarise_task(
    run: Run, dataset: str, progress: Callable[[str], None]
) -> AnswerSummary | None:
    items = _common_items(run, dataset)
    if items is None:
        return None
    topics = tuple(str(topic) for topic in np.unique(items.topic))
    clusters = cluster_units(items.topic, items.cluster)
    sample = Sample(ANALYSIS, dataset, clusters, topics, "micro", False)
    named = run.study.get("measures") or ()
    warnings = []
    for model in run.models():
        progress(f"answers to {dataset}: {model}")
        for contexts, every in _written(run, dataset, model, items).items():
            suffix = "" if contexts == "study" else f"@{contexts}"
            plain = _of(every, range(every.plain_count))
            found = _outcomes(plain, items) | _perturbed(every)
            others, reasons = answer_outcomes(plain.answers, plain.is_right, named)
            for name, outcome in (found | others).items():
                sample.values[f"answers.{dataset}.{name}{suffix}", model] = outcome
            for name, reason in reasons.items():
                sample.reasons[f"answers.{dataset}.{name}{suffix}", model] = reason
            rate = no_answer_rate(plain.answers)
            if rate > MUCH:
                warnings.append(
                    f"No answer: in {rate:.0%} of prompts {model} on {dataset} "
                    f"({contexts}) writes nothing that can be read as an answer; no "
                    "two of them agree."
                )
    add_pairs(sample, run.models())
    notes = list(warnings)
    if items.left_out:
        notes.append(
            f"{dataset}: {items.left_out} questions were not asked of every model in "
            "every setting and are left out"
        )
    return AnswerSummary(sample, warnings, notes)


def _outcomes(written: Written, items: _Items) -> dict[str, Outcome]:
    answers, right = written.answers, written.is_right
    asked = answers != NOT_ASKED
    agreement = pairwise_agreement(answers)
    values = {
        "accuracy": accuracy(right, asked),
        "agreement": agreement,
        "no_answer": _share(answers == NO_ANSWER, asked),
        "top_answer_share": answer_concentration(answers, 2).top_share_per_fact,
    }
    if (items.group != NO_GROUP).any():
        values["group_agreement"] = group_agreement(answers, items.group)
    prompts = int(asked.sum())
    found = {name: mean_outcome(own[None], prompts) for name, own in values.items()}
    expected = chance_agreement(_met_twice(answers))
    if not expected.reason:
        counted = ~np.isnan(agreement) & ~np.isnan(expected.per_fact)
        found[_CORRECTED] = Outcome(
            np.where(counted, agreement - expected.per_fact, 0.0)[None],
            np.where(counted, 1 - expected.per_fact, 0.0)[None],
            prompts,
        )
    else:
        found[_CORRECTED] = mean_outcome(
            np.full((1, answers.shape[1]), np.nan), prompts
        )
        found[_CORRECTED] = replace(found[_CORRECTED], reason=expected.reason)
    return found


def _perturbed(every: Written) -> dict[str, Outcome]:
    """What perturbed texts change; they take part in no other measure."""
    perturbed = range(every.plain_count, len(every.answers))
    if not perturbed:
        return {}
    own, beside = _of(every, perturbed), _of(every, [0, *perturbed])
    asked = own.answers != NOT_ASKED
    values = {
        "perturbed_accuracy": accuracy(own.is_right, asked),
        "perturbed_agreement": pairwise_agreement(beside.answers),
    }
    return {
        name: mean_outcome(value[None], int(asked.sum()))
        for name, value in values.items()
    }


def _met_twice(answers: Int[np.ndarray, "wording item"]) -> np.ndarray:
    """Answers that occur once agree with nothing by chance; they need no code."""
    codes, inverse, counts = np.unique(answers, return_inverse=True, return_counts=True)
    is_single = (counts[inverse] == 1).reshape(answers.shape) & (answers >= 0)
    kept = np.unique(np.where(is_single, NO_ANSWER, answers))
    dense = np.searchsorted(kept[kept >= 0], answers)
    return np.where(is_single, NO_ANSWER, np.where(answers < 0, answers, dense))


def _share(
    values: Bool[np.ndarray, "wording item"], asked: Bool[np.ndarray, "wording item"]
) -> Float[np.ndarray, " item"]:
    return (values & asked).sum(axis=0) / np.maximum(asked.sum(axis=0), 1)


def _of(written: Written, wordings: Sequence[int]) -> Written:
    chosen = list(wordings)
    return Written(
        written.answers[chosen], written.is_right[chosen], written.plain_count
    )


def _rows(run: Run, dataset: str, model: str, columns: list[str]) -> Any:
    table = read_rows(
        run, ANALYSIS, model, columns=columns, filter=pc.field("dataset") == dataset
    )
    return table if table is not None and table.num_rows else None


def _common_items(run: Run, dataset: str) -> _Items | None:
    """The questions that every model has rows of, in all its wordings."""
    columns = ["item", "contexts", "topic", "cluster", "group", "wording"]
    tables = [
        table
        for model in run.models()
        if (table := _rows(run, dataset, model, columns)) is not None
    ]
    common, seen = common_labels(tables, "item")
    for table in tables:
        settings = table.group_by(["contexts", "wording"]).aggregate([])
        counts = table.group_by("item").aggregate([("wording", "count")])
        whole = counts.filter(pc.field("wording_count") == settings.num_rows)
        common &= set(whole["item"].to_pylist())
    if not common:
        return None
    table = first_rows(tables[0], "item", common).sort_by("item")
    return _Items(
        item=table["item"].to_pylist(),
        topic=np.array(table["topic"].to_pylist()),
        cluster=np.array(table["cluster"].to_pylist()),
        group=np.maximum(codes_of(table["group"])[0], NO_GROUP),
        left_out=len(seen) - len(common),
    )


def _written(run: Run, dataset: str, model: str, items: _Items) -> dict[str, Written]:
    table = _rows(run, dataset, model, [*_COLUMNS, "perturbation"])
    if table is None:
        return {}
    item = places(table["item"], items.item)
    wording = integers_of(table["wording"])
    is_repeat = integers_of(table["is_repeat"]) == 1
    codes = np.where(is_repeat, NOT_ASKED, codes_of(table["normalised"])[0])
    right = integers_of(table["is_correct"]) == 1
    is_plain = np.array(table["perturbation"].to_pylist()) == ""
    names, labels = codes_of(table["contexts"])
    shape = (int(wording.max()) + 1, len(items.item))
    found = {}
    for code, label in enumerate(labels):
        own = (names == code) & (item >= 0)
        answers, is_right = np.full(shape, NOT_ASKED), np.zeros(shape, bool)
        answers[wording[own], item[own]] = codes[own]
        is_right[wording[own], item[own]] = right[own]
        plain = len(np.unique(wording[is_plain]))
        found[label] = Written(answers, is_right, plain)
    return found
