"""Consistency while a model is tuned: a callback for the Trainer of HF and TRL.

Every so many steps the model in training answers a fixed sample of facts in all their
wordings, by the same code as `concord compare`; agreement, accuracy and gap go into the
trainer's log. The training itself is left as it was: modes, random numbers and
gradients are those of a training without the callback.

It cannot show what causes a change, and a sample has noise: compare checkpoints that
matter by `concord compare`, which gives intervals.
"""

import json
import random
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from concord.analyses import Task, facts, representation
from concord.data.collection import read_collection
from concord.errors import StudyError
from concord.metrics.agreement import NOT_ASKED, accuracy, pairwise_agreement
from concord.models.architecture import architecture_of
from concord.models.load import LoadedModel
from concord.study import PromptFormat, Study, resolve_study

KEYS = ("concord_agreement", "concord_accuracy", "concord_gap")
"""What is logged; in the metrics of an evaluation with ``eval_`` in front."""


class ConsistencyCallback(TrainerCallback):
    """Logs agreement, accuracy and paraphrase gap every so many steps.

    ``metric_for_best_model="concord_agreement"`` (or another of `KEYS`) together with
    an evaluation during training keeps the most consistent checkpoint.

    Args:
        tokenizer: The model's.
        source: ``pararel``, or a path to facts of your own (JSONL or CSV).
        data_dir: Where ParaRel lies; by default where ``concord data get`` puts it.
        every: Steps between two measurements; the start and the last step are measured
            too.
        limit: Facts in the sample, the same ones at every measurement.
        seed: Of the sample.
        prompt_format: How the model is asked once it is tuned, as in a study; None:
            in plain words, as a base is.
        contexts: Texts around each prompt, ``{}`` in its place; default: the study's.

    Raises:
        ConcordError: The data cannot be read.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        *,
        source: str | Path = "pararel",
        data_dir: Path | None = None,
        every: int = 50,
        limit: int = 100,
        seed: int = 0,
        prompt_format: PromptFormat | None = None,
        contexts: tuple[str, ...] | None = None,
    ):
        if every < 1:
            raise StudyError(f"every: found {every}; needed 1 or more steps")
        self.history: list[dict[str, float]] = []
        """What was measured: ``step`` and `KEYS`, in the order of steps."""
        self._tokenizer, self._every = tokenizer, every
        self._is_tuned = prompt_format is not None
        self._study = _study_of(
            str(source), data_dir, limit, seed, prompt_format or "auto", contexts
        )
        self._data = read_collection(self._study)
        self._trainer: Trainer | None = None
        self._is_training = False

    def attach(self, trainer: Trainer) -> "ConsistencyCallback":
        """Join a trainer, whose other callbacks then see what is logged.

        It stands in front of them, so that ``EarlyStoppingCallback`` finds the numbers
        of an evaluation. Passed as ``callbacks=[...]`` instead, numbers go to
        ``state.log_history`` only.
        """
        _refuse_shards(trainer.args)
        self._trainer = trainer
        trainer.add_callback(self)
        callbacks = trainer.callback_handler.callbacks
        callbacks.insert(0, callbacks.pop(callbacks.index(self)))
        return self

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Measure the model as it is before the first step."""
        _refuse_shards(args)
        self._is_training = True
        self._log(state, given["model"])

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Measure when the step's number says so, and at the last one."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._log(state, given["model"])

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Measure what came out, unless the last step was measured.

        Where the best checkpoint was loaded in its place, the model is no longer that
        of the last step.
        """
        if not (args.load_best_model_at_end and state.best_model_checkpoint):
            self._log(state, given["model"])
        self._is_training = False

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Put the numbers beside those by which the best checkpoint is chosen.

        Outside a training any model may be in memory: it is measured anew, and is no
        step of the history.
        """
        if self._is_training:
            self._log(state, given["model"])
            found = self.history[-1]
        else:
            found = self.measure(given["model"])
        given["metrics"].update({f"eval_{key}": found[key] for key in KEYS})

    def _log(self, state: TrainerState, network: Any) -> None:
        """Measure once for each step and log it."""
        step = state.global_step
        if self.history and self.history[-1]["step"] == step:
            return
        values = self.measure(network)
        self.history.append({"step": step, **values})
        if self._trainer is None:
            epoch = {} if state.epoch is None else {"epoch": state.epoch}
            state.log_history.append({**values, **epoch, "step": step})
        else:
            # Not the trainer's own `log`: TRL's empties its running means there.
            Trainer.log(self._trainer, dict(values))

    def measure(self, network: Any) -> dict[str, float]:
        """Agreement, accuracy and gap of a network, which is left as it was.

        Returns:
            Shares in [0, 1], means over relations of means over facts; and the gap, a
            difference of cosines in [-2, 2].

        Raises:
            ModelError: The family is unknown, or a prompt does not suit the model.
        """
        with undisturbed(network):
            task = Task(self._model(network), self._data, self._study)
            answers = pa.concat_tables([part.rows for part in facts.run(task)])
            distances = [part.rows for part in representation.run(task)]
        found = (*_agreement_and_accuracy(answers), _gap(pa.concat_tables(distances)))
        return dict(zip(KEYS, found, strict=True))

    def _model(self, network: Any) -> LoadedModel:
        study = self._study
        return LoadedModel(
            entry=study.tuned[0] if self._is_tuned else study.base,
            kind="tuned" if self._is_tuned else "base",
            network=network,
            tokenizer=self._tokenizer,
            architecture=architecture_of(network),
            info={"fingerprint": "in training"},
        )


