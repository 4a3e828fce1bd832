"""What a user is told of settings that cannot be used."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from concord.errors import did_you_mean
from concord.study.section import Section, section_in
from concord.study.whole import Study

_LABEL = "letters, digits, - _ . (and no dot in front)"
_NEEDED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
}
"""What a field needs, by the type of fault; others speak for themselves."""


def explain(error: ValidationError, what: str = "the study") -> str:
    """All faults, a line for each place: where, what was found, what was needed."""
    faults: list[Any] = error.errors()
    places: dict[tuple[Any, ...], list[Any]] = {}
    for fault in faults:
        if not _follows_from_others(fault, faults):
            places.setdefault(_place_of(fault), []).append(fault)
    told = (_explain_one(place, found) for place, found in places.items())
    return f"{what} cannot be used:\n" + "\n".join(f"  {line}" for line in told)


def _follows_from_others(fault: Any, faults: list[Any]) -> bool:
    """A label is made of the source, and a list of entries is counted after them."""
    above = fault["loc"][:-1]
    if fault["type"] == "missing" and fault["loc"][-1:] == ("label",):
        return any(other["loc"] == (*above, "source") for other in faults)
    inside = [o for o in faults if o is not fault and fault["loc"] == o["loc"][:1]]
    return fault["type"] == "too_short" and bool(inside)


def _place_of(fault: Any) -> tuple[Any, ...]:
    """Where it is, without the names that pydantic gives to a field's kinds."""
    if fault["type"] in ("extra_forbidden", "missing"):
        return fault["loc"]
    section, place = Study, []
    for part in fault["loc"]:
        if isinstance(part, str) and part not in section.model_fields:
            break
        place.append(part)
        section = _section_at(section, part)
    return tuple(place) or fault["loc"]


def _explain_one(place: tuple[Any, ...], faults: list[Any]) -> str:
    where, fault = ".".join(map(str, place)), faults[0]
    if fault["type"] == "extra_forbidden":
        key = str(place[-1])
        return f"{where}: unknown key; {did_you_mean(key, _keys_at(place[:-1]))}"
    if fault["type"] == "missing":
        needed = f"needed among {', '.join(_keys_at(place[:-1]))}"
        if len(place) == 1:
            needed = "every study names a base and one or more tuned"
        return f"{where}: missing; {needed}"
    needed = " or ".join(map(_needed, faults)).replace(" or needed ", " or ")
    # What holds other fields is not repeated: one of them may be a secret.
    if not place or isinstance(fault["input"], (Mapping, list, tuple)):
        return f"{where}: {needed}".lstrip(": ")
    return f"{where}: found {fault['input']!r}; {needed}"


def _needed(fault: Any) -> str:
    kind, found, limits = fault["type"], fault["input"], fault.get("ctx", {})
    if kind == "tuple_type":
        example = f", as [{found}]" if isinstance(found, str) else ""
        return f"needed a list{example}"
    if kind == "too_short" and not found:
        return "found an empty list; needed one or more"
    if kind == "string_pattern_mismatch" and fault["loc"][-1] == "label":
        return f"needed {_LABEL}"
    if kind in _NEEDED:
        return f"needed {_NEEDED[kind].format(**limits)}"
    return fault["msg"].removeprefix("Value error, ")


def _keys_at(location: tuple[Any, ...]) -> tuple[str, ...]:
    """Fields of the section that a place in the settings stands for."""
    section: type[Section] = Study
    for part in location:
        section = _section_at(section, part)
    return tuple(section.model_fields)


def _section_at(section: type[Section], part: Any) -> type[Section]:
    """The section below a field; the same one for places in a list."""
    field = section.model_fields.get(part)
    return section_in(field.annotation) or section if field else section
