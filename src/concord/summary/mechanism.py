"""Rows of the mechanism -> curves over layers, and what goes with consistency.

Each analysis gives values per fact and layer (per relation, for pairs across facts).
Curves carry an interval at every layer and one band for all of them. Which layer counts
is not chosen by looking at the differences: single numbers are means over layers fixed
beforehand.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float

from concord.metrics.bootstrap import cluster_units
from concord.results import Run, read_rows
from concord.summary.columns import common_labels, first_rows
from concord.summary.curves import with_band
from concord.summary.estimates import (
    Estimates,
    Sample,
    Settings,
    add_pairs,
    resample,
)
from concord.summary.layers import LayerValues, by_contexts
from concord.summary.mechanism_recipes import RECIPES, Recipe


@dataclass(eq=False)
class MechanismSummary:
    """Everything that one analysis of the mechanism gives to ``summary.json``."""

    sample: Sample
    units: list[str]
    curves: list[dict[str, Any]] = field(default_factory=list)
    curve_differences: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def summarise_mechanism(
    run: Run, settings: Settings, progress: Callable[[str], None]
) -> list[MechanismSummary]:
    """One summary for each analysis of the mechanism that has rows."""
    found = []
    for recipe in RECIPES:
        one = _summarise(run, recipe, settings, progress)
        if one is not None:
            known = [note for other in found for note in other.notes]
            one.notes = [note for note in one.notes if note not in known]
            found.append(one)
    return found


def _summarise(
    run: Run, recipe: Recipe, settings: Settings, progress: Callable[[str], None]
) -> MechanismSummary | None:
    begun = _begin(run, recipe)
    if begun is None:
        return None
    base: dict[str, Estimates] = {}
    remarks: dict[str, list[str | None]] = {}
    for model in run.models():
        table = _joined(run, recipe, model)
        if table is None:
            continue
        progress(f"{recipe.analysis}: {model}")
        remarks[model] = [remark(table, run.study) for remark in recipe.remarks]
        values = recipe.columns(table, run.study)
        found = by_contexts(table, recipe.unit, begun.units, values)
        for contexts in sorted(found, key=lambda name: name != "study"):
            place = model, contexts
            drawn = _drawn(begun, recipe, place, found[contexts], settings)
            if model == run.models()[0] and contexts == "study":
                base = drawn
            counted = _counted(recipe, found[contexts])
            for name, own in drawn.items():
                curve = _add_curve(begun, recipe, (name, *place), own, settings)
                curve["n"] = _sizes(begun, recipe, counted[name])
                if own is not base.get(name) and name in base:
                    sides = own, base[name]
                    _add_difference(begun, recipe, (name, *place), sides, settings)
    add_pairs(begun.sample, run.models())
    begun.notes += _told_once(recipe.analysis, remarks, len(run.models()))
    return begun


def _told_once(
    analysis: str, remarks: dict[str, list[str | None]], model_count: int
) -> list[str]:
    """Each remark with the models it holds of, of so many in the run."""
    whose: dict[str, list[str]] = {}
    for model, texts in remarks.items():
        for text in filter(None, dict.fromkeys(texts)):
            whose.setdefault(text, []).append(model)
    return [
        f"{analysis}, "
        f"{'every model' if len(models) == model_count else ', '.join(models)}: {text}"
        for text, models in whose.items()
    ]


def _begin(run: Run, recipe: Recipe) -> MechanismSummary | None:
    """The units that every model was measured on, and how they are drawn."""
    cluster_name = "relation" if recipe.unit == "relation" else "subject"
    is_by_relation = recipe.unit == "fact" and not recipe.is_micro
    columns = list({name: None for name in ("contexts", recipe.unit, cluster_name)})
    columns += ["relation"] if recipe.unit == "fact" else []
    tables = []
    for model in run.models():
        table = _rows(run, recipe, model, columns)
        if table is not None:
            tables.append(table.filter(pc.field(recipe.unit).is_valid()))
    common, seen = common_labels(tables, recipe.unit)
    if not common:
        return None
    table = first_rows(tables[0], recipe.unit, common).sort_by(recipe.unit)
    units = table[recipe.unit].to_pylist()
    cluster = np.array(table[cluster_name].to_pylist())
    strata = np.zeros(len(units))
    if is_by_relation:
        strata = np.array(table["relation"].to_pylist())
    labels = tuple(map(str, np.unique(strata)))
    weighting = "micro" if recipe.is_micro else "macro"
    sample = Sample(
        recipe.analysis,
        str(run.study.get("facts", {}).get("source", "pararel")),
        cluster_units(strata, cluster),
        labels,
        weighting,
        is_by_relation,
        is_joint=recipe.is_joint,
    )
    notes = []
    if len(seen) > len(common):
        notes.append(
            f"{recipe.analysis}: {len(seen) - len(common)} units were not measured for "
            "every model and are left out"
        )
    return MechanismSummary(sample, units, notes=notes)


def _rows(
    run: Run, recipe: Recipe, model: str, columns: list[str] | None = None
) -> pa.Table | None:
    table = read_rows(run, recipe.analysis, model, columns)
    return table if table is not None and table.num_rows else None


def _joined(run: Run, recipe: Recipe, model: str) -> pa.Table | None:
    """A model's rows, with the base's beside them where the recipe asks for both."""
    table = _rows(run, recipe, model)
    if recipe.join is None or table is None:
        return table
    base = run.models()[0]
    theirs = None if model == base else _rows(run, recipe, base)
    if theirs is None:
        return None
    found = recipe.join(table, theirs)
    return found if found.num_rows else None


def _drawn(
    summary: MechanismSummary,
    recipe: Recipe,
    place: tuple[str, str],
    values: Mapping[str, LayerValues],
    settings: Settings,
) -> dict[str, Estimates]:
    """Every curve of a model in one set of contexts, from one set of resamples."""
    model, contexts = place
    suffix = "" if contexts == "study" else f"@{contexts}"
    outcomes, parts = [], {}
    for name, own in values.items():
        count = own.total.shape[2]
        if recipe.has_number:
            key = f"{recipe.analysis}.{name}{suffix}"
            number_of = own.mean_over(recipe.layers(count), is_micro=recipe.is_micro)
            summary.sample.values[key, model] = number_of
        if recipe.has_curve:
            parts[name] = range(len(outcomes), len(outcomes) + count)
            outcomes += [
                own.outcome(at, is_micro=recipe.is_micro) for at in range(count)
            ]
    if not outcomes:
        return {}
    drawn = resample(summary.sample, outcomes, settings)
    found = {name: drawn.take(part) for name, part in parts.items()}
    for name, one, other in recipe.contrasts:
        if one in found and other in found:
            found[name] = found[one].minus(found[other])
    return found


def _add_curve(
    summary: MechanismSummary,
    recipe: Recipe,
    place: tuple[str, str, str],
    drawn: Estimates,
    settings: Settings,
) -> dict[str, Any]:
    head = _head(recipe, place, len(drawn.estimate))
    summary.curves.append(head | with_band(drawn, settings))
    return summary.curves[-1]


def _counted(
    recipe: Recipe, values: Mapping[str, LayerValues]
) -> dict[str, Bool[np.ndarray, " unit"]]:
    """Units that have a value, curve by curve."""
    found = {n: np.asarray(own.count.any(axis=0)) for n, own in values.items()}
    for name, one, other in recipe.contrasts:
        if one in found and other in found:
            found[name] = found[one] & found[other]
    return found


def _sizes(
    summary: MechanismSummary, recipe: Recipe, counted: Bool[np.ndarray, " unit"]
) -> dict[str, int]:
    """Facts with their distinct subjects; subjects, or relations, by themselves."""
    sizes = {f"{recipe.unit}s": int(counted.sum())}
    if recipe.unit == "fact":
        sizes["subjects"] = summary.sample.clusters.pool.count_with(counted)
    return sizes


def _add_difference(
    summary: MechanismSummary,
    recipe: Recipe,
    place: tuple[str, str, str],
    sides: tuple[Estimates, Estimates],
    settings: Settings,
) -> None:
    """Tuned minus base, if both have as many layers."""
    after, before = sides
    count = len(after.estimate)
    if count == len(before.estimate):
        head = _head(recipe, place, count)
        summary.curve_differences.append(
            head | with_band(after.minus(before), settings)
        )


def _head(recipe: Recipe, place: tuple[str, str, str], count: int) -> dict[str, Any]:
    name, model, contexts = place
    return {
        "key": f"{recipe.analysis}.{name}",
        "model": model,
        "contexts": contexts,
        "state": recipe.state,
        "layers": list(range(count)),
    }


def relation_layers(contrast: Float[np.ndarray, " layer"]) -> tuple[int, int] | None:
    """First and last layer in which the relation's meaning arises.

    In the lower half of the layers, from the smallest contrast on: from the first layer
    above 10 % of the maximum there to the first that reaches 90 % of it.

    Returns:
        None where the contrast does not rise.

    Source:
        Our rule for what Fierro et al. (2024) read from Figure 3 by eye.
    """
    half = contrast[: (len(contrast) - 1) // 2 + 1]
    if len(half) < 2 or np.isnan(half).any():
        return None
    start = int(half.argmin())
    top = float(half[start:].max())
    above = np.flatnonzero(half[start:] > 0.1 * top)
    reached = np.flatnonzero(half[start:] >= 0.9 * top)
    if top <= 0 or start + reached[0] == start:
        return None
    return start + int(above[0]), start + int(reached[0])


def relation_layers_of(
    curves: Iterable[dict[str, Any]],
) -> dict[str, list[int] | None]:
    """The relation layers of every model in the study's contexts."""
    found: dict[str, list[int] | None] = {}
    for curve in curves:
        if curve["key"] == "relations.contrast" and curve["contexts"] == "study":
            layers = relation_layers(np.array(curve["value"], dtype=float))
            found[curve["model"]] = list(layers) if layers else None
    return found
