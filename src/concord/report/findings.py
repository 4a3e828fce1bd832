"""The numbers of ``summary.json``, asked for by name.

Nothing is computed here: a number that the summary does not hold is null with a reason.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, TypeGuard

from concord.errors import ResultsError
from concord.results import Run

CONTEXT_SETS = {
    "study": "each model under its own prompts (the study's setting)",
    "same": "both under the base's prompts",
    "prompt": "the part due to the prompt",
    "chat": "tuned model in its chat format",
}
"""Suffixes of a measure's key after ``@``, in words; no suffix means ``study``."""


_AGAIN = "remove the file and give `concord report` again"


@dataclass(frozen=True)
class Findings:
    """A summary with look-up by measure and model."""

    content: Mapping[str, Any]

    @property
    def base(self) -> str:
        """Label of the base model."""
        return self.content["base"]

    @property
    def tuned(self) -> list[str]:
        """Labels of the tuned models, in the run's order."""
        return list(self.content["tuned"])

    @property
    def models(self) -> list[str]:
        """All labels, the base first."""
        return [self.base, *self.tuned]

    @property
    def level(self) -> float:
        """Coverage of the intervals, in (0, 1)."""
        return float(self.content.get("level", 0.95))

    @property
    def measures(self) -> list[Mapping[str, Any]]:
        """All measures, in the summary's order."""
        return list(self.content.get("measures", []))

    def keys(self) -> list[str]:
        """Keys of all measures."""
        return [measure["key"] for measure in self.measures]

    def measure(self, key: str) -> Mapping[str, Any]:
        """A measure's entry; a bare one without values if the summary has none."""
        for measure in self.measures:
            if measure["key"] == key:
                return measure
        return {"key": key, "values": [], "differences": []}

    def headlines(self) -> list[Mapping[str, Any]]:
        """The measures of the scorecard: the study's contexts, marked as headline."""
        return [m for m in self.measures if m.get("headline") and "@" not in m["key"]]

    def value(self, key: str, model: str) -> Mapping[str, Any]:
        """A model's value; ``{"value": None, "reason": ...}`` when there is none."""
        return _entry_of(self.measure(key).get("values"), model)

    def difference(self, key: str, model: str) -> Mapping[str, Any]:
        """Tuned minus base; ``{"value": None, "reason": ...}`` when there is none."""
        return _entry_of(self.measure(key).get("differences"), model)

    def has_values(self, key: str) -> bool:
        """Whether at least one model has a number for the measure."""
        return any(
            is_number(v.get("value")) for v in self.measure(key).get("values", [])
        )

    def has_differences(self, key: str) -> bool:
        """Whether at least one tuned model has a difference for the measure."""
        entries = self.measure(key).get("differences", [])
        return any(is_number(entry.get("value")) for entry in entries)

    def datasets(self) -> list[str]:
        """Data sets of the representation measures, in the summary's order."""
        names = [
            measure.get("dataset")
            for measure in self.measures
            if measure["key"].startswith("representation.")
        ]
        return [str(name) for name in dict.fromkeys(names) if name]

    def curves(self, key: str) -> list[Mapping[str, Any]]:
        """Layer curves of one measure, the models in order, the study's contexts."""
        found = [
            curve
            for curve in self.content.get("curves", [])
            if curve["key"] == key and curve.get("contexts", "study") == "study"
        ]
        return sorted(found, key=lambda curve: self.models.index(curve["model"]))

    def curve_differences(self, key: str, contexts: str) -> list[Mapping[str, Any]]:
        """Tuned minus base layer by layer, the models in order."""
        found = [
            curve
            for curve in self.content.get("curve_differences", [])
            if (curve["key"], curve["contexts"]) == (key, contexts)
        ]
        return sorted(found, key=lambda curve: self.models.index(curve["model"]))

    def curve_keys(self) -> list[str]:
        """Measures with layer curves, in the summary's order."""
        return list(dict.fromkeys(c["key"] for c in self.content.get("curves", [])))


def read_findings(run: Run) -> Findings:
    """The findings of a run.

    Raises:
        ResultsError: The run has no summary, or it cannot be read.
    """
    path = run.path / "summary.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(
            f"{path}: cannot read ({error.strerror}); needed the summary of a finished "
            "run; give the same `concord compare` command again, it continues the run"
        ) from error
    except json.JSONDecodeError as error:
        raise ResultsError(
            f"{path}: line {error.lineno} is not JSON; {_AGAIN}"
        ) from error
    except UnicodeDecodeError as error:
        raise ResultsError(
            f"{path}: byte {error.start} is not UTF-8; {_AGAIN}"
        ) from error
    _require_summary(path, content)
    return Findings(content)


def _require_summary(path: Path, content: Any) -> None:
    kinds = {"base": str, "tuned": list, "measures": list}
    if not isinstance(content, dict):
        raise ResultsError(
            f"{path}: found a JSON {type(content).__name__}; needed the mapping of a "
            f"summary; {_AGAIN}"
        )
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise ResultsError(
                f"{path}: found no {kind.__name__} under {name!r}; needed one; {_AGAIN}"
            )
    for measure in content["measures"]:
        if not (isinstance(measure, dict) and isinstance(measure.get("key"), str)):
            raise ResultsError(f"{path}: found a measure without a key; {_AGAIN}")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value was measured (null and NaN were not)."""
    return isinstance(value, int | float) and not isnan(value)


def _entry_of(entries: Any, model: str) -> Mapping[str, Any]:
    for entry in entries or []:
        if entry["model"] == model:
            return entry
    return {"model": model, "value": None, "reason": "not measured in this run"}
