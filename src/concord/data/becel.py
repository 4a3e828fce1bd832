"""BECEL: classification pairs with a paraphrased, negated or exchanged partner.

Source: Jang, Kwon and Lukasiewicz (2022), BECEL. Tab-separated with CSV quoting (the
opposite of MRPC's files); columns go by name, which differ between files and README.

A row is asked twice, as it is and changed. The text of the row itself is used for the
first question too: some rows are edited and match no row of train or validation.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from concord.data.rows import Row, read_text
from concord.errors import DataError, StudyError, did_you_mean

Kind = Literal["semantic", "negational", "symmetric", "symmetric_held_out"]
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Layout:
    """How one of BECEL's tasks is laid out."""

    first: str
    second: str
    labels: int
    symmetric_label: int | None
    """The only label whose relation holds in both directions; None: all do."""
    scored: Split
    """Split of the accuracy, and of the pairs that are exchanged."""


LAYOUTS: Mapping[str, Layout] = {
    "snli": Layout("premise", "hypothesis", 3, 2, "test"),
    "rte": Layout("sentence1", "sentence2", 2, 1, "validation"),
    "mrpc": Layout("sentence1", "sentence2", 2, None, "test"),
    "wic": Layout("sentence1", "sentence2", 2, None, "validation"),
}


@dataclass(frozen=True)
class Example:
    """A pair of texts with its class."""

    first: str
    second: str
    label: int
    word: str = ""
    """WiC: the word whose senses are compared."""


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
class BecelTask:
    """Everything of one task that a folder holds."""

    name: str
    splits: Mapping[Split, tuple[Example, ...]]
    partners: Mapping[Kind, tuple[Partners, ...]]
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def label_count(self) -> int:
        """Number of classes."""
        return LAYOUTS[self.name].labels


def read_becel(folder: Path, task: str) -> BecelTask:
    """One task: its splits, and its semantic, negational and symmetric rows.

    Files that are not there (BECEL has no test file for some tasks) are left out; the
    training file and the scored split must be there. ``symmetric`` holds BECEL's own
    rows, made from training pairs but for SNLI; ``symmetric_held_out`` the exchanged
    pairs of the scored split.

    Args:
        folder: Holds ``<task>/train.tsv`` and the other files.
        task: snli, rte, mrpc or wic.

    Raises:
        StudyError: The task is not known.
        DataError: A file is missing or faulty; file and line are named.
    """
    if task not in LAYOUTS:
        raise StudyError(f"BECEL task {task!r}: {did_you_mean(task, LAYOUTS)}")
    layout = LAYOUTS[task]
    splits: dict[Split, tuple[Example, ...]] = {}
    for split in ("train", "validation", "test"):
        path = folder / task / f"{split}.tsv"
        if path.is_file() or split in ("train", layout.scored):
            rows = _rows(path)
            splits[split] = tuple(_example(row, layout, layout.second) for row in rows)
    partners = _partners(folder / task, layout)
    partners["symmetric_held_out"] = tuple(
        _exchanged(example, f"{layout.scored}:{number}")
        for number, example in enumerate(splits[layout.scored], start=1)
        if layout.symmetric_label in (None, example.label)
    )
    counts = {str(name): len(found) for name, found in (splits | partners).items()}
    notes = _notes(task, partners)
    return BecelTask(task, splits, partners, counts, tuple(notes))


def _partners(folder: Path, layout: Layout) -> dict[Kind, tuple[Partners, ...]]:
    found: dict[Kind, tuple[Partners, ...]] = {}
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("semantic", ("paraphrase", "paraphrased")),
        ("negational", ("neg", "negation")),
        ("symmetric", ()),
    )
    for kind, endings in kinds:
        path = folder / f"{kind}.tsv"
        if not path.is_file():
            continue
        names = [f"{layout.second}_{ending}" for ending in endings]
        found[kind] = tuple(
            _changed(row, layout, names, f"{kind}:{number}")
            for number, row in enumerate(_rows(path), start=1)
        )
    return found


def _changed(row: Row, layout: Layout, names: Sequence[str], name: str) -> Partners:
    """The row and its changed second text; or, without one, its exchanged order."""
    example = _example(row, layout, layout.second)
    if not names:
        # The file holds the exchanged order alone.
        original = _exchanged(example, name).changed
        return Partners(name, original, example)
    has_label = "neg_label" in row.cells
    changed = Example(
        example.first,
        row.text(*names).strip(),
        _label(row, "neg_label", layout) if has_label else example.label,
        example.word,
    )
    return Partners(name, example, changed, row.optional_text("tag") or "")


def _exchanged(example: Example, name: str) -> Partners:
    turned = Example(example.second, example.first, example.label, example.word)
    return Partners(name, example, turned)


def _example(row: Row, layout: Layout, second: str) -> Example:
    return Example(
        first=row.text(layout.first).strip(),
        second=row.text(second).strip(),
        label=_label(row, "label", layout),
        word=(row.optional_text("word") or "").strip(),
    )


def _label(row: Row, column: str, layout: Layout) -> int:
    value = row.text(column).strip()
    known = [str(label) for label in range(layout.labels)]
    if value not in known:
        raise DataError(
            f"{row.place}: {column} is {value!r}, but one of {', '.join(known)} is "
            "needed. Correct the cell."
        )
    return int(value)


def _rows(path: Path) -> Iterator[Row]:
    """Rows by column name; of columns that repeat (index, in MRPC) the first counts."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t")
    header = next(reader, [])
    if "label" not in header:
        raise DataError(
            f"{path}, line 1: found columns {', '.join(header) or 'none'}; needed "
            "label and the two texts. Get the file again."
        )
    for cells in reader:
        place = f"{path}, line {reader.line_num}"
        if len(cells) != len(header):
            raise DataError(
                f"{place}: {len(cells)} cells found, but {len(header)} are needed "
                f"({', '.join(header)}). Correct the line."
            )
        named = zip(reversed(header), reversed(cells), strict=True)
        yield Row(place, dict(named))


def _notes(task: str, partners: Mapping[Kind, tuple[Partners, ...]]) -> list[str]:
    notes = []
    if partners.get("symmetric") and task != "snli":
        notes.append(
            f"{task}: BECEL's symmetric rows are exchanged training pairs; a model "
            "tuned on train has seen each of them in the other order."
        )
    negated = partners.get("negational", ())
    kept = sum(one.original.label == one.changed.label for one in negated)
    if kept:
        notes.append(
            f"{task}: in {kept:,} of {len(negated):,} negational rows the class stays, "
            "so an equal answer is right there; the published rule counts it as wrong."
        )
    return notes
