"""A user's own task: a YAML file that names data, a prompt and instructions.

::

    data: questions.jsonl          # beside the task file; any format with columns
    options: ["yes", "no"]         # or the name of a column that holds them
    answer: answer                 # column: letter or text of the right option
    instructions:                  # wordings of one task
      - Answer the question.
      - Read the passage and answer.
    prompt: |
      {{ instruction }}

      {{ passage }}
      Question: {{ question }}
      {{ options }}
      Answer:
    group: fact                    # column: rows of one group should be answered alike
    cluster: title                 # column: rows of one cluster are drawn together
    perturb: [question]            # columns that perturbations may change

With ``kind: free`` there are no options: the model writes its answer (`free_tasks`).

The prompt is a Jinja template in a sandbox: it sees the columns of the row, the
instruction and the options, and nothing else, neither Jinja's functions nor chance, so
that every reading gives the same prompts. Logic stays in data and code; the
template places text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field

from concord.data.choices import ChoiceItem, Question, Wording
from concord.data.questions import check_options, question_of, refuse_repeated_ids
from concord.data.rows import Row, read_rows
from concord.data.yaml_file import Quoted, read_yaml_file
from concord.errors import DataError

SUFFIXES = (".yaml", ".yml")
_PLACE = "concord-place-of-the-options"
_SUCH_AS = "data, prompt, options, answer, instructions"


class TaskFile(BaseModel):
    """What a task file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Annotated[str, Field(min_length=1)]
    """Path of the rows, from the task file's folder."""
    prompt: Annotated[str, Field(min_length=1)]
    options: Quoted | str = "options"
    """The options of every row, or the column that holds them."""
    answer: str = "answer"
    instructions: Annotated[tuple[str, ...], Field(min_length=1)] = ("",)
    kind: Literal["choice", "free"] = "choice"
    """Whether an option is chosen or an answer is written."""
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 16
    """Longest written answer."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ("\n",)
    """Texts at which a written answer ends."""
    pattern: str | None = None
    """Regular expression that finds the answer in what was written: its first group,
    or all it matches."""
    id: str | None = None
    topic: str | None = None
    group: str | None = None
    cluster: str | None = None
    perturb: tuple[str, ...] = ("question",)


_OF_ONE_KIND = {"choice": ("options",), "free": ("max_tokens", "stop", "pattern")}
"""Keys that only tasks of one kind have."""


_OF_A_TEMPLATE = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a user's template can raise while it is filled."""


@dataclass(frozen=True)
class TaskRow:
    """A row of a task: the question it asks, and its columns for the prompt."""

    question: Question
    row: Row


Perturb = Callable[[str, str], str]


def read_task(path: Path) -> tuple[TaskFile, list[TaskRow]]:
    """A task file and its rows, every prompt rendered once to find faults early.

    Raises:
        DataError: A key is unknown or missing, the template cannot be used, or a row is
            faulty; the file and, for rows, the line are named.
    """
    task = parse_task(path, kind="choice")
    if not isinstance(task.options, str):
        check_options(list(task.options), f"{path}: options")
    template = template_of(task, path)
    source = path.parent / task.data
    rows = []
    for number, row in enumerate(read_rows(source), start=1):
        before, after = _frame(template, row, task.instructions[0], path)
        rows.append(TaskRow(_question(task, row, source, number, before + after), row))
    refuse_repeated_ids([row.question for row in rows])
    return task, rows


def task_items(
    path: Path,
    task: TaskFile,
    rows: Sequence[TaskRow],
    perturbations: Mapping[str, Perturb],
) -> tuple[tuple[ChoiceItem, ...], tuple[Wording, ...]]:
    """Rows in every instruction; and, in the first, with every perturbation.

    Raises:
        DataError: A column that is to be changed is missing or no text.
    """
    template, first = template_of(task, path), task.instructions[0]
    items = []
    for one in rows:
        frames = [_frame(template, one.row, text, path) for text in task.instructions]
        for change in perturbations.values():
            changed = changed_row(one.row, task.perturb, one.question.id, change)
            frames.append(_frame(template, changed, first, path))
        items.append(ChoiceItem(one.question, tuple(frames)))
    return tuple(items), wordings_of(task, perturbations)


