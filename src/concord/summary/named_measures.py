"""Measures of other papers, where a study names them and the rows allow them.

Each belongs to answers of another kind: options whose letters are all scored, one
predicted object of many, or texts. What rows cannot tell is null with the reason.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.metrics.agreement import NOT_ASKED
from concord.metrics.consistency_rate import consistency_rate
from concord.metrics.format_spread import format_spread
from concord.metrics.paraphrastic_consistency import paraphrastic_consistency
from concord.metrics.prompt_sensi_score import prompt_sensi_score
from concord.summary.estimates import Outcome, mean_outcome

ONE_WORDING = "one wording: nothing to compare"
NO_OPTIONS = "needs options in several orders; these answers have none"
OF_ANSWERS: Mapping[str, str] = {
    "rankc": "needs a ranking of candidates; a written answer has none",
    "posix": "needs the probability of each answer under every other wording; only its "
    "own was measured",
    "sensitivity": "needs a fixed set of classes; written answers are open",
    "class_consistency": "needs a fixed set of classes; written answers are open",
    "xparacon": NO_OPTIONS,
}
"""Why rows of written answers cannot tell a measure."""
OF_FACTS: Mapping[str, str] = {
    "rankc": "needs the ranking of all candidates; rows hold the best two (set "
    "facts.scoring: full)",
    "posix": "needs the score of each prediction under every other wording; rows hold "
    "its own (set facts.scoring: full)",
    "xparacon": NO_OPTIONS,
}
"""Why rows of facts cannot tell a measure."""


def answer_outcomes(
    answers: Int[np.ndarray, "wording item"],
    is_right: Bool[np.ndarray, "wording item"],
    named: Sequence[str],
    *,
    missing: Mapping[str, str] = OF_ANSWERS,
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Measures that need nothing but answers and whether they are right.

    Args:
        answers: Codes; `NO_ANSWER` agrees with nothing, `NOT_ASKED` takes no part.
        is_right: Beside them.
        named: What the study names.
        missing: Measure -> why it cannot be told.

    Returns:
        Outcomes by name, and reasons of those that are null.
    """
    prompts = int((answers != NOT_ASKED).sum())
    outcomes, reasons = {}, {}
    for name in named:
        if name in _BY_ITEM:
            values = over_asked(_BY_ITEM[name], answers, is_right)
            outcomes[name] = mean_outcome(values[None], prompts)
        elif name == "format_spread":
            spread = format_spread(wording_accuracy(answers, is_right))
            outcomes[name] = whole_number(spread, answers.shape[1], prompts)
        elif name in missing:
            outcomes[name] = whole_number(float("nan"), answers.shape[1], prompts)
            reasons[name] = missing[name]
        if name in outcomes and not outcomes[name].denominator.any():
            reasons.setdefault(name, ONE_WORDING)
    return outcomes, reasons


def wording_accuracy(
    answers: Int[np.ndarray, "wording item"], is_right: Bool[np.ndarray, "wording item"]
) -> Float[np.ndarray, " wording"]:
    """Share of right answers in each wording that was asked."""
    asked = answers != NOT_ASKED
    counts = asked.sum(axis=1)
    right = (is_right & asked).sum(axis=1)
    return right[counts > 0] / counts[counts > 0]


def over_asked(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray],
    answers: Int[np.ndarray, "wording item"],
    is_right: Bool[np.ndarray, "wording item"],
) -> Float[np.ndarray, " item"]:
    """A measure per item over the wordings that the item was asked in.

    Items asked in the same wordings are computed together.
    """
    values = np.full(answers.shape[1], np.nan)
    asked = answers != NOT_ASKED
    kinds, kind_of = np.unique(asked.T, axis=0, return_inverse=True)
    for kind, wordings in enumerate(kinds):
        own = np.flatnonzero(kind_of.ravel() == kind)
        if wordings.sum() >= 2:
            cells = np.ix_(wordings, own)
            values[own] = measure(answers[cells], is_right[cells])
    return values


def whole_number(value: float, count: int, prompts: int) -> Outcome:
    """A number that is no mean over units: no interval; NaN: not measured."""
    known = np.full((1, count), float(not np.isnan(value)))
    number = 0.0 if np.isnan(value) else value
    return Outcome(known * number, known, prompts, has_interval=False)


_BY_ITEM: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "prompt_sensi_score": lambda _, right: prompt_sensi_score(right.astype(float)),
    "paraphrastic_consistency": lambda _, right: paraphrastic_consistency(right),
    "consistency_rate": lambda answers, _: consistency_rate(answers),
}
