"""Flips: facts for which tuning changed an answer, wording by wording.

A flip is a fact in one context where at least one wording's answer differs between the
base and a tuned model. Its kind says whether the wordings agree before and after. The
complete list goes to ``tables/flips.csv`` unless it is huge; the page carries as many
facts as its size allows, drawn by a hash of their names, the same for every model.

Under the study's prompts the base's context k and the tuned model's context k are set
side by side by number only; under the base's prompts (``same``) they are one prompt.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv

from concord.errors import ResultsError
from concord.report.findings import Findings
from concord.report.flip_list import KINDS, ListedFlips
from concord.results import Run, finished_analyses, query

LISTED_WORDINGS = 500_000
"""Up to so many changed wordings a report writes the complete list (some 70 MB)."""
FLIP_COLUMNS = (
    "model, contexts, context, relation, fact, subject, object, kind, rightness, "
    "template, prompt, base_prediction, tuned_prediction, base_margin, tuned_margin, "
    "within_noise"
)
_PACKED_BYTES = 3
"""Of a changed wording with all that belongs to it, at least."""
NO_ANSWER = "no answer"
"""Stands for an answer that could not be read."""
_PAGE_COLUMNS = (
    "relation, fact, subject, object, model, contexts, context, kind, rightness, "
    "margin, is_near_tie, template, tuned_prediction, base_margin, tuned_margin"
)
_TEXTS = ("fact", "subject", "object", "prompt", "base_prediction", "tuned_prediction")


def count_flips(run: Run, findings: Findings) -> list[dict[str, Any]]:
    """Flips by tuned model, contexts and kind, over all facts.

    Returns:
        ``model``, ``contexts``, ``kind``, ``flips``, ``within_noise``, ``wordings``
        (changed ones); empty without predictions of the base and of a tuned model.
    """
    tuned = measured_models(run, findings)
    if not tuned:
        return []
    rows = query(
        run,
        f"""with {flips_sql(findings, tuned)}
        select model, contexts, kind, count(*) as flips,
            count(*) filter (where is_near_tie) as within_noise,
            sum(changed)::bigint as wordings
        from flipped group by all order by model, contexts, kind""",
    )
    return sorted(rows.to_pylist(), key=lambda row: tuned.index(row["model"]))


def write_flips(
    run: Run,
    findings: Findings,
    path: Path,
    *,
    models: Sequence[str] | None = None,
    where: str = "true",
) -> None:
    """The complete list: one row per wording whose answer changed, model by model.

    Cells that a spreadsheet would run as a formula begin with an apostrophe.

    Args:
        run: The run.
        findings: Its summary.
        path: The CSV file.
        models: Labels of tuned models; None: all that were measured.
        where: SQL condition on the columns.

    Raises:
        ResultsError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    shown = FLIP_COLUMNS.replace("within_noise", "is_near_tie as within_noise")
    for name in _TEXTS:
        shown = shown.replace(f" {name},", f" {_defused(name)} as {name},")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(FLIP_COLUMNS.replace(" ", "").encode() + b"\n")
            for model in measured_models(run, findings) if models is None else models:
                rows = query(
                    run,
                    f"""with {flips_sql(findings, [model])} select {shown} from flips
                    where {where}
                    order by contexts, context, relation, flips.fact, template""",
                )
                pa_csv.write_csv(rows, file, pa_csv.WriteOptions(include_header=False))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ResultsError(
            f"{path}: cannot write the list of flips ({error.strerror}); free some "
            "space or give another place, then give the same command again"
        ) from error


def _defused(name: str) -> str:
    """SQL of a text in which no spreadsheet sees a formula."""
    return (
        f"case when regexp_matches({name}, '^[=+@\t\r-]') then chr(39) || {name} "
        f"else {name} end"
    )


def flips_for_page(
    run: Run, findings: Findings, *, wordings: int, budget: int
) -> ListedFlips | None:
    """Facts in the order drawn, with all their flips, about as many as fit or more.

    Args:
        run: The run.
        findings: Its summary.
        wordings: Number of all changed wordings.
        budget: Bytes at most.

    Returns:
        For `pack`, which takes what fits; None without flips.
    """
    tuned = measured_models(run, findings)
    if not tuned or not wordings:
        return None
    drawn = f"""select relation, fact, md5(relation || chr(31) || fact) as draw
        from facts where model = {quoted(findings.base)} and contexts = 'study'
        group by relation, fact order by draw
        limit (select 1 + {budget} * count(distinct (relation, fact))
                // ({_PACKED_BYTES} * {wordings})
            from facts where model = {quoted(findings.base)})"""
    rows = query(
        run,
        f"""with {flips_sql(findings, tuned, drawn)}
        select {_PAGE_COLUMNS} from flips join drawn using (relation, fact)
        order by draw, fact, model, contexts, context, template""",
    )
    answers = query(
        run,
        f"""with drawn as ({drawn})
        select relation, fact, context, template, {_answer_sql("facts")} as prediction,
            replace(prompt, subject, '[X]') as wording
        from facts join drawn using (relation, fact)
        where model = {quoted(findings.base)} and contexts = 'study'
        order by draw, fact, context, template""",
    )
    return ListedFlips(rows, answers, tuned)


