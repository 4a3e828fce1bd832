"""What a user is told of settings that cannot be used."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from concord.errors import did_you_mean
from concord.study.section import Section, section_in
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
        beside = ", ".join(_keys_at(fault["loc"][:-1]))
        needed = f"needed among {beside}"
        if len(fault["loc"]) == 1:
            needed = "every study names a base and one or more tuned"
        return f"{where}: missing; {needed}"
    # What holds other fields is not repeated: one of them may be a secret.
    if not where or isinstance(fault["input"], (Mapping, list, tuple)):
        return f"{where}: {fault['msg'].removeprefix('Value error, ')}".lstrip(": ")
    return f"{where}: found {fault['input']!r}; {fault['msg'].lower()}"


def _keys_at(location: tuple[Any, ...]) -> tuple[str, ...]:
    """Fields of the section that a place in the settings stands for."""
    section: type[Section] = Study
    for part in location:
        field = section.model_fields.get(part)
        section = section_in(field.annotation) or section if field else section
    return tuple(section.model_fields)
