"""Seconds that fine-tuning the embedded base takes, and what is kept for a restart.

The world's entailment task is trained as the study trains (all its rows, ten epochs,
no early stop), and in the small settings of the demo. Writes a page of the results.

    python benchmarks/finetuning.py --threads 2 --page docs/benchmarks/finetuning.md
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from machine import processor_name

from concord import organism
from concord.analyses import finetuned
from concord.analyses.part import Task
from concord.data.collection import read_collection
from concord.models.load import load_model
from concord.study import resolve_study

LIMIT_SECONDS = 120
WHOLE = {"rates": [1e-3], "seeds": 1, "epochs": 10, "patience": 10, "batch": 32}
SMALL = {
    "rates": [2e-3],
    "seeds": 1,
    "epochs": 2,
    "batch": 16,
    "train_examples": 440,
    "scored_examples": 40,
}
"""One rate, one seed, few rows: what a demo of many models has time for."""


@dataclass(frozen=True)
class Cost:
    """What one training took, and what it reached."""

    name: str
    rows: int
    seconds: float
    processor_seconds: float
    kept_bytes: int
    """Largest size of the state on disk."""
    accuracy: float


def measure(name: str, settings: Mapping[str, Any], data_dir: Path) -> Cost:
    """Train the embedded base once, its state kept on disk after every round."""
    study = resolve_study(
        {
            "base": "embedded:base",
            "tuned": ["embedded:wordings"],
            "analyses": ["finetuned"],
            "data_dir": data_dir,
            "finetuned": dict(settings),
        }
    )
    task = Task(load_model(study, study.base), read_collection(study), study)
    sizes = [0]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def note_size(count: int) -> None:
            files = [path for path in place.rglob("*") if path.is_file()]
            sizes.append(sum(path.stat().st_size for path in files))

        started, used = time.perf_counter(), time.process_time()
        (part,) = finetuned.run(replace(task, workspace=place, advance=note_size))
        seconds = time.perf_counter() - started
        processor_seconds = time.process_time() - used
    rows = [row for row in part.rows.to_pylist() if row["split"] == "scored"]
    right = sum(row["label"] == row["prediction"] for row in rows)
    return Cost(
        name=name,
        rows=len(task.data.training_sets[0].train),
        seconds=seconds,
        processor_seconds=processor_seconds,
        kept_bytes=max(sizes),
        accuracy=right / len(rows),
    )


def page(costs: list[Cost], threads: int) -> str:
    """The results in Markdown."""
    head = (
        "| settings | training rows | seconds | processor seconds | state on disk, MB "
        "| accuracy |\n|---|---:|---:|---:|---:|---:|\n"
    )
    lines = [
        f"| {cost.name} | {cost.rows:,} | {cost.seconds:.1f} | "
        f"{cost.processor_seconds:.1f} | {cost.kept_bytes / 1e6:.1f} | "
        f"{cost.accuracy:.3f} |\n"
        for cost in costs
    ]
    return (
        "<!-- Made by: python benchmarks/finetuning.py --page "
        "docs/benchmarks/finetuning.md -->\n\n# Fine-tuning\n\n"
        "All weights of the embedded base (float32) on the embedded world's entailment "
        "task, one learning rate and one seed, scoring of all sets included; "
        f"{threads} thread{'s' if threads > 1 else ''}, {processor_name()}, torch "
        f"{torch.__version__}.\n\n{head}{''.join(lines)}\n"
        f"Limit: {LIMIT_SECONDS} processor seconds per thread for the whole training; "
        "other work on the machine makes the seconds longer, not these. The state on "
        "disk (weights, both moments of AdamW, the best weights) is replaced after "
        "every round and removed when the rows are written.\n"
    )


def main() -> None:
    """Measure, print, and fail when the whole training takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", type=Path, default=None)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        organism.write_world_data(organism.shipped_world(), Path(folder))
        costs = [
            measure("small, two epochs", SMALL, Path(folder)),
            measure("whole, ten epochs", WHOLE, Path(folder)),
        ]
    text = page(costs, given.threads)
    print(text)
    if given.page is not None:
        given.page.write_text(text, encoding="utf-8", newline="\n")
    if costs[-1].processor_seconds / given.threads > LIMIT_SECONDS:
        raise SystemExit(f"the whole training took {costs[-1].seconds:.0f} s")


if __name__ == "__main__":
    main()
