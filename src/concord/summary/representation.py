"""Rows of distances -> gap, AUC and their kin, and curves over layers.

Units are paraphrase sets, or labelled pairs. All values are linear terms per unit,
whose mean is the measure (see `metrics.distance.linearised_difference`), so resampling
units resamples the measure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from concord.ahead import ahead
from concord.metrics.bootstrap import cluster_units
from concord.metrics.distance import linearised_difference, placements
from concord.metrics.rates import group_means, mean_present
from concord.results import Run, read_rows
from concord.summary.columns import (
    codes_of,
    common_labels,
    first_rows,
    integers_of,
    places_of,
)
from concord.summary.curves import gap_curves
from concord.summary.estimates import (
    Outcome,
    Sample,
    Settings,
    add_pairs,
    mean_outcome,
)

ANALYSIS = "representation"
_EXTRA = {
    "cos_same_relation": "gap_same_relation",
    "cos_same_subject": "gap_same_subject",
    "cos_neither": "gap_neither",
}
_VALUES = ["cos_para", "cos_nonpara", "auc", "cos_para_other_last", *_EXTRA]
_PLACE = [
    "contexts",
    "context",
    "unit",
    "cluster",
    "relation",
    "kind",
    "state",
    "layer",
]
_TEXTS = ("dataset", "contexts", "unit", "cluster", "relation", "kind", "state")

Cosines = dict[str, Float[np.ndarray, "context unit"]]


@dataclass(frozen=True, eq=False)
class Units:
    """The sets or pairs of a data set that every model was measured on."""

    unit: list[str]
    cluster: np.ndarray
    stratum: np.ndarray
    """Relation; for labelled pairs, which are drawn within their kind, the kind."""
    is_labelled: bool
    has_relations: bool
    left_out: int


@dataclass(frozen=True, eq=False)
class RepresentationSummary:
    """Everything that the distances of one data set give to ``summary.json``."""

    sample: Sample
    curves: list[dict[str, Any]]
    curve_differences: list[dict[str, Any]]
    notes: list[str]


def summarise_representation(
    run: Run, settings: Settings, progress: Callable[[str], None]
) -> Iterator[RepresentationSummary]:
    """One summary for each data set that has rows, made when it is asked for."""
    names: dict[str, None] = {}
    for model in run.models():
        table = read_rows(run, ANALYSIS, model, columns=["dataset"], coded=_TEXTS)
        if table is not None:
            names |= dict.fromkeys(table["dataset"].unique().to_pylist())
    for dataset in names:
        units = _common_units(run, dataset)
        if units is not None:
            yield _summarise_dataset(run, dataset, units, settings, progress)


def _summarise_dataset(
    run: Run,
    dataset: str,
    units: Units,
    settings: Settings,
    progress: Callable[[str], None],
) -> RepresentationSummary:
    strata, _ = np.unique(units.stratum, return_inverse=True)
    sample = Sample(
        ANALYSIS,
        dataset,
        cluster_units(units.stratum, units.cluster),
        tuple(str(label) for label in strata),
        "micro",
        units.has_relations,
    )
    layers: dict[tuple[str, str], dict[int, Outcome]] = {}
    reduced = ahead(lambda name: _reduce(run, sample, name, units), run.models())
    for model, found in zip(run.models(), reduced, strict=True):
        progress(f"representation of {dataset}: {model}")
        for contexts, own in found.items():
            suffix = "" if contexts == "study" else f"@{contexts}"
            for name, outcome in own.outcomes.items():
                key = f"representation.{dataset}.{name}{suffix}"
                sample.values[key, model] = outcome
            if own.relation_gaps is not None:
                key = f"representation.{dataset}.gap{suffix}"
                sample.by_relation[key, model] = own.relation_gaps
            layers[model, contexts] = own.layers
    add_pairs(sample, run.models())
    curves, differences = gap_curves(sample, layers, run.models()[0], settings)
    notes = []
    if units.left_out:
        notes.append(
            f"{dataset}: {units.left_out} units were not measured for every model and "
            "are left out"
        )
    return RepresentationSummary(sample, curves, differences, notes)


@dataclass(frozen=True, eq=False)
class _Reduced:
    """What a model's cosines in one set of contexts come to."""

    outcomes: dict[str, Outcome]
    layers: dict[int, Outcome]
    relation_gaps: Float[np.ndarray, " stratum"] | None


