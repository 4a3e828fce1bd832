"""The layout of a user's own classification task: ``task.yaml`` in its folder.

::

    columns: [premise, hypothesis]   # or one column; the last one is changed
    label: label                     # column of the class
    labels: [entailment, neutral]    # default: those of the training file, sorted
    symmetric: neutral               # class that holds in both directions; default all
    scored: test                     # default: test if it is there, else validation
    text: "{first} {second} Does the first say the second?"
    label_words: ["yes", "no"]       # only for head: label_words

Every key may be left out; without the file the columns are sentence1, sentence2 and
label. In the folder of one of BECEL's own tasks the file changes that task's layout.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from concord.data.classification import ALL_LABELS, Layout, Split
from concord.data.rows import read_text
from concord.errors import DataError, did_you_mean

FILE = "task.yaml"
OWN_LAYOUT = Layout(("sentence1", "sentence2"))


class LayoutFile(BaseModel):
    """What ``task.yaml`` says; None says nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    columns: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)] | None = None
    label: str | None = None
    labels: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    symmetric: str | None = None
    scored: Split | None = None
    text: str | None = None
    label_words: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    word: str | None = None

    @field_validator("labels", "label_words", mode="before")
    @classmethod
    def _are_no_truths(cls, value: Any) -> Any:
        if isinstance(value, list) and any(isinstance(one, bool) for one in value):
            raise ValueError(
                'YAML reads yes, no, on and off as truths; put them in quotes: "yes"'
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "LayoutFile":
        if self.text is not None and "{second}" not in self.text:
            raise ValueError("text needs {second}, the last text of a row")
        if self.labels and len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: each class once")
        if (
            self.labels
            and self.symmetric
            and self.symmetric not in (ALL_LABELS, *self.labels)
        ):
            known = did_you_mean(self.symmetric, (ALL_LABELS, *self.labels))
            raise ValueError(f"symmetric is {self.symmetric!r}; {known}")
        return self


def layout_of(folder: Path, known: Layout | None = None) -> Layout:
    """The layout of a folder: that of its ``task.yaml``, over the one it is known by.

    Raises:
        DataError: The file cannot be used; its key is named.
    """
    layout, path = known or OWN_LAYOUT, folder / FILE
    if not path.is_file():
        return layout
    found = _parse(path)
    given = {name: value for name, value in found.items() if value is not None}
    layout = replace(layout, **given)
    if len(layout.columns) == 1 and "text" not in given:
        layout = replace(layout, text="{second}")
    if len(layout.columns) == 2 and "{first}" not in layout.text:
        raise DataError(
            f"{path}: text is {layout.text!r}, but with two columns it needs {{first}} "
            "and {second}. Write both."
        )
    if layout.label_words and layout.labels:
        _refuse_count(path, layout)
    return layout


def _refuse_count(path: Path, layout: Layout) -> None:
    if len(layout.label_words) != len(layout.labels):
        raise DataError(
            f"{path}: {len(layout.label_words)} label_words found, but "
            f"{len(layout.labels)} are needed, one for each of "
            f"{', '.join(layout.labels)}. Name a word for each class."
        )


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        content: Any = yaml.safe_load(read_text(path)) or {}
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: found {type(content).__name__}; needed keys and values such as "
            "columns, labels, text"
        )
    try:
        return LayoutFile.model_validate(content).model_dump()
    except ValidationError as error:
        fault = error.errors()[0]
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if fault["type"] == "extra_forbidden":
            known = did_you_mean(key, LayoutFile.model_fields)
            raise DataError(f"{path}: unknown key {key!r}; {known}") from None
        what = fault["msg"].removeprefix("Value error, ")
        raise DataError(
            f"{path}: {f'{key}: ' if key else ''}{what}; correct the key"
        ) from None
