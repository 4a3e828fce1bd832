"""MMLU's test files as published: one CSV for each topic, no header.

Source: Hendrycks et al. (2021), Measuring Massive Multitask Language Understanding.
Quoted cells hold line breaks, options may be the word None or a bare number, and some
cells have blanks at their edges: everything is text, and edges are stripped.
"""

from collections.abc import Sequence
from pathlib import Path

from concord.data.choices import Question
from concord.data.rows import Row, read_headerless
from concord.errors import DataError, did_you_mean

SUFFIX = "_test.csv"
COLUMNS = ("question", "A", "B", "C", "D", "answer")


def read_mmlu(folder: Path, *, topics: Sequence[str] | None = None) -> list[Question]:
    """The test questions of all topics, or of some, in the order of their names.

    Args:
        folder: Holds ``test/<topic>_test.csv``, or these files themselves.
        topics: Names of topics, as in the names of the files; None: all.

    Raises:
        DataError: The folder, a topic, a cell or a right answer is missing or faulty.
    """
    inner = folder / "test"
    place = inner if inner.is_dir() else folder
    files = {path.name.removesuffix(SUFFIX): path for path in place.glob(f"*{SUFFIX}")}
    if not files:
        raise DataError(
            f"{place}: no file *{SUFFIX} found; needed MMLU's test files, one CSV for "
            "each topic. Unpack MMLU's data there, or correct --data-dir."
        )
    for topic in topics or ():
        if topic not in files:
            raise DataError(
                f"{place}: no topic {topic!r}; {did_you_mean(topic, files)}"
            )
    return [
        _question(row, topic, number)
        for topic in sorted(topics or files)
        for number, row in enumerate(read_headerless(files[topic], COLUMNS), start=1)
    ]


def _question(row: Row, topic: str, number: int) -> Question:
    answer = row.text("answer").strip()
    if answer not in ("A", "B", "C", "D"):
        raise DataError(
            f"{row.place}: the right answer is {answer!r}, but A, B, C or D is needed. "
            "Correct the last cell."
        )
    return Question(
        id=f"{topic}:{number}",
        topic=topic,
        question=row.text("question").strip(),
        options=tuple(row.text(letter).strip() for letter in "ABCD"),
        answer="ABCD".index(answer),
        place=row.place,
    )
