"""Where analyses run: this process, one model in memory at a time."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

from concord.analyses.part import Analysis, Task
from concord.data.collection import Collection
from concord.models.load import free_memory, load_model
from concord.models.sources import resolve_source
from concord.plan import Plan
from concord.progress import Reporter
from concord.provenance import (
    record_model,
    record_timing,
    remembered_model,
    source_files,
)
from concord.results import (
    Run,
    claim,
    finished_parts,
    read_rows,
    write_json,
    write_part,
)
from concord.scoring.records import SCORING_VERSION
from concord.study import ModelEntry, Study, what_is_measured

logger = logging.getLogger(__name__)

BUDGETS = "budgets.json"
_NOT_MEASURED_BY = ("source", "revision", "adapter", "diff")
_NOT_PROMPTS = ("source", "revision", "peft", "tokenizer", "label")


def execute(
    run: Run,
    entry: ModelEntry,
    plan: Plan,
    *,
    analyses: Mapping[str, Analysis],
    reporter: Reporter,
) -> None:
    """Run a study's analyses on one model; what is finished is kept, not repeated.

    A model whose files are untouched and whose analyses are all finished is not even
    loaded. Every part is on disk before the next one is begun.

    Raises:
        ResultsError: The folder holds rows of something else, or cannot be written.
        ModelError: The model cannot be loaded or used.
    """
    study, data = plan.study, plan.data
    files = source_files(resolve_source(entry, study.base))
    known = remembered_model(run, entry.label, files)
    if known is not None:
        keys = {
            name: run_key(name, entry, known, data, study) for name in study.analyses
        }
        if all(_is_complete(run, name, entry.label, key) for name, key in keys.items()):
            logger.info("%s: all analyses finished before; kept", entry.label)
            return
    _measure(run, entry, plan, files=files, analyses=analyses, reporter=reporter)
    free_memory()


def _measure(
    run: Run,
    entry: ModelEntry,
    plan: Plan,
    *,
    files: list[list[Any]] | None,
    analyses: Mapping[str, Analysis],
    reporter: Reporter,
) -> None:
    """Load the model and run every analysis; it is freed when this returns."""
    study, data = plan.study, plan.data
    with reporter.step(f"{entry.label}: load", 1, "model") as advance:
        model = load_model(study, entry)
        advance(1)
    record_model(run, model, files)
    totals = {(row["model"], row["analysis"]): row["prompts"] for row in plan.workload}
    for name in study.analyses:
        key = run_key(name, entry, model.info, data, study)
        total = totals.get((entry.label, name))
        with reporter.step(f"{entry.label}: {name}", total, "prompts") as advance:
            task = Task(
                model,
                data,
                study,
                advance=advance,
                budgets=remembered_budgets(run),
                measured=lambda other: read_rows(run, other, entry.label),
            )
            _run_analysis(run, name, analyses[name], task, key)


def _run_analysis(
    run: Run, name: str, analysis: Analysis, task: Task, key: Mapping[str, Any]
) -> None:
    label = task.model.label
    mark = claim(run, name, label, key)
    finished = finished_parts(run, name, label, mark)
    if finished:
        logger.info("%s of %s: kept %d finished parts", name, label, len(finished))
    started, row_count = time.monotonic(), 0
    for part in analysis(replace(task, finished=frozenset(finished))):
        row_count += part.rows.num_rows
        write_part(run, name, label, name=part.name, key=mark, table=part.rows)
        if task.budgets != remembered_budgets(run):
            write_json(run.path / BUDGETS, task.budgets)
    seconds = time.monotonic() - started
    write_json(_completion(run, name, label), {"key": mark})
    record_timing(run, label, name, seconds)
    logger.info("%s of %s: %d rows measured in %.1f s", name, label, row_count, seconds)


def remembered_budgets(run: Run) -> dict[str, int]:
    """Positions per batch that had to be halved, by model, device and mode."""
    path = run.path / BUDGETS
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))


def _completion(run: Run, name: str, label: str) -> Path:
    return run.folder(name, label) / "complete.json"


def _is_complete(run: Run, name: str, label: str, key: Mapping[str, Any]) -> bool:
    path = _completion(run, name, label)
    if not path.is_file():
        return False
    mark = claim(run, name, label, key)
    found = json.loads(path.read_text(encoding="utf-8"))
    return found == {"key": mark}


def run_key(
    name: str,
    entry: ModelEntry,
    info: Mapping[str, Any],
    data: Collection,
    study: Study,
) -> dict[str, Any]:
    """Everything the rows of one analysis of one model depend on, by name.

    Source:
        The key of lm-evaluation-harness's cache leaves the model out, so a tuned model
        can be served its base's scores; here any change is another key.
    """
    settings = what_is_measured(study.model_dump(mode="json"))
    prompts = entry.model_dump(mode="json", exclude=set(_NOT_PROMPTS))
    base_prompts = study.base.model_dump(mode="json", exclude=set(_NOT_PROMPTS))
    return {
        "analysis": name,
        "config": settings.get(name, {}),
        "facts": settings["facts"],
        "contexts": settings["contexts"],
        "seed": settings["seed"],
        "limit": settings["limit"],
        "prompts": {**prompts, "base": base_prompts},
        "model": {k: v for k, v in info.items() if k not in _NOT_MEASURED_BY},
        "data": dict(data.fingerprints()),
        "versions": {
            "scoring": SCORING_VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
