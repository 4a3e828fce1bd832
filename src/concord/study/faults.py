"""What a user is told of settings that cannot be used."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from concord.errors import did_you_mean
from concord.study.analyses import (
    AnswersConfig,
    ChoicesConfig,
    EnrichmentConfig,
    ExtractionConfig,
    FactsConfig,
    FinetunedConfig,
    KnockoutConfig,
    RelationsConfig,
    RepresentationConfig,
)
from concord.study.models import ModelEntry
from concord.study.section import Section
from concord.study.statistics import StatisticsConfig
from concord.study.whole import Study


def explain(error: ValidationError) -> str:
    """All faults, a line for each: where, what was found, what was needed."""
    return "the study cannot be used:\n" + "\n".join(
        f"  {_explain_one(fault)}" for fault in error.errors()
    )


def _explain_one(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        key = str(fault["loc"][-1])
        return f"{where}: unknown key; {did_you_mean(key, _keys_at(fault['loc'][:-1]))}"
    if fault["type"] == "missing":
        return f"{where}: missing; every study names a base and one or more tuned"
    # What holds other fields is not repeated: one of them may be a secret.
    if not where or isinstance(fault["input"], (Mapping, list, tuple)):
        return f"{where}: {fault['msg'].removeprefix('Value error, ')}".lstrip(": ")
    return f"{where}: found {fault['input']!r}; {fault['msg'].lower()}"


def _keys_at(location: tuple[Any, ...]) -> tuple[str, ...]:
    parts: dict[str, type[Section]] = {
        "base": ModelEntry,
        "tuned": ModelEntry,
        "facts": FactsConfig,
        "representation": RepresentationConfig,
        "enrichment": EnrichmentConfig,
        "relations": RelationsConfig,
        "extraction": ExtractionConfig,
        "knockout": KnockoutConfig,
        "choices": ChoicesConfig,
        "answers": AnswersConfig,
        "finetuned": FinetunedConfig,
        "statistics": StatisticsConfig,
    }
    names = [part for part in location if isinstance(part, str)]
    return tuple((parts[names[0]] if names else Study).model_fields)
