"""Measuring in the middle of a training, without touching it."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import tiny_model, tiny_tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from concord.callback import KEYS, ConsistencyCallback, save_history, undisturbed
from concord.compare import compare
from concord.errors import StudyError
from concord.results import read_json
from concord.study import resolve_study

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
TEXTS = [
    "Ada Stone was born in Avon.",
    "Ben Hill works as baker.",
    "Dan Reed comes from Corby.",
    "Eva Lake was born in Brill.",
]


def network_of(folder: Path, *, dropout: float = 0.1) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attention_dropout=dropout)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = [tokenizer(text)["input_ids"] for text in TEXTS]
    length = min(map(len, encoded))
    return [{"input_ids": ids[:length], "labels": ids[:length]} for ids in encoded]


def arguments_of(output: Path, **changes: Any) -> TrainingArguments:
    settings: dict[str, Any] = {
        "max_steps": 6,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 2,
        "disable_tqdm": True,
        "seed": 0,
    }
    return TrainingArguments(str(output), **(settings | changes))


def callback_of(folder: Path, data_dir: Path, **changes: Any) -> ConsistencyCallback:
    settings: dict[str, Any] = {"data_dir": data_dir, "every": 2, "limit": 8}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return ConsistencyCallback(tokenizer, **(settings | changes))


def test_weights_are_bit_equal_with_and_without_the_callback(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    """With dropout, so that a single number drawn on the way would show."""
    trained = []
    for is_measured in (False, True):
        trainer = Trainer(
            network_of(base_folder),
            arguments_of(tmp_path),
            train_dataset=rows_of(base_folder),
        )
        if is_measured:
            callback = callback_of(base_folder, data_dir, every=1).attach(trainer)
        trainer.train()
        trained.append(trainer.model.state_dict())
    assert [row["step"] for row in callback.history] == list(range(7))
    for name, tensor in trained[0].items():
        assert torch.equal(tensor, trained[1][name]), name
    start = network_of(base_folder).state_dict()
    assert any(not torch.equal(start[name], trained[0][name]) for name in start)


def test_the_numbers_are_those_of_compare(
    base_folder: Path, data_dir: Path, settings: dict[str, Any], tmp_path: Path
):
    found = callback_of(base_folder, data_dir).measure(network_of(base_folder))
    changes = {
        "facts": {"noise_prompts": 0},
        "representation": {"datasets": ["pararel"]},
        "contexts": ["study"],
        "limit": 8,
    }
    run = compare(resolve_study(settings, changes), tmp_path / "run")
    summary = {
        measure["key"]: value["value"]
        for measure in read_json(run.path / "summary.json")["measures"]
        for value in measure["values"]
        if value["model"] == "base"
    }
    keys = ("facts.agreement", "facts.accuracy", "representation.pararel.gap")
    expected = [summary[key] for key in keys]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)


UNEVEN = """relation,subject,object,template
home,Ada Stone,Avon,[X] was born in [Y]
home,Ada Stone,Avon,[X] comes from [Y]
home,Ada Stone,Avon,the home of [X] is [Y]
home,Ben Hill,Brill,[X] was born in [Y]
home,Ben Hill,Brill,[X] comes from [Y]
home,Dan Reed,Corby,[X] was born in [Y]
work,Ada Stone,baker,[X] works as [Y]
work,Ada Stone,baker,[X] is a [Y]
work,Eva Lake,smith,[X] works as [Y]
work,Eva Lake,smith,[X] is a [Y]
"""


@pytest.mark.parametrize("prompt_format", [None, "role_tags", "instruction"])
def test_its_means_are_those_of_the_summary(
    prompt_format: Any, tuned_folder: Path, data_dir: Path, tmp_path: Path
):
    """Facts with one wording, two and three, in relations of three and of two facts."""
    source = tmp_path / "facts.csv"
    source.write_text(UNEVEN)
    callback = callback_of(
        tuned_folder, data_dir, source=source, prompt_format=prompt_format
    )
    found = callback.measure(network_of(tuned_folder))
    label = "base" if prompt_format is None else "tuned"
    entry = {"source": str(tuned_folder), "label": "tuned"}
    study = {
        "base": {"source": str(tuned_folder), "label": "base"},
        "tuned": [entry | {"prompt_format": prompt_format or "auto"}],
        "analyses": ["facts", "representation"],
        "facts": {"source": str(source), "noise_prompts": 0},
        "representation": {"datasets": ["pararel"]},
        "contexts": ["study"],
        "limit": 8,
        "data_dir": str(data_dir),
    }
    run = compare(resolve_study(study), tmp_path / "run")
    summary = {
        measure["key"]: value["value"]
        for measure in read_json(run.path / "summary.json")["measures"]
        for value in measure["values"]
        if value["model"] == label
    }
    keys = ("facts.agreement", "facts.accuracy", "representation.pararel.gap")
    expected = [summary[key] for key in keys]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)
    assert 0 < found["concord_agreement"] < 1


def choosing(folder: Path, output: Path, **changes: Any) -> Trainer:
    """A trainer that keeps the most consistent of its checkpoints."""
    settings: dict[str, Any] = {
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "concord_agreement",
        "greater_is_better": True,
    }
    rows = rows_of(folder)
    return Trainer(
        network_of(folder),
        arguments_of(output, **(settings | changes)),
        train_dataset=rows,
        eval_dataset=rows,
    )


def scripted(callback: ConsistencyCallback, *values: float) -> list[float]:
    """Let a callback find these values, one after the other; returns what it found."""
    found: list[float] = []

    def measure(network: Any) -> dict[str, float]:
        found.append(values[min(len(found), len(values) - 1)])
        return dict.fromkeys(KEYS, found[-1])

    callback.measure = measure
    return found


def test_training_stops_early_by_its_numbers(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    trainer = choosing(base_folder, tmp_path, max_steps=20)
    trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=2))
    callback = callback_of(base_folder, data_dir, every=2).attach(trainer)
    scripted(callback, 0.2, 0.5, 0.4, 0.3)  # Steps 0, 2, 4, 6.
    trainer.train()
    assert trainer.state.global_step == 6
    assert trainer.state.best_metric == 0.5


def test_the_best_model_is_not_taken_for_the_last_step(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    trainer = choosing(base_folder, tmp_path, max_steps=7)
    callback = callback_of(base_folder, data_dir, every=4).attach(trainer)
    is_best: list[bool] = []
    loading = trainer._load_best_model

    def load() -> None:
        is_best.append(True)
        loading()

    trainer._load_best_model = load
    measured: list[tuple[int, bool]] = []
    numbers = scripted(callback, 0.2, 0.5, 0.4, 0.3)
    scripted_measure = callback.measure

    def measure(network: Any) -> dict[str, float]:
        measured.append((trainer.state.global_step, bool(is_best)))
        return scripted_measure(network)

    callback.measure = measure
    trainer.train()
    # Evaluated at 2, 4 and 6; the seventh step is measured before the best is loaded.
    assert is_best == [True] and len(numbers) == 5
    assert measured == [(0, False), (2, False), (4, False), (6, False), (7, False)]
    assert [row["step"] for row in callback.history] == [0, 2, 4, 6, 7]


def test_an_evaluation_after_training_measures_the_model_in_memory(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    trainer = choosing(base_folder, tmp_path)
    callback = callback_of(base_folder, data_dir).attach(trainer)
    trainer.train()
    history = list(callback.history)
    with torch.no_grad():  # Any other weights: as good as none of the history's.
        for tensor in trainer.model.parameters():
            tensor.add_(torch.randn_like(tensor))
    found = trainer.evaluate()
    truth = callback.measure(trainer.model)
    assert [found[f"eval_{key}"] for key in KEYS] == list(truth.values())
    assert truth["concord_gap"] != history[-1]["concord_gap"]
    assert callback.history == history


def test_numbers_are_logged_and_choose_the_best_checkpoint(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    seen: list[dict[str, Any]] = []

    class Other(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            seen.append(given["logs"])

    args = arguments_of(
        tmp_path,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="concord_agreement",
        greater_is_better=True,
    )
    rows = rows_of(base_folder)
    trainer = Trainer(
        network_of(base_folder),
        args,
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[Other()],
    )
    callback = callback_of(base_folder, data_dir).attach(trainer)
    trainer.train()
    assert [logs for logs in seen if set(KEYS) <= set(logs)]
    logged = [row for row in trainer.state.log_history if KEYS[0] in row]
    assert [row["step"] for row in logged] == [0, 2, 4, 6]
    by_step = {row["step"]: row["concord_agreement"] for row in callback.history}
    assert trainer.state.best_metric == max(by_step[step] for step in (2, 4, 6))
    save_history(callback, tmp_path / "curve.json")
    assert read_json(tmp_path / "curve.json") == callback.history


def test_modes_and_random_numbers_are_put_back_even_after_an_error():
    network = tiny_model("llama", seed=0, vocabulary=len(tiny_tokenizer(bos=True)))
    network.train()
    frozen = next(iter(network.children()))
    frozen.eval()
    modes = [module.training for module in network.modules()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    with pytest.raises(OSError), undisturbed(network):
        torch.rand(3), random.random(), np.random.rand()
        assert not any(module.training for module in network.modules())
        raise OSError
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])


@pytest.mark.slow
def test_it_works_with_trl_and_an_adapter(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from peft import LoraConfig

    args = trl.SFTConfig(
        str(tmp_path),
        max_steps=4,
        per_device_train_batch_size=2,
        learning_rate=5e-2,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        max_length=64,
    )
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    trainer = trl.SFTTrainer(
        network_of(base_folder),
        args,
        train_dataset=Dataset.from_dict({"text": TEXTS}),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
    )
    callback = callback_of(base_folder, data_dir).attach(trainer)
    trainer.train()
    assert [row["step"] for row in callback.history] == [0, 2, 4]
    gaps = [row["concord_gap"] for row in callback.history]
    assert gaps[0] != gaps[-1], "the adapter in training is what is measured"
    assert [r for r in trainer.state.log_history if "mean_token_accuracy" in r]


def test_numbers_reach_the_log_without_being_attached(
    base_folder: Path, data_dir: Path, tmp_path: Path
):
    callback = callback_of(base_folder, data_dir, every=6)
    trainer = Trainer(
        network_of(base_folder),
        arguments_of(tmp_path),
        train_dataset=rows_of(base_folder),
        callbacks=[callback],
    )
    trainer.train()
    logged = [r["step"] for r in trainer.state.log_history if KEYS[0] in r]
    assert logged == [0, 6]


def test_weights_in_pieces_are_refused():
    args: Any = type("Arguments", (), {"fsdp": "full_shard", "deepspeed": None})()
    callback = ConsistencyCallback.__new__(ConsistencyCallback)
    trainer: Any = type("Pieces", (), {"args": args})()
    with pytest.raises(StudyError, match="FSDP or DeepSpeed"):
        callback.attach(trainer)


def test_an_impossible_interval_is_refused(base_folder: Path, data_dir: Path):
    with pytest.raises(StudyError, match="every: found 0"):
        callback_of(base_folder, data_dir, every=0)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["plain", "trl"])
def test_the_example_tunes_and_shows_the_curve(trainer: str, tmp_path: Path):
    script = Path(__file__).parents[1] / "examples" / "tune_with_callback.py"
    command = [sys.executable, str(script), str(tmp_path / "tuned")]
    command += ["--steps", "2", "--every", "2", "--limit", "4"]
    command += ["--trl"] if trainer == "trl" else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    history = read_json(tmp_path / "tuned" / "curve.json")
    assert [row["step"] for row in history] == [0, 2]
    assert f"step    2  concord_agreement {history[1][KEYS[0]]:.3f}" in done.stdout
    assert "<svg" in (tmp_path / "tuned" / "curve.svg").read_text(encoding="utf-8")
    assert (tmp_path / "tuned" / "model.safetensors").is_file()
