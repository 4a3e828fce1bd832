"""The benchmark at reduced size reaches the targets that are counted, not timed."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")


@pytest.fixture
def benchmark() -> Any:
    file = Path(__file__).resolve().parents[2] / "benchmarks" / "scoring.py"
    specification = importlib.util.spec_from_file_location("scoring_benchmark", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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
