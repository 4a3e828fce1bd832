"""What a model is fine-tuned on, what chooses its checkpoint, and what is scored.

The rows that choose (the rate, and when to stop) are never those that are scored: they
are the validation file where another split is scored, else a tenth of the training
rows. Rows with the same texts, in either order, stay on one side.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from concord.data.becel import LAYOUTS, read_becel, tasks_in
from concord.data.classification import (
    ClassificationTask,
    Example,
    Layout,
    Partners,
    read_folder,
)
from concord.data.draw import draw
from concord.data.fetch import data_folder
from concord.data.names import data_set_name, refuse_equal_names
from concord.data.task_layout import layout_of
from concord.errors import DataError, StudyError
from concord.results import fingerprint
from concord.study import Study

HELD_OUT_SHARE = 0.1
MEAN = "mean"
"""Stands for all tasks together in keys of the summary."""


@dataclass(frozen=True)
class TaskItem:
    """One text that a fine-tuned model classifies."""

    item: str
    split: str
    """held_out, scored, semantic, negational, symmetric or symmetric_held_out."""
    pair: str | None
    """The row it is one side of; None for the splits that are asked once."""
    is_changed: bool
    example: Example
    cluster: str
    """Items about one original text are drawn together."""
    is_in_training: bool
    """Its texts are trained on, in this or the other order."""


@dataclass(frozen=True)
class TrainingSet:
    """One task as every model of a study is fine-tuned and scored on it."""

    name: str
    layout: Layout
    train: tuple[Example, ...]
    items: tuple[TaskItem, ...]
    """All that is scored, the held-out rows first."""
    counts: dict[str, int]
    notes: tuple[str, ...]

    @cached_property
    def held_out(self) -> tuple[Example, ...]:
        """The rows that choose checkpoint and rate."""
        return tuple(one.example for one in self.items if one.split == "held_out")

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The distinct texts of all items, as a model reads them."""
        filled = (one.example.filled(self.layout.text) for one in self.items)
        return tuple(dict.fromkeys(filled))

    @property
    def fingerprint(self) -> str:
        """Hash of everything a row can depend on."""
        return fingerprint([repr(self.layout), repr(self.train), repr(self.items)])


def read_training_sets(study: Study) -> tuple[TrainingSet, ...]:
    """The tasks of a study, drawn to its limits.

    Raises:
        DataError: A file is missing or faulty, or no task is there.
        StudyError: Two tasks have one name, or a task cannot be held out from.
    """
    found = tuple(training_set(task, study) for task in _tasks(study))
    names = [one.name for one in found]
    refuse_equal_names("finetuned.tasks", "tasks", names, taken=(MEAN,))
    return found


def training_set(task: ClassificationTask, study: Study) -> TrainingSet:
    """One task, split and drawn to the study's limits by its seed."""
    config, seed = study.finetuned, study.seed
    train, held_out = _divided(task, config.train_examples, seed)
    trained = {example.key for example in train}
    limit = config.scored_examples or study.limit
    items = [
        *_once("held_out", held_out, trained, None, seed),
        *_once("scored", task.scored, trained, limit, seed),
        *(
            item
            for kind, partners in task.partners.items()
            for one in _drawn(partners, limit, seed)
            for item in _both(kind, one, trained)
        ),
    ]
    counts = {"train": len(train), **_sizes(items)}
    notes = [*task.notes, *_overlaps(task.name, items)]
    if len(train) + len(held_out) < len(task.splits["train"]):
        notes.append(
            f"{task.name}: {len(train):,} of {len(task.splits['train']):,} training "
            f"rows are trained on, drawn with seed {seed}."
        )
    return TrainingSet(
        task.name, task.layout, tuple(train), tuple(items), counts, tuple(notes)
    )


def questions_per_training(one: TrainingSet, *, epochs: int, batch: int) -> int:
    """Texts that one training reads in all, if it is not stopped early."""
    steps = epochs * math.ceil(len(one.train) / batch)
    looks = len(round_ends(steps, epochs, one.layout.evaluate_every))
    return epochs * len(one.train) + looks * len(one.held_out) + len(one.texts)


def round_ends(steps: int, epochs: int, every: int | None) -> list[int]:
    """Steps after which the held-out rows are looked at, the last one among them.

    Args:
        steps: Of the whole training.
        epochs: Passes over the training rows.
        every: Steps between two looks; None: one look at the end of each epoch.
    """
    size = every or steps // epochs
    return sorted({*range(size, steps, size), steps})


def _tasks(study: Study) -> Iterator[ClassificationTask]:
    named = study.finetuned.tasks
    if named is None:
        named = tasks_in(data_folder(study.data_dir, "becel"))
    for name in named:
        yield _task(name, study)


