"""A user's own multiple choice questions: JSON lines with 2 to 10 options each.

A line holds ``question``, ``options`` (a list of texts, or one text with a line
``A. ...`` for each option), ``answer`` (the letter, or the text, of the right option)
and, if wanted, ``topic``, ``id``, ``group`` (questions of one group are wordings of one
question) and ``cluster`` (questions about one text).
"""

import re
from pathlib import Path

from concord.data.choices import LETTERS, MOST_OPTIONS, Question
from concord.data.rows import Row, read_rows
from concord.errors import DataError

_LETTERED = re.compile(r"\s*([A-J])[.)]\s+(\S.*)")


def read_questions(path: Path) -> list[Question]:
    """The questions of a file; whether their options are as many is not looked at.

    Raises:
        DataError: The file is missing or faulty; file and line are named.
    """
    questions = [
        question_of(row, path, number)
        for number, row in enumerate(read_rows(path), start=1)
    ]
    refuse_repeated_ids(questions)
    return questions


def question_of(
    row: Row, path: Path, number: int, *, options: tuple[str, ...] | None = None
) -> Question:
    """One row as a question.

    Args:
        row: The row.
        path: The file, whose name stands in for a missing topic.
        number: The row's number, which stands in for a missing id.
        options: The same options for every row, in place of the row's own.

    Raises:
        DataError: A column is missing or holds something else than it should.
    """
    found = options or options_of(row)
    has_id = row.cells.get("id") is not None
    return Question(
        id=row.identifier("id") if has_id else f"{path.stem}:{number}",
        topic=(row.optional_text("topic") or path.stem).strip(),
        question=row.text("question").strip(),
        options=found,
        answer=answer_of(row, found),
        place=row.place,
        group=optional_identifier(row, "group"),
        cluster=optional_identifier(row, "cluster"),
    )


def optional_identifier(row: Row, name: str) -> str | None:
    """The cell as an identifier, or None where the column is missing or null."""
    return None if row.cells.get(name) is None else row.identifier(name)


def options_of(row: Row) -> tuple[str, ...]:
    """The row's options, stripped.

    Raises:
        DataError: They are no list of texts, or not 2 to 10, or one is empty.
    """
    cell = row.cells[row.column("options")]
    given = _lettered_lines(cell, row.place) if isinstance(cell, str) else cell
    if not isinstance(given, list) or not all(isinstance(o, str) for o in given):
        raise DataError(
            f"{row.place}: 'options' holds {given!r}, but a list of texts is needed. "
            'Put each option in quotes, as ["3", "4"].'
        )
    check_options(given, row.place)
    return tuple(option.strip() for option in given)


def check_options(options: list[str], place: str) -> None:
    """Refuse too few, too many and empty options.

    Raises:
        DataError: See above.
    """
    if not 2 <= len(options) <= MOST_OPTIONS:
        raise DataError(
            f"{place}: {len(options)} options found, but 2 to {MOST_OPTIONS} are "
            "needed. Add or remove some."
        )
    for letter, option in zip(LETTERS, options, strict=False):
        if not option.strip():
            raise DataError(f"{place}: option {letter} is empty. Fill it in.")


def answer_of(row: Row, options: tuple[str, ...]) -> int:
    """Place of the right option: by its letter, or by its text.

    Raises:
        DataError: It is neither, or could be two of the options.
    """
    cell = row.cells[row.column("answer")]
    if not isinstance(cell, str):
        raise DataError(
            f"{row.place}: 'answer' holds {cell!r}, but the letter or the text of the "
            'right option is needed. Put it in quotes, as "B".'
        )
    answer, letters = cell.strip(), LETTERS[: len(options)]
    lettered = _LETTERED.fullmatch(answer)
    readings = {place for place, option in enumerate(options) if option == answer}
    if len(answer) == 1 and answer in letters:
        readings.add(letters.index(answer))
    elif not readings and lettered and lettered[1] in letters:
        readings.add(letters.index(lettered[1]))
    if len(readings) != 1:
        found = "is none" if not readings else f"could be {len(readings)}"
        raise DataError(
            f"{row.place}: the answer {answer!r} {found} of the {len(options)} options "
            f"({', '.join(map(repr, options))}); needed one of the letters "
            f"{letters[0]} to {letters[-1]}, or the text of one option. Correct it."
        )
    return readings.pop()


def refuse_repeated_ids(questions: list[Question]) -> None:
    """Refuse two questions of one id.

    Raises:
        DataError: Both places are named.
    """
    first: dict[str, str] = {}
    for question in questions:
        if first.setdefault(question.id, question.place) != question.place:
            raise DataError(
                f"{question.place}: id {question.id!r} stands at "
                f"{first[question.id]} already. Give each question its own id."
            )


def _lettered_lines(text: str, place: str) -> list[str]:
    """``A. one`` line after line -> the options; lines without a letter are left out.

    Letters must run from A without a gap.
    """
    found = [match for line in text.split("\n") if (match := _LETTERED.fullmatch(line))]
    letters = "".join(match[1] for match in found)
    if not letters or letters != LETTERS[: len(letters)]:
        raise DataError(
            f"{place}: 'options' is one text whose lines have the letters "
            f"{letters or 'none'!r}, but A, B, C and so on, without a gap, are needed. "
            "Correct it, or give a list of texts."
        )
    return [match[2] for match in found]
