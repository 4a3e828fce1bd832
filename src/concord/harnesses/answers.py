"""Samples of several models -> rows of predictions, on one numbering for all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from concord.errors import DataError
from concord.harnesses.samples import Sample, value_at

Cell = tuple[str, str, str, int]
"""Relation, group, variant and repeat: one prompt of one model."""


@dataclass(frozen=True)
class Keys:
    """Which fields of a question say what it is a wording of."""

    group: str
    """Questions with the same value ask the same."""
    variant: str | None = None
    """Names the wording; by default the questions of a group are counted, in the order
    of their ids."""
    relation: str | None = None
    """Questions that share their options; by default the task's name."""
    choices: str | None = None
    """Lists the options' texts, where only letters were scored."""
    metric: str | None = None
    """The logged number that says right or wrong."""


@dataclass(frozen=True)
class Numbering:
    """The numbers that wordings and answers have in every model's rows."""

    templates: Mapping[str, Mapping[str, int]]
    """Relation -> variant -> index, in the order of first appearance."""
    answers: Mapping[str, Mapping[str, int]]
    """Relation -> text of an answer -> index, in the order of code points."""
    candidate_count: Mapping[str, int]
    """Relation -> options of its questions, or else the distinct answers logged."""


def cells_of(samples: Iterable[Sample], keys: Keys) -> dict[Cell, Sample]:
    """Every sample by what it asks.

    Raises:
        DataError: A key is missing in a question, two samples are the same wording of
            a group, or nothing says whether an answer is right.
    """
    cells: dict[Cell, Sample] = {}
    counted: dict[tuple[str, str, int], int] = {}
    for sample in samples if keys.variant else _by_id(samples):
        relation = (
            value_at(sample, keys.relation, "--relation")
            if keys.relation
            else sample.task
        )
        group = value_at(sample, keys.group, "--group")
        if keys.variant:
            variant = value_at(sample, keys.variant, "--variant")
        else:
            place = (relation, group, sample.repeat)
            counted[place] = counted.get(place, -1) + 1
            variant = str(counted[place])
        cell = (relation, group, variant, sample.repeat)
        if cell in cells:
            raise DataError(
                f"{sample.place}: variant {variant!r} of group {group!r} was at "
                f"{cells[cell].place} already; needed each wording once; name the "
                "field that tells wordings apart with --variant, or leave it out"
            )
        if sample.is_correct is None:
            raise DataError(
                f"{sample.place}: found neither a target among the options nor a "
                "number that is 0 or 1; needed one of them to know right from wrong; "
                "name the number with --metric"
            )
        cells[cell] = sample
    return cells


def _by_id(samples: Iterable[Sample]) -> list[Sample]:
    """Samples in the order of their questions, which all logs of a task share."""
    places: dict[tuple[str, str, int], str] = {}
    ordered = sorted(samples, key=lambda one: (one.task, _order(one)))
    for one in ordered:
        question = one.task, str(one.id), one.repeat
        if question in places:
            raise DataError(
                f"{one.place}: question {one.id!r} of {one.task} was at "
                f"{places[question]} already; needed each once; name the field that "
                "tells wordings apart with --variant, or give one log of each task"
            )
        places[question] = one.place
    return ordered


def _order(sample: Sample) -> tuple[int, int, str]:
    """Numbers by size, then names."""
    if sample.id is None:
        raise DataError(
            f"{sample.place}: found no id of the question, by which the wordings of a "
            "group could be counted; name the field that tells them apart with "
            "--variant"
        )
    name = str(sample.id)
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def require_same_questions(models: Sequence[Mapping[Cell, Sample]]) -> None:
    """Refuse wordings that were counted differently in two logs.

    Raises:
        DataError: The same place in a group is another question in another log.
    """
    for cells in models[1:]:
        for cell, sample in cells.items():
            base = models[0].get(cell)
            if base is not None and _question(base) != _question(sample):
                raise DataError(
                    f"{sample.place}: wording {cell[2]} of group {cell[1]!r} is "
                    f"question {sample.id!r} of {sample.task}, but in {base.place} it "
                    f"is {base.id!r} of {base.task}: the wordings do not line up; name "
                    "the field that tells them apart with --variant, or give logs of "
                    "the same questions"
                )


def _question(sample: Sample) -> tuple[str, str]:
    return sample.task, str(sample.id)


