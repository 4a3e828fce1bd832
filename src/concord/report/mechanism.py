"""Figures of what happens inside the models.

Base and tuned get different prompts in the study's contexts, which moves every curve:
the panels under the base's prompts are the comparison, the others a description.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from concord.report.figure import (
    Figure,
    Panel,
    basis_of,
    curve_panel,
    legend_of,
    sizes_of,
)
from concord.report.findings import Findings, is_number
from concord.report.formats import number
from concord.report.heat_map import heat_map

PREFIXES = ("enrichment.", "relations.", "extraction.", "knockout.")
"""Of the keys drawn here."""
_CONTEXTS = {"same": "base's prompts", "study": "own prompts"}
_CHANGE = ("value", "low", "high")


@dataclass(frozen=True)
class _Plan:
    """One figure: what it asks, how to read it, and its curves with their titles."""

    name: str
    title: str
    reading: str
    axis: str
    curves: Mapping[str, str]
    contexts: tuple[str, ...] = ("same", "study")


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
        "template pairs of a fact with equal, and with different, predictions; the "
        "dashed line is the lexical gap, what shared last tokens alone give all pairs.",
        "difference of cosines",
        {
            "relations.contrast": "same less different relation",
            "relations.gap_agreeing": "gap, agreeing pairs",
            "relations.gap_disagreeing": "gap, disagreeing pairs",
        },
    ),
    _Plan(
        "gap-by-context",
        "Does the gap of agreeing pairs hang on the prompt around the question?",
        "Template pairs of a fact less pairs across facts, in one context at a time, "
        "for pairs with equal and with different predictions. The dashed line is the "
        "lexical gap, what shared last tokens alone give all pairs in that context.",
        "gap",
        {
            f"relations.gap_{kind}_context_{place}": f"{kind} pairs, context {place}"
            for kind in ("agreeing", "disagreeing")
            for place in range(3)
        },
        ("study",),
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
        "cannot see these positions in a window of layers around each. Windows "
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
        if plan.name == "knockout":
            figures += _extraction_by_model(findings)
        panels = [
            panel
            for contexts, words in _CONTEXTS.items()
            if contexts in plan.contexts
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


def _extraction_by_model(findings: Findings) -> list[Figure]:
    """Every model's events as rows of one picture, for each sublayer and prompts."""
    panels = []
    for contexts, words in _CONTEXTS.items():
        for key, sublayer in (("mhsa", "attention"), ("mlp", "MLP")):
            curves = _under(findings, contexts).curves(f"extraction.{key}")
            rows = [row for curve in curves for row in _cells(curve)]
            if rows and len({row["model"] for row in rows}) > 1:
                strongest = max(row["value"] for row in rows)
                title = f"{sublayer}, {words}; strongest is {number(strongest)}"
                specification = heat_map(rows, findings.models, axis="share of prompts")
                name = f"extraction-{key}-by-model-{contexts}"
                panels.append(
                    Panel(
                        name,
                        title,
                        specification,
                        f"extraction.{key}",
                        "Shades: share of prompts by model and layer",
                    )
                )
    reading = (
        "One row for each model, one column for each layer: the stronger the colour, "
        "the more prompts have an event there; each panel has a scale of its own. "
        "Where base and tuned differ, the prediction is written in other layers."
    )
    title = "In which layers does each model write its prediction?"
    sizes = sizes_of(findings, "extraction.mhsa", "extraction.mlp")
    basis = (
        "Shades are shares of prompts without their intervals, which stand in the "
        f"table of every number by layer{f'; n: {sizes}' if sizes else ''}."
    )
    found = Figure("extraction-by-model", title, reading, basis, tuple(panels))
    return [found] if panels else []


def _cells(curve: Mapping[str, Any]) -> list[dict[str, Any]]:
    nothing = [None] * len(curve["layers"])
    columns = [curve.get(part) or nothing for part in _CHANGE]
    rows = [
        {"model": curve["model"], "layer": layer}
        | dict(zip(_CHANGE, numbers, strict=True))
        for layer, *numbers in zip(curve["layers"], *columns, strict=True)
    ]
    return [row for row in rows if is_number(row["value"])]


def _panels(
    plan: _Plan, findings: Findings, contexts: str, words: str
) -> Iterable[Panel]:
    for key, title in plan.curves.items():
        panel = curve_panel(
            findings,
            key,
            f"{title}, {words}",
            axis=plan.axis,
            is_share=plan.axis.startswith("share"),
        )
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
