"""The facts' part of a summary: every model on the same facts, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from concord.ahead import ahead
from concord.metrics.agreement import NOT_ASKED, accuracy
from concord.metrics.bootstrap import cluster_units
from concord.metrics.concentration import majority_baseline, uniform_baseline
from concord.metrics.rates import group_means, is_known, mean_present, no_answer_rate
from concord.results import Run
from concord.summary.answers import (
    ANALYSIS,
    NOT_TOLD,
    Answers,
    Facts,
    answers_of,
    common_facts,
    dataset_of,
    per_context,
)
from concord.summary.estimates import (
    Outcome,
    Pair,
    Sample,
    add_pairs,
    mean_outcome,
    number,
)
from concord.summary.flips import flips_between, near_tie_share, noise_of
from concord.summary.outcomes import core_outcomes, family_outcomes
from concord.summary.truth import add_truth

NO_NEAR_TIES = "facts.agreement_without_near_ties"


@dataclass(frozen=True, eq=False)
class FactSummary:
    """Everything that the facts give to ``summary.json``."""

    sample: Sample | None
    flips: dict[str, Any]
    noise: dict[str, Any]
    no_answer: dict[str, float | None]
    """Share of each model's own prompts whose answer could not be read."""
    baselines: dict[str, Any]
    notes: list[str]


def summarise_facts(run: Run, progress: Callable[[str], None]) -> FactSummary:
    """Outcomes, flips and noise of all models; one model's rows in memory at a time."""
    models = run.models()
    noise = {model: noise_of(run, model) for model in models}
    facts = common_facts(run, models)
    if facts is None:
        return FactSummary(None, {}, _shown(noise), {}, {}, ["no rows of facts"])
    sample = Sample(
        ANALYSIS,
        dataset_of(run),
        cluster_units(facts.relation, facts.subject),
        facts.relations,
        "macro",
        True,
    )
    base_answers, flips, notes = None, {}, _notes(facts, sample, noise)
    no_answer: dict[str, float | None] = {}
    reduced = ahead(lambda name: _reduce(run, facts, name, noise[name]), models)
    for model, (found, outcomes) in zip(models, reduced, strict=True):
        progress(f"facts: {model}")
        for contexts, answers in found.items():
            _add(sample, model, contexts, outcomes[contexts], answers)
            rate = no_answer_rate(answers.predictions)
            if contexts == "study":
                no_answer[model] = number(rate)
            if rate > 0:
                notes.append(
                    f"{rate:.1%} of {model}'s prompts ({contexts}) have no answer"
                )
        own = found.get("study")
        if own is not None and noise[model]:
            noise[model]["near_ties"] = near_tie_share(own, noise[model]["delta"])
        if model == models[0]:
            base_answers = own
        elif own is not None and base_answers is not None:
            known_split_pairs(sample, model, base_answers, own)
            deltas = (_delta(noise[models[0]]), _delta(noise[model]))
            flips[model] = flips_between(base_answers, own, deltas)
    add_pairs(sample, models)
    add_truth(sample, run, facts, progress)
    return FactSummary(
        sample, flips, _shown(noise), no_answer, _baselines(facts), notes
    )


def _reduce(
    run: Run, facts: Facts, model: str, noise: dict[str, Any]
) -> tuple[dict[str, Answers], dict[str, dict[str, Outcome]]]:
    """A model's answers by contexts, and what they come to."""
    found = answers_of(run, model, facts)
    outcomes = {}
    for contexts, answers in found.items():
        own = core_outcomes(facts, answers)
        if noise:
            kept = answers.without_near_ties(noise["delta"])
            prompts = int(kept.asked.sum())
            own[NO_NEAR_TIES] = mean_outcome(kept.agreement, prompts)
        if contexts == "study":
            own |= family_outcomes(run, facts, answers)
        outcomes[contexts] = own
    return found, outcomes


def _add(
    sample: Sample,
    model: str,
    contexts: str,
    outcomes: dict[str, Outcome],
    answers: Answers,
) -> None:
    suffix = "" if contexts == "study" else f"@{contexts}"
    for name, outcome in outcomes.items():
        sample.values[name + suffix, model] = outcome
    if NO_NEAR_TIES not in outcomes:
        sample.reasons[NO_NEAR_TIES + suffix, model] = "no noise sample for this model"
    if (answers.free == NOT_ASKED).all():
        key = f"facts.free_agreement{suffix}"
        sample.reasons[key, model] = NOT_TOLD


def known_split_pairs(
    sample: Sample, model: str, base: Answers, tuned: Answers
) -> None:
    """Agreement of both models over the facts that both, one or none of them know."""
    known = [
        is_known(mean_present(per_context(accuracy, one.is_right, one.asked)))
        for one in (base, tuned)
    ]
    groups = {
        "both": known[0] & known[1],
        "one": known[0] ^ known[1],
        "neither": ~known[0] & ~known[1],
    }
    first = next(iter(sample.values))[1]
    for name, kept in groups.items():
        key = f"facts.known_{name}"
        sides = []
        for one in (tuned, base):
            outcome = mean_outcome(one.agreement).only(kept)
            prompts = int(one.asked[:, :, kept].sum())
            sides.append(replace(outcome, prompts=prompts))
        sample.values[key, model] = sides[0]
        sample.pairs.append(Pair(key, model, *sides))
        sample.reasons[key, first] = (
            "which facts both know differs by tuned model: the base's values stand "
            "with the differences"
        )


def _delta(noise: dict[str, Any]) -> float:
    return noise["delta"] if noise else 0.0


def _shown(noise: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {model: found for model, found in noise.items() if found}


def _baselines(facts: Facts) -> dict[str, Any]:
    """What answers without any knowledge would score, mean over relations."""
    _, objects = np.unique(facts.object, return_inverse=True)
    majority = [majority_baseline(objects[own]) for _, own in facts.by_relation()]
    uniform = [
        uniform_baseline(int(facts.candidate_count[own].max()))
        for _, own in facts.by_relation()
    ]
    trivial = group_means(
        facts.is_trivial.astype(float), facts.relation, len(facts.relations)
    )
    return {
        "majority_accuracy": float(np.mean(majority)),
        "uniform_accuracy": float(np.mean(uniform)),
        "trivial_share": float(trivial.mean()),
        "facts": len(facts.fact),
        "relations": len(facts.relations),
    }


def _notes(facts: Facts, sample: Sample, noise: dict[str, Any]) -> list[str]:
    notes = []
    if facts.left_out:
        notes.append(
            f"{facts.left_out} facts were not asked of every model in every set of "
            "contexts and are left out"
        )
    single = int((np.bincount(sample.clusters.stratum) == 1).sum())
    if single:
        notes.append(
            f"{single} of {len(sample.strata)} relations have a single subject: they "
            "add nothing to the width of the intervals"
        )
    missing = [model for model, found in noise.items() if not found]
    if missing:
        notes.append(f"no noise sample for {', '.join(missing)}")
    return notes
