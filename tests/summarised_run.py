"""Entries of a summary by their keys, and the rows of its run in plain Python."""

from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq

from concord.results import Run, read_rows
from concord.summary import Settings, Summary

FAST = Settings(replicates=200, permutations=200, level=0.95, seed=0)


def entry(summary: Summary, key: str) -> dict:
    return next(one for one in summary["measures"] if one["key"] == key)


def value(summary: Summary, key: str, model: str) -> dict:
    return next(one for one in entry(summary, key)["values"] if one["model"] == model)


def difference(summary: Summary, key: str, model: str) -> dict:
    return next(
        one for one in entry(summary, key)["differences"] if one["model"] == model
    )


def rewrite(
    run: Run, analysis: str, model: str, change: Callable[[pa.Table], pa.Table]
) -> None:
    """Change the one part of a model in place."""
    (path,) = run.parts(analysis, model)
    pq.write_table(change(pq.read_table(path)), path)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def answers(run: Run, model: str, contexts: str = "study") -> dict:
    """(relation, fact) -> context -> rows in the order of templates."""
    table = read_rows(run, "facts", model)
    assert table is not None
    found: dict = defaultdict(lambda: defaultdict(list))
    for row in sorted(table.to_pylist(), key=lambda row: row["template"]):
        if row["contexts"] == contexts:
            found[row["relation"], row["fact"]][row["context"]].append(row)
    return found


def agreement_of(rows: list[dict]) -> float:
    pairs = list(combinations([row["prediction"] for row in rows], 2))
    return fmean(one == other for one, other in pairs)


def accuracy_of(rows: list[dict]) -> float:
    return fmean(row["is_correct"] for row in rows)


def macro(found: dict, measure: Callable[[list[dict]], float]) -> float:
    """Mean over contexts, over the facts of a relation, over relations."""
    relations = defaultdict(list)
    for (relation, _), contexts in found.items():
        relations[relation].append(fmean(measure(rows) for rows in contexts.values()))
    return fmean(fmean(values) for values in relations.values())
