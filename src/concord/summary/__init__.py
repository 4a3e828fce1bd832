"""Rows of a run -> every headline number, with interval, n and reason.

Nothing is measured here and nothing but rows is read: the same run gives the same
summary on any machine.
"""

from collections.abc import Callable
from typing import Any, Literal

from concord.results import Run, write_json
from concord.summary.association import correlations
from concord.summary.choices import summarise_choices
from concord.summary.collapse import gains_by_chance
from concord.summary.entries import (
    measure_entries,
    power_entries,
    relation_entries,
)
from concord.summary.estimates import Sample, Settings
from concord.summary.facts import summarise_facts
from concord.summary.finetuned import summarise_finetuned
from concord.summary.free_answers import summarise_answers
from concord.summary.link import link_entries
from concord.summary.measures import MEASURES, Measure, describe
from concord.summary.mechanism import (
    relation_layers_of,
    summarise_mechanism,
)
from concord.summary.other_facts import summarise_other_facts
from concord.summary.representation import summarise_representation

__all__ = [
    "MEASURES",
    "Measure",
    "Summary",
    "describe",
    "summarise",
    "write_summary",
]

Summary = dict[str, Any]
"""What ``summary.json`` holds; its keys are described in `measures`."""
SCHEMA = 1


def summarise(
    run: Run,
    *,
    replicates: int = 2000,
    permutations: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    margin: float | None = None,
    interval: Literal["percentile", "bca"] = "percentile",
    progress: Callable[[str], None] | None = None,
) -> Summary:
    """Reduce a run to its headline numbers; nothing is written.

    What a model lacks is null with a reason; what it has is whole.

    Args:
        run: A run with rows of any of its analyses.
        replicates: Bootstrap resamples.
        permutations: Sign flips for each p-value.
        level: Coverage of the intervals.
        seed: Of resamples and sign flips.
        margin: Largest difference that counts as "same", in the measure's unit.
        interval: Kind of bootstrap interval.
        progress: Told what is being reduced, in a few words.

    Returns:
        Numbers, strings, lists and mappings only; NaN is null.
    """
    settings = Settings(replicates, permutations, level, seed, margin, interval)
    tell = progress or _silent
    models = run.models()
    measures, relations, power = [], [], []

    def reduce(sample: Sample) -> None:
        tell(f"intervals: {sample.analysis}, {sample.dataset}")
        measures.extend(measure_entries(sample, models, settings))
        relations.extend(relation_entries(sample))
        power.extend(power_entries(sample, settings))

    facts = summarise_facts(run, tell)
    by_chance = {}
    if facts.sample:
        reduce(facts.sample)
        by_chance = gains_by_chance(facts.sample, models, settings)
        facts.sample.forget()
    others = summarise_other_facts(run, tell)
    if others:
        reduce(others)
    distances = []
    for one in summarise_representation(run, settings, tell):
        reduce(one.sample)
        one.sample.forget()
        distances.append(one)
    choices = summarise_choices(run, settings, tell)
    samples = [sample for one in choices for sample in one.samples]
    written = summarise_answers(run, tell)
    samples += [one.sample for one in written]
    classified = summarise_finetuned(run, tell)
    samples += classified.samples if classified else []
    mechanism = summarise_mechanism(run, settings, tell)
    samples += [one.sample for one in mechanism if one.sample.values]
    for sample in samples:
        reduce(sample)
    measures += [entry for one in choices for entry in one.spreads]
    parts = (facts, *distances, *choices, *written, *mechanism)
    parts = (*parts, classified) if classified else parts
    notes = [note for one in parts for note in one.notes]
    curves = [curve for one in (*distances, *mechanism) for curve in one.curves]
    return {
        "schema": SCHEMA,
        "base": models[0],
        "tuned": models[1:],
        "level": level,
        "replicates": replicates,
        "permutations": permutations,
        "seed": seed,
        "margin": margin,
        "interval": interval,
        "measures": measures,
        "by_relation": relations,
        "curves": curves,
        "curve_differences": [
            curve for one in (*distances, *mechanism) for curve in one.curve_differences
        ],
        "relation_layers": relation_layers_of(curves),
        "correlations": correlations(curves, measures, models[1:], settings),
        "link": link_entries(run, mechanism, settings, tell),
        "gains_by_chance": by_chance,
        "flips": facts.flips,
        "noise": facts.noise,
        "baselines": facts.baselines,
        "power": power,
        "choices": {
            "letters": [row for one in choices for row in one.letters],
            "noise": [row for one in choices for row in one.noise],
            "warnings": [text for one in choices for text in one.warnings],
        },
        "finetuned": {
            "trainings": classified.trainings if classified else [],
            "warnings": classified.warnings if classified else [],
        },
        "answers": {"warnings": [text for one in written for text in one.warnings]},
        "notes": notes,
    }


def write_summary(run: Run, summary: Summary) -> None:
    """Write ``summary.json``, whole or not at all."""
    write_json(run.path / "summary.json", summary)


def _silent(_: str) -> None:
    return None
