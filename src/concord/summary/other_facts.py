"""Measures of other papers over the facts, for the studies that name some.

Wordings are a fact's templates; the formats of format spread are the contexts.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from concord.metrics.agreement import NOT_ASKED
from concord.metrics.bootstrap import cluster_units
from concord.metrics.format_spread import format_spread
from concord.metrics.prediction_sensitivity import class_consistency
from concord.results import Run
from concord.summary.answers import (
    ANALYSIS,
    Answers,
    Facts,
    answers_of,
    common_facts,
    dataset_of,
)
from concord.summary.estimates import Outcome, Sample, add_pairs, mean_outcome
from concord.summary.fact_rankings import (
    SCORE_MEASURES,
    TOKENS,
    has_column,
    score_measures,
)
from concord.summary.named_measures import OF_FACTS, answer_outcomes, whole_number

NO_LENGTHS = "needs the lengths of candidates in tokens, which these rows do not hold"
NO_PAIR = "no right object is that of two facts of a relation"


def summarise_other_facts(run: Run, progress: Callable[[str], None]) -> Sample | None:
    """The named measures of all models; None where none is named, or no row is there.

    One model's rows are in memory at a time.
    """
    named = run.study.get("measures") or ()
    facts = common_facts(run, run.models()) if named else None
    if facts is None:
        return None
    clusters = cluster_units(facts.relation, facts.subject)
    sample = Sample(ANALYSIS, dataset_of(run), clusters, facts.relations, "macro", True)
    told = _told_by_scores(run, named)
    for model in run.models():
        progress(f"other measures of facts: {model}")
        for contexts, answers in answers_of(run, model, facts).items():
            suffix = "" if contexts == "study" else f"@{contexts}"
            scored = score_measures(run, model, contexts, facts, told)
            for name in named:
                outcome, reason = _measured(name, facts, answers, scored.get(name))
                if name == "posix" and name not in told and told:
                    reason = NO_LENGTHS
                sample.values[f"facts.{name}{suffix}", model] = outcome
                if reason:
                    sample.reasons[f"facts.{name}{suffix}", model] = reason
    add_pairs(sample, run.models())
    return sample


def _told_by_scores(run: Run, named: Sequence[str]) -> list[str]:
    """Measures to take from every candidate's score: of all models, or of none."""
    models = [model for model in run.models() if run.parts(ANALYSIS, model)]
    if not all(has_column(run, model, "scores") for model in models):
        return []
    has_lengths = all(has_column(run, model, TOKENS) for model in models)
    return [
        name
        for name in named
        if name in SCORE_MEASURES and (has_lengths or name != "posix")
    ]


def _measured(
    name: str,
    facts: Facts,
    answers: Answers,
    scored: Float[np.ndarray, "context fact"] | None,
) -> tuple[Outcome, str | None]:
    """A measure, or nothing and the reason; from all scores where they are told."""
    prompts, count = int(answers.asked.sum()), len(facts.fact)
    if name == "class_consistency":
        values = _class_consistency(facts, answers) if scored is None else scored
        return replace(mean_outcome(values, prompts), has_interval=False), (
            NO_PAIR if np.isnan(values).all() else None
        )
    if scored is not None:
        return mean_outcome(scored, prompts), None
    if name == "sensitivity":
        return mean_outcome(_sensitivity(facts, answers), prompts), None
    if name == "format_spread":
        return _context_spread(answers, count, prompts)
    sides = [
        answer_outcomes(*one, [name], missing=OF_FACTS)
        for one in zip(answers.predictions, answers.is_right, strict=True)
    ]
    first, reasons = sides[0]
    outcome = Outcome(
        np.concatenate([found[name].numerator for found, _ in sides]),
        np.concatenate([found[name].denominator for found, _ in sides]),
        prompts,
        first[name].has_interval,
    )
    return outcome, reasons.get(name)


def _context_spread(
    answers: Answers, count: int, prompts: int
) -> tuple[Outcome, str | None]:
    """Best minus worst accuracy over the contexts."""
    right = (answers.is_right & answers.asked).sum(axis=(1, 2))
    spread = format_spread(right / np.maximum(answers.asked.sum(axis=(1, 2)), 1))
    reason = "one context: nothing to compare" if np.isnan(spread) else None
    return whole_number(spread, count, prompts), reason


def _sensitivity(facts: Facts, answers: Answers) -> Float[np.ndarray, "context fact"]:
    """Entropy of a fact's answers over its templates, by candidates of the relation.

    The distribution of a template is the prediction itself, with weight one.
    """
    limits = np.log(np.maximum(facts.candidate_count, 2))
    return np.stack([_entropy(one) / limits for one in answers.predictions])


def _entropy(predictions: np.ndarray) -> Float[np.ndarray, " fact"]:
    """H of the shares of the answers among a fact's templates; NaN without two."""
    asked = predictions != NOT_ASKED
    counts = asked.sum(axis=0)
    same = predictions[:, None] == predictions[None, :]
    # Each template adds -log(share of its own answer) / templates.
    share = (same & asked[None]).sum(axis=1) / np.maximum(counts, 1)
    surprise = -np.log(np.where(asked, share, 1.0)).sum(axis=0)
    return np.where(counts > 1, surprise / np.maximum(counts, 1), np.nan)


def _class_consistency(
    facts: Facts, answers: Answers
) -> Float[np.ndarray, "context fact"]:
    """Facts of a relation with one right object are a class.

    A relation's value, mean over its classes, stands at all its facts.
    """
    values = np.full((len(answers.predictions), len(facts.fact)), np.nan)
    _, right = np.unique(facts.object, return_inverse=True)
    for _, own in facts.by_relation():
        _, classes = np.unique(right[own], return_inverse=True)
        for context, predictions in enumerate(answers.predictions[:, :, own]):
            shares = _shares(predictions)
            found = class_consistency(shares[None], classes, int(classes.max()) + 1)
            known = found[~np.isnan(found)]
            if known.size:
                values[context, own] = known.mean()
    return values


def _shares(predictions: np.ndarray) -> Float[np.ndarray, "fact candidate"]:
    """Share of each answer among a fact's templates."""
    labels: Sequence[int] = np.unique(predictions[predictions != NOT_ASKED]).tolist()
    counts = np.stack([(predictions == label).sum(axis=0) for label in labels], axis=1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
