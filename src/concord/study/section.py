"""What all sections of a study have in common."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Fields of a study file: none besides these, and none that change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds: itself, a list of it, or it or null."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (section_in(each) for each in get_args(annotation))
    return next((each for each in found if each), None)