def number(models: Sequence[Mapping[Cell, Sample]]) -> Numbering:
    """One numbering for the samples of all models.

    Raises:
        DataError: No group has two wordings, so that there is no agreement.
    """
    templates: dict[str, dict[str, int]] = {}
    answers: dict[str, set[str]] = {}
    options: dict[str, set[tuple[str, ...]]] = {}
    for cells in models:
        for (relation, _, variant, _), sample in cells.items():
            known = templates.setdefault(relation, {})
            known.setdefault(variant, len(known))
            texts = {*sample.choices, sample.answer, sample.target} - {None}
            answers.setdefault(relation, set()).update(map(str, texts))
            options.setdefault(relation, set()).add(tuple(sorted(sample.choices)))
    if all(len(known) < 2 for known in templates.values()):
        raise DataError(
            "no group has two wordings, so answers cannot agree or disagree; name the "
            "field that all wordings of a question share with --group"
        )
    return Numbering(
        templates,
        {name: _numbered(own) for name, own in answers.items()},
        {name: _count(own, len(answers[name])) for name, own in options.items()},
    )


def _numbered(texts: set[str]) -> dict[str, int]:
    return {text: index for index, text in enumerate(sorted(texts))}


def _count(options: set[tuple[str, ...]], answers: int) -> int:
    """Candidates of a relation: its options where all questions share them."""
    shared = next(iter(options)) if len(options) == 1 else ()
    return len(shared) or answers


def rows_of(cells: Mapping[Cell, Sample], numbering: Numbering) -> pa.Table:
    """One row for each prompt, as `concord.analyses.facts` writes them.

    What logs do not hold is null: scores and margins of generated text, and the free
    prediction. An answer is trivial where a wording of its group holds it.
    """
    objects: dict[tuple[str, str], str | None] = {}
    for (relation, group, _, _), sample in cells.items():
        objects[relation, group] = objects.get((relation, group)) or sample.target
    trivial = {
        cell[:2]
        for cell, sample in cells.items()
        if (objects[cell[:2]] or "\0").lower() in sample.prompt.lower()
    }
    rows = [
        _row(cell, one, objects[cell[:2]], numbering)
        | {"is_trivial": cell[:2] in trivial}
        for cell, one in cells.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


SCHEMA = pa.schema(
    [
        ("contexts", pa.string()),
        ("context", pa.int8()),
        ("relation", pa.string()),
        ("fact", pa.string()),
        ("subject", pa.string()),
        ("object", pa.string()),
        ("template", pa.int16()),
        ("prompt", pa.string()),
        ("prediction", pa.string()),
        ("prediction_index", pa.int32()),
        ("score", pa.float32()),
        ("runner_up", pa.string()),
        ("margin", pa.float32()),
        ("margin_is_exact", pa.bool_()),
        ("is_tie", pa.bool_()),
        ("is_correct", pa.bool_()),
        ("is_trivial", pa.bool_()),
        ("is_shadowing", pa.bool_()),
        ("free_prediction", pa.string()),
        ("free_log_probability", pa.float32()),
        ("candidate_count", pa.int32()),
    ]
)


def _row(
    cell: Cell,
    sample: Sample,
    target: str | None,
    numbering: Numbering,
) -> dict[str, object]:
    relation, group, variant, repeat = cell
    return {
        "contexts": "study",
        "context": repeat,
        "relation": relation,
        "fact": f"{relation}:{group}",
        "subject": group,
        "object": target,
        "template": numbering.templates[relation][variant],
        "prompt": sample.prompt,
        "prediction": sample.answer,
        "prediction_index": numbering.answers[relation].get(sample.answer or ""),
        "is_correct": bool(sample.is_correct) and sample.answer is not None,
        "candidate_count": numbering.candidate_count[relation],
        **_scores(sample),
    }


def _scores(sample: Sample) -> dict[str, object]:
    """Score, runner-up and margin, where every option has a log-probability."""
    if len(sample.scores) < 1:
        return {}
    order = sorted(
        range(len(sample.scores)), key=lambda place: (-sample.scores[place], place)
    )
    best = sample.scores[order[0]]
    if len(order) == 1:
        return {"score": best, "is_tie": False}
    second = sample.scores[order[1]]
    return {
        "score": best,
        "runner_up": sample.choices[order[1]],
        "margin": best - second,
        "margin_is_exact": True,
        "is_tie": best == second,
    }
