"""Rows of fine-tuned classifiers as arrays: the chosen rate's answers of each seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from concord.results import Run, read_rows
from concord.summary.columns import integers_of, numbers_of, places_of

ANALYSIS = "finetuned"
SCORED = "scored"
_NO_CLASS = -1
_COLUMNS = (
    *("task", "rate", "seed", "split", "item", "pair", "is_changed", "cluster"),
    *("is_in_training", "is_shortened", "label", "prediction", "label_probability"),
    *("rounds", "trained_weights"),
)
_PLACES = ("rate", "seed", "split", "item", "pair", "is_changed")

Values = Float[np.ndarray, "seed unit"]
"""A measure of each seed's classifier on each unit; NaN where it does not count."""


@dataclass(frozen=True)
class Training:
    """What the held-out rows say of one learning rate, mean over seeds."""

    task: str
    model: str
    rate: float
    seeds: tuple[int, ...]
    accuracy: float
    loss: float
    """Mean negative log-probability of the right class, in nats."""
    rounds: float
    """Looks at the held-out rows until training stopped."""
    trained_weights: int


@dataclass(frozen=True, eq=False)
class Units:
    """The scored rows and pairs of one task that every model has answers to."""

    task: str
    unit: list[str]
    split: np.ndarray
    cluster: np.ndarray
    is_in_training: Bool[np.ndarray, " unit"]
    is_shortened: Bool[np.ndarray, " unit"]
    left_out: int

    def of(self, split: str) -> Bool[np.ndarray, " unit"]:
        """The units of one split."""
        return self.split == split


@dataclass(frozen=True, eq=False)
class Answers:
    """The classes that one model's chosen classifiers gave, and the right ones."""

    original: Int[np.ndarray, "seed unit"]
    changed: Int[np.ndarray, "seed unit"]
    """Equal to ``original`` for rows that are asked once."""
    label: Int[np.ndarray, " unit"]
    changed_label: Int[np.ndarray, " unit"]


def rows_of(run: Run, model: str, task: str) -> pa.Table | None:
    """All rows of one task of one model, texts left out; None without any."""
    table = read_rows(
        run,
        ANALYSIS,
        model,
        columns=list(_COLUMNS),
        filter=pc.field("task") == task,
        coded=("split", "item", "pair", "cluster"),
    )
    return table if table is not None and table.num_rows else None


def tasks_of(run: Run) -> list[str]:
    """Tasks with rows, in the order of the parts."""
    names: dict[str, None] = {}
    for model in run.models():
        table = read_rows(run, ANALYSIS, model, columns=["task"])
        if table is not None:
            names |= dict.fromkeys(table["task"].unique().to_pylist())
    return list(names)


def trainings_of(table: pa.Table, task: str, model: str) -> list[Training]:
    """What the held-out rows say of every rate, the chosen one first.

    Chosen is the rate with the highest accuracy, of equal ones that with the lowest
    loss; rates with fewer seeds than others (a run that was cut) come after them.
    """
    held_out = table.filter(pc.field("split") == "held_out")
    found = [_training(held_out, task, model, rate) for rate in _rates(held_out)]
    return sorted(
        found, key=lambda one: (-len(one.seeds), -one.accuracy, one.loss, one.rate)
    )


def _rates(table: pa.Table) -> list[float]:
    return sorted(table["rate"].unique().to_pylist())


def _training(held_out: pa.Table, task: str, model: str, rate: float) -> Training:
    own = held_out.filter(pc.field("rate") == rate)
    right = integers_of(own["label"]) == integers_of(own["prediction"])
    given = own["label_probability"].to_numpy().astype(np.float64)
    smallest = np.finfo(np.float32).tiny
    return Training(
        task=task,
        model=model,
        rate=rate,
        seeds=tuple(sorted(own["seed"].unique().to_pylist())),
        accuracy=float(right.mean()),
        loss=float(-np.log(np.maximum(given, smallest)).mean()),
        rounds=float(integers_of(own["rounds"]).mean()),
        trained_weights=int(integers_of(own["trained_weights"])[0]),
    )


