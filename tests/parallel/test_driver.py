"""Several workers on one run, without processes: what is shared, lost and written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from inline_pool import measure_inline, require_same_rows

from concord.analyses import ANALYSES, Part, Task, choices, facts
from concord.compare import compare
from concord.errors import ModelError
from concord.parallel.jobs import Job
from concord.parallel.measure import measure_models
from concord.plan import plan_study
from concord.progress import SILENT, Lines
from concord.provenance import begin_run
from concord.results import Run, read_json
from concord.study import Study, resolve_study

ANALYSED = ["facts", "noise", "representation", "relations", "extraction"]


def study_of(settings: dict[str, Any], **changes: Any) -> Study:
    changes = {"analyses": ANALYSED, "facts": {"noise_prompts": 8}} | changes
    return resolve_study(settings, changes)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PART_PROMPTS", 8)
    monkeypatch.setattr(choices, "PART_PROMPTS", 8)


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory,
    base_folder: Path,
    tuned_folder: Path,
    data_dir: Path,
) -> Run:
    """The whole study measured by this process."""
    study = study_of(
        {
            "base": str(base_folder),
            "tuned": [str(tuned_folder)],
            "data_dir": str(data_dir),
        }
    )
    plan = plan_study(study)
    run = begin_run(tmp_path_factory.mktemp("alone") / "run", plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts, "PART_PROMPTS", 8)
        measure_models(run, plan, analyses=ANALYSES, reporter=SILENT)
    return run


@pytest.mark.parametrize("workers", [2, 5])
def test_rows_are_the_same_whatever_the_number_of_workers(
    alone: Run, settings: dict[str, Any], tmp_path: Path, workers: int
):
    run, pool = measure_inline(study_of(settings), tmp_path / "run", workers=workers)
    require_same_rows(run, alone)
    assert pool.is_closed
    shared = {job.share.count for _, job, _ in pool.given}
    assert max(shared) == {2: 1, 5: 3}[workers]


def test_a_lost_workers_job_is_measured_again(
    alone: Run, settings: dict[str, Any], tmp_path: Path
):
    lost: list[Job] = []

    def lose(worker: int, job: Job) -> bool:
        if job.analysis == "facts" and job.model not in [one.model for one in lost]:
            lost.append(job)
            return True
        return False

    run, _ = measure_inline(study_of(settings), tmp_path / "run", workers=3, lose=lose)
    assert [job.model for job in lost] == ["base", "tuned"]
    require_same_rows(run, alone)


def test_two_workers_lost_on_one_job_end_the_run_with_its_name(
    settings: dict[str, Any], tmp_path: Path
):
    with pytest.raises(ModelError, match="base: 2 workers .* measuring facts"):
        measure_inline(
            study_of(settings),
            tmp_path / "run",
            workers=1,
            lose=lambda worker, job: job.analysis == "facts",
        )


def test_a_run_begun_alone_is_finished_by_several_and_the_other_way_round(
    alone: Run, settings: dict[str, Any], tmp_path: Path
):
    def breaks(task: Task) -> Iterator[Part]:
        for number, part in enumerate(facts.run(task)):
            if number == 3:
                raise OSError("the disk went away")
            yield part

    study = study_of(settings)
    with pytest.raises(OSError, match="went away"):
        compare(study, tmp_path / "run", analyses={**ANALYSES, "facts": breaks})
    kept = set(Run(tmp_path / "run").parts("facts", "base"))
    times = {path: path.stat().st_mtime_ns for path in kept}
    assert len(kept) == 3
    run, _ = measure_inline(study, tmp_path / "run", workers=3)
    require_same_rows(run, alone)
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    rows = run.path / "rows"
    parts = {path: path.stat().st_mtime_ns for path in rows.rglob("*.parquet")}
    compare(study, run.path)
    assert parts == {p: p.stat().st_mtime_ns for p in rows.rglob("*.parquet")}


def test_a_part_that_every_share_left_out_is_measured_in_the_end(
    settings: dict[str, Any], tmp_path: Path
):
    """An analysis that asks in another order each time it runs."""
    asked: list[int] = []

    def restless(task: Task) -> Iterator[Part]:
        names = ["a", "b"] if len(asked) % 2 else ["b", "a"]
        asked.append(1)
        for name in names:
            if name not in task.finished:
                yield Part(name, pa.table({"name": [name]}))

    study = study_of(settings, analyses=["restless"])
    analyses = {**ANALYSES, "restless": restless}
    run, _ = measure_inline(study, tmp_path / "run", workers=4, analyses=analyses)
    for model in ("base", "tuned"):
        assert [p.stem for p in run.parts("restless", model)] == ["part-a", "part-b"]


def test_a_later_analysis_sees_all_rows_of_an_earlier_one(
    settings: dict[str, Any], tmp_path: Path
):
    def counts(task: Task) -> Iterator[Part]:
        table = task.measured("facts")
        for name in ("one", "two"):
            if name not in task.finished:
                yield Part(name, pa.table({"seen": [table.num_rows if table else 0]}))

    study = study_of(settings, analyses=["facts", "counts"])
    analyses = {**ANALYSES, "counts": counts}
    run, _ = measure_inline(study, tmp_path / "run", workers=4, analyses=analyses)
    alone = compare(study, tmp_path / "alone", analyses=analyses)
    require_same_rows(run, alone)


def test_what_a_run_has_once_is_there_once(settings: dict[str, Any], tmp_path: Path):
    run, _ = measure_inline(study_of(settings), tmp_path / "run", workers=3)
    info = run.info
    for label in ("base", "tuned"):
        assert len(info["models"][label]["fingerprint"]) == 64
        assert set(info["timings"][label]) == set(ANALYSED)
    assert not list(run.path.rglob("*.tmp"))


def test_memory_that_ran_out_in_a_worker_is_remembered_for_all(
    settings: dict[str, Any], tmp_path: Path
):
    def hungry(task: Task) -> Iterator[Part]:
        if "all" not in task.finished:
            task.budgets["some device"] = min(64, task.budgets.get("some device", 128))
            yield Part("all", pa.table({"x": [1]}))

    study = study_of(settings, analyses=["hungry", "facts"])
    analyses = {**ANALYSES, "hungry": hungry}
    run, pool = measure_inline(study, tmp_path / "run", workers=1, analyses=analyses)
    assert read_json(run.path / "budgets.json") == {"some device": 64}
    assert pool.given[0][2] == {} and pool.given[-1][2] == {"some device": 64}


def test_the_display_counts_each_prompt_once(settings: dict[str, Any], tmp_path: Path):
    from rich.console import Console

    console = Console(record=True, width=120)
    study = study_of(settings, analyses=["facts"])
    measure_inline(study, tmp_path / "run", workers=3, reporter=Lines(console))
    shown = console.export_text()
    # 30 prompts in each context; a base has fewer contexts than a tuned model.
    workload = {row["model"]: row["prompts"] for row in plan_study(study).workload}
    for label, count in workload.items():
        assert f"{label}: facts: {count:,} prompts in" in shown
    assert f"inline: {sum(workload.values()):,} prompts in" in shown
    assert "base: load: 1 model in" in shown