def _task(name: str, study: Study) -> ClassificationTask:
    if name in LAYOUTS:
        folder = data_folder(study.data_dir, "becel")
        return read_becel(folder, name, layout_of(folder / name, LAYOUTS[name]))
    path = Path(name)
    if not path.is_dir():
        raise DataError(
            f"finetuned.tasks: found {name!r}; needed {', '.join(LAYOUTS)}, or the "
            "folder of a task of your own with train.tsv (or .csv, .jsonl)"
        )
    return read_folder(data_set_name(path.resolve()), path, layout_of(path))


def _divided(
    task: ClassificationTask, count: int | None, seed: int
) -> tuple[list[Example], list[Example]]:
    """Rows to train on, and rows that choose; at most ``count`` of both together."""
    chosen = _of_each_class(list(task.splits["train"]), count, seed)
    if task.layout.scored == "test" and task.splits.get("validation"):
        return chosen, _of_each_class(list(task.splits["validation"]), count, seed)
    names = list(dict.fromkeys(map(_name, chosen)))
    size = math.ceil(HELD_OUT_SHARE * len(names))
    held = set(draw(names, size, seed=seed, key=str))
    train = [one for one in chosen if _name(one) not in held]
    if {one.label for one in train} != {one.label for one in chosen}:
        raise StudyError(
            f"{task.name}: {len(chosen)} training rows are too few to hold a tenth of "
            "them out and keep every class; give more (finetuned.train_examples), or "
            "put a validation and a test file into the folder"
        )
    return train, [one for one in chosen if _name(one) in held]


def _of_each_class(
    examples: list[Example], count: int | None, seed: int
) -> list[Example]:
    """At most ``count`` examples, each class in its share, in the order they came."""
    if count is None or len(examples) <= count:
        return examples
    places = range(len(examples))
    chosen: set[int] = set()
    for label in sorted({example.label for example in examples}):
        own = [place for place in places if examples[place].label == label]
        share = max(1, round(count * len(own) / len(examples)))
        chosen |= set(
            draw(own, share, seed=seed, key=lambda p: f"{_name(examples[p])}\x1f{p}")
        )
    return [examples[place] for place in sorted(chosen)]


def _name(example: Example) -> str:
    return "\x1f".join(example.key)


def _once(
    split: str,
    examples: Sequence[Example],
    trained: set[tuple[str, str, str]],
    limit: int | None,
    seed: int,
) -> Iterator[TaskItem]:
    numbered = list(enumerate(examples, start=1))
    if limit is not None:
        numbered = draw(numbered, limit, seed=seed, key=lambda one: f"{split}:{one[0]}")
    for number, example in numbered:
        yield TaskItem(
            item=f"{split}:{number}",
            split=split,
            pair=None,
            is_changed=False,
            example=example,
            cluster=_cluster(Partners("", example, example)),
            is_in_training=example.key in trained,
        )


def _both(
    kind: str, partners: Partners, trained: set[tuple[str, str, str]]
) -> Iterator[TaskItem]:
    for is_changed in (False, True):
        example = partners.changed if is_changed else partners.original
        yield TaskItem(
            item=f"{partners.id}:{'changed' if is_changed else 'original'}",
            split=kind,
            pair=partners.id,
            is_changed=is_changed,
            example=example,
            cluster=_cluster(partners),
            is_in_training=example.key in trained,
        )


def _drawn(
    partners: Sequence[Partners], limit: int | None, seed: int
) -> Sequence[Partners]:
    if limit is None:
        return partners
    return draw(partners, limit, seed=seed, key=lambda one: one.id)


def _cluster(partners: Partners) -> str:
    return sha256(partners.cluster.encode()).hexdigest()[:16]


def _sizes(items: Iterable[TaskItem]) -> dict[str, int]:
    """Rows of each split; of pairs, the pairs."""
    sizes: dict[str, int] = {}
    for one in items:
        sizes[one.split] = sizes.get(one.split, 0) + (not one.is_changed)
    return sizes


def _overlaps(name: str, items: Sequence[TaskItem]) -> Iterator[str]:
    """A sentence for each perturbed set that shares pairs with the training set."""
    sets = dict.fromkeys(one.split for one in items if one.pair is not None)
    for split in sets:
        pairs = {one.pair for one in items if one.split == split}
        seen = {one.pair for one in items if one.split == split and one.is_in_training}
        if seen:
            yield overlap_note(name, split, len(seen), len(pairs))


def overlap_note(task: str, split: str, seen: int, pairs: int) -> str:
    """What it means that pairs of a perturbed set were trained on."""
    return (
        f"{task}: {seen:,} of {pairs:,} rows of the {split.replace('_', ' ')} set hold "
        "texts that are trained on, in this or the other order; its consistency says "
        "little about new texts."
    )
