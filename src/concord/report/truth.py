"""What each model was told, against what it answers: drawn where a run knows it."""

from concord.report import formats
from concord.report.figure import Figure, Panel, basis_of, interval_panel
from concord.report.findings import Findings
from concord.report.table import Column, Table

_PANELS = (
    ("truth.agreement_unseen", "truth.agreement_seen", "Agreement, wordings"),
    ("truth.accuracy_unseen", "truth.accuracy_seen", "Accuracy, wordings"),
    ("truth.agreement_held_out", "truth.agreement_tuned_on", "Agreement, subjects"),
    ("truth.accuracy_held_out", "truth.accuracy_tuned_on", "Accuracy, subjects"),
)
"""The mark, its bar, and the panel's title."""
_VALUES = {
    "truth.agreement_one_wording": "agreement, told in one wording",
    "truth.agreement_more_wordings": "told in more",
    "truth.agreement_seen": "agreement, seen wordings",
    "truth.agreement_unseen": "unseen",
    "truth.accuracy_seen": "accuracy, seen wordings",
    "truth.accuracy_unseen": "unseen",
    "truth.agreement_tuned_on": "agreement, tuned-on subjects",
    "truth.agreement_held_out": "held out",
    "truth.accuracy_tuned_on": "accuracy, tuned-on subjects",
    "truth.accuracy_held_out": "held out",
}
_CHANGES = {
    "truth.agreement_tuned_on": "agreement, tuned-on subjects",
    "truth.agreement_held_out": "held out",
    "truth.accuracy_tuned_on": "accuracy, tuned-on subjects",
    "truth.accuracy_held_out": "held out",
}


def truth_figures(findings: Findings) -> list[Figure]:
    """Wordings never seen and subjects held out, with the others as bars."""
    panels: list[Panel] = []
    for key, other, title in _PANELS:
        is_wording = key.endswith("unseen")
        words = ("unseen", "seen") if is_wording else ("held out", "tuned on")
        panel = interval_panel(
            findings,
            key,
            f"{title} {words[0]}",
            axis="share",
            ticks=other,
            ticks_label=words[1],
        )
        if panel is not None:
            panels.append(panel)
    if not panels:
        return []
    return [
        Figure(
            "told",
            "Does a model carry what it was told to other words, and other subjects?",
            "Mark: wordings in which a model was never told the fact, and subjects "
            "that its tuning never spoke of. Bar: those that it was told. A mark far "
            "left of its bar is learning by heart.",
            basis_of(findings, *(key for *keys, _ in _PANELS for key in keys)),
            tuple(panels),
        )
    ]


def truth_tables(findings: Findings) -> list[Table]:
    """Values by what was told, and differences from the base on the same prompts."""
    return [_values(findings), _changes(findings)]


def _values(findings: Findings) -> Table:
    keys = {key: title for key, title in _VALUES.items() if findings.has_values(key)}
    rows = [
        (model, *(findings.value(key, model) for key in keys))
        for model in findings.models
    ]
    columns = (
        Column("model"),
        *(
            Column(title, formats.with_interval, ("value", "low", "high"), key)
            for key, title in keys.items()
        ),
    )
    caption = (
        "By what each model was told. What a base has seen, its tuned models have; a "
        "dash: the model has no such prompt."
    )
    return Table("told", caption, columns, tuple(rows))


def _changes(findings: Findings) -> Table:
    keys = {k: title for k, title in _CHANGES.items() if findings.has_differences(k)}
    rows = [
        (model, *(findings.difference(key, model) for key in keys))
        for model in findings.tuned
    ]
    columns = (
        Column("model"),
        *(
            Column(title, formats.change, ("value", "low", "high"), key)
            for key, title in keys.items()
        ),
    )
    caption = f"Tuned minus base ({findings.base}), on the same subjects."
    return Table("told-change", caption, columns, tuple(rows))
