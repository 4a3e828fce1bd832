"""Measures of other papers over the answers to worded questions, by name.

They are options, never the headline: each keeps its paper's name and formula.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.metrics.agreement import NOT_ASKED
from concord.metrics.consistency_rate import consistency_rate
from concord.metrics.format_spread import format_spread
from concord.metrics.paraphrastic_consistency import paraphrastic_consistency
from concord.metrics.posix import posix
from concord.metrics.prediction_sensitivity import class_consistency, sensitivity
from concord.metrics.prompt_sensi_score import prompt_sensi_score
from concord.metrics.rankc import rankc
from concord.metrics.xparacon import index_of, wording_deviation


@dataclass(frozen=True, eq=False)
class WordedAnswers:
    """What one model answered to every item in every wording and order of options."""

    contents: Int[np.ndarray, "wording order item"]
    """Index of the chosen option's text, or `NO_ANSWER`; `NOT_ASKED` where the prompt
    is that of an earlier setting, which says nothing about consistency."""
    is_right: Bool[np.ndarray, "wording order item"]
    scores: Float[np.ndarray, "wording order item option"]
    """Log-probability of each option, at its place in the question; NaN beyond."""
    classes: Int[np.ndarray, " item"]
    """The right option."""
    has_fixed_options: bool
    """All items have the same options: these are classes."""

    def of_items(self, items: Int[np.ndarray, " own"]) -> "WordedAnswers":
        """The same of some items."""
        return replace(
            self,
            contents=self.contents[:, :, items],
            is_right=self.is_right[:, :, items],
            scores=self.scores[:, :, items],
            classes=self.classes[items],
        )

    def without_repeats(
        self,
    ) -> Iterator[tuple[Int[np.ndarray, " own"], "WordedAnswers"]]:
        """Items asked in the same wordings and orders, in these alone."""
        asked = self.contents != NOT_ASKED
        kinds, kind_of = np.unique(
            asked.reshape(-1, asked.shape[-1]), axis=1, return_inverse=True
        )
        for kind, flat in enumerate(kinds.T):
            own = np.flatnonzero(kind_of.ravel() == kind)
            grid = flat.reshape(asked.shape[:2])
            wordings, orders = grid.any(axis=1), grid.any(axis=0)
            # A wording repeats another in every order, an order in every wording.
            assert grid.sum() == wordings.sum() * orders.sum()
            part = self.of_items(own)
            yield (
                own,
                replace(
                    part,
                    contents=part.contents[wordings][:, orders],
                    is_right=part.is_right[wordings][:, orders],
                    scores=part.scores[wordings][:, orders],
                ),
            )

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


def item_values(
    measure: Callable[[WordedAnswers], Float[np.ndarray, " item"]],
    answers: WordedAnswers,
) -> Float[np.ndarray, " item"]:
    """A measure of each item, over the settings in which its prompt is no repeat."""
    values = np.full(answers.contents.shape[-1], np.nan)
    for own, part in answers.without_repeats():
        values[own] = measure(part)
    return values


def _format_spread(answers: WordedAnswers) -> float:
    """Over settings that are no repeat for every item, all with the same items."""
    asked = (answers.contents != NOT_ASKED).any(axis=-1).ravel()
    return format_spread(answers.flat_right[asked].mean(axis=1))


def _class_consistency(answers: WordedAnswers) -> float:
    if not answers.has_fixed_options:
        return float("nan")
    mean = np.full((len(answers.classes), answers.scores.shape[-1]), np.nan)
    for own, part in answers.without_repeats():
        mean[own] = part.distributions.mean(axis=0)
    values = class_consistency(mean[None], answers.classes, mean.shape[-1])
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def deviation(answers: WordedAnswers) -> Float[np.ndarray, " item"]:
    """What XParaCon is made of: how far accuracy over orders moves with the wording."""
    return wording_deviation(answers.is_right)


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
"""Measures that are a mean over items: name -> value of each item, all of them asked in
every setting (`item_values` for others)."""

NUMBER_MEASURES: Mapping[str, Callable[[WordedAnswers], float]] = {
    "format_spread": _format_spread,
    "xparacon": lambda answers: index_of(item_values(deviation, answers)).value,
    "class_consistency": _class_consistency,
}
"""Measures of all items together: name -> value."""

MEASURE_NAMES = (*ITEM_MEASURES, *NUMBER_MEASURES)
"""All names a study may give."""