def _reduce(run: Run, sample: Sample, model: str, units: Units) -> dict[str, _Reduced]:
    found = {}
    for contexts, states in _cosines(run, sample.dataset, model, units).items():
        gaps = None
        for (state, _), cosines in states.items():
            if state == "final" and units.has_relations:
                gaps = _relation_gaps(cosines, sample)
        outcomes = _state_outcomes(states, units)
        found[contexts] = _Reduced(outcomes, _layer_outcomes(states, units), gaps)
    return found


def _common_units(run: Run, dataset: str) -> Units | None:
    columns = ["unit", "contexts", "cluster", "relation", "kind"]
    tables: list[pa.Table] = []
    whole: pa.Table | None = None
    read = partial(_rows, run, dataset, columns=columns[:2])
    for model, table in zip(run.models(), ahead(read, run.models()), strict=True):
        if table is not None:
            if whole is None:
                whole = _rows(run, dataset, model, columns)
            tables.append(table)
    common, seen = common_labels(tables, "unit")
    if whole is None or not common:
        return None
    table = first_rows(whole, "unit", common).sort_by("unit")
    kinds = np.array(table["kind"].to_pylist())
    has_relations = table["relation"].null_count == 0
    is_labelled = "set" not in kinds
    strata = np.array(table["relation"].to_pylist()) if has_relations else kinds
    return Units(
        table["unit"].to_pylist(),
        np.array(table["cluster"].to_pylist()),
        kinds if is_labelled else strata,
        is_labelled,
        has_relations and not is_labelled,
        len(seen) - len(common),
    )


def _rows(run: Run, dataset: str, model: str, columns: list[str]) -> pa.Table | None:
    table = read_rows(
        run,
        ANALYSIS,
        model,
        columns=columns,
        filter=pc.field("dataset") == dataset,
        coded=_TEXTS,
    )
    return table if table is not None and table.num_rows else None


def _cosines(
    run: Run, dataset: str, model: str, units: Units
) -> dict[str, dict[tuple[str, int], Cosines]]:
    """Contexts -> (state, layer) -> column -> values by context and unit."""
    table = _rows(run, dataset, model, _PLACE + _VALUES)
    if table is None:
        return {}
    unit = places_of(table["unit"], units.unit).astype(np.int32)
    context = integers_of(table["context"]).astype(np.int8)
    layer = integers_of(table["layer"])
    state, states = codes_of(table["state"])
    names, labels = codes_of(table["contexts"])
    cells = {column: table[column].to_numpy() for column in _VALUES}
    shape = (int(context.max(initial=0)) + 1, len(units.unit))
    found: dict[str, dict[tuple[str, int], Cosines]] = {}
    key = (names * len(states) + state) * (int(layer.max()) + 2) + layer + 1
    key = key.astype(np.int16)
    order = np.argsort(key, kind="stable").astype(np.int32)
    _, starts = np.unique(key[order], return_index=True)
    for rows in np.split(order, starts[1:]):
        rows = rows[unit[rows] >= 0]
        if not len(rows):
            continue
        place = (context[rows], unit[rows])
        name = (states[state[rows[0]]], int(layer[rows[0]]))
        one = {}
        for column in _VALUES[:2] if name[0] == "hidden" else _VALUES:
            one[column] = np.full(shape, np.nan)
            one[column][place] = cells[column][rows]
        found.setdefault(labels[names[rows[0]]], {})[name] = one
    return found


