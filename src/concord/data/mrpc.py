"""Labelled sentence pairs: MRPC (Dolan & Brockett 2005), PAWS, and users' own.

MRPC circulates in two layouts and in copies that lost every row with a stray quote
character, so the counts found are reported, and a note says when they are known to be
short. Its licence allows non-commercial use only.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from concord.data.records import SentenceData, SentencePair
from concord.data.rows import Row, column_names, read_headerless, read_rows
from concord.data.sets import count_pairs
from concord.errors import DataError

SPLITS = ("train", "validation", "test")
FIRST_COLUMNS = ("first", "sentence1", "#1 String")
SECOND_COLUMNS = ("second", "sentence2", "#2 String")
LABEL_COLUMNS = ("is_paraphrase", "label", "Quality")
LABELS = {"1": True, "0": False, "true": True, "false": False}

WHOLE_COUNTS = {"train": 4_076, "test": 1_725}
SHORT_COUNTS = frozenset({4_045, 1_713, 3_962, 1_650})
"""Rows of train and test after readers that took quote characters for quoting."""


def read_mrpc(source: Path) -> SentenceData:
    """All pairs of MRPC, 5,801 in whole copies, each with its split in the id.

    Reads the original tables (``msr_paraphrase_train.txt``, quotes literal) and
    GLUE's columns (``sentence1``, ``sentence2``, ``label``; Parquet, JSON lines or
    tabs). Non-paraphrases are MRPC's own, near in wording, so its gap is small.

    Args:
        source: One file, or a folder of files with train, dev, validation or test in
            their names.

    Raises:
        DataError: No such file, a faulty row, or a row without a label.
    """
    files = _split_files(source)
    pairs: list[SentencePair] = []
    counts: dict[str, int] = {}
    notes: list[str] = []
    for split, file in files.items():
        rows = read_rows(file)
        counts[f"pairs_{split}"] = len(rows)
        pairs += _pairs(rows, split)
        if len(rows) in SHORT_COUNTS and WHOLE_COUNTS.get(split) != len(rows):
            notes.append(
                f"{file.name} has {len(rows):,} rows: as many as copies that lost rows "
                f"with quote characters (whole: {WHOLE_COUNTS.get(split, 0):,})."
            )
    return _sentence_data("mrpc", pairs, counts, notes)


def read_pairs(file: Path) -> SentenceData:
    """A user's own labelled pairs, or PAWS.

    With a header (JSON lines, CSV, tabs, Parquet) the columns are ``first``,
    ``second`` and ``is_paraphrase``, or ``sentence1``, ``sentence2`` and ``label``.
    Labels are 1 or true for paraphrases, 0 or false for others. A table whose first
    line is a row already, id, first, second and label, is read as PAWS's.

    Raises:
        DataError: The file is missing or faulty, or a label is neither.
    """
    if is_headerless(column_names(file)):
        rows = read_headerless(file, ("id", "sentence1", "sentence2", "label"))
    else:
        rows = read_rows(file)
    return _sentence_data(file.stem, _pairs(rows, file.stem), {}, [])


def is_headerless(cells: Sequence[str]) -> bool:
    """Whether a first line is a row of PAWS: four cells, the last of them a label."""
    return len(cells) == 4 and cells[-1] in LABELS


def _split_files(source: Path) -> dict[str, Path]:
    if source.is_file():
        return {_split_of(source) or source.stem: source}
    if not source.is_dir():
        raise DataError(
            f"{source}: no such file or folder. Name the folder that holds MRPC, or "
            "run: concord data get mrpc"
        )
    files: dict[str, Path] = {}
    for path in sorted(source.iterdir()):
        split = _split_of(path)
        if split is None or path.suffix not in (".txt", ".tsv", ".jsonl", ".parquet"):
            continue
        if split in files:
            raise DataError(
                f"{source}: both {files[split].name} and {path.name} look like "
                f"{split}, but one file is needed for each split. Remove one."
            )
        files[split] = path
    if not files:
        raise DataError(
            f"{source}: no file with train, dev, validation or test in its name. Put "
            "msr_paraphrase_train.txt and msr_paraphrase_test.txt there, or run: "
            "concord data get mrpc"
        )
    return {split: files[split] for split in SPLITS if split in files}


def _split_of(path: Path) -> str | None:
    words = set(re.findall("[a-z]+", path.stem.lower()))
    found = [
        split
        for split, names in (
            ("train", {"train"}),
            ("validation", {"validation", "dev", "valid"}),
            ("test", {"test"}),
        )
        if words & names
    ]
    return found[0] if len(found) == 1 else None


def _pairs(rows: Iterable[Row], prefix: str) -> list[SentencePair]:
    return [
        SentencePair(
            id=f"{prefix}:{number}",
            first=row.text(*FIRST_COLUMNS),
            second=row.text(*SECOND_COLUMNS),
            is_paraphrase=_label(row),
        )
        for number, row in enumerate(rows, start=1)
    ]


def _label(row: Row) -> bool:
    value = row.cells[row.column(*LABEL_COLUMNS)]
    label = LABELS.get(str(value).strip().lower())
    if label is None:
        raise DataError(
            f"{row.place}: label {value!r} found, but 1 or true (paraphrases) or 0 or "
            "false (not) is needed. Correct it, or leave out files without labels."
        )
    return label


def _sentence_data(
    name: str, pairs: list[SentencePair], counts: dict[str, int], notes: list[str]
) -> SentenceData:
    found = count_pairs(pairs)
    if count := found["pairs_identical"]:
        notes.append(f"{count:,} pairs hold the same sentence twice; they are kept.")
    if count := found["pairs_repeated"]:
        notes.append(f"{count:,} pairs repeat another pair; they are kept.")
    return SentenceData(
        name, pairs=tuple(pairs), counts={**counts, **found}, notes=tuple(notes)
    )
