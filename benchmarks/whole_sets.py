"""Whole sets of facts on two processes of one thread each: time and peak memory.

A story model of 260,000 parameters with 512 pieces, which never read an encyclopedia,
answers all of ParaRel: the adverse case for best-first search. The embedded base
answers all of its own world. Each row is one run of one model in one context, with
noise floor, summary and report, in a process of its own; memory is the highest sum over
that process and its workers, shared pages divided among them. Linux only (/proc).

    python benchmarks/whole_sets.py --stories WEIGHTS --data-dir DATA --output FILE
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from machine import processor_name

from concord.compare import compare
from concord.organism import shipped_world, write_world_data
from concord.results import open_run, read_rows
from concord.study import read_study_file, resolve_study

SAMPLING_SECONDS = 0.5


@dataclass(frozen=True)
class Measured:
    """One command, from its start to its end."""

    name: str
    prompts: int
    run_seconds: float
    facts_seconds: float
    """From the first part to the last, of the slowest process."""
    processor_seconds: float
    peak_mebibytes: float
    agreement: float | None


def main() -> int:
    """Measure, print the table, write it where asked."""
    options = _options()
    if options.study is not None:
        run_base(options.study)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = folder / "world"
        write_world_data(shipped_world(), world)
        found = [
            measure("embedded base, its world", "embedded:base", world, None, folder)
        ]
        if options.stories is not None:
            stories = str(options.stories.resolve())
            for name, limit in {
                f"stories, {options.facts:,} facts": options.facts,
                "stories, all of ParaRel": None,
            }.items():
                found.append(measure(name, stories, options.data_dir, limit, folder))
    text = "\n".join([*_heading(), *_table(found), ""])
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    return 0


def run_base(path: Path) -> None:
    """Measure the base of a study alone, beside the study's file."""
    study = resolve_study(read_study_file(path))
    compare(study.model_copy(update={"tuned": ()}), path.with_suffix(""))


def measure(
    name: str, model: str, data: Path, limit: int | None, folder: Path
) -> Measured:
    """Measure one model in a process of its own, and watch it."""
    study = {
        "base": {"source": model, "fact_contexts": ["{}"]},
        "tuned": [{"source": model, "label": "left-out"}],
        "data_dir": str(Path(data).resolve()),
        "analyses": ["facts"],
        "limit": limit,
        "executor": "processes",
        "workers": 2,
    }
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    output = path.with_suffix("")
    command = [sys.executable, __file__, "--study", str(path)]
    before, start = os.times(), time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(_private_mebibytes, _family(process.pid))))
        time.sleep(SAMPLING_SECONDS)
    seconds, after = time.monotonic() - start, os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    run = open_run(output)
    label = run.models()[0]
    rows = read_rows(run, "facts", label, columns=["prompt"])
    assert rows is not None
    return Measured(
        name=name,
        prompts=rows.num_rows,
        run_seconds=seconds,
        facts_seconds=run.info["timings"][label]["facts"],
        processor_seconds=sum(after[2:4]) - sum(before[2:4]),
        peak_mebibytes=peak,
        agreement=_agreement(output),
    )


def _agreement(output: Path) -> float | None:
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    measures = {own["key"]: own for own in summary["measures"]}
    return measures["facts.agreement"]["values"][0]["value"]


def _family(root: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text(encoding="utf-8")
        except OSError:
            continue
        parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _private_mebibytes(process: int) -> float:
    """Memory in use, pages that several processes share divided among them."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    line = next((own for own in text.splitlines() if own.startswith("Pss:")), "Pss: 0")
    return int(line.split()[1]) / 1024


def _heading() -> list[str]:
    return [
        "# Whole sets of facts",
        "",
        f"{os.cpu_count()} cores of {processor_name()}, two processes of one thread, "
        f"float32, one context, exact best two. torch {torch.__version__}, Python "
        f"{platform.python_version()}. One run per row. *Facts*: "
        "the analysis alone; *run*: from start to report, noise floor "
        "included. *Memory*: of all "
        "processes together at the highest. Made by `python benchmarks/whole_sets.py "
        "--stories WEIGHTS --data-dir DATA --output FILE`.",
        "",
    ]


def _table(found: Sequence[Measured]) -> list[str]:
    lines = [
        "| set | prompts | facts, s | run, s | processor time, s | prompts/s | "
        "memory, MiB | agreement |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for own in found:
        rate = own.prompts / own.facts_seconds
        agreement = "" if own.agreement is None else f"{own.agreement:.3f}"
        lines.append(
            f"| {own.name} | {own.prompts:,} | {own.facts_seconds:,.1f} "
            f"| {own.run_seconds:,.1f} | {own.processor_seconds:,.1f} "
            f"| {rate:,.0f} | {own.peak_mebibytes:,.0f} | {agreement} |"
        )
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whole sets of facts")
    parser.add_argument("--stories", type=Path, default=None)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--facts", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--study", type=Path, default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
