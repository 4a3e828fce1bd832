"""A YAML file of a user -> a checked model, faults named by line and key."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ValidationError

from concord.data.rows import read_text
from concord.errors import DataError, did_you_mean

Checked = TypeVar("Checked", bound=BaseModel)
_NEEDED = {
    "missing": "missing, but it is needed; add the key",
    "tuple_type": "a list is needed, such as [one, two]",
    "string_type": "text is needed; put it in quotes",
}
"""What is needed instead, by the type of fault; others speak for themselves."""


def _refuse_truths(value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(one, bool) for one in value):
        raise ValueError(
            'YAML reads yes, no, on and off as truths; put them in quotes: "yes"'
        )
    return value


Quoted = Annotated[tuple[str, ...], BeforeValidator(_refuse_truths)]
"""Words, among which an unquoted yes or no is refused."""


def read_yaml_file(path: Path, kind: type[Checked], *, such_as: str) -> Checked:
    """The settings of a file.

    Args:
        path: An empty file says nothing.
        kind: What it must hold.
        such_as: Keys that a reader may expect, for the message.

    Raises:
        DataError: It is missing, no YAML, or a key is unknown, missing or faulty.
    """
    text = read_text(path)
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {error}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: found {type(content).__name__}; needed keys and values such as "
            f"{such_as}"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        fault: Any = error.errors()[0]
        raise DataError(f"{_place(path, text, fault)}: {_words(fault, kind)}") from None


def _place(path: Path, text: str, fault: Any) -> str:
    """The file, and the line of the key where it stands in one."""
    key = str(fault["loc"][0]) if fault["loc"] else None
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    for name, _ in top.value if isinstance(top, yaml.MappingNode) else ():
        if name.value == key:
            return f"{path}, line {name.start_mark.line + 1}"
    return str(path)


def _words(fault: Any, kind: type[BaseModel]) -> str:
    key, *inside = map(str, fault["loc"] or ("",))
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {did_you_mean(key, kind.model_fields)}"
    said = _NEEDED.get(fault["type"]) or _size(fault) or _own_words(fault)
    if not key:
        return said
    places = [int(part) + 1 for part in inside if part.isdecimal()]
    found = f"found {fault['input']!r} as item {places[0]}, but " if places else ""
    return f"{key}: {found}{said}"


def _size(fault: Any) -> str | None:
    """What is said of a list that is too long or too short."""
    limits = fault.get("ctx", {})
    if fault["type"] not in ("too_long", "too_short") or "actual_length" not in limits:
        return None
    is_long = fault["type"] == "too_long"
    bound = limits["max_length" if is_long else "min_length"]
    word = "at most" if is_long else "at least"
    return f"{limits['actual_length']} found, but {word} {bound} needed"


def _own_words(fault: Any) -> str:
    return fault["msg"].removeprefix("Value error, ") + "; correct the key"
