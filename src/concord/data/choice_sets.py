"""The multiple choice data sets of a study: MMLU, users' questions, users' tasks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from concord.data.choices import (
    STUDY_INSTRUCTIONS,
    ChoiceData,
    ChoiceItem,
    Question,
    Wording,
    count_questions,
    order_of,
    question_notes,
    worded_items,
)
from concord.data.draw import draw
from concord.data.fetch import data_folder
from concord.data.mmlu import read_mmlu
from concord.data.names import data_set_name, refuse_equal_names
from concord.data.perturbations import perturbations_by_name
from concord.data.questions import read_questions
from concord.data.task_file import SUFFIXES, read_task, task_items
from concord.errors import DataError
from concord.study import Study

Item = TypeVar("Item")


def read_choices(study: Study) -> tuple[ChoiceData, ...]:
    """Every multiple choice data set of a study, drawn to its limit.

    Raises:
        DataError: A file is missing or faulty.
        StudyError: An order, or two data sets of one name, cannot be used.
    """
    for name in study.choices.orders:
        order_of(name, 2)
    found = tuple(_read(name, study) for name in study.choices.datasets)
    refuse_equal_names("choices.datasets", "data sets", [one.name for one in found])
    return found


def choice_data(name: str, questions: Sequence[Question], study: Study) -> ChoiceData:
    """Questions in all instructions, perturbations and orders of a study.

    Args:
        name: Of the data set, as it stands in keys of the summary.
        questions: All of them; drawn to the study's limit.
        study: Says instructions, orders, perturbations, limit and seed.
    """
    worded = worded_items(
        _drawn(questions, study, key=lambda one: one.id),
        study.choices.instructions or STUDY_INSTRUCTIONS,
        perturbations_by_name(study.choices.perturbations, study.seed),
    )
    return _counted(name, *worded, found=len(questions), study=study)


def task_data(path: Path, study: Study) -> ChoiceData:
    """A task file's rows in all its instructions, with the study's perturbations."""
    task, rows = read_task(path)
    refuse_unequal_counts([row.question for row in rows], study)
    worded = task_items(
        path,
        task,
        _drawn(rows, study, key=lambda one: one.question.id),
        perturbations_by_name(study.choices.perturbations, study.seed),
    )
    return _counted(data_set_name(path), *worded, found=len(rows), study=study)


def _counted(
    name: str,
    items: tuple[ChoiceItem, ...],
    wordings: tuple[Wording, ...],
    *,
    found: int,
    study: Study,
) -> ChoiceData:
    orders = study.choices.orders
    counts = count_questions([item.question for item in items])
    counts["prompts"] = len(items) * len(wordings) * len(orders)
    notes = question_notes(counts)
    if len(items) < found:
        notes.append(
            f"{len(items):,} of {found:,} questions drawn with seed {study.seed}."
        )
    return ChoiceData(name, items, wordings, orders, counts, tuple(notes))


def _drawn(
    items: Sequence[Item], study: Study, *, key: Callable[[Item], str]
) -> list[Item]:
    """As many items as the study wants, by seed, in the order they came."""
    limit = study.choices.questions or study.limit
    if limit is None:
        return list(items)
    return draw(items, limit, seed=study.seed, key=key)


def _read(name: str, study: Study) -> ChoiceData:
    if name == "mmlu":
        folder = data_folder(study.data_dir, "mmlu")
        topics = study.choices.topics
        return choice_data("mmlu", read_mmlu(folder, topics=topics), study)
    path = Path(name)
    if not path.is_file():
        raise DataError(
            f"choices.datasets: found {name!r}; needed mmlu, or the path of questions "
            "(JSONL with question, options, answer) or of a task file (YAML)"
        )
    if path.suffix.lower() in SUFFIXES:
        return task_data(path, study)
    questions = read_questions(path)
    refuse_unequal_counts(questions, study)
    return choice_data(data_set_name(path), questions, study)


def refuse_unequal_counts(questions: Sequence[Question], study: Study) -> None:
    """Refuse the first question with more or fewer options than the first of all.

    An option that is missing by mistake would go unseen, and chance is another where
    there are fewer.

    Raises:
        DataError: Its place is named; not with ``choices.option_counts: any``.
    """
    if study.choices.option_counts == "any":
        return
    first = questions[0]
    for question in questions:
        if len(question.options) != len(first.options):
            raise DataError(
                f"{question.place}: {len(question.options)} options found, but "
                f"{first.place} has {len(first.options)}; needed as many in every "
                "row. Correct the row, or say that they may differ "
                "(choices.option_counts: any)."
            )
