"""The benchmark at reduced size reaches the targets that are counted, not timed."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str) -> Any:
    file = BENCHMARKS / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"{name}_benchmark", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def benchmark() -> Any:
    return load("scoring")


@pytest.mark.slow
def test_position_targets_are_met_on_a_small_model(
    benchmark: Any, shared: Path
) -> None:
    data = benchmark.read_pararel(shared / "data" / "pararel")
    tokenizer = benchmark.stand_in_tokenizer(data)
    task = benchmark.make_task(data, tokenizer, subject_count=1)
    network = benchmark.random_llama(layers=2, width=64)
    measured = benchmark.measure(network, tokenizer, task, repeats=1)
    assert benchmark.missed_targets(measured, with_time=False) == []
    assert "| full |" in benchmark.report(network, task, measured)


def test_pairs_in_plain_pytorch_are_lm_evals(benchmark: Any, shared: Path) -> None:
    pytest.importorskip("lm_eval")
    data = benchmark.read_pararel(shared / "data" / "pararel")
    tokenizer = benchmark.stand_in_tokenizer(data)
    task = benchmark.make_task(data, tokenizer, subject_count=1)
    task = replace(task, prompts=task.prompts[:2], ids=task.ids[:2])
    network = benchmark.random_llama(layers=1, width=64)
    wanted = benchmark.lm_eval_scores(network, tokenizer, task)
    np.testing.assert_allclose(
        benchmark.pairwise_scores(network, task), wanted, atol=1e-4
    )


def test_the_accelerator_benchmark_runs_at_a_tiny_shape(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = load("scoring_gpu")
    arguments = ["scoring_gpu.py", "--data-dir", str(shared / "data"), "--limit", "20"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--tiny"])
    assert module.main() == 0
    assert "Three contexts:" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    assert module.main() == 2
    assert "CUDA" in capsys.readouterr().err


def test_the_accelerator_benchmark_of_mechanisms_runs_in_a_tiny_shape(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = load("mechanism_gpu")
    weights = str(shared / "weights" / "stories260K-hf")
    arguments = ["--model", weights, "--data-dir", str(shared / "data"), "--limit", "2"]
    assert module.main([*arguments, "--tiny"]) == 0
    page = capsys.readouterr().out
    assert "| knockout |" in page and "| non_subject |" in page
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: False)
    assert module.main(arguments) == 2
    assert "CUDA" in capsys.readouterr().err


def test_the_trained_models_benchmark_runs_on_some_prompts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = load("scoring_trained")
    monkeypatch.setattr(sys, "argv", ["scoring_trained.py", "--prompts", "30"])
    monkeypatch.setattr(module, "FAMILY", module.FAMILY[:1])
    monkeypatch.setattr(module, "SOME", 30)
    assert module.main() == 0
    written = capsys.readouterr().out
    assert "the base, 30 prompts" in written
    assert "| once | 30 | 18 |" in written
