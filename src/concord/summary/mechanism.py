"""Rows of the mechanism -> curves over layers, and what goes with consistency.

Each analysis gives values per fact and layer (per relation, for pairs across facts).
Curves carry an interval at every layer and one band for all of them. Which layer counts
is not chosen by looking at the differences: single numbers are means over layers fixed
beforehand.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from concord.metrics.bootstrap import cluster_units
from concord.results import Run, read_rows
from concord.summary.columns import common_labels, first_rows, numbers_of
from concord.summary.curves import with_band
from concord.summary.estimates import (
    Estimates,
    Sample,
    Settings,
    add_pairs,
    number,
    resample,
)
from concord.summary.layers import LayerValues, Values, by_contexts, matrix_of

Columns = Callable[[pa.Table, dict[str, Any]], dict[str, Values]]
_WHOLE = slice(None)


@dataclass(eq=False)
class MechanismSummary:
    """Everything that one analysis of the mechanism gives to ``summary.json``."""

    sample: Sample
    units: list[str]
    curves: list[dict[str, Any]] = field(default_factory=list)
    curve_differences: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """How the rows of one analysis become curves."""

    analysis: str
    columns: Columns
    """Rows of one model and the study -> name of a curve -> values per row."""
    unit: str = "fact"
    is_micro: bool = False
    """Mean over all prompts; otherwise over facts within relations, then relations."""
    layers: Callable[[int], slice] = lambda count: _WHOLE
    """Layers whose mean is the single number, given how many there are."""
    state: str = "hidden"
    has_curve: bool = True
    has_number: bool = True


def summarise_mechanism(
    run: Run, settings: Settings, progress: Callable[[str], None]
) -> list[MechanismSummary]:
    """One summary for each analysis of the mechanism that has rows."""
    found = (_summarise(run, recipe, settings, progress) for recipe in RECIPES)
    return [one for one in found if one is not None]


def _summarise(
    run: Run, recipe: Recipe, settings: Settings, progress: Callable[[str], None]
) -> MechanismSummary | None:
    begun = _begin(run, recipe)
    if begun is None:
        return None
    base: dict[str, Estimates] = {}
    for model in run.models():
        table = _rows(run, recipe, model)
        if table is None:
            continue
        progress(f"{recipe.analysis}: {model}")
        values = recipe.columns(table, run.study)
        found = by_contexts(table, recipe.unit, begun.units, values)
        for contexts in sorted(found, key=lambda name: name != "study"):
            for name, layers in found[contexts].items():
                place = (f"{recipe.analysis}.{name}", model, contexts)
                drawn = _add_curve(begun, recipe, place, layers, settings)
                if model == run.models()[0] and contexts == "study":
                    base[place[0]] = drawn
                elif place[0] in base:
                    _add_difference(
                        begun, recipe, place, (drawn, base[place[0]]), settings
                    )
    add_pairs(begun.sample, run.models())
    return begun


def _begin(run: Run, recipe: Recipe) -> MechanismSummary | None:
    """The units that every model was measured on, and how they are drawn."""
    tables = []
    for model in run.models():
        table = _rows(run, recipe, model)
        if table is not None:
            tables.append(table.filter(pc.field(recipe.unit).is_valid()))
    common, seen = common_labels(tables, recipe.unit)
    if not common:
        return None
    table = first_rows(tables[0], recipe.unit, common).sort_by(recipe.unit)
    units = table[recipe.unit].to_pylist()
    has_subjects = recipe.unit == "fact"
    relation = np.array(table["relation"].to_pylist())
    cluster = np.array(table["subject"].to_pylist()) if has_subjects else relation
    strata = relation if has_subjects and not recipe.is_micro else np.zeros(len(units))
    labels = tuple(map(str, np.unique(strata)))
    weighting = "micro" if recipe.is_micro else "macro"
    is_by_relation = has_subjects and not recipe.is_micro
    sample = Sample(
        recipe.analysis,
        str(run.study.get("facts", {}).get("source", "pararel")),
        cluster_units(strata, cluster),
        labels,
        weighting,
        is_by_relation,
    )
    notes = []
    if len(seen) > len(common):
        notes.append(
            f"{recipe.analysis}: {len(seen) - len(common)} units were not measured for "
            "every model and are left out"
        )
    return MechanismSummary(sample, units, notes=notes)


def _rows(run: Run, recipe: Recipe, model: str) -> pa.Table | None:
    table = read_rows(run, recipe.analysis, model)
    return table if table is not None and table.num_rows else None


def _add_curve(
    summary: MechanismSummary,
    recipe: Recipe,
    place: tuple[str, str, str],
    values: LayerValues,
    settings: Settings,
) -> Estimates:
    key, model, contexts = place
    count = values.total.shape[2]
    outcomes = [
        values.outcome(layer, is_micro=recipe.is_micro) for layer in range(count)
    ]
    drawn = resample(summary.sample, outcomes, settings)
    if recipe.has_curve:
        summary.curves.append(_head(recipe, place, count) | _band(drawn, settings))
    if recipe.has_number:
        suffix = "" if contexts == "study" else f"@{contexts}"
        outcome = values.mean_over(recipe.layers(count), is_micro=recipe.is_micro)
        summary.sample.values[key + suffix, model] = outcome
    return drawn


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
    if recipe.has_curve and count == len(before.estimate):
        head = _head(recipe, place, count)
        summary.curve_differences.append(head | _band(after.minus(before), settings))


def _head(recipe: Recipe, place: tuple[str, str, str], count: int) -> dict[str, Any]:
    key, model, contexts = place
    return {
        "key": key,
        "model": model,
        "contexts": contexts,
        "state": recipe.state,
        "layers": list(range(count)),
    }


def _band(drawn: Estimates, settings: Settings) -> dict[str, Any]:
    """Interval and band; null where there is nothing to draw from."""
    if np.isfinite(drawn.within).all():
        return with_band(drawn.within, drawn.estimate, settings.level)
    names = ("low", "high", "band_low", "band_high")
    nothing = [None] * len(drawn.estimate)
    return {
        "value": [number(one) for one in drawn.estimate],
        **dict.fromkeys(names, nothing),
    }


def _enrichment(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    fewest = study.get("enrichment", {}).get("min_attributes", 1)
    k = numbers_of(table["k"])[:, None]
    sizes = numbers_of(table["attribute_count"])[:, None]
    objects = numbers_of(table["object_count"])[:, None]
    hits = {
        name: matrix_of(table[name]) for name in table.column_names if "hits" in name
    }
    own, other = hits["attribute_hits"] / k, hits["attribute_hits_shuffled"] / k
    found = {
        "attributes_rate": own,
        "attributes_rate_shuffled": other,
        "attributes_rate_gain": own - other,
        "attributes_rate_object_free": hits["attribute_hits_object_free"] / k,
    }
    found = {
        n: np.where(sizes >= fewest, values, np.nan) for n, values in found.items()
    }
    found["fact_object_rate"] = hits["object_hits"] / k
    found["fact_object_recall"] = hits["object_hits"] / np.minimum(k, objects)
    found["fact_object_recall_shuffled"] = hits["object_hits_shuffled"] / np.minimum(
        k, numbers_of(table["other_object_count"])[:, None]
    )
    return {name: own for name, own in found.items() if not np.isnan(own).all()}


def _extraction(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    found = {}
    for target, suffix in (("free", ""), ("prediction", "_prediction")):
        for sublayer in ("mhsa", "mlp"):
            ranks = matrix_of(table[f"{sublayer}_rank_{target}"])
            events = np.where(np.isnan(ranks), np.nan, (ranks == 0).astype(float))
            found[f"{sublayer}{suffix}"] = events
    return found


def _extraction_totals(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Per prompt: any event, and whether both targets are one token."""
    events = _extraction(table, study)
    totals = {name: own.max(axis=1, keepdims=True) for name, own in events.items()}
    totals["any"] = np.maximum(totals["mhsa"], totals["mlp"])
    tokens = [
        np.array(table[name].to_pylist()) for name in ("free_token", "prediction_token")
    ]
    totals["free_is_prediction"] = (tokens[0] == tokens[1]).astype(float)[:, None]
    return totals


