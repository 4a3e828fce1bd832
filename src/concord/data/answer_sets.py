"""The tasks with free answers that a study names."""

from pathlib import Path

from concord.data.draw import draw
from concord.data.free_tasks import FreeData, free_items, item_id, read_free_task
from concord.data.names import data_set_name, refuse_equal_names
from concord.data.perturbations import perturbations_by_name
from concord.errors import DataError, StudyError
from concord.study import Study


def read_answer_tasks(study: Study) -> tuple[FreeData, ...]:
    """Every task with free answers of a study, drawn to its limit.

    Raises:
        DataError: A file is missing or faulty.
        StudyError: No task is named, or two have one name.
    """
    if not study.answers.tasks:
        raise StudyError(
            "answers.tasks: none found; needed the path of a task file (YAML with "
            "kind: free): give --set answers.tasks=FILE, or leave answers out"
        )
    found = tuple(_read(Path(name), study) for name in study.answers.tasks)
    refuse_equal_names("answers.tasks", "tasks", [one.name for one in found])
    return found


def _read(path: Path, study: Study) -> FreeData:
    if not path.is_file():
        raise DataError(
            f"answers.tasks: found {str(path)!r}; needed the path of a task file (YAML "
            "with kind: free)"
        )
    task, rows = read_free_task(path)
    limit = study.answers.questions or study.limit
    kept = rows
    if limit is not None:
        kept = draw(rows, limit, seed=study.seed, key=lambda row: item_id(task, row))
    perturbations = perturbations_by_name(study.answers.perturbations, study.seed)
    items, wordings = free_items(path, task, kept, perturbations)
    counts = {
        "questions": len(items),
        "instructions": len(task.instructions),
        "groups": len({item.group for item in items if item.group is not None}),
        "prompts": len(items) * len(wordings),
    }
    notes = []
    if len(kept) < len(rows):
        notes.append(
            f"{len(kept):,} of {len(rows):,} questions drawn with seed {study.seed}."
        )
    return FreeData(
        name=data_set_name(path),
        items=items,
        wordings=wordings,
        max_tokens=task.max_tokens,
        stop=task.stop,
        pattern=task.pattern,
        counts=counts,
        notes=tuple(notes),
    )
