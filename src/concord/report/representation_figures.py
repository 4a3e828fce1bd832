"""Figures of what is inside the models: gaps, and curves over layers."""

from concord.report.figure import (
    Figure,
    basis_of,
    curve_panel,
    difference_panel,
    interval_panel,
    legend_of,
    slug,
)
from concord.report.findings import Findings
from concord.report.mechanism import PREFIXES

_DIFFERENCES = {
    "study": "each under its own prompts",
    "same": "both under the base's prompts",
    "chat": "tuned model in its chat format",
}
"""Contexts of a difference, in words."""


def representation_figures(findings: Findings) -> list[Figure]:
    """The gap per data set, and its curves over layers."""
    figures = [_gaps(findings), _gap_curves(findings), _gap_differences(findings)]
    return [figure for figure in figures if figure is not None]


def other_curves(findings: Findings) -> list[Figure]:
    """Layer curves that no other figure draws, one figure each."""
    drawn = ("representation.", *PREFIXES)
    keys = [k for k in findings.curve_keys() if not k.startswith(drawn)]
    figures = []
    for key in keys:
        title = str(findings.measure(key).get("title") or key)
        panel = curve_panel(findings, key, title, axis=title)
        if panel:
            figures.append(
                Figure(
                    slug(key),
                    f"{title}, layer by layer",
                    "Lines are models, bands their intervals for all layers at once.",
                    basis_of(findings, key),
                    (panel,),
                    legend_of(findings.models, has_lines=True),
                )
            )
    return figures


def _gaps(findings: Findings) -> Figure | None:
    panels = [
        interval_panel(
            findings,
            f"representation.{dataset}.gap",
            dataset,
            axis="gap (difference of cosines)",
            ticks=f"representation.{dataset}.lexical_gap",
        )
        for dataset in findings.datasets()
    ]
    found = tuple(panel for panel in panels if panel)
    if not found:
        return None
    return Figure(
        "gap",
        "Do paraphrases lie closer together than other sentences?",
        "Right: paraphrases are closer to each other than to sentences of another "
        "meaning. The dotted line is the base. A grey bar is the lexical gap, what the "
        "last tokens alone would give: only what lies right of it is the model's own.",
        basis_of(findings, *(f"representation.{d}.gap" for d in findings.datasets())),
        found,
    )


def _gap_curves(findings: Findings) -> Figure | None:
    panels = [
        curve_panel(
            findings,
            f"representation.{dataset}.gap",
            dataset,
            axis="gap (difference of cosines)",
        )
        for dataset in findings.datasets()
    ]
    found = tuple(panel for panel in panels if panel)
    if not found:
        return None
    return Figure(
        "gap-by-layer",
        "Where in the model does the gap arise?",
        "Layer 0 is the embedding, the last point the state that predicts the next "
        "token. Bands hold for all layers at once. The dashed line is the lexical gap: "
        "a curve that starts there starts from shared last tokens.",
        basis_of(findings, *(f"representation.{d}.gap" for d in findings.datasets())),
        found,
        legend_of(findings.models, has_lines=True),
    )


def _gap_differences(findings: Findings) -> Figure | None:
    panels = [
        difference_panel(
            findings,
            f"representation.{dataset}.gap",
            contexts,
            f"{dataset}, {words}",
            axis="gap, tuned − base",
        )
        for contexts, words in _DIFFERENCES.items()
        for dataset in findings.datasets()
    ]
    found = tuple(panel for panel in panels if panel)
    if not found:
        return None
    return Figure(
        "gap-difference-by-layer",
        "In which layers does tuning change the gap?",
        "Above the dashed line: a larger gap than the base's at that layer. Base and "
        "tuned model are compared on the same sentences. Bands hold for all layers at "
        "once: where one leaves the line, tuning changed the gap there.",
        basis_of(findings, *(f"representation.{d}.gap" for d in findings.datasets())),
        found,
        legend_of(findings.models, has_lines=True)[1:],
    )
