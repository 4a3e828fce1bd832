"""What one model answered -> outcomes per fact."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from concord.metrics.agreement import (
    NOT_ASKED,
    accuracy,
    chance_agreement,
    consistent_and_correct,
    context_agreement,
    pairwise_agreement,
)
from concord.metrics.concentration import answer_concentration
from concord.metrics.pararel_family import (
    Ratio,
    agreement_by_form,
    edge_out,
    mpararel_measures,
    pararel_measures,
    successful_patterns,
)
from concord.results import Run
from concord.summary.answers import Answers, Facts, per_context
from concord.summary.estimates import Outcome, mean_outcome


def core_outcomes(facts: Facts, answers: Answers) -> dict[str, Outcome]:
    """The measures made for every set of contexts."""
    correct = per_context(accuracy, answers.is_right, answers.asked)
    right = per_context(consistent_and_correct, answers.is_right, answers.asked)
    nontrivial = ~facts.is_trivial
    prompts = int(answers.asked.sum())
    agreement = mean_outcome(answers.agreement, prompts)
    right_outcome = mean_outcome(correct, prompts)
    outcomes = {
        "facts.agreement": agreement,
        "facts.accuracy": right_outcome,
        "facts.consistent_and_correct": mean_outcome(right, prompts),
        **_relation_outcomes(facts, answers),
        "facts.context_agreement": mean_outcome(
            context_agreement(answers.predictions)[None], prompts
        ),
        "facts.free_agreement": agreement_outcome(answers.free),
    }
    few = int(answers.asked[:, :, nontrivial].sum())
    for name, outcome in (("agreement", agreement), ("accuracy", right_outcome)):
        own = replace(outcome.only(nontrivial), prompts=few)
        outcomes[f"facts.{name}_nontrivial"] = own
    return outcomes


def _relation_outcomes(facts: Facts, answers: Answers) -> dict[str, Outcome]:
    """The measures that need all answers of a relation, as values per fact."""
    shape = (len(answers.predictions), len(facts.fact))
    top, entropy, chance = (np.full(shape, np.nan) for _ in range(3))
    uncorrected: dict[str, set[int]] = {}
    for relation, own in facts.by_relation():
        candidates = int(facts.candidate_count[own].max())
        for context, predictions in enumerate(answers.predictions[:, :, own]):
            concentration = answer_concentration(predictions, candidates)
            top[context, own] = concentration.top_share_per_fact
            entropy[context, own] = concentration.entropy_per_fact
            expected = chance_agreement(predictions)
            if expected.reason:
                uncorrected.setdefault(expected.reason, set()).add(relation)
            else:
                chance[context, own] = expected.per_fact
    prompts = int(answers.asked.sum())
    counted = ~np.isnan(answers.agreement) & ~np.isnan(chance)
    return {
        "facts.chance_corrected_agreement": Outcome(
            np.where(counted, answers.agreement - chance, 0.0),
            np.where(counted, 1 - chance, 0.0),
            prompts,
            reason=_left_out(uncorrected, len(facts.relations), counted.any()),
        ),
        "facts.top_answer_share": mean_outcome(top, prompts),
        "facts.answer_entropy": mean_outcome(entropy, prompts),
    }


def _left_out(
    uncorrected: Mapping[str, set[int]], relation_count: int, is_measured: np.bool_
) -> str:
    """Relations whose agreement is not corrected for chance in every context, and why.

    Args:
        uncorrected: For each reason the relations it concerns.
        relation_count: Of all.
        is_measured: Whether any is left.
    """
    if not is_measured:
        return "; ".join(uncorrected)
    if not uncorrected:
        return ""
    whole = relation_count - len(set().union(*uncorrected.values()))
    told = "; ".join(f"in {len(own)} {why}" for why, own in uncorrected.items())
    return f"corrected over {whole} of {relation_count} relations; {told}"


def family_outcomes(run: Run, facts: Facts, answers: Answers) -> dict[str, Outcome]:
    """ParaRel's and mParaRel's measures."""
    prompts = int(answers.asked.sum())
    contexts = list(zip(answers.predictions, answers.is_right, strict=True))
    ratios = [
        {f"pararel.{k}": v for k, v in pararel_measures(*pair).items()}
        | {f"mpararel.{k}": v for k, v in mpararel_measures(*pair).items()}
        | _form_ratios(run, facts, pair[0])
        for pair in contexts
    ]
    unusable = _without_first_template(run, facts)
    for ratio in ratios:
        first = ratio["pararel.lama_accuracy"]
        first.numerator[unusable] = first.denominator[unusable] = 0.0
    outcomes = {
        key: Outcome(
            np.stack([ratio[key].numerator for ratio in ratios]),
            np.stack([ratio[key].denominator for ratio in ratios]),
            prompts,
        )
        for key in ratios[0]
    }
    shape = (len(contexts), len(facts.fact))
    edges, patterns = np.full(shape, np.nan), np.full(shape, np.nan)
    for _, own in facts.by_relation():
        for context, (predictions, right) in enumerate(contexts):
            few = edge_out(predictions[:, own])
            edges[context, own] = np.where(few.denominator > 0, few.numerator, np.nan)
            patterns[context, own] = successful_patterns(
                right[:, own], answers.asked[context][:, own]
            )
    outcomes["pararel.edge_out"] = mean_outcome(edges, prompts)
    outcomes["pararel.successful_patterns"] = replace(
        mean_outcome(patterns, prompts), has_interval=False
    )
    return outcomes


def _described_templates(run: Run, facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """For each relation its templates in the order of their index, from ``run.json``.

    Lemma, tense and ``line``, the place among all templates of the relation. Empty
    where the run does not describe all relations.
    """
    described = run.info["data"].get("facts", {}).get("templates", {})
    return described if set(facts.relations) <= set(described) else {}


def _without_first_template(run: Run, facts: Facts) -> Bool[np.ndarray, " fact"]:
    """Facts of relations whose first template cannot be used: it ends otherwise."""
    described = _described_templates(run, facts)
    is_without = np.zeros(len(facts.fact), dtype=bool)
    for index, own in facts.by_relation():
        templates = described.get(facts.relations[index])
        is_without[own] = bool(templates) and templates[0]["line"] != 0
    return is_without


def _form_ratios(
    run: Run, facts: Facts, predictions: Int[np.ndarray, "template fact"]
) -> dict[str, Ratio]:
    """Agreement by lemma and tense, where the run describes its templates.

    Absent where a template has no lemma or tense, as in users' own facts.
    """
    described = _described_templates(run, facts)
    forms = [one for own in described.values() for one in own]
    if not forms or not all(one["lemma"] and one["tense"] for one in forms):
        return {}
    count = len(facts.fact)
    ratios = {}
    for form in ("lemma", "tense"):
        sides = [Ratio(np.zeros(count), np.zeros(count)) for _ in range(2)]
        for index, own in facts.by_relation():
            texts = [one[form] for one in described[facts.relations[index]]]
            rows = predictions[: len(texts), own]
            for side, part in zip(sides, agreement_by_form(rows, texts), strict=True):
                side.numerator[own] = part.numerator
                side.denominator[own] = part.denominator
        ratios[f"pararel.same_{form}_agreement"] = sides[0]
        ratios[f"pararel.other_{form}_agreement"] = sides[1]
    return ratios


def agreement_outcome(predictions: Int[np.ndarray, "context template fact"]) -> Outcome:
    """Agreement of templates, as an outcome per context and fact."""
    values = per_context(pairwise_agreement, predictions)
    return mean_outcome(values, int((predictions != NOT_ASKED).sum()))
