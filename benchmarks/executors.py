"""Prompts per second of one process, of several, and of Ray, on one machine.

The embedded family answers the facts of its world: every way measures the same models
on the same prompts, and the rows are compared cell by cell. Wall-clock time from the
first model to the last row: starting the workers is in it; planning, summary and report
are not. Wants a machine that does nothing else: it refuses to start on a busy one.

    python benchmarks/executors.py            # prints the table
    python benchmarks/executors.py --write    # docs/benchmarks/executors.md
"""

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import transformers
from machine import processor_name

from concord import organism
from concord.analyses import ANALYSES
from concord.errors import StudyError
from concord.models.quiet import quiet_libraries
from concord.parallel.measure import measure_models
from concord.plan import plan_study
from concord.progress import SILENT
from concord.provenance import begin_run
from concord.results import Run
from concord.study import resolve_study

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "executors.md"
ONE_THREAD = "here, one thread"
BUSY = 0.5
"""Processes waiting for a core, on the mean of the last minute."""


def main() -> None:
    """Measure every way and show the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--on-a-busy-machine", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    if load > BUSY and not given.on_a_busy_machine:
        raise SystemExit(f"load {load:.1f}: the times would be other programs'")
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        page = page_of(Path(folder), given, load)
    print(page)
    if given.write:
        PAGE.write_text(page, encoding="utf-8")


def page_of(folder: Path, given: argparse.Namespace, load: float) -> str:
    """The table with what it was measured on."""
    organism.write_world_data(organism.shipped_world(), folder / "data")
    cores = torch.get_num_threads()
    ways: dict[str, dict[str, Any]] = {
        ONE_THREAD: {"executor": "here"},
        "here": {"executor": "here"},
        "processes": {"executor": "processes", "workers": given.workers},
        "ray": {"executor": "ray", "workers": given.workers},
    }
    lines: list[str] = []
    runs: list[Run] = []
    prompts = 0
    for name, way in ways.items():
        torch.set_num_threads(1 if name == ONE_THREAD else cores)
        try:
            run, prompts, seconds = timed(folder / name, folder / "data", given, way)
        except StudyError as error:
            lines.append(f"| {name} | - | - | {str(error).partition(';')[0]} |")
            continue
        runs.append(run)
        threads = max(1, torch.get_num_threads() // way.get("workers", 1))
        workers = way.get("workers", 1)
        rate = f"{prompts / seconds:,.0f}"
        lines.append(
            f"| {name} | {workers} x {threads} | {seconds:.0f} | {rate} | "
            f"{cells_that_differ(run, runs[0])} |"
        )
    return "\n".join(
        [
            "# Executors benchmark",
            "",
            f"The embedded base and its {len(organism.FAMILY) - 1} tuned models, "
            f"{given.limit} facts, predictions and representations: {prompts:,} "
            f"prompts. Wall-clock time on {os.cpu_count()} cores "
            f"({processor_name()}), load before {load:.1f}. torch "
            f"{torch.__version__}, transformers {transformers.__version__}. Made by "
            "`python benchmarks/executors.py --write`.",
            "",
            "| executor | workers x threads | seconds | prompts/s | other cells |",
            "|---|---:|---:|---:|---:|",
            *lines,
            "",
            "Seconds include starting the workers. *Other cells*: values of all rows "
            "that are not, bit for bit, those of `here` with one thread; with another "
            "number of threads a process may add in another order.",
            "",
        ]
    )


def timed(
    output: Path, data_dir: Path, given: argparse.Namespace, way: Mapping[str, Any]
) -> tuple[Run, int, float]:
    """A run measured one way, its prompts, and the seconds it took."""
    tuned = [f"embedded:{v.name}" for v in organism.FAMILY if v.name != organism.BASE]
    study = resolve_study(
        {"base": f"embedded:{organism.BASE}", "tuned": tuned, "data_dir": data_dir},
        {"analyses": ["facts", "representation"], "limit": given.limit},
        {"facts": {"noise_prompts": 0}},
        way,
    )
    plan = plan_study(study)
    run = begin_run(output, plan)
    started = time.monotonic()
    measure_models(run, plan, analyses=ANALYSES, reporter=SILENT)
    prompts = sum(row["prompts"] for row in plan.workload)
    return run, prompts, time.monotonic() - started


def cells_that_differ(run: Run, other: Run) -> int:
    """Values that are not bit for bit those of another run, over all parts."""
    count = 0
    for path in sorted((run.path / "rows").rglob("*.parquet")):
        ours = pq.read_table(path)
        theirs = pq.read_table(other.path / path.relative_to(run.path))
        for name in ours.column_names:
            pairs = zip(ours[name].to_pylist(), theirs[name].to_pylist(), strict=True)
            count += sum(one != another for one, another in pairs)
    return count


if __name__ == "__main__":
    main()
