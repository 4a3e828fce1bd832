"""Measures of other papers over the answers to worded questions, by name.

They are options, never the headline: each keeps its paper's name and formula.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.metrics.consistency_rate import consistency_rate
from concord.metrics.format_spread import format_spread
from concord.metrics.paraphrastic_consistency import paraphrastic_consistency
from concord.metrics.posix import posix
from concord.metrics.prediction_sensitivity import class_consistency, sensitivity
from concord.metrics.prompt_sensi_score import prompt_sensi_score
from concord.metrics.rankc import rankc
from concord.metrics.xparacon import xparacon


@dataclass(frozen=True, eq=False)
class WordedAnswers:
    """What one model answered to every item in every wording and order of options."""

    contents: Int[np.ndarray, "wording order item"]
    """Index of the chosen option's text, or `NO_ANSWER`, or `NOT_ASKED`."""
    is_right: Bool[np.ndarray, "wording order item"]
    scores: Float[np.ndarray, "wording order item option"]
    """Log-probability of each option, at its place in the question; NaN beyond."""
    classes: Int[np.ndarray, " item"]
    """The right option."""
    has_fixed_options: bool
    """All items have the same options: these are classes."""

    @property
    def flat_right(self) -> Bool[np.ndarray, "setting item"]:
        """Correctness with all settings on one axis."""
        return self.is_right.reshape(-1, self.is_right.shape[-1])

    @property
    def flat_scores(self) -> Float[np.ndarray, "setting item option"]:
        """Scores with all settings on one axis."""
        return self.scores.reshape(-1, *self.scores.shape[2:])

    @property
    def distributions(self) -> Float[np.ndarray, "setting item option"]:
        """Probabilities of the options among themselves."""
        scores = self.flat_scores
        best = np.nanmax(scores, axis=-1, keepdims=True)
        mass = np.exp(scores - best)
        return mass / np.nansum(mass, axis=-1, keepdims=True)


def _posix(answers: WordedAnswers) -> Float[np.ndarray, " item"]:
    """A choice is one token, the best option of its setting."""
    scores = answers.flat_scores.swapaxes(0, 1)
    best = np.nanargmax(scores, axis=-1)
    places = np.broadcast_to(best[:, None, :], (*scores.shape[:2], best.shape[1]))
    log_probabilities = np.take_along_axis(scores, places, axis=-1)
    return posix(log_probabilities, np.ones_like(best))


def _class_consistency(answers: WordedAnswers) -> float:
    if not answers.has_fixed_options:
        return float("nan")
    values = class_consistency(
        answers.distributions, answers.classes, answers.scores.shape[-1]
    )
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


ITEM_MEASURES: Mapping[str, Callable[[WordedAnswers], Float[np.ndarray, " item"]]] = {
    "rankc": lambda answers: rankc(answers.flat_scores),
    "posix": _posix,
    "prompt_sensi_score": lambda answers: prompt_sensi_score(
        answers.flat_right.astype(np.float64)
    ),
    "paraphrastic_consistency": lambda a: paraphrastic_consistency(a.flat_right),
    "consistency_rate": lambda answers: consistency_rate(
        answers.contents.reshape(-1, answers.contents.shape[-1])
    ),
    "sensitivity": lambda answers: sensitivity(answers.distributions),
}
"""Measures that are a mean over items: name -> value of each item."""

NUMBER_MEASURES: Mapping[str, Callable[[WordedAnswers], float]] = {
    "format_spread": lambda answers: format_spread(answers.flat_right.mean(axis=1)),
    "xparacon": lambda answers: xparacon(answers.is_right).value,
    "class_consistency": _class_consistency,
}
"""Measures of all items together: name -> value."""

MEASURE_NAMES = (*ITEM_MEASURES, *NUMBER_MEASURES)
"""All names a study may give."""
