"""Memory that runs out: a batch is halved, and the run remembers for every process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from concord.analyses import ANALYSES
from concord.executors import execute, remember_budgets, remembered_budgets
from concord.models.loader import Loader
from concord.models.memory import CPU_POSITIONS
from concord.plan import plan_study
from concord.progress import SILENT
from concord.provenance import begin_run
from concord.results import Run, read_json
from concord.scoring import rounds
from concord.study import resolve_study


def measure(settings: dict[str, Any], output: Path) -> Run:
    changes = {"analyses": ["facts"], "facts": {"noise_prompts": 0}}
    plan = plan_study(resolve_study(settings, changes))
    run = begin_run(output, plan)
    for entry in plan.study.models:
        execute(
            *(run, entry, plan),
            analyses=ANALYSES,
            loader=Loader(plan.study),
            reporter=SILENT,
        )
    return run


def test_memory_that_runs_out_halves_the_batches_and_is_remembered(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = measure(settings, tmp_path / "whole")
    assert not (whole.path / "budgets.json").exists()
    failures = iter([True])
    read = rounds.read_batch

    def fails_once(*given: Any, **options: Any) -> Any:
        if next(failures, False):
            raise torch.OutOfMemoryError("the test wanted it")
        return read(*given, **options)

    monkeypatch.setattr(rounds, "read_batch", fails_once)
    run = measure(settings, tmp_path / "run")
    budgets = read_json(run.path / "budgets.json")
    fingerprint = run.info["models"]["base"]["fingerprint"]
    # Only the base's first batch failed; the key names model, device and mode.
    assert list(budgets) == [f"{fingerprint} cpu top"]
    assert 0 < budgets[f"{fingerprint} cpu top"] < CPU_POSITIONS
    predictions = [
        [row.column("prediction").to_pylist() for row in tables_of(one)]
        for one in (run, whole)
    ]
    assert predictions[0] == predictions[1]


def tables_of(run: Run) -> list[Any]:
    import pyarrow.parquet as pq

    return [pq.read_table(path) for path in run.parts("facts", "base")]


def test_a_remembered_budget_is_what_the_next_start_tries_first(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    changes = {"analyses": ["facts"], "facts": {"noise_prompts": 0}}
    plan = plan_study(resolve_study(settings, changes))
    run = begin_run(tmp_path / "run", plan)
    seen: list[dict[str, int]] = []

    def looks(task: Any) -> Any:
        seen.append(dict(task.budgets))
        return iter(())

    remember_budgets(run, {"model cpu top": 64})
    entry = plan.study.base
    execute(
        *(run, entry, plan),
        analyses={"facts": looks},
        loader=Loader(plan.study),
        reporter=SILENT,
    )
    assert seen == [{"model cpu top": 64}]


def test_the_smallest_budget_of_all_processes_is_kept(tmp_path: Path):
    run = Run(tmp_path)
    remember_budgets(run, {"a": 64, "b": 32})
    remember_budgets(run, {"a": 128, "b": 16, "c": 8})
    assert remembered_budgets(run) == {"a": 64, "b": 16, "c": 8}
