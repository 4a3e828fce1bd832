"""Measures of other papers over multiple choice, for the studies that name some."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.other_measures import (
    ITEM_MEASURES,
    NUMBER_MEASURES,
    WordedAnswers,
    deviation,
    item_values,
)
from concord.summary.choice_rows import Choices, Items
from concord.summary.estimates import Outcome, mean_outcome
from concord.summary.named_measures import ONE_WORDING, whole_number

OF_SCORES = ("rankc", "posix", "sensitivity", "class_consistency")
"""Measures that need the score of every option."""
NOT_TOLD = "needs the score of every option; the rows hold those of some"
ONE_SETTING = "one setting: nothing to compare"
ONE_ORDER = "one order of the options: nothing to compare"
NOTHING_MOVES = "wording moves the accuracy of no question: the index is infinite"
NO_CLASSES = "questions have options of their own: these are no classes"
NO_PAIR = "no right option is that of two questions: no class has a pair"


def other_outcomes(
    items: Items, choices: Choices, named: Sequence[str]
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Outcomes by name, and reasons of those that the rows cannot tell.

    Questions without the scores of all their options do not count where these are
    needed.
    """
    told = _scores_are_told(items, choices)
    answers = WordedAnswers(
        contents=choices.answered,
        is_right=choices.is_right,
        scores=choices.scores,
        classes=items.right_option,
        has_fixed_options=items.has_fixed_options,
    )
    outcomes = {}
    for name in named:
        kept = told if name in OF_SCORES else np.ones_like(told)
        outcomes[name] = _outcome(name, answers, kept, choices.prompts)
        if name == "xparacon":
            moved = mean_outcome(item_values(deviation, answers)[None], choices.prompts)
            outcomes["xparacon_deviation"] = moved
    reasons = {
        name: _reason(name, answers, is_told=bool(told.any()))
        for name, outcome in outcomes.items()
        if not outcome.denominator.any()
    }
    return outcomes, reasons


def _outcome(
    name: str, answers: WordedAnswers, kept: Bool[np.ndarray, " item"], prompts: int
) -> Outcome:
    if not kept.any():
        return whole_number(float("nan"), len(kept), prompts)
    own = answers.of_items(np.flatnonzero(kept))
    if name in NUMBER_MEASURES:
        return whole_number(NUMBER_MEASURES[name](own), len(kept), prompts)
    values: Float[np.ndarray, " item"] = np.full(len(kept), np.nan)
    measure: Callable[[WordedAnswers], np.ndarray] = ITEM_MEASURES[name]
    values[kept] = item_values(measure, own)
    return mean_outcome(values[None], prompts)


def _reason(name: str, answers: WordedAnswers, *, is_told: bool) -> str:
    """Why there is no value."""
    if name in OF_SCORES and not is_told:
        return NOT_TOLD
    if name == "class_consistency":
        return NO_PAIR if answers.has_fixed_options else NO_CLASSES
    if name.startswith("xparacon"):
        parts = [part for _, part in answers.without_repeats()]
        is_one = all(len(part.is_right) < 2 for part in parts)
        return ONE_WORDING if is_one else NOTHING_MOVES
    return ONE_SETTING


def _scores_are_told(items: Items, choices: Choices) -> Bool[np.ndarray, " item"]:
    """Questions of which every option has a score in every setting."""
    width = choices.scores.shape[-1]
    is_option = np.arange(width) < items.option_count[:, None]
    return (~np.isnan(choices.scores) | ~is_option).all(axis=(0, 1, 3))