def first_wordings(run: Run, findings: Findings) -> dict[str, str]:
    """The first wording of each relation, with ``[X]`` for the subject."""
    if findings.base not in finished_analyses(run).get("facts", []):
        return {}
    rows = query(
        run,
        f"""select relation, arg_min(replace(prompt, subject, '[X]'),
            (context, template, fact)) as wording
        from facts where model = {quoted(findings.base)} and contexts = 'study'
        group by relation order by relation""",
    )
    return {row["relation"]: row["wording"] for row in rows.to_pylist()}


def measured_models(run: Run, findings: Findings) -> list[str]:
    """Tuned models whose predictions can be set beside the base's."""
    measured = finished_analyses(run).get("facts", [])
    if findings.base not in measured:
        return []
    return [model for model in findings.tuned if model in measured]


def flips_sql(findings: Findings, tuned: list[str], drawn: str | None = None) -> str:
    """Common table expressions: ``flipped``, a row per flip; ``flips``, per wording.

    An answer that could not be read agrees with no other, as in the summary. A changed
    wording is a near tie when the noise of its model can bridge either margin: when it
    is under twice the model's largest change of a score. ``margin`` is the flip's: the
    widest, over its changed wordings, of the narrower of the two margins. A flip is a
    near tie when all its changed wordings are.

    Args:
        findings: The run's numbers.
        tuned: Labels of the models wanted.
        drawn: SQL of the facts wanted (``relation``, ``fact``); None: all.
    """
    deltas = ", ".join(
        f"({quoted(model)}, {_delta_sql(findings, findings.base)}, "
        f"{_delta_sql(findings, model)})"
        for model in tuned
    )
    wanted = "semi join drawn using (relation, fact)" if drawn else ""
    return f"""
    deltas(model, base_delta, tuned_delta) as (values {deltas}),
    {f"drawn as ({drawn})," if drawn else ""}
    before as (select * from facts {wanted}
        where model = {quoted(findings.base)} and contexts = 'study'),
    after as (select * from facts {wanted}
        where model in (select model from deltas)),
    paired as (
        select t.model, t.contexts, context, relation, fact, template,
            b.prediction_index as base_index, t.prediction_index as tuned_index,
            base_index is distinct from tuned_index as is_changed,
            b.is_correct as base_right, t.is_correct as tuned_right,
            b.margin as base_margin, t.margin as tuned_margin,
            {_bridged_sql("base")} or {_bridged_sql("tuned")} as is_bridged,
            {_answer_sql("b")} as base_prediction,
            {_answer_sql("t")} as tuned_prediction,
            t.subject, t.object, t.prompt
        from after t join before b using (context, relation, fact, template)
            join deltas on deltas.model = t.model),
    flipped as (
        select model, contexts, context, relation, fact,
            max(least(base_margin, tuned_margin)) filter (where is_changed) as margin,
            case when bool_and(is_bridged is not null) filter (where is_changed)
                then bool_and(is_bridged) filter (where is_changed)
                end as is_near_tie,
            count(*) filter (where is_changed) as changed,
            count(base_index) = count(*) and min(base_index) = max(base_index)
                as base_agrees,
            count(tuned_index) = count(*) and min(tuned_index) = max(tuned_index)
                as tuned_agrees,
            case when count(*) = 1 then 'one_wording'
                when tuned_agrees and not base_agrees then 'to_agree'
                when base_agrees and not tuned_agrees then 'to_disagree'
                when base_agrees and tuned_agrees then 'new_answer'
                else 'other' end as kind,
            case when bool_and(tuned_right) and not bool_and(base_right) then 'gained'
                when bool_and(base_right) and not bool_and(tuned_right) then 'lost'
                else 'same' end as rightness
        from paired
        group by model, contexts, context, relation, fact
        having bool_or(is_changed)),
    flips as (
        select * from paired
            join flipped using (model, contexts, context, relation, fact)
        where is_changed)"""


def noise_delta(findings: Findings, model: str) -> float | None:
    """How far noise alone moves a score, in nats; None: not measured."""
    delta = (findings.content.get("noise", {}).get(model) or {}).get("delta")
    return None if delta is None else float(delta)


def _delta_sql(findings: Findings, model: str) -> str:
    delta = noise_delta(findings, model)
    return "null::float" if delta is None else f"{delta!r}::float"


def _bridged_sql(side: str) -> str:
    """Whether noise can bridge a margin; null where no noise was measured.

    A sole candidate has no runner-up and no margin, and is no near tie.
    """
    return (
        f"case when {side}_delta is not null "
        f"then coalesce({side}_margin < 2 * {side}_delta, false) end"
    )


def _answer_sql(table: str) -> str:
    return (
        f"case when {table}.prediction_index is null then '{NO_ANSWER}' "
        f"else {table}.prediction end"
    )


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def flip_totals(counts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Flips of each tuned model by kind, under the study's prompts.

    ``one_wording`` only where there are such.
    """
    has_single = any(row["kind"] == KINDS[-1] for row in counts)
    kinds = KINDS if has_single else KINDS[:-1]
    totals: dict[str, dict[str, int]] = {}
    for row in counts:
        if row["contexts"] == "study":
            totals.setdefault(row["model"], dict.fromkeys(kinds, 0))
            totals[row["model"]][row["kind"]] += row["flips"]
    return totals
