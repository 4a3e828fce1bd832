"""Artificial tables of predictions whose truth is known, and what is reported of them.

A population of facts is drawn anew each time; models answer by rules whose agreement,
accuracy and kin follow from the rules alone. So it can be counted how often an interval
holds the truth, and how often a difference is announced where there is none.

With K candidates, and a model that gives a fact's main answer with chance s and else
any candidate alike: agreement = 1/K + (1 - 1/K) E[s^2], agreement corrected for chance
= E[s^2], accuracy = 1/K + (1 - 1/K) E[s] m, where m makes the main answer right with
chance 1/K + (1 - 1/K) m.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from concord.metrics.bootstrap import cluster_units
from concord.report.findings import Findings
from concord.report.gate import Condition, judge
from concord.summary.answers import Answers, Facts
from concord.summary.entries import measure_entries
from concord.summary.estimates import Sample, Settings, add_pairs
from concord.summary.measures import describe
from concord.summary.outcomes import core_outcomes
from concord.summary.spread import spread_entries

CANDIDATES, TEMPLATES, CONTEXTS = 5, 4, 2
STAYS = (0.5, 0.9)
"""How surely the base keeps a fact's main answer: a subject is of either kind."""
SHIFT = 0.06
"""By how much the changed model keeps it more surely."""
KNOWS = 0.6
FAVOURS = 0.8
"""Share of prompts that the collapsed model answers with its favourite."""
COPIES = 0.3
"""Share of facts whose object stands in the subject."""
AGREEMENT, CORRECTED = "facts.agreement", "facts.chance_corrected_agreement"
ACCURACY, TOP = "facts.accuracy", "facts.top_answer_share"


@dataclass(frozen=True)
class Design:
    """How many facts are drawn; one subject in four has two."""

    relations: int
    subjects: int
    """Of each relation."""

    @property
    def text(self) -> str:
        """As 35 x 3."""
        return f"{self.relations} x {self.subjects}"


LARGE, SMALL, FEW = Design(3, 60), Design(35, 3), Design(1, 8)


@dataclass(frozen=True)
class Population:
    """Facts drawn at random, and how surely a model keeps to an answer on each."""

    facts: Facts
    right: np.ndarray
    stay: np.ndarray
    rng: np.random.Generator

    def anything(self) -> np.ndarray:
        """Answers drawn alike from all candidates."""
        shape = (CONTEXTS, TEMPLATES, len(self.right))
        return self.rng.integers(CANDIDATES, size=shape)

    def answers(self, predictions: np.ndarray) -> Answers:
        """Predictions as the summary gets them."""
        return Answers(
            predictions.astype(np.int32),
            predictions == self.right,
            predictions.astype(np.int32),
            np.full(predictions.shape, 1.0),
        )


def draw_population(rng: np.random.Generator, design: Design = LARGE) -> Population:
    """Subjects of either kind and their facts, all drawn anew."""
    relation = np.repeat(np.arange(design.relations), design.subjects)
    subject = np.tile(np.arange(design.subjects), design.relations)
    kind = rng.integers(2, size=len(subject))
    times = 1 + (rng.random(len(subject)) < 0.25)
    relation, subject = np.repeat(relation, times), np.repeat(subject, times)
    count = len(subject)
    right = rng.integers(CANDIDATES, size=count)
    facts = Facts(
        [str(index) for index in range(count)],
        subject,
        tuple(f"P{index:02d}" for index in range(design.relations)),
        relation,
        right,
        rng.random(count) < COPIES,
        np.full(count, CANDIDATES),
        0,
    )
    return Population(facts, right, np.array(STAYS)[np.repeat(kind, times)], rng)


def keeps_to_answers(population: Population, shift: float = 0.0) -> Answers:
    """A main answer per fact, given with the fact's chance plus a shift."""
    rng, count = population.rng, len(population.right)
    knows = rng.random(count) < KNOWS
    main = np.where(knows, population.right, rng.integers(CANDIDATES, size=count))
    other = population.anything()
    stays = rng.random(other.shape) < population.stay + shift
    return population.answers(np.where(stays, main, other))


def collapses(population: Population) -> Answers:
    """Mostly one favourite answer, whatever is asked."""
    other = population.anything()
    favours = population.rng.random(other.shape) < FAVOURS
    return population.answers(np.where(favours, 0, other))


def copies(population: Population) -> Answers:
    """The object where it stands in the subject, else anything."""
    other = population.anything()
    is_trivial = population.facts.is_trivial
    return population.answers(np.where(is_trivial, population.right, other))


