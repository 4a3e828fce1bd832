"""Which tables a run has: the study's, and the tool's own."""

from collections.abc import Mapping
from typing import Any

from concord.report import formats
from concord.report.answers import answer_tables
from concord.report.choices import choice_tables
from concord.report.findings import Findings
from concord.report.finetuned import finetuned_tables
from concord.report.mechanism_tables import mechanism_tables
from concord.report.model_table import by_model
from concord.report.study_tables import study_tables
from concord.report.table import Column, Table
from concord.report.truth import truth_tables

_WIDER = Column(
    "relations drawn too",
    lambda entry: (
        formats.interval(
            {"low": entry.get("relations_low"), "high": entry.get("relations_high")}
        )
        or formats.NOTHING
    ),
    ("relations_low", "relations_high"),
)
"""The interval that asks whether a number would hold for other relations."""


def all_tables(
    findings: Findings,
    published: Mapping[tuple[str, str], float],
    preset: str | None = None,
) -> list[Table]:
    """Every table but the flips; those without a column of numbers are left out."""
    tables = [
        *study_tables(findings, published, preset),
        scorecard(findings),
        differences(findings),
        predictions(findings),
        representation(findings),
        *choice_tables(findings),
        *answer_tables(findings),
        *finetuned_tables(findings),
        *mechanism_tables(findings),
        *truth_tables(findings),
        relations(findings),
        measures(findings),
        power(findings),
    ]
    return [table for table in tables if len(table.columns) > 1 and table.rows]


def scorecard(findings: Findings) -> Table:
    """The headline measures, a row per model."""
    titles = {m["key"]: headline_title(m) for m in findings.headlines()}
    return by_model("scorecard", "Headline measures.", findings, titles, {})


def headline_title(measure: Mapping[str, Any]) -> str:
    """A measure's title, with the data set where that tells two apart."""
    title = str(measure.get("title") or measure["key"])
    is_distance = measure["key"].startswith(("representation.", "choices."))
    dataset = str(measure.get("dataset") or "")
    return f"{title}, {dataset}" if is_distance and dataset not in title else title


def predictions(findings: Findings) -> Table:
    """Every measure of predictions under the study's prompts, a row per model."""
    titles = {
        measure["key"]: str(measure.get("title") or measure["key"])
        for measure in findings.measures
        if measure["key"].startswith("facts.")
        and "@" not in measure["key"]
        and findings.has_values(measure["key"])
    }
    caption = "Predictions under reworded questions."
    return by_model("predictions", caption, findings, titles, {})


def representation(findings: Findings) -> Table:
    """Gap, AUC, centred and lexical gap, a row per data set and model."""
    names = {
        "gap": "gap",
        "lexical_gap": "lexical gap",
        "auc": "AUC",
        "centred_gap": "centred gap",
    }
    rows = [
        (
            dataset,
            model,
            *(findings.value(f"representation.{dataset}.{n}", model) for n in names),
            {}
            if model == findings.base
            else findings.difference(f"representation.{dataset}.gap", model),
        )
        for dataset in findings.datasets()
        for model in findings.models
    ]
    columns = (
        Column("data set"),
        Column("model"),
        *(
            Column(
                title,
                formats.with_interval,
                ("value", "low", "high"),
                f"representation.{dataset}.{name}",
            )
            for name, title in names.items()
            for dataset in findings.datasets()[:1]
        ),
        Column("gap, tuned - base", formats.change, ("value", "low", "high")),
    )
    caption = "Distances of paraphrases and other sentences inside the models."
    return Table("representation", caption, columns, tuple(rows), block=0)


def differences(findings: Findings) -> Table:
    """Tuned minus base for every measure and tuned model."""
    number = Column("difference", formats.change, ("value", "low", "high"))
    adjusted = Column("adjusted p", lambda e: formats.probability(e.get("p_adjusted")))
    rows = [
        (
            measure["key"],
            entry["model"],
            entry,
            entry,
            {**entry, "value": entry.get("p_adjusted")},
            entry.get("verdict") or entry.get("reason") or "",
            formats.counts(entry.get("n")),
        )
        for measure in findings.measures
        for entry in measure.get("differences", [])
    ]
    columns = (Column("measure"), Column("model"), number, _WIDER, adjusted)
    columns += (Column("verdict"), Column("n"))
    caption = f"Tuned minus base ({findings.base}), paired."
    return Table("differences", caption, columns, tuple(rows), block=0)


def measures(findings: Findings) -> Table:
    """Every measure's value for every model."""
    number = Column("value", formats.with_interval, ("value", "low", "high"))
    rows = [
        (
            measure["key"],
            entry["model"],
            entry,
            entry,
            formats.counts(entry.get("n")),
            entry.get("reason") or "",
        )
        for measure in findings.measures
        for entry in measure.get("values", [])
    ]
    columns = (Column("measure"), Column("model"), number, _WIDER)
    columns += (Column("n"), Column("reason"))
    return Table("measures", "All measures.", columns, tuple(rows), block=0)


def power(findings: Findings) -> Table:
    """What difference this run can see, and how many subjects another would need."""
    rows = [
        (
            str(findings.measure(entry["key"]).get("title") or entry["key"]),
            entry["model"],
            {"value": entry["standard_error"]},
            {"value": entry["smallest_difference"]},
            {"value": entry["n"]},
            {"value": entry["difference"]},
            {"value": entry["n_needed"]},
            entry.get("reason") or "",
        )
        for entry in findings.content.get("power", [])
    ]
    columns = (
        Column("measure"),
        Column("model"),
        Column("standard error", formats.value),
        Column("smallest difference seen", formats.value),
        Column("subjects", lambda entry: formats.count(entry.get("value"))),
        Column("a difference of", formats.value),
        Column("needs subjects", lambda entry: formats.count(entry.get("value"))),
        Column("reason"),
    )
    caption = (
        "Power: the smallest true difference from the base that a run of this size "
        "announces four times in five, beside the other tuned models tested, and the "
        "subjects needed for a given one."
    )
    return Table("power", caption, columns, tuple(rows), block=0)


def relations(findings: Findings) -> Table:
    """Agreement per relation, a column per model, by the base's agreement."""
    entries = {
        (entry["relation"], entry["model"]): entry
        for entry in findings.content.get("by_relation", [])
        if entry["key"] == "facts.agreement"
    }
    names = sorted({relation for relation, _ in entries})
    sizes = {name: _facts_of(entries, name) for name in names}
    models = tuple(
        Column(model, lambda entry: formats.number(entry.get("value")))
        for model in findings.models
    )
    rows = tuple(
        (name, sizes[name], *(entries.get((name, m), {}) for m in findings.models))
        for name in names
    )
    columns = (Column("relation"), Column("facts"), *models)
    return Table("relations", "Agreement per relation.", columns, rows)


def _facts_of(entries: Mapping[tuple[str, str], Mapping[str, Any]], name: str) -> Any:
    sizes = [
        entry.get("n") for (relation, _), entry in entries.items() if relation == name
    ]
    known = [size for size in sizes if size is not None]
    return max(known) if known else ""