@contextmanager
def undisturbed(network: nn.Module) -> Generator[None]:
    """Evaluate a network in the middle of its training, and leave no trace.

    Every module's mode and all generators of random numbers are put back; no gradient
    is computed.
    """
    modes = {module: module.training for module in network.modules()}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())), torch.no_grad():
            network.eval()
            yield
    finally:
        for module, is_training in modes.items():
            module.training = is_training
        random.setstate(python)
        np.random.set_state(numpy)


def save_history(callback: ConsistencyCallback, path: Path) -> None:
    """Write what a callback has measured as JSON, one object for each measurement."""
    path.write_text(json.dumps(callback.history, indent=1) + "\n", encoding="utf-8")


def _study_of(
    source: str,
    data_dir: Path | None,
    limit: int,
    seed: int,
    prompt_format: PromptFormat,
    contexts: tuple[str, ...] | None,
) -> Study:
    model = {"source": "in-training", "fact_contexts": contexts}
    settings = {
        "base": {**model, "label": "base"},
        "tuned": [{**model, "label": "tuned", "prompt_format": prompt_format}],
        "analyses": ["facts", "representation"],
        "contexts": ["study"],
        "facts": {"source": source, "noise_prompts": 0},
        "representation": {"datasets": ["pararel"]},
        "limit": limit,
        "seed": seed,
        "data_dir": data_dir,
    }
    return resolve_study(settings)


def _agreement_and_accuracy(answers: pa.Table) -> tuple[float, float]:
    """Means over contexts and facts, then over relations."""
    rows = answers.select(
        ["relation", "fact", "context", "template", "prediction_index", "is_correct"]
    ).to_pylist()
    by_relation: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_relation.setdefault(row["relation"], []).append(row)
    pairs = [_of_relation(own) for own in by_relation.values()]
    agreement, right = np.nanmean(np.array(pairs, dtype=np.float64), axis=0)
    return float(agreement), float(right)


def _of_relation(rows: list[dict[str, Any]]) -> tuple[float, float]:
    units = {(row["fact"], row["context"]): 0 for row in rows}
    units = {unit: place for place, unit in enumerate(units)}
    shape = 1 + max(row["template"] for row in rows), len(units)
    predictions = np.full(shape, NOT_ASKED)
    is_right = np.zeros(shape, dtype=bool)
    for row in rows:
        place = row["template"], units[row["fact"], row["context"]]
        predictions[place] = row["prediction_index"]
        is_right[place] = row["is_correct"]
    return (
        float(np.nanmean(pairwise_agreement(predictions))),
        float(np.nanmean(accuracy(is_right, predictions != NOT_ASKED))),
    )


def _gap(distances: pa.Table) -> float:
    """Mean cosine of paraphrases minus that of non-paraphrases, final state."""
    is_final = np.array(distances["state"].to_pylist()) == "final"
    para, nonpara = (
        np.array(distances[name].to_pylist(), dtype=np.float64)[is_final]
        for name in ("cos_para", "cos_nonpara")
    )
    return float(np.nanmean(para) - np.nanmean(nonpara))


def _refuse_shards(args: TrainingArguments) -> None:
    """A process that holds a piece of the weights cannot answer by itself.

    Raises:
        StudyError: Weights are spread by FSDP or DeepSpeed.
    """
    if args.fsdp or args.deepspeed:
        raise StudyError(
            "found weights spread over processes (FSDP or DeepSpeed); "
            "ConsistencyCallback needs them whole in every process: train with DDP or "
            "one process, or compare saved checkpoints with concord compare"
        )


__all__ = ["KEYS", "ConsistencyCallback", "save_history", "undisturbed"]
