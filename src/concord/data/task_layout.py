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

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from concord.data.classification import ALL_LABELS, LAYOUT_FILE, SLOTS, Layout
from concord.data.yaml_file import Quoted, read_yaml_file
from concord.errors import DataError, did_you_mean

OWN_LAYOUT = Layout(("sentence1", "sentence2"))


class LayoutFile(BaseModel):
    """What ``task.yaml`` says; None says nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    columns: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)] | None = None
    label: str | None = None
    labels: Annotated[Quoted, Field(min_length=2)] | None = None
    symmetric: str | None = None
    scored: Literal["validation", "test"] | None = None
    text: str | None = None
    label_words: Annotated[Quoted, Field(min_length=2)] | None = None
    word: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "LayoutFile":
        if self.text is not None:
            _check_slots(self.text)
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
    layout, path = known or OWN_LAYOUT, folder / LAYOUT_FILE
    if not path.is_file():
        return layout
    found = read_yaml_file(path, LayoutFile, such_as="columns, labels, text")
    given = found.model_dump(exclude_none=True)
    layout = replace(layout, **given)
    if len(layout.columns) == 1 and "text" not in given:
        layout = replace(layout, text="{second}")
    if len(layout.columns) == 2 and "{first}" not in layout.text:
        raise DataError(
            f"{path}: text is {layout.text!r}, but with two columns it needs {{first}} "
            "and {second}. Write both."
        )
    return layout


def _check_slots(text: str) -> None:
    if "{second}" not in text:
        raise ValueError("text needs {second}, the last text of a row")
    for name in re.findall(r"\{(\w*)\}", text):
        if name not in SLOTS:
            raise ValueError(
                f"text has the slot {{{name}}}; {did_you_mean(name, SLOTS)}"
            )
