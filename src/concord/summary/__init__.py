"""Rows of a run -> every headline number, with interval, n and reason.

Nothing is measured here and nothing but rows is read: the same run gives the same
summary on any machine.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from concord.results import Run, write_json
from concord.summary.association import correlations
from concord.summary.by_fact import write_by_fact
from concord.summary.choices import summarise_choices
from concord.summary.collapse import gains_by_chance
from concord.summary.curves import with_lexical_gaps
from concord.summary.entries import (
    measure_entries,
    relation_entries,
)
from concord.summary.estimates import Sample, Settings
from concord.summary.facts import summarise_facts
from concord.summary.finetuned import summarise_finetuned
from concord.summary.flips import with_adjusted_p
from concord.summary.free_answers import summarise_answers
from concord.summary.link import Keep, forget, link_entries
from concord.summary.measures import MEASURES, Measure, describe
from concord.summary.mechanism import (
    relation_layers_of,
    summarise_mechanism,
)
from concord.summary.other_facts import summarise_other_facts
from concord.summary.power import power_entries
from concord.summary.representation import summarise_representation

__all__ = [
    "MEASURES",
    "Measure",
    "Settings",
    "Summary",
    "describe",
    "summarise",
    "write_by_fact",
    "write_summary",
]

Summary = dict[str, Any]
"""What ``summary.json`` holds; its keys are described in `measures`."""
SCHEMA = 1


def _silent(_: str) -> None:
    return None


def summarise(
    run: Run,
    settings: Settings,
    tell: Callable[[str], None] = _silent,
    keep: Keep = forget,
) -> Summary:
    """Reduce a run to its headline numbers; nothing is written.

    What a model lacks is null with a reason; what it has is whole.

    Args:
        run: A run with rows of any of its analyses.
        settings: How intervals and tests are made.
        tell: Told what is being reduced, in a few words.
        keep: Given the numbers of every linked fact, for `write_by_fact`.

    Returns:
        Numbers, strings, lists and mappings only; NaN is null.
    """
    models = run.models()
    entries = _Entries(models, settings, tell)
    facts = summarise_facts(run, tell)
    by_chance = {}
    if facts.sample:
        entries.add(facts.sample)
        by_chance = gains_by_chance(facts.sample, models, settings)
        facts.sample.forget()
    others = summarise_other_facts(run, tell)
    if others:
        entries.add(others)
    distances = []
    for one in summarise_representation(run, settings, tell):
        entries.add(one.sample)
        one.sample.forget()
        distances.append(one)
    choices = summarise_choices(run, settings, tell)
    written = summarise_answers(run, tell)
    classified = summarise_finetuned(run, tell)
    mechanism = summarise_mechanism(run, settings, tell)
    for sample in (
        *(sample for one in choices for sample in one.samples),
        *(one.sample for one in written),
        *classified.samples,
        *(one.sample for one in mechanism if one.sample.values),
    ):
        entries.add(sample)
    entries.measures.extend(entry for one in choices for entry in one.spreads)
    with_curves = (*distances, *mechanism)
    curves = with_lexical_gaps([c for one in with_curves for c in one.curves])
    parts = (facts, *distances, *choices, *written, *mechanism, classified)
    return {
        "schema": SCHEMA,
        "base": models[0],
        "tuned": models[1:],
        **asdict(settings),
        "measures": entries.measures,
        "by_relation": entries.by_relation,
        "curves": curves,
        "curve_differences": [
            curve for one in with_curves for curve in one.curve_differences
        ],
        "relation_layers": relation_layers_of(curves),
        "correlations": correlations(curves, entries.measures, models[1:], settings),
        "link": link_entries(run, mechanism, settings, tell, keep),
        "gains_by_chance": by_chance,
        "flips": with_adjusted_p(facts.flips, settings),
        "noise": facts.noise,
        "no_answer": facts.no_answer,
        "baselines": facts.baselines,
        "power": entries.power,
        "choices": {
            "letters": [row for one in choices for row in one.letters],
            "noise": [row for one in choices for row in one.noise],
            "warnings": [text for one in choices for text in one.warnings],
        },
        "finetuned": {
            "trainings": classified.trainings,
            "warnings": classified.warnings,
        },
        "answers": {"warnings": [text for one in written for text in one.warnings]},
        "notes": [note for one in parts for note in one.notes],
    }


@dataclass(frozen=True)
class _Entries:
    """Entries of all samples, in the order in which they are added."""

    models: list[str]
    settings: Settings
    tell: Callable[[str], None]
    measures: list[dict[str, Any]] = field(default_factory=list)
    by_relation: list[dict[str, Any]] = field(default_factory=list)
    power: list[dict[str, Any]] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Reduce a sample; its values may be forgotten then."""
        self.tell(f"intervals of {sample.analysis} on {sample.dataset}")
        self.measures.extend(measure_entries(sample, self.models, self.settings))
        self.by_relation.extend(relation_entries(sample))
        self.power.extend(power_entries(sample, self.settings))


def write_summary(run: Run, summary: Summary) -> None:
    """Write ``summary.json``, whole or not at all."""
    write_json(run.path / "summary.json", summary)