def _knockout(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    sets = np.array(table["set"].to_pylist())
    effect = np.expm1(matrix_of(table["free_change"]))
    moved = matrix_of(table["is_top_changed"])
    found = {}
    for name in dict.fromkeys(sets.tolist()):
        own = (sets == name)[:, None]
        found[name] = np.where(own, effect, np.nan)
        found[f"{name}_changed"] = np.where(own, moved, np.nan)
    return {name: own for name, own in found.items() if not np.isnan(own).all()}


def _relations(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Pairs whose last tokens differ; the last point is after the final norm."""
    cosines = _with_final_last(matrix_of(table["cosines"]))
    differs = np.array(table["last_token"].to_pylist()) == "differ"
    kinds = np.array(table["kind"].to_pylist())
    found = {}
    for kind in ("same", "different"):
        own = (kinds == kind) & differs
        found[kind] = np.where(own[:, None], cosines, np.nan)
    return found


def _gaps(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Cosines of a fact's pairs less the cosine across facts in the same context."""
    cosines = _with_final_last(matrix_of(table["cosines"]))
    kinds = np.array(table["kind"].to_pylist())
    place = [
        f"{one} {other}"
        for one, other in zip(
            table["contexts"].to_pylist(), table["context"].to_pylist(), strict=True
        )
    ]
    across = {
        place[row]: cosines[row] for row in np.flatnonzero(kinds == "nonparaphrase")
    }
    missing = np.full(cosines.shape[1], np.nan)
    level = np.stack([across.get(one, missing) for one in place])
    return {
        f"gap_{kind}": np.where((kinds == kind)[:, None], cosines - level, np.nan)
        for kind in ("agreeing", "disagreeing")
    }


def _with_final_last(cosines: Values) -> Values:
    """The states of the study's figures: h_0 to h_(L-1), and the final state."""
    return np.delete(cosines, -2, axis=1)


def _upper_half(count: int) -> slice:
    """From the middle of the layers on, where the study finds its difference."""
    return slice((count - 1) // 2, None)


RECIPES = (
    Recipe("enrichment", _enrichment, layers=_upper_half),
    Recipe("extraction", _extraction, is_micro=True, state="update", has_number=False),
    Recipe("extraction", _extraction_totals, is_micro=True, has_curve=False),
    Recipe("knockout", _knockout, is_micro=True, state="centre of the window"),
    Recipe(
        "relations",
        _relations,
        unit="relation",
        state="hidden, last point final",
        has_number=False,
    ),
    Recipe(
        "relations",
        _gaps,
        is_micro=True,
        state="hidden, last point final",
        has_number=False,
    ),
)


def contrast_curves(curves: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Same less different relation, model by model; values only."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for curve in curves:
        if curve["key"] in ("relations.same", "relations.different"):
            place = curve["model"], curve["contexts"]
            found.setdefault(place, {})[curve["key"]] = curve
    contrasts = []
    for pair in found.values():
        if len(pair) == 2:
            same, other = pair["relations.same"], pair["relations.different"]
            values = [
                None if one is None or two is None else one - two
                for one, two in zip(same["value"], other["value"], strict=True)
            ]
            nothing = dict.fromkeys(
                ("low", "high", "band_low", "band_high"), [None] * len(values)
            )
            contrasts.append(
                same | nothing | {"key": "relations.contrast", "value": values}
            )
    return contrasts


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