def guesses(population: Population) -> Answers:
    """Anything."""
    return population.answers(population.anything())


def one_answer(population: Population) -> Answers:
    """One answer to everything."""
    return population.answers(np.zeros_like(population.anything()))


MODELS: dict[str, Callable[[Population], Answers]] = {
    "base": keeps_to_answers,
    "changed": lambda population: keeps_to_answers(population, SHIFT),
    "collapsed": collapses,
    "copying": copies,
    "guessing": guesses,
    "one answer": one_answer,
}
"""The base, and five tuned models that differ from it in known ways."""


def truths() -> dict[tuple[str, str], float]:
    """What each model was made to do, by (model, measure)."""
    chance, stays = 1 / CANDIDATES, np.array(STAYS)
    rest = 1 - chance
    found: dict[tuple[str, str], float] = {}
    for model, shift in (("base", 0.0), ("changed", SHIFT)):
        square = float(((stays + shift) ** 2).mean())
        found[model, AGREEMENT] = chance + rest * square
        found[model, CORRECTED] = square
        found[model, ACCURACY] = chance + rest * KNOWS * float((stays + shift).mean())
    favourite = FAVOURS + (1 - FAVOURS) * chance
    other = (1 - FAVOURS) * chance
    found["collapsed", AGREEMENT] = favourite**2 + (CANDIDATES - 1) * other**2
    found["collapsed", CORRECTED] = 0.0
    found["collapsed", ACCURACY] = chance
    found["collapsed", TOP] = favourite
    for key in (AGREEMENT, ACCURACY):
        found["copying", key] = COPIES + (1 - COPIES) * chance
        found["copying", f"{key}_nontrivial"] = chance
        found["guessing", key] = chance
    found["copying", CORRECTED] = COPIES
    found["guessing", CORRECTED] = 0.0
    return found


def rows_of(population: Population, answers: Answers) -> pa.Table:
    """Predictions as the rows that an analysis of facts writes."""
    facts, shape = population.facts, answers.predictions.shape
    context, template, fact = (axis.ravel() for axis in np.indices(shape))
    prediction = answers.predictions.ravel()
    count = prediction.size
    relation = np.array(facts.relations, dtype=object)[facts.relation[fact]]
    return pa.table(
        {
            "contexts": np.full(count, "study", dtype=object),
            "context": context.astype(np.int8),
            "relation": relation,
            # Numbers of one width, so that their order as texts is that of the facts.
            "fact": np.array([f"{index:06d}" for index in fact], dtype=object),
            "subject": np.array([f"{index:06d}" for index in facts.subject[fact]]),
            "object": np.array([str(index) for index in population.right[fact]]),
            "template": template.astype(np.int16),
            "prompt": np.full(count, "not shown", dtype=object),
            "prediction": prediction.astype(str),
            "prediction_index": prediction,
            "score": np.zeros(count, np.float32),
            "runner_up": (prediction + 1).astype(str),
            "margin": np.ones(count, np.float32),
            "margin_is_exact": np.ones(count, bool),
            "is_tie": np.zeros(count, bool),
            "is_correct": answers.is_right.ravel(),
            "is_trivial": facts.is_trivial[fact],
            "is_shadowing": np.zeros(count, bool),
            "free_prediction": prediction.astype(str),
            "free_log_probability": np.zeros(count, np.float32),
            "candidate_count": np.full(count, CANDIDATES, np.int32),
        }
    )


def entries_of(
    population: Population, models: Mapping[str, Answers], settings: Settings
) -> dict[str, dict[str, Any]]:
    """What the summary says of these models, by key of the measure."""
    facts = population.facts
    sample = Sample(
        "facts",
        "artificial",
        cluster_units(facts.relation, facts.subject),
        facts.relations,
        "macro",
        True,
    )
    for model, answers in models.items():
        for key, outcome in core_outcomes(facts, answers).items():
            if key in MEASURED:
                sample.values[key, model] = outcome
    add_pairs(sample, list(models))
    found = measure_entries(sample, list(models), settings)
    return {entry["key"]: entry for entry in found}


MEASURED = (AGREEMENT, CORRECTED, ACCURACY, TOP)
MEASURED += (f"{AGREEMENT}_nontrivial", f"{ACCURACY}_nontrivial")


Hits = dict[tuple[str, str, str], bool]
"""(what, model, measure) -> whether it was so in a draw."""


