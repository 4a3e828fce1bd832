"""Which mechanism moved with consistency, fact by fact?

Facts are grouped by what base and tuned model answered, and the change of each rate is
given for every group, and between groups. Associations: nothing is intervened on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from concord.metrics.agreement import accuracy, all_agree
from concord.metrics.rates import is_known, mean_present
from concord.results import Run
from concord.summary.answers import Answers, answers_of, common_facts, per_context
from concord.summary.by_fact import Sides, fact_table, rate_by_fact
from concord.summary.estimates import (
    Estimates,
    Outcome,
    Settings,
    intervals_of,
    number,
    resample,
)
from concord.summary.mechanism import MechanismSummary

LINKED = (
    "enrichment.attributes_rate",
    "enrichment.attributes_rate_gain",
    "enrichment.fact_object_recall",
    "extraction.mhsa",
    "extraction.mlp",
    "extraction.any",
    "knockout.subject",
)
FLIPS = (
    "became consistent",
    "stayed consistent",
    "stayed inconsistent",
    "became inconsistent",
)
GROUPS = (
    "all facts",
    "same and right in both",
    "all right in both",
    "some right in both",
    "none right in both",
    "known to both",
    *FLIPS,
)
CONTRASTS = (
    ("became consistent", "stayed inconsistent"),
    ("became inconsistent", "stayed consistent"),
    ("became consistent", "became inconsistent"),
)
"""Groups whose changes are compared; in the first two they began alike."""
FEWEST_SUBJECTS = 3
"""Of each group that is compared: below this one subject decides."""
Groups = Mapping[str, Bool[np.ndarray, " _unit"]]
Keep = Callable[[Sequence[pa.Table]], None]


def forget(tables: Sequence[pa.Table]) -> None:
    """Keep nothing."""


def link_entries(
    run: Run,
    summaries: Sequence[MechanismSummary],
    settings: Settings,
    progress: Callable[[str], None],
    keep: Keep = forget,
) -> list[dict[str, Any]]:
    """Change of each rate by group of facts, and between groups, model by model.

    Args:
        run: For the answers.
        summaries: With the rates.
        settings: How intervals are made.
        progress: Told which model is looked at.
        keep: Given every fact's numbers, a table (`fact_table`) for each tuned model
            and set of contexts; none where nothing can be linked.

    Returns:
        One entry for each tuned model, set of contexts, rate and group: tuned minus
        base; and for each pair of groups, named under ``against``: the change in one
        less the change in the other. Intervals are over subjects.
    """
    models = run.models()
    facts = common_facts(run, models)
    usable = [
        one for one in summaries if any(k in LINKED for k, _ in one.sample.values)
    ]
    base = None
    if facts is not None and usable:
        base = answers_of(run, models[0], facts).get("study")
    if facts is None or base is None:
        keep([])
        return []
    entries, tables = [], []
    for model in models[1:]:
        progress(f"consistency and mechanism: {model}")
        for contexts, answers in answers_of(run, model, facts).items():
            groups = fact_groups(base, answers)
            place = {"model": model, "contexts": contexts}
            rates: dict[str, Sides] = {}
            for summary in usable:
                own = _of_units(groups, facts.fact, summary.units)
                entries += _linked(summary, place, models[0], own, settings)
                rates |= _rates(summary, place, models[0], facts.fact)
            flips = {name: groups[name] for name in FLIPS}
            tables.append(fact_table(place, facts, (base, answers), flips, rates))
    keep(tables)
    return entries


def fact_groups(base: Answers, tuned: Answers) -> dict[str, Bool[np.ndarray, " fact"]]:
    """Facts by what both models answered; a fact may be in several groups.

    A fact is consistent when all its templates agree, and all, some or none right by
    its templates, in more than half of the contexts; it is known when at least half of
    its prompts are right. Of a fact without a pair of templates, in either model, it is
    not known whether it became or stayed consistent.
    """
    sides = (base, tuned)
    shares = [mean_present(all_agree(side.agreement)) for side in sides]
    has_pair = ~np.isnan(shares).any(axis=0)
    was, is_now = (share > 0.5 for share in shares)
    known = [is_known(_right_share(side)) for side in sides]
    return {
        "all facts": np.ones(len(was), dtype=bool),
        "same and right in both": _mostly(_same_and_right(base, tuned)),
        **_right_in_both(base, tuned),
        "known to both": known[0] & known[1],
        "became consistent": has_pair & ~was & is_now,
        "stayed consistent": was & is_now,
        "stayed inconsistent": has_pair & ~was & ~is_now,
        "became inconsistent": has_pair & was & ~is_now,
    }


def _same_and_right(base: Answers, tuned: Answers) -> Float[np.ndarray, "context fact"]:
    """Whether every prompt of a fact has one answer from both models, a right one.

    Contexts are taken by their number, as the study pairs them.
    """
    count = min(len(base.predictions), len(tuned.predictions))
    one, other = base.predictions[:count], tuned.predictions[:count]
    asked = base.asked[:count] | tuned.asked[:count]
    alike = (one == other) & base.is_right[:count] & tuned.is_right[:count]
    return ((alike | ~asked).all(axis=1) & asked.any(axis=1)).astype(float)


def _right_in_both(
    base: Answers, tuned: Answers
) -> dict[str, Bool[np.ndarray, " fact"]]:
    """Facts that both models get right in all, some, or none of the templates."""
    shares = [per_context(accuracy, s.is_right, s.asked) for s in (base, tuned)]
    # 0 in none, 1 in some, 2 in all; NaN where none was asked.
    extents = [np.ceil(share) + np.floor(share) for share in shares]
    found = {}
    for extent, name in enumerate(("none", "some", "all")):
        one, other = (
            _mostly(np.where(np.isnan(own), np.nan, own == extent)) for own in extents
        )
        found[f"{name} right in both"] = one & other
    return found


def _right_share(answers: Answers) -> Float[np.ndarray, " fact"]:
    asked = answers.asked.sum(axis=(0, 1))
    right = (answers.is_right & answers.asked).sum(axis=(0, 1))
    return np.where(asked > 0, right / np.maximum(asked, 1), np.nan)


def _mostly(values: Float[np.ndarray, "context fact"]) -> Bool[np.ndarray, " fact"]:
    return mean_present(values) > 0.5


def _of_units(groups: Groups, facts: Sequence[str], units: Sequence[str]) -> Groups:
    """The groups over a summary's units; facts that were not asked are in none."""
    place = {fact: index for index, fact in enumerate(facts)}
    places = np.array([place.get(unit, -1) for unit in units], dtype=np.int64)
    return {n: np.where(places >= 0, own[places], False) for n, own in groups.items()}


