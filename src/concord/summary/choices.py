"""Rows of multiple choice -> accuracy, agreement and preference for letters.

Units are questions, drawn within their topics; the same question asked twice is one
cluster. Every measure is of one set of contexts over all settings, wordings by orders.
"""

from collections.abc import Callable, Mapping
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
from concord.summary.named_measures import ONE_WORDING
from concord.summary.other_choices import (
    ONE_ORDER,
    ONE_SETTING,
    other_outcomes,
)
from concord.summary.spread import spread_entries

_EMPTY = {
    "rewording_agreement": ONE_WORDING,
    "reordering_agreement": ONE_ORDER,
    "letter_agreement": ONE_ORDER,
    "forced_agreement": ONE_SETTING,
    "content_agreement": ONE_SETTING,
    "content_agreement_without_others": "every question has an option about others",
    "accuracy_without_others": "every question has an option about others",
    "content_agreement_without_near_ties": "no question has two prompts whose margin "
    "is beyond the noise",
    "group_agreement": "no group has two questions",
    "perturbed_accuracy": "no perturbation found anything to change",
    "perturbed_agreement": "no perturbation found anything to change",
}
"""Why no question counts in a measure."""
UNLIKE = (
    "whether an answer was given is told for one of the two models only: no difference"
)
_FORCED = (
    "{}: what the likeliest token is, is not told for {}: every choice counts as an "
    "answer there, and agreement is that of forced choices."
)


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
            for name, reason in (_reasons(found) | reasons).items():
                micro.reasons[f"choices.{dataset}.{name}{suffix}", model] = reason
            for name, outcome in (found | others).items():
                key = f"choices.{dataset}.{name}{suffix}"
                micro.values[key, model] = outcome
            if not choices.is_first_token_told:
                key = f"choices.{dataset}.no_answer{suffix}"
                micro.reasons[key, model] = NOT_TOLD
            right = _over_asked(choices.is_right, choices.asked)
            key = f"choices.{dataset}.accuracy_by_topic{suffix}"
            macro.values[key, model] = mean_outcome(right[None], choices.prompts)
            answers[model, contexts] = choices
            place = {"dataset": dataset, "model": model, "contexts": contexts}
            uses.append(letter_use(place, choices, items, clusters, settings))
    for sample in (micro, macro):
        add_pairs(sample, run.models())
    told = {model: one.is_first_token_told for (model, _), one in answers.items()}
    drop_unlike(micro, told, run.models()[0])
    rights = {place: _in_settings(choices) for place, choices in answers.items()}
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
        notes=_notes(dataset, _left_out(run, dataset, items), answers),
    )


def drop_unlike(sample: Sample, told: Mapping[str, bool], base: str) -> None:
    """Agreement of answers is not compared with that of forced choices.

    Args:
        sample: Its pairs of a model and the base are dropped, with a reason, where only
            one of the two tells whether it answered.
        told: Whether it does, by model.
        base: Label of the base.
    """
    kept = []
    for pair in sample.pairs:
        name = pair.key.partition("@")[0].rpartition(".")[2]
        is_of_answers = name == "consistency_rate" or (
            "agreement" in name and name != "forced_agreement"
        )
        is_of_one = pair.key.endswith("@prompt")
        if is_of_one or not is_of_answers or told[pair.model] == told[base]:
            kept.append(pair)
        else:
            sample.reasons[pair.key, pair.model] = UNLIKE
    sample.pairs[:] = kept


def _outcomes(items: Items, choices: Choices) -> dict[str, Outcome]:
    """Every measure that is a mean over questions."""
    answered, asked = choices.answered, choices.asked
    alone = ~items.speaks_of_others
    shares = letter_shares(np.where(asked, choices.letters, NOT_ASKED), len(LETTERS))
    top = int(np.argmax(np.nan_to_num(shares)))
    values = {
        "accuracy": _over_asked(choices.is_right, asked),
        "content_agreement": content_agreement(answered),
        "rewording_agreement": rewording_agreement(answered),
        "reordering_agreement": reordering_agreement(answered),
        "letter_agreement": reordering_agreement(choices.answered_letters),
        "forced_agreement": content_agreement(choices.contents),
        "top_letter_share": _over_asked(choices.letters == top, asked),
    }
    if choices.is_first_token_told:
        values["no_answer"] = _over_asked(~choices.has_answer, asked)
    if (items.group != NO_GROUP).any():
        texts = choices.where_answered(choices.texts)
        flat = texts.reshape(-1, texts.shape[-1])
        values["group_agreement"] = group_agreement(flat, items.group)
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


def _reasons(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Why a measure has no value, for those that have none."""
    empty = [name for name, one in outcomes.items() if not one.denominator.any()]
    one_setting = "content_agreement" in empty
    return {
        name: ONE_SETTING
        if one_setting and name.startswith("content_agreement")
        else _EMPTY[name]
        for name in empty
    }


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
            _over_asked(own.is_right, own.asked)[None], own.prompts
        ),
        "perturbed_agreement": mean_outcome(
            rewording_agreement(beside.answered)[None], beside.prompts
        ),
    }


def _over_asked(
    values: Bool[np.ndarray, "wording order item"],
    asked: Bool[np.ndarray, "wording order item"],
) -> Float[np.ndarray, " item"]:
    """Share of an item's prompts, each counted once; NaN without any."""
    count = asked.sum(axis=(0, 1))
    share = (values & asked).sum(axis=(0, 1)) / np.maximum(count, 1)
    return np.where(count > 0, share, np.nan)


def _in_settings(choices: Choices) -> Bool[np.ndarray, "wording order item"]:
    """What is right, in the settings that are no repeat for every question.

    Where only some questions repeat a prompt (those with two options), its answer
    stands in both settings, so that all settings have the same questions.
    """
    wordings, orders = choices.asked.any(axis=(1, 2)), choices.asked.any(axis=(0, 2))
    return choices.is_right[wordings][:, orders]


def _left_out(run: Run, dataset: str, items: Items) -> int:
    """Questions that do not count, those that no model was asked among them."""
    described = run.info["data"].get(dataset, {}).get("counts", {})
    drawn = described.get("questions", 0)
    return max(items.left_out, drawn - len(items.item))


def _notes(
    dataset: str, left_out: int, answers: dict[tuple[str, str], Choices]
) -> list[str]:
    notes = []
    if left_out:
        notes.append(
            f"{dataset}: {left_out} questions were not asked of every model in "
            "every setting and are left out"
        )
    hidden = sorted({m for (m, _), c in answers.items() if not c.is_first_token_told})
    if hidden:
        notes.append(_FORCED.format(dataset, ", ".join(hidden)))
    split = sorted({m for (m, _), c in answers.items() if not c.letters_are_whole})
    if split:
        notes.append(
            f"{dataset}: a letter takes several tokens in the tokenizer of "
            f"{', '.join(split)}; the last of them stands for it"
        )
    return notes