def known_hits(
    draw: int,
    *,
    settings: Settings,
    seed: int,
    design: Design = LARGE,
    names: Sequence[str] = tuple(MODELS),
) -> Hits:
    """Which intervals of one draw hold what the models were made to do.

    ``value`` and ``difference``: over subjects; ``relations``: of the difference, over
    relations, which are all alike; ``announced``: agreement is said to differ.
    """
    population = draw_population(np.random.default_rng([seed, draw]), design)
    models = {name: MODELS[name](population) for name in names}
    entries = entries_of(population, models, replace(settings, seed=draw))
    truth, hits = truths(), Hits()
    for (model, key), expected in truth.items():
        if model not in models:
            continue
        hits["value", model, key] = _holds(_of(entries[key]["values"], model), expected)
        if model != "base" and ("base", key) in truth:
            own = _of(entries[key]["differences"], model)
            true = expected - truth["base", key]
            hits["difference", model, key] = _holds(own, true)
            if own["relations_low"] is not None:
                hits["relations", model, key] = _holds(own, true, "relations_")
    for entry in entries[AGREEMENT]["differences"]:
        hits["announced", entry["model"], AGREEMENT] = _is_announced(entry, AGREEMENT)
    if "one answer" in models:
        _require_null(_of(entries[CORRECTED]["values"], "one answer"))
    return hits


def alarm_hits(
    draw: int, *, settings: Settings, seed: int, design: Design = LARGE, tuned: int = 3
) -> Hits:
    """Tuned models by the base's own rule: what is said of them in one draw.

    ``announced``: any of them is said to differ, which needs the interval and the
    p-value adjusted for their number; ``one announced``: the first of them is.
    """
    population = draw_population(np.random.default_rng([seed, draw]), design)
    names = ["base", *(f"same-{index}" for index in range(tuned))]
    models = {name: keeps_to_answers(population) for name in names}
    entries = entries_of(population, models, replace(settings, seed=draw))
    hits = Hits()
    for key in (AGREEMENT, CORRECTED, ACCURACY):
        said = [_is_announced(own, key) for own in entries[key]["differences"]]
        hits["announced", "any", key] = any(said)
        hits["one announced", "same-0", key] = said[0]
    return hits


def gate_hits(draw: int, *, settings: Settings, seed: int, design: Design) -> Hits:
    """A model that lost exactly the drop that a gate tolerates: does it pass?"""
    population = draw_population(np.random.default_rng([seed, draw]), design)
    models = {
        "base": keeps_to_answers(population),
        "worse": keeps_to_answers(population, -SHIFT),
    }
    entries = entries_of(population, models, replace(settings, seed=draw))
    content = {"base": "base", "tuned": ["worse"], "level": settings.level}
    findings = Findings(content | {"measures": list(entries.values())})
    stays = np.array(STAYS)
    drop = (1 - 1 / CANDIDATES) * float((stays**2 - (stays - SHIFT) ** 2).mean())
    (check,) = judge(findings, [Condition("max-drop", AGREEMENT, drop)], strict=True)
    return {("passes", "worse", AGREEMENT): check.passes}


def spread_hits(draw: int, *, settings: Settings, seed: int, tuned: int = 3) -> Hits:
    """Models as right in every setting as their base: is a spread said to differ?"""
    rng = np.random.default_rng([seed, draw])
    chance = rng.choice(STAYS, size=80)
    names = ["base", *(f"same-{index}" for index in range(tuned))]
    rights = {(name, "study"): rng.random((4, 3, 80)) < chance for name in names}
    clusters = cluster_units(np.zeros(80), np.arange(80))
    settings = replace(settings, seed=draw)
    hits = Hits()
    for entry in spread_entries("artificial", clusters, rights, names, settings):
        if entry["differences"]:
            key = entry["key"]
            said = [_is_announced(own, key) for own in entry["differences"]]
            hits["announced", "any", key] = any(said)
    return hits


def shares(hits: Iterable[Hits]) -> dict[tuple[str, str, str], float]:
    """Share of the draws in which it was so, for each."""
    found: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for own in hits:
        for name, is_so in own.items():
            found[name].append(is_so)
    return {name: float(np.mean(own)) for name, own in found.items()}


def _of(entries: Sequence[Mapping[str, Any]], model: str) -> Mapping[str, Any]:
    return next(entry for entry in entries if entry["model"] == model)


def _holds(entry: Mapping[str, Any], truth: float, of: str = "") -> bool:
    return entry[f"{of}low"] <= truth <= entry[f"{of}high"]


def _is_announced(entry: Mapping[str, Any], key: str) -> bool:
    return entry["verdict"] in describe(key).words


def _require_null(entry: Mapping[str, Any]) -> None:
    if entry["value"] is not None or not entry["reason"]:
        raise AssertionError(f"one answer to everything gave {entry['value']}")
