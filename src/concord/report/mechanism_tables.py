"""Tables of what happens inside the models: by group of facts, and across models."""

from collections.abc import Mapping
from typing import Any

from concord.report.findings import Findings, is_number
from concord.report.formats import number, with_interval
from concord.report.mechanism import PREFIXES
from concord.report.table import Column, Table

_CHANGE = ("value", "low", "high")
_RATE = 2
"""Place of the column with the rate, whose rows have one precision."""


def mechanism_tables(findings: Findings) -> list[Table]:
    """What moved with consistency, correlations across models, and numbers by layer."""
    return [
        _contrasts(findings),
        _link(findings),
        _relation_layers(findings),
        _correlations(findings),
        _by_layer(findings),
    ]


def _contrasts(findings: Findings) -> Table:
    rows = [
        (
            entry["model"],
            entry["contexts"],
            _title(findings, entry["key"]),
            entry["group"],
            entry["against"],
            entry,
            *(
                entry[n][unit]
                for unit in ("facts", "subjects")
                for n in ("n", "n_against")
            ),
            entry.get("reason") or "",
        )
        for entry in _linked(findings)
        if entry.get("against")
    ]
    return Table(
        "mechanism-contrasts",
        "Change of a rate (tuned minus base) "
        "over the facts of one group less that over the facts of another. An interval "
        "without 0 says that the two went together, not that one made the other.",
        (
            Column("model"),
            Column("contexts"),
            Column("rate"),
            Column("facts that"),
            Column("less facts that"),
            Column("difference", with_interval, _CHANGE),
            Column("facts"),
            Column("less facts"),
            Column("subjects"),
            Column("less subjects"),
            Column("note"),
        ),
        tuple(rows),
        block=_RATE,
    )


def _link(findings: Findings) -> Table:
    rows = [
        (
            entry["model"],
            entry["contexts"],
            _title(findings, entry["key"]),
            entry["group"],
            entry["n"]["facts"],
            entry["n"]["subjects"],
            {"value": entry.get("before")},
            {"value": entry.get("after")},
            entry,
            entry.get("reason") or "",
        )
        for entry in _linked(findings)
        if not entry.get("against")
    ]
    return Table(
        "mechanism-link",
        "Rates of base and tuned model over groups of facts (consistent: all templates "
        "agree; all, some, none right: of the templates; each in more than half of the "
        "contexts; known: half of the prompts right). A fact may be in several groups.",
        (
            Column("model"),
            Column("contexts"),
            Column("rate"),
            Column("facts that"),
            Column("facts"),
            Column("subjects"),
            Column("base", _plain),
            Column("tuned", _plain),
            Column("change", with_interval, _CHANGE),
            Column("note"),
        ),
        tuple(rows),
        block=_RATE,
    )


def _linked(findings: Findings) -> list[Mapping[str, Any]]:
    """Entries of the link: what was measured first, the study's prompts before others.

    A page that shows the first rows only then has every model's.
    """
    entries = findings.content.get("link", [])
    return sorted(
        entries,
        key=lambda entry: (
            not is_number(entry.get("value")),
            entry["contexts"] != "study",
        ),
    )


def _relation_layers(findings: Findings) -> Table:
    found = findings.content.get("relation_layers") or {}
    rows = [
        (model, "" if layers is None else f"{layers[0]} to {layers[1]}")
        for model, layers in found.items()
    ]
    return Table(
        "relation-layers",
        "Relation layers: in the lower half, from where same less different relation "
        "exceeds a tenth of its maximum to where it reaches nine tenths; empty where "
        "it does not rise.",
        (Column("model"), Column("layers")),
        tuple(rows),
    )


def _correlations(findings: Findings) -> Table:
    rows = [
        (
            _title(findings, entry["key"]),
            "" if entry["layer"] is None else entry["layer"],
            entry["n"],
            entry.get("tests", ""),
            {**entry, "value": entry["r"]},
            _ranks(entry),
            {"value": entry["given_accuracy"]},
            {"value": entry["p"]},
            {"value": entry["p_adjusted"]},
            {"value": entry.get("spearman_p_adjusted")},
            entry.get("reason") or "",
        )
        for entry in findings.content.get("correlations", [])
    ]
    return Table(
        "mechanism-correlations",
        "Rate at a layer against agreement over the tuned models, base left out; p by "
        "permutation, adjusted for all tests (layers and sublayers) of the rate. With "
        "few models little is sure.",
        (
            Column("rate"),
            Column("layer"),
            Column("models"),
            Column("tests"),
            Column("r", with_interval, _CHANGE),
            Column("Spearman", with_interval, _CHANGE),
            Column("given accuracy", _plain),
            Column("p", _plain),
            Column("p adjusted", _plain),
            Column("p of Spearman, adjusted", _plain),
            Column("note"),
        ),
        tuple(rows),
    )


def _ranks(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = {"value": "spearman", "low": "spearman_low", "high": "spearman_high"}
    return {part: entry.get(name) for part, name in names.items()}


def _by_layer(findings: Findings) -> Table:
    parts = ("value", "low", "high")
    rows = []
    for curve in findings.content.get("curves", []):
        if not curve["key"].startswith(PREFIXES):
            continue
        columns = [curve.get(part) or [None] * len(curve["layers"]) for part in parts]
        for layer, *numbers in zip(curve["layers"], *columns, strict=True):
            entry = dict(zip(parts, numbers, strict=True))
            head = (curve["key"], curve["model"], curve["contexts"], layer)
            rows.append((*head, entry))
    return Table(
        "mechanism-by-layer",
        "Every number of the figures above, layer by layer.",
        (
            Column("measure"),
            Column("model"),
            Column("contexts"),
            Column("layer"),
            Column("value", with_interval, _CHANGE),
        ),
        tuple(rows),
        block=0,
    )


def _title(findings: Findings, key: str) -> str:
    return str(findings.measure(key).get("title") or key)


def _plain(entry: Mapping[str, Any]) -> str:
    return number(entry.get("value"))