def wordings_of(
    task: TaskFile, perturbations: Mapping[str, Perturb]
) -> tuple[Wording, ...]:
    """Every instruction; and the first with every perturbation."""
    plain = [Wording(index) for index in range(len(task.instructions))]
    return (*plain, *(Wording(0, name) for name in perturbations))


def parse_task(path: Path, *, kind: Literal["choice", "free"]) -> TaskFile:
    """A task file of one kind.

    Raises:
        DataError: It is no task, of the other kind, or has keys that this kind lacks.
    """
    task = read_yaml_file(path, TaskFile, such_as=_SUCH_AS)
    if task.kind != kind:
        home = {"choice": "choices.datasets", "free": "answers.tasks"}[task.kind]
        raise DataError(
            f"{path}: kind: found {task.kind!r}, but {kind!r} is needed here; name "
            f"the task under {home}, or correct the key"
        )
    for other, keys in _OF_ONE_KIND.items():
        odd = sorted(task.model_fields_set.intersection(keys))
        if other != kind and odd:
            raise DataError(
                f"{path}: {odd[0]}: found in a task of kind {kind!r}, which has none; "
                f"needed only for kind {other!r}: remove the key, or set kind: {other}"
            )
    return task


def template_of(task: TaskFile, path: Path) -> Template:
    """The prompt, compiled in the sandbox.

    Raises:
        DataError: It is no Jinja template.
    """
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=False
    )
    environment.globals.clear()
    del environment.filters["random"]
    try:
        return environment.from_string(task.prompt)
    except TemplateError as error:
        raise DataError(f"{path}: prompt: not a Jinja template ({error})") from None


def _frame(
    template: Template, row: Row, instruction: str, path: Path
) -> tuple[str, str]:
    """The prompt before and after its options, white space at its ends left out."""
    text = rendered(template, row, path, instruction=instruction, options=_PLACE)
    if text.count(_PLACE) != 1:
        raise DataError(
            f"{path}: the prompt prints the options {text.count(_PLACE)} times; needed "
            "{{ options }} exactly once"
        )
    before, after = text.split(_PLACE)
    return before, after


def rendered(template: Template, row: Row, path: Path, **added: str) -> str:
    """The prompt of a row, white space at its ends left out.

    Args:
        template: The prompt.
        row: Its columns are seen by the template.
        path: The task file, for the message.
        **added: What it sees beside them.

    Raises:
        DataError: The template asks for something that there is not.
    """
    cells = {**row.cells, **added}
    try:
        return template.render(cells).strip()
    except _OF_A_TEMPLATE as error:
        known = ", ".join(sorted(map(str, cells)))
        said = str(error) or type(error).__name__
        raise DataError(
            f"{row.place}: the prompt of {path} cannot be filled ({said}); known "
            f"here: {known}. Correct the prompt, or the row."
        ) from None


def _question(
    task: TaskFile, row: Row, source: Path, number: int, asked: str
) -> Question:
    """The row under the names that questions have."""
    cells: dict[str, object] = {"question": asked}
    columns = {"answer": task.answer, "id": task.id, "topic": task.topic}
    columns |= {"group": task.group, "cluster": task.cluster}
    if isinstance(task.options, str):
        columns["options"] = task.options
    for name, column in columns.items():
        if column is not None:
            cells[name] = row.cells[row.column(column)]
    fixed = None if isinstance(task.options, str) else task.options
    return question_of(Row(row.place, cells), source, number, options=fixed)


def changed_row(row: Row, columns: Sequence[str], item: str, change: Perturb) -> Row:
    """The row with a perturbation made to some of its columns.

    Raises:
        DataError: One of the columns is missing or no text.
    """
    changed = {name: change(row.text(name), item) for name in columns}
    return Row(row.place, {**row.cells, **changed})
