"""Who flipped, from what to what, in which wording: the list of flips, asked by name.

One row for each wording whose answer changed: facts that no longer agree first, as on
the page, then the widest margin. A flip is a near tie when the measured noise can
bridge a margin of every changed wording (see `report.flips`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from concord.errors import ResultsError, StudyError, did_you_mean
from concord.report.findings import Findings
from concord.report.flip_list import KINDS
from concord.report.flips import (
    flips_sql,
    measured_models,
    noise_delta,
    quoted,
    write_flips,
)
from concord.report.formats import count, number
from concord.results import Run, query

_SEARCHED = ("relation", "subject", "object", "prompt")
_SEARCHED += ("base_prediction", "tuned_prediction")
_NEAR_TIE = {True: "near tie", False: "", None: "noise unknown"}
"""Unknown where no noise was measured."""
_NO_PAIR = (
    "Each model under its own prompts: context k of the base and context k of the "
    "tuned model share a number and are no pair."
)
_SAME_PROMPTS = " With --contexts same both got one prompt."
_ORDER = "what no longer agrees first, then by margin"
_URGENCY = ("to_disagree", "to_agree", "new_answer", "other", "one_wording")
_KIND_WORDS = {
    "to_agree": "now agrees",
    "to_disagree": "no longer agrees",
    "new_answer": "agrees on a new answer",
    "other": "other wordings changed",
    "one_wording": "one wording",
}
"""As the page calls them."""


@dataclass(frozen=True)
class FlipFilter:
    """Which flips are wanted; None: all."""

    model: str | None = None
    relation: str | None = None
    kind: str | None = None
    """One of `flip_list.KINDS`."""
    contexts: str | None = "study"
    near_ties: bool | None = None
    """Only near ties, or none of them."""
    search: str | None = None
    """A text that relation, subject, object, prompt or an answer must contain."""


@dataclass(frozen=True)
class FoundFlips:
    """Changed wordings that fit a filter."""

    rows: list[dict[str, Any]]
    """The first of them."""
    wordings: int
    """How many fit."""
    facts: int
    """Facts that these belong to."""
    has_same_prompts: bool
    """The run holds predictions of the tuned models under the base's prompts."""


def find_flips(
    run: Run, findings: Findings, wanted: FlipFilter, *, limit: int
) -> FoundFlips:
    """The changed wordings that fit a filter, what no longer agrees first.

    Args:
        run: The run.
        findings: Its summary.
        wanted: The filter.
        limit: Rows at most; all are counted.

    Raises:
        StudyError: The filter names what the run does not hold.
        ResultsError: The run has no predictions to compare, or no noise sample though
            near ties are asked for.
    """
    models = _chosen(run, findings, wanted)
    urgency = f"list_position({list(_URGENCY)}, kind)"
    rows = query(
        run,
        f"""with {flips_sql(findings, models)},
        found as (select * from flips where {_condition(wanted)}),
        counted as (select count(*) as wordings,
            count(distinct (relation, fact)) as facts from found)
        select found.*, wordings, facts
        from counted left join found on true
        order by {urgency}, margin desc nulls last, model, contexts, context,
            relation, fact, template
        limit {max(limit, 1)}""",
    ).to_pylist()
    counts = (rows[0]["wordings"], rows[0]["facts"])
    has_same = "same" in _names(run, "contexts")
    return FoundFlips(rows[:limit] if counts[0] else [], *counts, has_same)


def write_found_flips(
    run: Run, findings: Findings, wanted: FlipFilter, path: Path
) -> None:
    """All that fit, as CSV with the columns of ``tables/flips.csv``.

    Raises:
        StudyError: The filter names what the run does not hold.
        ResultsError: As for `find_flips`; or the file cannot be written.
    """
    models = _chosen(run, findings, wanted)
    write_flips(run, findings, path, models=models, where=_condition(wanted))


def flips_table(found: FoundFlips) -> Table:
    """The rows for the console: three columns of short lines, to fit 60 signs too."""
    counted = f"{count(found.wordings)} changed wordings of {count(found.facts)} facts"
    title = f"{counted}: {_ORDER}"
    table = Table(title=title, box=SIMPLE_HEAD, show_lines=True, pad_edge=False)
    if any(row["contexts"] != "same" for row in found.rows):
        table.caption = _NO_PAIR + (_SAME_PROMPTS if found.has_same_prompts else "")
    for name in ("model and fact", "base → tuned, wording"):
        table.add_column(name, overflow="fold")
    table.add_column("margins", justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(*map(escape, _cells(row)))
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    margins = (number(row[name], 2) for name in ("base_margin", "tuned_margin"))
    right = "" if row["rightness"] == "same" else f", all right {row['rightness']}"
    return (
        f"{row['model']}: {_KIND_WORDS[row['kind']]}{right}\n"
        f"{row['relation']} {row['subject']} ({row['object']})",
        f"{row['base_prediction']} → {row['tuned_prediction']}\n{row['prompt']}",
        f"{' → '.join(margins)}\n{_NEAR_TIE[row['is_near_tie']]}",
    )


def _chosen(run: Run, findings: Findings, wanted: FlipFilter) -> list[str]:
    """The models that are asked for, every name of the filter checked."""
    models = measured_models(run, findings)
    if not models:
        raise ResultsError(
            f"{run.path}: found no predictions of the base and of a tuned model; "
            "needed both to list flips; run the analysis `facts` for them"
        )
    _require("--model", wanted.model, models)
    _require("--kind", wanted.kind, KINDS)
    for option, column in (("--relation", "relation"), ("--contexts", "contexts")):
        name = getattr(wanted, column)
        if name is not None:
            _require(option, name, _names(run, column))
    chosen = [wanted.model] if wanted.model else models
    sampled = [findings.base, *chosen]
    without = [m for m in sampled if noise_delta(findings, m) is None]
    if wanted.near_ties is not None and without:
        raise ResultsError(
            f"found no noise sample for {', '.join(without)}; needed one to tell near "
            "ties; run the analysis `noise`, or leave out the filter"
        )
    return chosen


def _require(option: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in known:
        raise StudyError(
            f"{option} {name!r}: not in this run; {did_you_mean(name, known)}"
        )


def _names(run: Run, column: str) -> list[str]:
    rows = query(run, f"select distinct {column} as name from facts order by name")
    return rows["name"].to_pylist()


def _condition(wanted: FlipFilter) -> str:
    """The filter as SQL; texts are quoted, so none can be more than a text."""
    parts = [
        f"{name} = {quoted(value)}"
        for name in ("model", "relation", "kind", "contexts")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.near_ties is not None:
        parts.append("is_near_tie" if wanted.near_ties else "not is_near_tie")
    if wanted.search is not None:
        text = " || chr(10) || ".join(_SEARCHED)
        parts.append(f"contains(lower({text}), lower({quoted(wanted.search)}))")
    return " and ".join(parts) or "true"
