"""A synthetic run with its summary, so that reports can be drawn."""

import json
from pathlib import Path
from typing import Any

from synthetic_run import write_synthetic_run

from concord.results import Run, write_json
from concord.summary import Settings, summarise, write_summary

HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror=alert(1)>\u2028&"
)
"""What a model, a data set or a tokenizer could say to break a page."""


def finished_run(folder: Path, **options: Any) -> Run:
    """`write_synthetic_run` with a summary of few replicates."""
    run = write_synthetic_run(folder, **options)
    write_summary(run, summarise(run, Settings(200, 200, level=0.95, seed=0)))
    return run


def read_json(run: Run, name: str) -> Any:
    """One of the run's JSON files."""
    return json.loads((run.path / name).read_text(encoding="utf-8"))


def change_json(run: Run, name: str, **changes: Any) -> None:
    """Replace fields of one of the run's JSON files."""
    write_json(run.path / name, read_json(run, name) | changes)
