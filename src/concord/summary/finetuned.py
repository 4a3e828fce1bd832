"""Rows of fine-tuned classifiers -> accuracy and consistencies, per task and in mean.

Units are scored rows and pairs; those about one original text are one cluster. Seeds
stand where other analyses have contexts: a value is the mean over seeds, its deviation
over them stands beside it, and intervals draw texts, not trainings.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from concord.data.training_sets import MEAN, overlap_note
from concord.metrics.becel import (
    conditioned,
    kept_consistency,
    negation_consistency,
    negation_exact,
    negation_paper,
    top_class_share,
)
from concord.metrics.bootstrap import cluster_units
from concord.results import Run
from concord.summary.estimates import Outcome, Sample, add_pairs, mean_outcome
from concord.summary.finetuned_others import NUMBERS, other_values
from concord.summary.finetuned_rows import (
    ANALYSIS,
    SCORED,
    Answers,
    Training,
    Units,
    Values,
    answers_of,
    common_units,
    rows_of,
    tasks_of,
    trainings_of,
)

COLLAPSED = 0.95
"""Share of one class from which on a classifier counts as constant."""
_IN_MEAN = ("accuracy", "semantic", "negational", "negational_paper", "symmetric")
_WITHOUT = {"negational": "wic", "symmetric": "rte"}
"""Where the study's mean over tasks is doubted for one of them."""


@dataclass(frozen=True, eq=False)
class FinetunedSummary:
    """Everything that fine-tuned classifiers give to ``summary.json``."""

    samples: list[Sample]
    trainings: list[dict[str, Any]]
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class _TaskValues:
    """One task: its units, and each measure of each model on them."""

    units: Units
    values: dict[tuple[str, str], Values]
    """(measure, model) -> a value per seed and unit; NaN where it does not count."""
    trainings: list[dict[str, Any]]
    warnings: list[str]
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    """(measure, model) -> why it could not be measured."""


def summarise_finetuned(run: Run, progress: Callable[[str], None]) -> FinetunedSummary:
    """All tasks; nothing without rows."""
    found: list[_TaskValues] = []
    for task in tasks_of(run):
        progress(f"fine-tuned: {task}")
        values = _task_values(run, task)
        if values is not None:
            found.append(values)
    if not found:
        return FinetunedSummary([], [], [], [])
    models = run.models()
    samples = [_task_sample(one, models) for one in found]
    samples.append(_mean_sample(found, models))
    warnings = [text for one in found for text in one.warnings]
    return FinetunedSummary(
        samples,
        [row for one in found for row in one.trainings],
        warnings,
        [*warnings, *_notes(found)],
    )


def task_measures(units: Units, answers: Answers) -> dict[str, Values]:
    """Each measure's value per seed and unit; NaN where the unit does not count."""
    given = (answers.original, answers.changed)
    labels = (answers.label, answers.changed_label)
    kept = kept_consistency(*given)
    negated = negation_consistency(*given, *labels)
    scored = units.of(SCORED)
    top = [np.bincount(own[scored]).argmax() for own in answers.original]
    right = np.bincount(answers.label[scored]).argmax()
    measured: dict[str, tuple[str, Values]] = {
        "accuracy": (SCORED, (answers.original == answers.label).astype(float)),
        "semantic": ("semantic", kept),
        "negational": ("negational", negated),
        "negational_paper": ("negational", negation_paper(*given)),
        "negational_exact": ("negational", negation_exact(*given, *labels)),
        "symmetric": ("symmetric_held_out", kept),
        "symmetric_becel": ("symmetric", kept),
        "top_class_share": (
            SCORED,
            (answers.original == np.array(top)[:, None]).astype(float),
        ),
        "majority_share": (
            SCORED,
            np.tile((answers.label == right).astype(float), (len(top), 1)),
        ),
    }
    for name in ("semantic", "negational", "symmetric"):
        split, values = measured[name]
        only = conditioned(values, answers.original, answers.label)
        measured[f"{name}_conditioned"] = (split, only)
    return {
        name: np.where(units.of(split), values, np.nan)
        for name, (split, values) in measured.items()
        if units.of(split).any()
    }


def _task_values(run: Run, task: str) -> _TaskValues | None:
    tables: dict[str, pa.Table] = {}
    for model in run.models():
        table = rows_of(run, model, task)
        if table is not None:
            tables[model] = table
    units = common_units(task, list(tables.values()))
    if units is None:
        return None
    values: dict[tuple[str, str], Values] = {}
    trainings: list[dict[str, Any]] = []
    warnings = _overlaps(units)
    named = run.study.get("measures") or ()
    reasons: dict[tuple[str, str], str] = {}
    for model, table in tables.items():
        tried = trainings_of(table, task, model)
        answers = answers_of(table, units, tried[0])
        for name, own in task_measures(units, answers).items():
            values[name, model] = own
        others, missing = other_values(run, model, units, tried[0], answers, named)
        values |= {(name, model): own for name, own in others.items()}
        reasons |= {(name, model): reason for name, reason in missing.items()}
        trainings += [_described(one, is_chosen=one is tried[0]) for one in tried]
        warnings += _collapse(units, model, answers)
    return _TaskValues(units, values, trainings, warnings, reasons)


