"""How the rows of each analysis of the mechanism become numbers by fact and layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from concord.summary.columns import codes_of, integers_of, numbers_of
from concord.summary.layers import Values, matrix_of
from concord.summary.shared_pairs import KINDS, shared_gaps, shared_pairs

Columns = Callable[[pa.Table, dict[str, Any]], dict[str, Values]]
Remark = Callable[[pa.Table, dict[str, Any]], str | None]
_WHOLE = slice(None)


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
    contrasts: tuple[tuple[str, str, str], ...] = ()
    """A curve's name, and those of the curves of which it is the difference."""
    is_joint: bool = False
    """What is measured of a subject is one number in all of its relations."""
    remarks: tuple[Remark, ...] = ()
    """What a reader must know of the rows of one model."""
    join: Callable[[pa.Table, pa.Table], pa.Table] | None = None
    """Joins rows of a tuned model with the base's; the base by itself has no curves."""


def is_cell(column: pa.ChunkedArray, value: str) -> Bool[np.ndarray, " row"]:
    """Rows whose text is this."""
    codes, labels = codes_of(column)
    return codes == (labels.index(value) if value in labels else len(labels))


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


def _of_subjects(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """The attributes rate and its gain, to be averaged over distinct subjects."""
    found = _enrichment(table, study)
    names = ("attributes_rate", "attributes_rate_gain")
    return {f"{name}_of_subjects": found[name] for name in names if name in found}


def _attribute_sizes(table: pa.Table, study: dict[str, Any]) -> str | None:
    """How many attributes the subjects have, and whom that leaves out."""
    _, first = np.unique(codes_of(table["subject"])[0], return_index=True)
    sizes = numbers_of(table["attribute_count"])[first]
    known = sizes[~np.isnan(sizes)]
    absent = len(sizes) - len(known)
    parts = []
    if len(known):
        spread = f"{known.std(ddof=1):,.0f}" if len(known) > 1 else "none"
        parts.append(
            f"{len(known):,} subjects have {known.mean():,.0f} attributes on average "
            f"(standard deviation {spread}, {known.min():,.0f} to {known.max():,.0f})"
        )
    if absent:
        parts.append(f"{absent:,} of {len(sizes):,} subjects have no attribute text")
    k = int(numbers_of(table["k"]).max())
    fewest = study.get("enrichment", {}).get("min_attributes", 1)
    few, left_out = int((known < k).sum()), int((known < fewest).sum())
    if few > left_out:
        parts.append(
            f"{few:,} have fewer than the {k} words looked at, which bounds their rate"
        )
    if left_out:
        parts.append(f"{left_out:,} have fewer than {fewest} and are left out")
    return "; ".join(parts)


def _not_found(table: pa.Table, study: dict[str, Any]) -> str | None:
    """Subjects that no token of their prompts stands for."""
    is_lost = np.isnan(numbers_of(table["position"]))
    codes = codes_of(table["subject"])[0]
    lost, subjects = len(np.unique(codes[is_lost])), len(np.unique(codes))
    if not lost:
        return None
    return (
        f"{lost:,} of {subjects:,} subjects were not found in the tokens of "
        f"{int(is_lost.sum()):,} prompts, which are left out"
    )


_TARGETS = {"free": "", "prediction": "_prediction", "object": "_object"}
"""Target of an event -> what is added to a curve's name."""


def _extraction(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Events of each target; of the top token also where it begins the candidate."""
    coincide = _coincide(table)[:, None]
    found = {}
    for sublayer in ("mhsa", "mlp"):
        for target, suffix in _TARGETS.items():
            ranks = matrix_of(table[f"{sublayer}_rank_{target}"])
            is_event = (ranks == 0).astype(np.float32)
            found[f"{sublayer}{suffix}"] = np.where(np.isnan(ranks), np.nan, is_event)
        own = np.where(coincide, found[sublayer], np.nan)
        found[f"{sublayer}_coinciding"] = own
    return found


def _coincide(table: pa.Table) -> Bool[np.ndarray, " row"]:
    """Prompts whose top token is the first of the best candidate."""
    free, tokens = codes_of(table["free_token"])
    answers, others = codes_of(table["prediction_token"])
    place = {token: index for index, token in enumerate(tokens)}
    alike = np.array([place.get(one, -1) for one in others], dtype=np.int64)
    return free == alike[answers]


def _extraction_totals(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Per prompt: any event, where the first is, and whether both targets are one."""
    events = _extraction(table, study)
    totals = {name: own.max(axis=1, keepdims=True) for name, own in events.items()}
    totals["any"] = np.maximum(totals["mhsa"], totals["mlp"])
    totals["free_is_prediction"] = _coincide(table).astype(float)[:, None]
    return totals | _first_events(events["mhsa"], events["mlp"])


def _first_events(mhsa: Values, mlp: Values) -> dict[str, Float[np.ndarray, "row 1"]]:
    """Of prompts with an event: its first layer, layers with one, what comes first."""
    either = np.maximum(mhsa, mlp) == 1
    has_event = either.any(axis=1)
    first = np.where((mhsa == 1).any(axis=1), (mhsa == 1).argmax(axis=1), np.inf)
    first_mlp = np.where((mlp == 1).any(axis=1), (mlp == 1).argmax(axis=1), np.inf)
    found = {
        "first_layer": np.minimum(first, first_mlp),
        "event_layers": either.sum(axis=1),
        # Within a block attention writes before the MLP.
        "mhsa_first": first <= first_mlp,
    }
    return {
        name: np.where(has_event, own.astype(float), np.nan)[:, None]
        for name, own in found.items()
    }


def _macro(columns: Columns, *names: str) -> Columns:
    """Some of the values under names of their own, for a mean over relations."""

    def chosen(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
        found = columns(table, study)
        return {f"{name}_macro": found[name] for name in names}

    return chosen


def _knockout(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    effect = np.expm1(matrix_of(table["free_change"]))
    moved = matrix_of(table["is_top_changed"])
    found = {}
    for name in codes_of(table["set"])[1]:
        own = is_cell(table["set"], name)[:, None]
        found[name] = np.where(own, effect, np.nan)
        found[f"{name}_changed"] = np.where(own, moved, np.nan)
    return {name: own for name, own in found.items() if not np.isnan(own).all()}


def _rounding(table: pa.Table, study: dict[str, Any]) -> str | None:
    """How far half precision moves the effects, where a model is in it."""
    precision = table["precision"][0].as_py()
    if precision == "float32":
        return None
    largest = numbers_of(table["rounding_largest"])
    if np.isnan(largest).all():
        return (
            f"measured in {precision}; how far that moves the effects is not known "
            "(no room for a float32 copy, or weights spread over devices)"
        )
    mean = float(np.nanmax(numbers_of(table["rounding_mean"])))
    return (
        f"measured in {precision}, which moves the relative change of a prompt by "
        f"{mean:.3f} on average and by up to {np.nanmax(largest):.3f} against float32; "
        "with --dtype float32 there is no such floor"
    )


def _at_the_front(table: pa.Table, study: dict[str, Any]) -> str | None:
    """Subjects that begin at position 0, where attention collects."""
    if "first_position" not in table.column_names:
        return None
    first = numbers_of(table["first_position"])
    share = float((first == 0).sum() / max(1, (~np.isnan(first)).sum()))
    if not share:
        return None
    return (
        f"the subject of {share:.1%} of the prompts begins at position 0, where "
        "attention collects whatever the token is: what is read or cut there is not "
        "the subject's alone, nor comparable with other prompts or models"
    )


def _relations(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Pairs whose last tokens differ, and of any; the last point is the final state."""
    cosines = _with_final_last(matrix_of(table["cosines"]))
    found = {}
    for kind in ("same", "different"):
        for tokens, suffix in (("differ", ""), ("any", "_any")):
            own = is_cell(table["kind"], kind) & is_cell(table["last_token"], tokens)
            found[f"{kind}{suffix}"] = np.where(own[:, None], cosines, np.nan)
    return found


def gaps_of(table: pa.Table, study: dict[str, Any]) -> dict[str, Values]:
    """Cosines of a fact's pairs less the cosine across facts in the same context.

    Over all contexts, and for each context by itself.
    """
    gaps = _with_final_last(matrix_of(table["cosines"])) - _level(table)
    contexts = integers_of(table["context"])
    found = {}
    for kind in ("agreeing", "disagreeing"):
        own = is_cell(table["kind"], kind)
        found[f"gap_{kind}"] = np.where(own[:, None], gaps, np.nan)
        for context in range(int(contexts.max(initial=0)) + 1):
            place = (own & (contexts == context))[:, None]
            found[f"gap_{kind}_context_{context}"] = np.where(place, gaps, np.nan)
    return found


def _with_base(own: pa.Table, base: pa.Table) -> pa.Table:
    """Single pairs of one kind in a tuned model and the base, with the gaps of both."""
    return shared_pairs(_single_with_gaps(own), _single_with_gaps(base))


def _single_with_gaps(table: pa.Table) -> pa.Table:
    gaps = _with_final_last(matrix_of(table["cosines"])) - _level(table)
    is_single = np.logical_or.reduce([is_cell(table["kind"], kind) for kind in KINDS])
    rows = np.flatnonzero(is_single)
    column = pa.array(list(gaps[rows]), pa.list_(pa.float32()))
    return table.take(rows).append_column("gaps", column)


def _level(table: pa.Table) -> Values:
    """The cosine across facts of each row's contexts and context."""
    cosines = _with_final_last(matrix_of(table["cosines"]))
    names, _ = codes_of(table["contexts"])
    place = names * (int(integers_of(table["context"]).max(initial=0)) + 1)
    place = place + integers_of(table["context"])
    level = np.full((int(place.max(initial=0)) + 1, cosines.shape[1]), np.nan)
    rows = np.flatnonzero(is_cell(table["kind"], "nonparaphrase"))
    level[place[rows]] = cosines[rows]
    return level[place]


def _with_final_last(cosines: Values) -> Float[np.ndarray, "row point"]:
    """The states of the study's figures: h_0 to h_(L-1), and the final state."""
    return np.delete(cosines, -2, axis=1)


def _upper_half(count: int) -> slice:
    """From the middle of the layers on, where the study finds its difference."""
    return slice((count - 1) // 2, None)


_FINAL = "hidden, last point final"
RECIPES = (
    Recipe(
        "enrichment",
        _enrichment,
        layers=_upper_half,
        is_joint=True,
        remarks=(_attribute_sizes, _not_found, _at_the_front),
    ),
    Recipe("enrichment", _of_subjects, unit="subject", layers=_upper_half),
    Recipe("extraction", _extraction, is_micro=True, state="update", has_number=False),
    Recipe("extraction", _extraction_totals, is_micro=True, has_curve=False),
    Recipe(
        "extraction",
        _macro(_extraction, "mhsa", "mlp"),
        state="update",
        has_number=False,
    ),
    Recipe(
        "extraction", _macro(_extraction_totals, "mhsa", "mlp", "any"), has_curve=False
    ),
    Recipe(
        "knockout",
        _knockout,
        is_micro=True,
        state="centre of the window",
        remarks=(_rounding, _at_the_front),
    ),
    Recipe(
        "relations",
        _relations,
        unit="relation",
        state=_FINAL,
        has_number=False,
        contrasts=(
            ("contrast", "same", "different"),
            ("contrast_any", "same_any", "different_any"),
        ),
    ),
    Recipe("relations", gaps_of, is_micro=True, state=_FINAL, has_number=False),
    Recipe(
        "relations",
        shared_gaps,
        is_micro=True,
        state=_FINAL,
        has_number=False,
        join=_with_base,
        contrasts=tuple(
            (f"change_both_{word}", f"gap_both_{word}", f"gap_both_{word}_of_base")
            for word in KINDS.values()
        ),
    ),
)