def _state_outcomes(
    states: dict[tuple[str, int], Cosines], units: Units
) -> dict[str, Outcome]:
    """The measures that are read at one state: final, centred, lexical."""
    outcomes = {}
    for (state, _), cosines in states.items():
        if state == "final":
            outcomes["gap"] = _gap(cosines, units)
            outcomes["auc"] = _auc(cosines, units)
            outcomes |= _other_gaps(cosines)
        elif state == "centred":
            outcomes["centred_gap"] = _gap(cosines, units)
            outcomes["centred_auc"] = _auc(cosines, units)
        elif state == "lexical":
            outcomes["lexical_gap"] = _gap(cosines, units)
    order = ("gap", "auc", "centred_gap", "centred_auc", "lexical_gap")
    return {name: outcomes[name] for name in (*order, *outcomes) if name in outcomes}


def _gap(cosines: Cosines, units: Units) -> Outcome:
    return _mean_of_differences(
        cosines["cos_para"], cosines["cos_nonpara"], of_pairs=not units.is_labelled
    )


def _other_gaps(cosines: Cosines) -> dict[str, Outcome]:
    """Gaps to one kind of non-paraphrase, and over pairs with other last tokens."""
    found = {
        name: _mean_of_differences(cosines["cos_para"], cosines[column], of_pairs=True)
        for column, name in _EXTRA.items()
        if not np.isnan(cosines[column]).all()
    }
    if not np.isnan(cosines["cos_para_other_last"]).all():
        found["gap_other_last"] = _mean_of_differences(
            cosines["cos_para_other_last"], cosines["cos_nonpara"], of_pairs=True
        )
    return found


def _auc(cosines: Cosines, units: Units) -> Outcome:
    """Sets: the mean of their AUC against the sampled pairs. Pairs: both placements."""
    if not units.is_labelled:
        return mean_outcome(cosines["auc"])
    values = np.full(cosines["cos_para"].shape, np.nan)
    for context, (near, far) in enumerate(
        zip(cosines["cos_para"], cosines["cos_nonpara"], strict=True)
    ):
        is_para, is_other = ~np.isnan(near), ~np.isnan(far)
        if not (is_para.any() and is_other.any()):
            continue
        first, second = placements(near[is_para], far[is_other])
        para, other = np.full((2, len(near)), np.nan)
        para[is_para], other[is_other] = first, -second
        # Both placements have the AUC as mean, so their sum counts it twice.
        values[context] = linearised_difference(para, other) - first.mean()
    return mean_outcome(values)


def _mean_of_differences(
    first: Float[np.ndarray, "context unit"],
    second: Float[np.ndarray, "context unit"],
    *,
    of_pairs: bool,
) -> Outcome:
    return mean_outcome(
        np.stack(
            [
                linearised_difference(one, other, second_is_of_pairs=of_pairs)
                for one, other in zip(first, second, strict=True)
            ]
        )
    )


def _relation_gaps(cosines: Cosines, sample: Sample) -> Float[np.ndarray, " stratum"]:
    """Gap over the sets of each relation, against all other sets."""
    stratum, count = sample.clusters.stratum_of_unit, len(sample.strata)
    near, far = (
        np.stack([group_means(one, stratum, count) for one in cosines[column]])
        for column in ("cos_para", "cos_nonpara")
    )
    return mean_present(near - far)


def _layer_outcomes(
    states: dict[tuple[str, int], Cosines], units: Units
) -> dict[int, Outcome]:
    """The gap at each hidden state; at the last layer that of the final state.

    As in the study's figures, the last point is after the final norm.
    """
    chosen = {layer: ("hidden", layer) for state, layer in states if state == "hidden"}
    chosen |= {layer: ("final", layer) for state, layer in states if state == "final"}
    return {
        layer: _gap(states[chosen[layer]], units).over_contexts()
        for layer in sorted(chosen)
    }
