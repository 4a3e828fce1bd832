"""The models of a run as a table: what differs between them, and what all share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.report.findings import Findings
from concord.report.formats import NOTHING, count

_SHORT = 12
"""Digits of a fingerprint or revision that tell models apart."""
_SHIPPED = {
    "weights": "whole",
    "adapter": "LoRA adapter",
    "diff": "tuned minus base",
}
_EXPECTED = {
    "gain": "gain",
    "between": "little",
    "loss": "loss",
    "reference": NOTHING,
}


@dataclass(frozen=True)
class ComparedModels:
    """The body of the table of models, and one sentence on what it leaves out."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shared: str
    """What is equal for all models; empty where nothing is."""


def compared_models(findings: Findings, info: Mapping[str, Any]) -> ComparedModels:
    """A row per model; a column that would say one thing of all is a sentence.

    Args:
        findings: The run's numbers.
        info: The content of ``run.json``.
    """
    known = info.get("models", {})
    described = [known.get(model, {}) for model in findings.models]
    family = [info.get("family", {}).get(model) for model in findings.models]
    columns = {
        "role": ["base", *("tuned" for _ in findings.tuned)],
        "source": [_source(one) for one in described],
        **_tuning(family),
        "fingerprint": [_short(one.get("fingerprint")) for one in described],
    }
    shared = []
    for title, cells in _shape(described).items():
        if len(set(cells)) > 1 or NOTHING in cells:
            columns[title] = cells
        else:
            shared.append(f"{title} {cells[0]}")
    rows = tuple(zip(findings.models, *columns.values(), strict=True))
    sentence = f"Equal for all: {', '.join(shared)}." if shared else ""
    return ComparedModels(("label", *columns), rows, sentence)


def _source(described: Mapping[str, Any]) -> str:
    revision = described.get("revision")
    source = str(described.get("source") or NOTHING)
    return f"{source} @{revision[:_SHORT]}" if revision else source


def _short(fingerprint: Any) -> str:
    return str(fingerprint or NOTHING)[:_SHORT]


def _tuning(family: Sequence[Mapping[str, Any] | None]) -> dict[str, list[str]]:
    """What the embedded models are; nothing where none is."""
    if not any(family):
        return {}
    members = [member or {} for member in family]
    return {
        "tuned on": [str(one.get("description") or NOTHING) for one in members],
        "shipped as": [_SHIPPED.get(one.get("kind", ""), NOTHING) for one in members],
        "expected of agreement": [
            _EXPECTED.get(one.get("expected", ""), NOTHING) for one in members
        ],
    }


def _shape(described: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    return {
        "dtype": [str(one.get("dtype") or NOTHING) for one in described],
        "parameters": [count(one.get("parameters")) for one in described],
        "layers": [count(one.get("layers")) for one in described],
        "vocabulary": [count(one.get("vocabulary_size")) for one in described],
    }
