"""Figures and tables of what happens inside the models.

Base and tuned get different prompts in the study's contexts, which moves every curve:
the panels under the base's prompts are the comparison, the others a description.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from concord.report.figure import Figure, Panel, basis_of, curve_panel, legend_of
from concord.report.findings import Findings
from concord.report.formats import number, with_interval
from concord.report.table import Column, Table

PREFIXES = ("enrichment.", "relations.", "extraction.", "knockout.")
"""Of the keys drawn here."""
_CONTEXTS = {"same": "both under the base's prompts", "study": "each under its own"}
_CHANGE = ("value", "low", "high")


@dataclass(frozen=True)
class _Plan:
    """One figure: what it asks, how to read it, and its curves with their titles."""

    name: str
    title: str
    reading: str
    axis: str
    curves: Mapping[str, str]


_PLANS = (
    _Plan(
        "enrichment",
        "What does the model recall when it has read the subject?",
        "Share of the best words at the last subject token that belong to the subject. "
        "What another subject's words give is no recall. Layer 0 is the embedding. "
        "Levels depend on the texts.",
        "share of words",
        {
            "enrichment.attributes_rate": "attributes rate",
            "enrichment.attributes_rate_shuffled": "another subject's attributes",
            "enrichment.fact_object_recall": "fact-object recall",
            "enrichment.fact_object_recall_shuffled": "another subject's objects",
        },
    ),
    _Plan(
        "relation-layers",
        "Where do prompts of one relation become alike?",
        "Same less different: cosine of last-token states in one relation less that "
        "across relations, subjects, objects and last tokens all different. Gaps: "
        "template pairs of a fact with equal, and with different, predictions.",
        "difference of cosines",
        {
            "relations.contrast": "same less different relation",
            "relations.gap_agreeing": "gap, agreeing pairs",
            "relations.gap_disagreeing": "gap, disagreeing pairs",
        },
    ),
    _Plan(
        "extraction",
        "Which sublayer writes the prediction?",
        "Share of prompts whose update at the last position has the model's own top "
        "token on top. That a token is written there does not show that it is needed.",
        "share of prompts",
        {"extraction.mhsa": "attention", "extraction.mlp": "MLP"},
    ),
    _Plan(
        "knockout",
        "What does the prediction lose when attention is cut?",
        "Relative change of the probability of the top token when the last position "
        "cannot see these positions in a window of blocks around each layer. Windows "
        "overlap, and a cut takes a model off its usual states.",
        "relative change of probability",
        {
            "knockout.subject": "subject cut",
            "knockout.non_subject": "all but the subject cut",
            "knockout.last": "last position cut",
        },
    ),
)


def mechanism_figures(findings: Findings) -> list[Figure]:
    """A figure for each analysis of the mechanism, the same prompts first."""
    figures = []
    for plan in _PLANS:
        panels = [
            panel
            for contexts, words in _CONTEXTS.items()
            for panel in _panels(plan, _under(findings, contexts), contexts, words)
        ]
        if panels:
            figures.append(
                Figure(
                    plan.name,
                    plan.title,
                    plan.reading,
                    basis_of(findings, *plan.curves),
                    tuple(panels),
                    legend_of(findings.models, has_lines=True),
                )
            )
    return figures


def _panels(
    plan: _Plan, findings: Findings, contexts: str, words: str
) -> Iterable[Panel]:
    for key, title in plan.curves.items():
        panel = curve_panel(findings, key, f"{title}, {words}", axis=plan.axis)
        if panel is not None:
            yield replace(panel, name=f"{panel.name}-{contexts}")


def _under(findings: Findings, contexts: str) -> Findings:
    """The findings with the curves of one set of contexts; the base has one only."""
    if contexts == "study":
        return findings
    curves = findings.content.get("curves", [])
    tuned = [c for c in curves if c.get("contexts") == contexts]
    keys = {curve["key"] for curve in tuned}
    base = [c for c in curves if c["model"] == findings.base and c["key"] in keys]
    shown = [*base, *({**curve, "contexts": "study"} for curve in tuned)]
    return Findings({**findings.content, "curves": shown})


def mechanism_tables(findings: Findings) -> list[Table]:
    """Change by what became of consistency, and correlations across models."""
    return [_link(findings), _correlations(findings)]


def _link(findings: Findings) -> Table:
    rows = [
        (
            entry["model"],
            entry["contexts"],
            str(findings.measure(entry["key"]).get("title") or entry["key"]),
            entry["group"],
            entry["n"]["facts"],
            entry["n"]["subjects"],
            entry,
            entry.get("reason") or "",
        )
        for entry in findings.content.get("link", [])
    ]
    return Table(
        "mechanism-link",
        "Tuned minus base, by what became of a fact's consistency (consistent: all "
        "templates agree in more than half of the contexts). An association.",
        (
            Column("model"),
            Column("contexts"),
            Column("rate"),
            Column("facts that"),
            Column("facts"),
            Column("subjects"),
            Column("change", with_interval, _CHANGE),
            Column("note"),
        ),
        tuple(rows),
    )


def _correlations(findings: Findings) -> Table:
    rows = [
        (
            str(findings.measure(entry["key"]).get("title") or entry["key"]),
            "" if entry["layer"] is None else entry["layer"],
            entry["n"],
            {**entry, "value": entry["r"]},
            {"value": entry["spearman"]},
            {"value": entry["given_accuracy"]},
            {"value": entry["p"]},
            {"value": entry["p_adjusted"]},
            entry.get("reason") or "",
        )
        for entry in findings.content.get("correlations", [])
    ]
    return Table(
        "mechanism-correlations",
        "Rate at a layer against agreement over the tuned models, base left out; p by "
        "permutation, adjusted over all layers tested. With few models little is sure.",
        (
            Column("rate"),
            Column("layer"),
            Column("models"),
            Column("r", with_interval, _CHANGE),
            Column("Spearman", _plain),
            Column("given accuracy", _plain),
            Column("p", _plain),
            Column("p adjusted", _plain),
            Column("note"),
        ),
        tuple(rows),
    )


def _plain(entry: Mapping[str, Any]) -> str:
    return number(entry.get("value"))