def common_units(task: str, tables: Sequence[pa.Table]) -> Units | None:
    """The units that every model was asked in every training; None without any."""
    shared: set[str] | None = None
    seen: set[str] = set()
    for table in tables:
        names = _unit_names(_asked(table)).unique().to_pylist()
        seen |= set(names)
        shared = set(names) if shared is None else shared & set(names)
    if not shared:
        return None
    first = _asked(tables[0])
    names = _unit_names(first)
    _, places = np.unique(names.to_numpy(zero_copy_only=False), return_index=True)
    rows = first.take(places).append_column("unit", names.take(places))
    rows = rows.filter(pc.field("unit").isin(sorted(shared)))
    units = rows["unit"].to_pylist()
    is_seen, is_short = (
        _any_side(first, names, units, column)
        for column in ("is_in_training", "is_shortened")
    )
    return Units(
        task=task,
        unit=units,
        split=np.array(rows["split"].to_pylist()),
        cluster=np.array(rows["cluster"].to_pylist()),
        is_in_training=is_seen,
        is_shortened=is_short,
        left_out=len(seen) - len(units),
    )


def answers_of(table: pa.Table, units: Units, chosen: Training) -> Answers:
    """The answers of the chosen rate, a row for each seed."""
    own = _asked(table).filter(pc.field("rate") == chosen.rate)
    unit = places_of(pa.chunked_array([_unit_names(own)]), units.unit)
    seed = np.searchsorted(chosen.seeds, integers_of(own["seed"]))
    is_changed = integers_of(own["is_changed"]).astype(bool)
    given, right = integers_of(own["prediction"]), integers_of(own["label"])
    shape = (len(chosen.seeds), len(units.unit))
    sides = []
    for side in (False, True):
        taken = (unit >= 0) & (is_changed == side)
        answers, labels = np.full(shape, _NO_CLASS), np.full(shape[1], _NO_CLASS)
        answers[seed[taken], unit[taken]] = given[taken]
        labels[unit[taken]] = right[taken]
        sides.append((answers, labels))
    (original, label), (changed, changed_label) = sides
    alone = units.of(SCORED)
    return Answers(
        original,
        np.where(alone, original, changed),
        label,
        np.where(alone, label, changed_label),
    )


def probabilities_of(
    run: Run, model: str, units: Units, chosen: Training
) -> Float[np.ndarray, "wording seed unit class"]:
    """What the chosen rate gives each class, for a unit as it is and changed.

    NaN where a unit is asked once.
    """
    table = read_rows(
        run,
        ANALYSIS,
        model,
        columns=[*_PLACES, "probabilities"],
        filter=(pc.field("task") == units.task) & (pc.field("rate") == chosen.rate),
    )
    assert table is not None
    own = _asked(table)
    unit = places_of(pa.chunked_array([_unit_names(own)]), units.unit)
    kept = unit >= 0
    seed = np.searchsorted(chosen.seeds, integers_of(own["seed"]))
    given = own["probabilities"].combine_chunks()
    flat = numbers_of(given.flatten()).reshape(len(given), -1)
    shape = (2, len(chosen.seeds), len(units.unit), flat.shape[1])
    found = np.full(shape, np.nan)
    found[integers_of(own["is_changed"])[kept], seed[kept], unit[kept]] = flat[kept]
    return found


def _asked(table: pa.Table) -> pa.Table:
    return table.filter(pc.field("split") != "held_out")


def _unit_names(table: pa.Table) -> pa.Array:
    """The pair, or the row where it is asked once; ids begin with their split."""
    pair, item = (
        table[name].cast(pa.string()).combine_chunks() for name in ("pair", "item")
    )
    return pc.fill_null(pair, item)


def _any_side(
    table: pa.Table, names: pa.Array, units: Sequence[str], column: str
) -> Bool[np.ndarray, " unit"]:
    """Whether it holds for one of the sides of each unit."""
    place = places_of(pa.chunked_array([names]), units)
    found = np.zeros(len(units), bool)
    holds = integers_of(table[column]).astype(bool) & (place >= 0)
    found[place[holds]] = True
    return found