def _rates(
    summary: MechanismSummary,
    place: Mapping[str, str],
    base: str,
    facts: Sequence[str],
) -> dict[str, Sides]:
    """Every rate of a summary that is linked, fact by fact, base and tuned."""
    suffix = "" if place["contexts"] == "study" else f"@{place['contexts']}"
    values = summary.sample.values
    of_unit = {unit: index for index, unit in enumerate(summary.units)}
    places = np.array([of_unit.get(fact, -1) for fact in facts], dtype=np.int64)
    return {
        key: (
            rate_by_fact(values[key, base], places),
            rate_by_fact(values.get((key + suffix, place["model"])), places),
        )
        for key in LINKED
        if (key, base) in values
    }


def _linked(
    summary: MechanismSummary,
    place: Mapping[str, str],
    base: str,
    groups: Groups,
    settings: Settings,
) -> list[dict[str, Any]]:
    """All rates of a summary from one set of resamples."""
    suffix = "" if place["contexts"] == "study" else f"@{place['contexts']}"
    values = summary.sample.values
    cells: list[tuple[str, str]] = []
    sides: list[Outcome] = []
    for key in LINKED:
        pair = values.get((key + suffix, place["model"])), values.get((key, base))
        if pair[0] is None or pair[1] is None:
            continue
        for name in GROUPS:
            cells.append((key, name))
            sides += [pair[0].only(groups[name]), pair[1].only(groups[name])]
    if not cells:
        return []
    drawn = resample(summary.sample, sides, settings)
    after = drawn.take(range(0, len(sides), 2))
    before = drawn.take(range(1, len(sides), 2))
    change = after.minus(before)
    sizes = [_sizes(summary, *sides[at : at + 2]) for at in range(0, len(sides), 2)]
    ends = intervals_of(change, settings)
    entries = []
    for at, (key, name) in enumerate(cells):
        entry: dict[str, Any] = {**place, "key": key, "group": name, "against": None}
        entry |= _estimate(change.estimate[at], ends[0][at], ends[1][at], sizes[at])
        entry["after"] = number(after.estimate[at])
        entry["before"] = number(before.estimate[at])
        entries.append(entry)
    return entries + _contrasts(summary, place, cells, change, sizes, settings)


def _contrasts(
    summary: MechanismSummary,
    place: Mapping[str, str],
    cells: Sequence[tuple[str, str]],
    change: Estimates,
    sizes: Sequence[dict[str, int]],
    settings: Settings,
) -> list[dict[str, Any]]:
    """The change in one group less that in another."""
    at = {cell: index for index, cell in enumerate(cells)}
    named = [(key, *pair) for key in dict(cells) for pair in CONTRASTS]
    first = [at[key, one] for key, one, _ in named]
    second = [at[key, other] for key, _, other in named]
    found = change.take(first).minus(change.take(second))
    low, high = intervals_of(found, settings)
    entries = []
    for index, (key, one, other) in enumerate(named):
        pair = sizes[first[index]], sizes[second[index]]
        entry: dict[str, Any] = {**place, "key": key, "group": one, "against": other}
        entry |= _estimate(found.estimate[index], low[index], high[index], pair[0])
        few = _too_few((one, other), pair)
        if few:
            entry |= {"value": None, "low": None, "high": None, "reason": few}
        entry["n_against"] = pair[1]
        entries.append(entry | {"after": None, "before": None})
    return entries


def _too_few(groups: tuple[str, str], sizes: tuple[dict[str, int], ...]) -> str:
    """Which of two groups is too small to be compared; empty if neither is."""
    found = [
        f"{own['subjects']} subjects in the group {name!r}"
        for name, own in zip(groups, sizes, strict=True)
        if own["subjects"] < FEWEST_SUBJECTS
    ]
    needed = (
        f"found {' and '.join(found)}; a comparison needs {FEWEST_SUBJECTS} in each"
    )
    return needed if found else ""


def _sizes(
    summary: MechanismSummary, after: Outcome, before: Outcome
) -> dict[str, int]:
    counted = after.is_counted & before.is_counted
    return {
        "facts": int(counted.sum()),
        "subjects": summary.sample.clusters.pool.count_with(counted),
    }


def _estimate(
    value: float, low: float, high: float, sizes: dict[str, int]
) -> dict[str, Any]:
    if not sizes["facts"]:
        nothing = dict.fromkeys(("value", "low", "high"))
        return {**nothing, "n": sizes, "reason": "no fact in this group"}
    reason = None if np.isfinite(low) else "too few subjects to draw from"
    ends = {"low": number(low), "high": number(high)}
    return {"value": number(value), **ends, "n": sizes, "reason": reason}
