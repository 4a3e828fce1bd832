"""Rows of multiple choice -> accuracy, agreement and preference for letters.

Units are questions, drawn within their topics; the same question asked twice is one
cluster. Every measure is of one set of contexts over all settings, wordings by orders.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.agreement import NOT_ASKED
from concord.metrics.bootstrap import cluster_units
from concord.metrics.choice_agreement import (
    content_agreement,
    letter_shares,
    reordering_agreement,
    rewording_agreement,
)
from concord.metrics.group_agreement import NO_GROUP, group_agreement
from concord.results import Run, read_rows
from concord.summary.answers import NOT_TOLD
from concord.summary.choice_rows import (
    ANALYSIS,
    LETTERS,
    Choices,
    Items,
    choices_of,
    common_items,
)
from concord.summary.estimates import Outcome, Sample, Settings, add_pairs, mean_outcome
from concord.summary.letters import LetterUse, letter_use
from concord.summary.other_choices import other_outcomes
from concord.summary.spread import spread_entries

OF_FIRST_TOKEN = ("no_answer", "answered_agreement")
"""Measures that need the likeliest token of the whole vocabulary."""


@dataclass(frozen=True, eq=False)
class ChoiceSummary:
    """Everything that one multiple choice data set gives to ``summary.json``."""

    samples: list[Sample]
    spreads: list[dict[str, Any]]
    letters: list[dict[str, Any]]
    """How often each letter was chosen and was right, a row per model and contexts."""
    noise: list[dict[str, Any]]
    """What asking a sample again, one by one, showed; a row per model and contexts."""
    warnings: list[str]
    notes: list[str]


def summarise_choices(
    run: Run, settings: Settings, progress: Callable[[str], None]
) -> list[ChoiceSummary]:
    """One summary for each data set that has rows."""
    names: dict[str, None] = {}
    for model in run.models():
        table = read_rows(run, ANALYSIS, model, columns=["dataset"])
        if table is not None:
            names |= dict.fromkeys(table["dataset"].unique().to_pylist())
    found = []
    for dataset in names:
        items = common_items(run, dataset)
        if items is not None:
            found.append(_summarise_dataset(run, dataset, items, settings, progress))
    return found


def _summarise_dataset(
    run: Run,
    dataset: str,
    items: Items,
    settings: Settings,
    progress: Callable[[str], None],
) -> ChoiceSummary:
    topics, _ = np.unique(items.topic, return_inverse=True)
    clusters = cluster_units(items.topic, items.cluster)
    labels = tuple(str(label) for label in topics)
    micro = Sample(ANALYSIS, dataset, clusters, labels, "micro", False)
    macro = Sample(ANALYSIS, dataset, clusters, labels, "macro", False)
    named = run.study.get("measures") or ()
    answers: dict[tuple[str, str], Choices] = {}
    uses: list[LetterUse] = []
    for model in run.models():
        progress(f"choices of {dataset}: {model}")
        for contexts, every in choices_of(run, dataset, model, items).items():
            suffix = "" if contexts == "study" else f"@{contexts}"
            choices = every.of_wordings(range(every.plain_count))
            found = _outcomes(items, choices) | _perturbed_outcomes(every)
            others, reasons = other_outcomes(items, choices, named)
            for name, reason in reasons.items():
                micro.reasons[f"choices.{dataset}.{name}{suffix}", model] = reason
            for name, outcome in (found | others).items():
                key = f"choices.{dataset}.{name}{suffix}"
                micro.values[key, model] = outcome
            if not choices.is_first_token_told:
                for name in OF_FIRST_TOKEN:
                    key = f"choices.{dataset}.{name}{suffix}"
                    micro.reasons[key, model] = NOT_TOLD
            right = _over_settings(choices.is_right)
            key = f"choices.{dataset}.accuracy_by_topic{suffix}"
            macro.values[key, model] = mean_outcome(right[None], choices.prompts)
            answers[model, contexts] = choices
            uses.append(_use(dataset, model, contexts, items, choices))
    for sample in (micro, macro):
        add_pairs(sample, run.models())
    rights = {place: choices.is_right for place, choices in answers.items()}
    warnings = [warning for use in uses for warning in use.warnings]
    return ChoiceSummary(
        samples=[micro, macro],
        spreads=spread_entries(dataset, clusters, rights, run.models(), settings),
        letters=[use.row for use in uses],
        noise=[
            {"dataset": dataset, "model": model, "contexts": contexts, **one.noise}
            for (model, contexts), one in answers.items()
            if one.noise
        ],
        warnings=warnings,
        notes=_notes(dataset, items, answers),
    )


def _outcomes(items: Items, choices: Choices) -> dict[str, Outcome]:
    """Every measure that is a mean over questions."""
    contents, alone = choices.contents, ~items.speaks_of_others
    letters = np.where(choices.is_repeat, NOT_ASKED, choices.letters)
    shares = letter_shares(choices.letters, len(LETTERS))
    top = int(np.argmax(np.nan_to_num(shares)))
    texts = choices.texts.reshape(-1, contents.shape[-1])
    values = {
        "accuracy": _over_settings(choices.is_right),
        "content_agreement": content_agreement(contents),
        "rewording_agreement": rewording_agreement(contents),
        "reordering_agreement": reordering_agreement(contents),
        "letter_agreement": reordering_agreement(letters),
        "answered_agreement": content_agreement(choices.answered),
        "no_answer": _over_settings(~choices.has_answer),
        "top_letter_share": _over_settings(choices.letters == top),
    }
    if not choices.is_first_token_told:
        values = {k: v for k, v in values.items() if k not in OF_FIRST_TOKEN}
    if (items.group != NO_GROUP).any():
        values["group_agreement"] = group_agreement(texts, items.group)
    if choices.noise:
        firm = content_agreement(choices.firm)
        values["content_agreement_without_near_ties"] = firm
    outcomes = {
        name: mean_outcome(own[None], choices.prompts) for name, own in values.items()
    }
    if not alone.all():
        for name in ("accuracy", "content_agreement"):
            outcomes[f"{name}_without_others"] = outcomes[name].only(alone)
    return outcomes


def _perturbed_outcomes(every: Choices) -> dict[str, Outcome]:
    """What perturbed texts change; they take part in no other measure."""
    count = len(every.is_right)
    perturbed = range(every.plain_count, count)
    if not perturbed:
        return {}
    own = every.of_wordings(perturbed)
    beside = every.of_wordings([0, *perturbed])
    return {
        "perturbed_accuracy": mean_outcome(
            _over_settings(own.is_right)[None], own.prompts
        ),
        "perturbed_agreement": mean_outcome(
            rewording_agreement(beside.contents)[None], beside.prompts
        ),
    }


def _over_settings(
    values: Bool[np.ndarray, "wording order item"],
) -> Float[np.ndarray, " item"]:
    return values.mean(axis=(0, 1))


def _use(
    dataset: str, model: str, contexts: str, items: Items, choices: Choices
) -> LetterUse:
    count = int(items.option_count.max())
    letters = np.where(choices.is_repeat, NOT_ASKED, choices.letters)
    return letter_use(
        {"dataset": dataset, "model": model, "contexts": contexts},
        chosen=letter_shares(choices.letters, count),
        right=letter_shares(choices.right_letters, count),
        letter_agreement=_mean(reordering_agreement(letters)),
        content_agreement=_mean(reordering_agreement(choices.contents)),
        no_answer=float((~choices.has_answer).mean())
        if choices.is_first_token_told
        else float("nan"),
        accuracy=float(choices.is_right.mean()),
    )


def _mean(values: Float[np.ndarray, " item"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _notes(
    dataset: str, items: Items, answers: dict[tuple[str, str], Choices]
) -> list[str]:
    notes = []
    if items.left_out:
        notes.append(
            f"{dataset}: {items.left_out} questions were not asked of every model in "
            "every setting and are left out"
        )
    split = sorted({m for (m, _), c in answers.items() if not c.letters_are_whole})
    if split:
        notes.append(
            f"{dataset}: a letter takes several tokens in the tokenizer of "
            f"{', '.join(split)}; the last of them stands for it"
        )
    return notes
