"""Classification tasks in BECEL's layout: splits, and rows asked twice.

A task is a folder with ``train``, a scored split (``validation`` or ``test``) and, as
far as they exist, ``semantic``, ``negational`` and ``symmetric``; each ends in .tsv
(with CSV quoting, as BECEL's), .csv or .jsonl. Columns go by name.

A row of the last three is asked twice, as it is and changed. The text of the row itself
is used for the first question too: some of BECEL's rows are edited and match no row of
train or validation.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from concord.data.rows import Row, quoted_cells, read_rows
from concord.errors import DataError, did_you_mean

Kind = Literal["semantic", "negational", "symmetric", "symmetric_held_out"]
Split = Literal["train", "validation", "test"]
SUFFIXES = (".tsv", ".csv", ".jsonl")
LAYOUT_FILE = "task.yaml"
ALL_LABELS = "all"
PAIR_TEXT = (
    "Sentence 1: {first}\nSentence 2: {second}\nDo the two sentences mean the same?"
)
_ENDINGS: Mapping[Kind, tuple[str, ...]] = {
    "semantic": ("paraphrase", "paraphrased"),
    "negational": ("neg", "negation"),
    "symmetric": (),
}
SLOTS = ("first", "second", "word")
"""What ``{...}`` in a task's text may name."""
_SLOT = re.compile(rf"\{{({'|'.join(SLOTS)})\}}")


@dataclass(frozen=True)
class Layout:
    """How a task is laid out, and how its texts are put to a model."""

    columns: tuple[str, ...]
    """Names of the two text columns, or of the only one; the last one is changed."""
    labels: tuple[str, ...] = ()
    """The classes in order; empty: those of the training file, sorted."""
    symmetric: str = ALL_LABELS
    """The only class whose relation holds in both directions, or ``all``."""
    scored: Split | None = None
    """Split of the accuracy; None: test where there is one, else validation."""
    text: str = PAIR_TEXT
    """What a model reads: ``{first}``, ``{second}`` and ``{word}`` are filled in."""
    label_words: tuple[str, ...] = ()
    """A word for each class, where the head is the model's own vocabulary."""
    label: str = "label"
    """Column of the class."""
    word: str = "word"
    """Column of the word whose senses are compared, if the file has it."""
    rate: float = 1e-4
    """The study's best learning rate."""
    evaluate_every: int | None = None
    """Steps between two looks at the held-out rows; None: an epoch."""


@dataclass(frozen=True)
class Example:
    """A text, or a pair of texts, with its class."""

    first: str
    """Empty where the task has one text only."""
    second: str
    label: int
    """Place of the class among the task's labels."""
    word: str = ""
    """WiC: the word whose senses are compared."""

    @property
    def exchanged(self) -> "Example":
        """The two texts in the other order."""
        return replace(self, first=self.second, second=self.first)

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for both orders of the two texts."""
        low, high = sorted((self.first, self.second))
        return self.word, low, high

    def filled(self, text: str) -> str:
        """The example as a model reads it, all slots filled at once."""
        return _SLOT.sub(lambda slot: getattr(self, slot[1]), text)


@dataclass(frozen=True)
class Partners:
    """Two questions whose answers are expected to be equal, or to differ."""

    id: str
    original: Example
    changed: Example
    tag: str = ""
    """How a negated text was made: negation, antonym, rm_negation."""

    @property
    def cluster(self) -> str:
        """Rows of one original are drawn together: several negations share one."""
        original = self.original
        return "\x1f".join((original.word, original.first, original.second))


@dataclass(frozen=True)
class ClassificationTask:
    """Everything of one task that a folder holds."""

    name: str
    layout: Layout
    """Its labels and scored split known."""
    splits: Mapping[Split, tuple[Example, ...]]
    partners: Mapping[Kind, tuple[Partners, ...]]
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def scored(self) -> tuple[Example, ...]:
        """The rows of the accuracy."""
        assert self.layout.scored is not None
        return self.splits[self.layout.scored]


def read_folder(name: str, folder: Path, layout: Layout) -> ClassificationTask:
    """One task: its splits, and its semantic, negational and symmetric rows.

    Files that are not there are left out; the training file and the scored split must
    be there. ``symmetric`` holds the file's own rows, which in BECEL are made from
    training pairs but for SNLI; ``symmetric_held_out`` the exchanged pairs of the
    scored split.

    Raises:
        DataError: A file is missing or faulty, a label is not one of the training
            file's, or a class has no training row; file and line are named.
    """
    layout = _completed(folder, layout)
    assert layout.scored is not None
    splits: dict[Split, tuple[Example, ...]] = {}
    for split in ("train", "validation", "test"):
        path = file_of(folder, split)
        if path.is_file() or split in ("train", layout.scored):
            splits[split] = tuple(_example(row, layout) for row in _rows(path, layout))
        if split == "train":
            _refuse_empty_class(path, layout, splits["train"])
    _refuse_nothing_scored(folder, layout, splits)
    partners = _partners(folder, layout)
    if len(layout.columns) == 2:
        partners["symmetric_held_out"] = tuple(
            Partners(f"{layout.scored}:{number}", example, example.exchanged)
            for number, example in enumerate(splits[layout.scored], start=1)
            if layout.symmetric in (ALL_LABELS, layout.labels[example.label])
        )
    counts = {str(kind): len(found) for kind, found in (splits | partners).items()}
    return ClassificationTask(name, layout, splits, partners, counts)


def file_of(folder: Path, name: str) -> Path:
    """The file of that name, whatever its kind; that in BECEL's where there is none."""
    for suffix in SUFFIXES:
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    return folder / f"{name}{SUFFIXES[0]}"


