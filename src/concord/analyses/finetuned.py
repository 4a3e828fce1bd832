"""Is a classifier made from the model consistent when its texts are changed?

For every task, learning rate and seed a copy of the model is fine-tuned on the task's
training rows and classifies the scored rows, and both sides of every paraphrased,
negated and exchanged pair. The same plain text is given to base and tuned models,
without a chat format. The held-out rows are classified too: the summary chooses the
rate by them.

It cannot show what the model knows without this training, and a classifier that gives
one class to everything is perfectly consistent: read it with accuracy. What was trained
on in another order is marked in the rows.

Source: Fierro et al. (2024), section 3, Table 6; Jang, Kwon and Lukasiewicz (2022).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from concord.analyses.checkpoints import Checkpoints, checkpoints_in
from concord.analyses.classifier import Classifier, new_classifier, words_of
from concord.analyses.columns import repeated
from concord.analyses.part import Part, Task
from concord.analyses.task_texts import TaskTexts, task_texts
from concord.analyses.training import (
    Schedule,
    State,
    best_round,
    log_probabilities,
    new_optimizer,
    seeded,
    train,
)
from concord.data.training_sets import TrainingSet, questions_per_training
from concord.errors import ModelError
from concord.models.load import free_memory
from concord.models.memory import is_out_of_memory
from concord.progress import Advance


@dataclass(frozen=True)
class Training:
    """One fine-tuning: a task, a learning rate and a seed."""

    data: TrainingSet
    schedule: Schedule

    @property
    def name(self) -> str:
        """Name of its part."""
        return f"{self.data.name}-{self.schedule.rate:g}-{self.schedule.seed}"


def run(task: Task) -> Iterator[Part]:
    """One part for each task, learning rate and seed."""
    config = task.study.finetuned
    sets = {data.name: trainings_of(task, data) for data in task.data.training_sets}
    # All are asked for at once, in one order: workers share an analysis by that.
    missing = {
        training.name
        for trainings in sets.values()
        for training in trainings
        if training.name not in task.finished
    }
    for data in task.data.training_sets:
        if any(training.name in missing for training in sets[data.name]):
            _refuse_unfit(task, data)
    for data in task.data.training_sets:
        texts: TaskTexts | None = None
        units = questions_per_training(data, epochs=config.epochs, batch=config.batch)
        for training in sets[data.name]:
            if training.name not in missing:
                task.advance(units)
                continue
            texts = texts or _texts(task, data)
            count = _Count(task.advance, units)
            rows, kept = _trained_rows(task, training, texts, count)
            yield Part(training.name, rows)
            # Only once the rows are on disk is the training's own state in the way.
            if kept is not None:
                kept.discard()
            count.finish()
            free_memory()


def trainings_of(task: Task, data: TrainingSet) -> list[Training]:
    """Every training of one set, in the order in which they are done."""
    config = task.study.finetuned
    return [
        Training(
            data,
            Schedule(
                rate=rate,
                epochs=config.epochs,
                batch=config.batch,
                patience=config.patience,
                seed=task.study.seed + number,
                evaluate_every=data.layout.evaluate_every,
                rows_at_once=task.study.row_limit,
            ),
        )
        for rate in config.rates_of(data.layout.rate)
        for number in range(config.seeds)
    ]


def _texts(task: Task, data: TrainingSet) -> TaskTexts:
    config = task.study.finetuned
    words = words_of(task.model, data) if config.head == "label_words" else None
    # What stands behind every text takes room too.
    behind = 0 if words is None or task.model.is_encoder_decoder else len(words.front)
    return task_texts(task.model, data, most=config.max_tokens, spared=behind)


class _Count:
    """Tells of as many units as were announced, however early a training stops."""

    def __init__(self, advance: Advance, total: int):
        self._advance, self._left = advance, total

    def __call__(self, count: int) -> None:
        count = min(count, self._left)
        self._left -= count
        self._advance(count)

    def finish(self) -> None:
        """The rest is not needed."""
        self(self._left)


def _refuse_unfit(task: Task, data: TrainingSet) -> None:
    """Build what would be trained once, so that nothing is trained in vain."""
    with seeded("unfit", task.model.device):
        new_classifier(task.model, data, task.study.finetuned)


def _trained_rows(
    task: Task, training: Training, texts: TaskTexts, count: Advance
) -> tuple[pa.Table, Checkpoints | None]:
    data, schedule = training.data, training.schedule
    with seeded(f"{schedule.seed}/start", task.model.device):
        classifier = new_classifier(task.model, data, task.study.finetuned)
    optimizer = new_optimizer(classifier)
    kept = _checkpoints(task, training)
    state = (kept.load(classifier, optimizer) if kept else None) or State([], {})
    count(min(state.step * schedule.batch, schedule.epochs * len(data.train)))
    held_out = [texts.ids[one.filled(data.layout.text)] for one in data.held_out]
    try:
        state = train(
            classifier,
            optimizer,
            schedule,
            texts=texts.train,
            labels=[example.label for example in data.train],
            held_out=(held_out, [example.label for example in data.held_out]),
            state=state,
            save=kept.save if kept else lambda *_: None,
            advance=count,
        )
        logs = log_probabilities(
            classifier,
            [texts.ids[text] for text in data.texts],
            rows_at_once=schedule.rows_at_once,
            advance=count,
        )
    except RuntimeError as error:
        _explain(task, error)
        raise
    return _rows(training, texts, state, logs, classifier), kept


def _checkpoints(task: Task, training: Training) -> Checkpoints | None:
    if task.workspace is None:
        return None
    key = {
        "data": training.data.fingerprint,
        "schedule": asdict(training.schedule),
        "config": task.study.finetuned.model_dump(mode="json"),
        "model": task.model.info["fingerprint"],
        "tokenizer": task.model.info["tokenizer"],
        "torch": torch.__version__,
    }
    return checkpoints_in(task.workspace / f"training-{training.name}", key)


def _explain(task: Task, error: RuntimeError) -> None:
    if is_out_of_memory(error):
        rows = task.study.row_limit or task.study.finetuned.batch
        raise ModelError(
            f"{task.model.label}: the memory does not hold a training step of {rows} "
            "rows; give a smaller --batch-size (a step's gradients are then added up), "
            "or finetuned.method=lora"
        ) from error


def _rows(
    training: Training,
    texts: TaskTexts,
    state: State,
    logs: Float[Tensor, "text class"],
    classifier: Classifier,
) -> pa.Table:
    """One row for each item."""
    data, items = training.data, training.data.items
    asked = [one.example.filled(data.layout.text) for one in items]
    place = {text: number for number, text in enumerate(data.texts)}
    own = logs[torch.tensor([place[text] for text in asked])]
    labels = torch.tensor([one.example.label for one in items])
    chosen = own.argmax(dim=-1)
    shares, count = own.exp(), len(items)
    best = best_round(state.history)
    named = data.layout.labels
    return pa.table(
        {
            "task": repeated(data.name, count, pa.string()),
            "rate": repeated(training.schedule.rate, count, pa.float64()),
            "seed": repeated(training.schedule.seed, count, pa.int32()),
            "split": pa.array([one.split for one in items], pa.string()),
            "item": pa.array([one.item for one in items], pa.string()),
            "pair": pa.array([one.pair for one in items], pa.string()),
            "is_changed": pa.array([one.is_changed for one in items]),
            "cluster": pa.array([one.cluster for one in items], pa.string()),
            "is_in_training": pa.array([one.is_in_training for one in items]),
            "is_shortened": pa.array([text in texts.shortened for text in asked]),
            "text": pa.array(asked, pa.string()),
            "label": pa.array(labels.tolist(), pa.int16()),
            "label_name": pa.array([named[i] for i in labels.tolist()], pa.string()),
            "prediction": pa.array(chosen.tolist(), pa.int16()),
            "prediction_name": pa.array(
                [named[i] for i in chosen.tolist()], pa.string()
            ),
            "probability": _floats(shares.gather(1, chosen[:, None])[:, 0]),
            "label_probability": _floats(shares.gather(1, labels[:, None])[:, 0]),
            "probabilities": pa.array(shares.tolist(), pa.list_(pa.float32())),
            "round": repeated(best, count, pa.int16()),
            "rounds": repeated(len(state.history), count, pa.int16()),
            "trained_weights": repeated(
                sum(weight.numel() for weight in classifier.trained.values()),
                count,
                pa.int64(),
            ),
        }
    )


def _floats(values: Float[Tensor, " row"]) -> pa.Array:
    return pa.array(values.tolist(), pa.float32())
