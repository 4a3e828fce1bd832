"""Measures of other papers over classifiers, for the studies that name some.

A row and its paraphrase, the pairs of semantic consistency, are two wordings of one
item; classes are its options, always in one order. What cannot be told from two
wordings and the probabilities of classes is null with the reason.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from concord.metrics.consistency_rate import consistency_rate
from concord.metrics.paraphrastic_consistency import paraphrastic_consistency
from concord.metrics.prediction_sensitivity import class_consistency, sensitivity
from concord.metrics.prompt_sensi_score import prompt_sensi_score
from concord.metrics.rankc import rankc
from concord.results import Run
from concord.summary.finetuned_rows import (
    Answers,
    Training,
    Units,
    Values,
    probabilities_of,
)

NUMBERS = ("class_consistency",)
"""Measures of all rows together, without an interval."""
MISSING: Mapping[str, str] = {
    "posix": "needs the probability of a written answer; a classifier writes none",
    "xparacon": "needs options in several orders; a classifier has none",
    "format_spread": "needs formats of one text; a paraphrase is another text",
}
"""Why rows of classifiers cannot tell a measure."""
NO_PARAPHRASES = "the task has no paraphrased rows"
NO_PAIR = "no class is that of two paraphrased rows"

Wordings = Float[np.ndarray, "wording item class"]


def other_values(
    run: Run,
    model: str,
    units: Units,
    chosen: Training,
    answers: Answers,
    named: Sequence[str],
) -> tuple[dict[str, Values], dict[str, str]]:
    """A value per seed and unit by name, and reasons of those that are null."""
    own = np.flatnonzero(units.of("semantic"))
    nothing: Values = np.full(answers.original.shape, np.nan)
    values, reasons = dict.fromkeys(named, nothing), {}
    told = [name for name in named if name not in MISSING] if own.size else []
    given = probabilities_of(run, model, units, chosen) if told else None
    for name in named:
        if given is None or name not in told:
            reasons[name] = MISSING.get(name, NO_PARAPHRASES)
            continue
        values[name] = nothing.copy()
        for seed in range(len(nothing)):
            values[name][seed, own] = _measured(
                name, given[:, seed, own], answers.label[own]
            )
        if np.isnan(values[name]).all():
            reasons[name] = NO_PAIR
    return values, reasons


def _measured(
    name: str, given: Wordings, label: Int[np.ndarray, " item"]
) -> Float[np.ndarray, " item"]:
    """One seed's values of the paraphrased rows."""
    if name not in NUMBERS:
        return _BY_ITEM[name](given, label)
    found = class_consistency(given, label, given.shape[-1])
    known = found[~np.isnan(found)]
    return np.full(len(label), known.mean() if known.size else np.nan)


def _is_right(
    given: Wordings, label: Int[np.ndarray, " item"]
) -> Float[np.ndarray, "wording item"]:
    """A paraphrase has the class of its row."""
    return (given.argmax(axis=-1) == label).astype(float)


_BY_ITEM: Mapping[str, Callable[[Wordings, np.ndarray], np.ndarray]] = {
    "rankc": lambda given, _: rankc(given),
    "prompt_sensi_score": lambda g, label: prompt_sensi_score(_is_right(g, label)),
    "paraphrastic_consistency": lambda given, label: paraphrastic_consistency(
        _is_right(given, label) == 1
    ),
    "consistency_rate": lambda given, _: consistency_rate(given.argmax(axis=-1)),
    "sensitivity": lambda given, _: sensitivity(given),
}