def _completed(folder: Path, layout: Layout) -> Layout:
    """The layout with the scored split and the labels that the files show."""
    if layout.scored is None:
        has_test = file_of(folder, "test").is_file()
        layout = replace(layout, scored="test" if has_test else "validation")
    if not layout.labels:
        path = file_of(folder, "train")
        found = {row.identifier(layout.label).strip() for row in _rows(path, layout)}
        layout = replace(layout, labels=tuple(sorted(found, key=_by_number)))
    _check_labels(folder, layout)
    return layout


def _check_labels(folder: Path, layout: Layout) -> None:
    """What speaks of the classes speaks of those that there are."""
    classes = ", ".join(layout.labels)
    words = len(layout.label_words)
    if words and words != len(layout.labels):
        raise DataError(
            f"{folder / LAYOUT_FILE}: {words} label_words found, but "
            f"{len(layout.labels)} are needed, one for each of {classes}. Name a word "
            "for each class."
        )
    if layout.symmetric not in (ALL_LABELS, *layout.labels):
        known = did_you_mean(layout.symmetric, (ALL_LABELS, *layout.labels))
        raise DataError(
            f"{folder / LAYOUT_FILE}: symmetric is {layout.symmetric!r}; needed one of "
            f"the classes, or {ALL_LABELS}; {known}"
        )


def _by_number(label: str) -> tuple[int, str]:
    return (int(label) if label.isdecimal() else 0), label


def _refuse_empty_class(path: Path, layout: Layout, train: Sequence[Example]) -> None:
    """There are two classes or more, and each has a training row."""
    lines = f"{path}, all {len(train)} rows"
    if len(layout.labels) < 2:
        found = ", ".join(layout.labels) or "no class"
        raise DataError(
            f"{lines}: {found} found, but two or more classes are needed. Add rows of "
            f"another class, or name the right column ({layout.label!r} was read)."
        )
    for place, label in enumerate(layout.labels):
        if not any(example.label == place for example in train):
            raise DataError(
                f"{lines}: no row of class {label!r} found, but one or more of each "
                f"class is needed ({', '.join(layout.labels)}). Add such rows, or "
                "leave the class out of the labels."
            )


def _refuse_nothing_scored(
    folder: Path, layout: Layout, splits: Mapping[Split, Sequence[Example]]
) -> None:
    assert layout.scored is not None
    if not splits[layout.scored]:
        raise DataError(
            f"{file_of(folder, layout.scored)}, line 1: no rows found, but one or more "
            "are needed to score. Replace the file with a whole copy."
        )


def _partners(folder: Path, layout: Layout) -> dict[Kind, tuple[Partners, ...]]:
    found: dict[Kind, tuple[Partners, ...]] = {}
    for kind in _ENDINGS:
        path = file_of(folder, kind)
        if not path.is_file() or (kind == "symmetric" and len(layout.columns) < 2):
            continue
        rows = tuple(
            _changed(row, layout, kind, f"{kind}:{number}")
            for number, row in enumerate(_rows(path, layout), start=1)
        )
        if rows:
            found[kind] = rows
    return found


def _changed(row: Row, layout: Layout, kind: Kind, name: str) -> Partners:
    """The row and its changed last text; or, without one, its exchanged order."""
    example = _example(row, layout)
    if kind == "symmetric":
        # The file holds the exchanged order alone.
        return Partners(name, example.exchanged, example)
    names = [f"{layout.columns[-1]}_{ending}" for ending in _ENDINGS[kind]]
    label = example.label
    if kind == "negational":
        label = _label(row, "neg_label", layout)
    changed = replace(example, second=row.text(*names).strip(), label=label)
    return Partners(name, example, changed, row.optional_text("tag") or "")


def _example(row: Row, layout: Layout) -> Example:
    *first, second = (row.text(column).strip() for column in layout.columns)
    return Example(
        first=first[0] if first else "",
        second=second,
        label=_label(row, layout.label, layout),
        word=(row.optional_text(layout.word) or "").strip(),
    )


def _label(row: Row, column: str, layout: Layout) -> int:
    value = row.identifier(column).strip()
    if value not in layout.labels:
        raise DataError(
            f"{row.place}: {column} is {value!r}, but one of "
            f"{', '.join(layout.labels)} is needed. Correct the cell."
        )
    return layout.labels.index(value)


def _rows(path: Path, layout: Layout) -> Iterator[Row]:
    """Rows by column name, the columns of every file looked for first."""
    rows = _quoted_rows(path, layout) if path.suffix == ".tsv" else read_rows(path)
    for row in rows:
        for column in (layout.label, *layout.columns):
            row.column(column)
        yield row


def _quoted_rows(path: Path, layout: Layout) -> Iterator[Row]:
    """Tab-separated with CSV quoting; of columns that repeat the first counts."""
    lines = quoted_cells(path, delimiter="\t")
    _, header = next(lines, (1, []))
    missing = [name for name in (layout.label, *layout.columns) if name not in header]
    if missing:
        raise DataError(
            f"{path}, line 1: found columns {', '.join(header) or 'none'}; needed "
            f"{', '.join(missing)}{_near(missing[0], header)}. Rename the column, or "
            "get the file again."
        )
    for line, cells in lines:
        place = f"{path}, line {line}"
        if len(cells) != len(header):
            raise DataError(
                f"{place}: {len(cells)} cells found, but {len(header)} are needed "
                f"({', '.join(header)}). Correct the line."
            )
        named = zip(reversed(header), reversed(cells), strict=True)
        yield Row(place, dict(named))


def _near(name: str, known: Sequence[str]) -> str:
    return f": {did_you_mean(name, known)}" if known else ""