def _task_sample(one: _TaskValues, models: list[str]) -> Sample:
    task = one.units.task
    strata = np.full(len(one.units.unit), task)
    clusters = cluster_units(strata, one.units.cluster)
    sample = Sample(ANALYSIS, task, clusters, (task,), "micro", False)
    for (name, model), values in one.values.items():
        outcome = replace(_outcome(values), has_interval=name not in NUMBERS)
        sample.values[f"finetuned.{task}.{name}", model] = outcome
    for (name, model), reason in one.reasons.items():
        sample.reasons[f"finetuned.{task}.{name}", model] = reason
    add_pairs(sample, models)
    return sample


def _mean_sample(found: list[_TaskValues], models: list[str]) -> Sample:
    """Unweighted mean over tasks, which are the strata."""
    tasks = [one.units.task for one in found]
    strata = np.concatenate([np.full(len(o.units.unit), o.units.task) for o in found])
    clusters = cluster_units(
        strata, np.concatenate([one.units.cluster for one in found])
    )
    sample = Sample(ANALYSIS, MEAN, clusters, tuple(sorted(tasks)), "macro", False)
    for model in models:
        for name in _IN_MEAN:
            joined = _joined(found, name, model)
            if joined is None:
                continue
            key = f"finetuned.{MEAN}.{name}"
            sample.values[key, model] = _outcome(joined)
            besides = _WITHOUT.get(name, "")
            kept = np.where(strata == besides, np.nan, joined)
            if besides in tasks and not np.isnan(kept).all():
                key = f"{key}_without_{besides}"
                sample.values[key, model] = _outcome(kept)
    add_pairs(sample, models)
    return sample


def _joined(found: list[_TaskValues], name: str, model: str) -> Values | None:
    """One measure over all tasks; as many seeds as every task has."""
    # A task without rows of this kind has none for any model; one that this model
    # alone lacks would make its mean one over other tasks.
    tasks = [one for one in found if any(own == name for own, _ in one.values)]
    own = [one.values.get((name, model)) for one in found]
    present = [values for values in own if values is not None]
    if not present or len(present) < len(tasks):
        return None
    seeds = min(len(values) for values in present)
    return np.concatenate(
        [
            np.full((seeds, len(one.units.unit)), np.nan)
            if values is None
            else values[:seeds]
            for one, values in zip(found, own, strict=True)
        ],
        axis=1,
    )


def _outcome(values: Values) -> Outcome:
    counted = int((~np.isnan(values)).sum())
    return mean_outcome(values, counted)


def _described(one: Training, *, is_chosen: bool) -> dict[str, Any]:
    return {**asdict(one), "seeds": list(one.seeds), "is_chosen": is_chosen}


def _overlaps(units: Units) -> list[str]:
    """A sentence for each perturbed set that shares texts with the training rows."""
    found = []
    for split in dict.fromkeys(units.split.tolist()):
        own: Bool[np.ndarray, " unit"] = units.of(split)
        seen = int((own & units.is_in_training).sum())
        if seen and split != SCORED:
            found.append(overlap_note(units.task, split, seen, int(own.sum())))
    return found


def _collapse(units: Units, model: str, answers: Answers) -> list[str]:
    """A classifier near constant, or no better than one, in mean over seeds."""
    scored = units.of(SCORED)
    given = answers.original[:, scored]
    share = float(np.mean([top_class_share(own) for own in given]))
    accuracy = float((given == answers.label[scored]).mean())
    constant = top_class_share(answers.label[scored])
    if share >= COLLAPSED:
        return [
            f"{units.task}: the classifiers of {model} give one class to "
            f"{100 * share:.0f} % of the rows, so their consistency is that of a "
            "constant answer."
        ]
    if accuracy <= constant:
        return [
            f"{units.task}: the classifiers of {model} are right in "
            f"{100 * accuracy:.0f} % of the rows; one class for everything would be in "
            f"{100 * constant:.0f} %. Their consistency is not one of understanding."
        ]
    return []


def _notes(found: list[_TaskValues]) -> list[str]:
    is_repeated = any(len(part["seeds"]) > 1 for one in found for part in one.trainings)
    notes = [
        "Intervals of fine-tuned classifiers draw texts; what another training would "
        + (
            "change stands beside each value as its deviation over seeds."
            if is_repeated
            else "change is not known: each was trained with one seed."
        )
    ]
    for one in found:
        units = one.units
        if units.left_out:
            notes.append(
                f"{units.task}: {units.left_out} rows were not asked of every model "
                "and are left out."
            )
        shortened = int(units.is_shortened.sum())
        if shortened:
            notes.append(
                f"{units.task}: {shortened} of {len(units.unit)} rows were longer than "
                "the models take and were shortened at the end of their longest part."
            )
    return notes
