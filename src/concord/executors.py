"""Where analyses run: this process, one model in memory at a time."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from concord.analyses import SERVED_ANALYSES
from concord.analyses.part import Analysis, Measured, Model, Part, Task
from concord.analyses.share import WHOLE, OthersParts, Share
from concord.endpoints.connection import Connection, connect
from concord.endpoints.offer import ServedModel
from concord.endpoints.usage import Usage, in_words
from concord.errors import ResultsError
from concord.keys import asked_of, read_asked, run_key
from concord.models.inputs import source_files
from concord.models.loader import Loader
from concord.models.sources import resolve_source
from concord.plan import Plan
from concord.progress import Reporter
from concord.provenance import (
    record_model,
    record_timing,
    record_usage,
    remembered_model,
)
from concord.results import (
    Run,
    claim,
    part_rows,
    read_json,
    read_rows,
    require_same_key,
    write_json,
    write_part,
)
from concord.study import ModelEntry

logger = logging.getLogger(__name__)

BUDGETS = "budgets.json"
PROBE = "probe"
"""Where ``usage`` has what it took to find out what an endpoint returns."""


def execute(
    run: Run,
    entry: ModelEntry,
    plan: Plan,
    *,
    analyses: Mapping[str, Analysis],
    loader: Loader,
    reporter: Reporter,
) -> None:
    """Run a study's analyses on one model; what is finished is kept, not repeated.

    A model whose files are untouched and whose analyses are all finished is not even
    loaded. Every part is on disk before the next one is begun.

    Raises:
        ResultsError: The folder holds rows of something else, or cannot be written.
        ModelError: The model cannot be loaded or used.
    """
    served = plan.served.get(entry.label)
    if served is not None:  # It was asked anew, whatever is kept.
        record_usage(run, entry.label, PROBE, served.probed, entry.price)
    if is_measured(run, entry, plan):
        logger.info("%s: all analyses finished before; kept", entry.label)
        return
    if served is not None:
        _measure_served(run, served, plan, reporter=reporter)
        return
    _measure(run, entry, plan, analyses=analyses, loader=loader, reporter=reporter)


def is_measured(run: Run, entry: ModelEntry, plan: Plan) -> bool:
    """Whether a former start finished all analyses of a model, its files untouched.

    Raises:
        ResultsError: The folder holds rows of something else.
    """
    study, data = plan.study, plan.data
    served = plan.served.get(entry.label)
    if served is not None:
        known = served.info
    else:
        files = source_files(resolve_source(entry, study.base))
        known = remembered_model(run, entry.label, files)
    if known is None:
        return False
    asked = read_asked(entry, plan)
    return all(
        _is_complete(
            *(run, name, entry.label),
            run_key(name, entry, known, data, study, asked),
        )
        for name in study.analyses
    )


def require_same_rows(run: Run, model: Measured, plan: Plan) -> None:
    """Refuse a loaded model that a run's rows were not made from; nothing is written.

    Raises:
        ResultsError: The folder holds rows of something else.
    """
    study, asked = plan.study, asked_of(model)
    for name in study.analyses:
        key = run_key(name, model.entry, model.info, plan.data, study, asked)
        require_same_key(run, name, model.label, key)


def _measure(
    run: Run,
    entry: ModelEntry,
    plan: Plan,
    *,
    analyses: Mapping[str, Analysis],
    loader: Loader,
    reporter: Reporter,
) -> None:
    """Load the model and run every analysis."""
    study, data = plan.study, plan.data
    with reporter.step(f"{entry.label}: load", 1, "model") as advance:
        model = loader.load(entry)
        advance(1)
    require_same_rows(run, model, plan)
    record_model(run, entry.label, kind=model.kind, info=model.info, files=model.files)
    totals = {(row["model"], row["analysis"]): row["prompts"] for row in plan.workload}
    for name in study.analyses:
        total = totals.get((entry.label, name))
        with reporter.step(f"{entry.label}: {name}", total, "prompts") as advance:
            task = Task(
                model,
                data,
                study,
                advance=advance,
                budgets=remembered_budgets(run),
                measured=partial(read_rows, run, model=entry.label),
            )
            note = partial(remember_budgets, run)
            seconds = run_analysis(run, name, analyses[name], task, note=note)
        record_timing(run, entry.label, name, seconds)


def _measure_served(
    run: Run, served: ServedModel, plan: Plan, *, reporter: Reporter
) -> None:
    """Ask an endpoint for every analysis; what was used is noted after each part."""
    label = served.label
    record_model(run, label, kind=served.kind, info=served.info, files=None)
    totals = {(row["model"], row["analysis"]): row["prompts"] for row in plan.workload}
    with connect(served) as connection:
        for name in plan.study.analyses:
            total = totals.get((label, name))

            def counted(task: Task[Connection], name: str = name) -> Iterator[Part]:
                def note() -> Usage:
                    used = connection.client.take_usage()
                    return record_usage(run, label, name, used, served.entry.price)

                try:
                    for part in SERVED_ANALYSES[name](task):
                        note()
                        yield part
                finally:
                    words = in_words(note(), served.entry.price)
                    logger.info("%s of %s: %s", name, label, words)

            with reporter.step(f"{label}: {name}", total, "prompts") as advance:
                task = Task(
                    connection,
                    plan.data,
                    plan.study,
                    advance=advance,
                    measured=partial(read_rows, run, model=label),
                )
                seconds = run_analysis(run, name, counted, task, note=lambda _: None)
            record_timing(run, label, name, seconds)


def run_analysis(
    run: Run,
    name: str,
    analysis: Callable[[Task[Model]], Iterator[Part]],
    task: Task[Model],
    *,
    share: Share = WHOLE,
    note: Callable[[dict[str, int]], None],
) -> float:
    """Measure what is missing of an analysis, or a worker's share of it.

    Args:
        run: Where parts go, each as soon as it is measured.
        name: Name of the analysis.
        analysis: Its function.
        task: The model and data; ``finished`` is filled in here.
        share: Which parts; only the whole marks the analysis as complete.
        note: Told the budgets whenever one was halved.

    Returns:
        Seconds it took.

    Raises:
        ResultsError: The folder holds rows of something else, or cannot be written.
    """
    label = task.model.label
    key = run_key(
        *(name, task.model.entry, task.model.info),
        *(task.data, task.study, asked_of(task.model)),
    )
    mark = claim(run, name, label, key)
    finished = part_rows(run, name, label, mark)
    if finished and share.is_whole:
        logger.info("%s of %s: kept %d finished parts", name, label, len(finished))
    started, parts = time.monotonic(), dict(finished)
    noted = dict(task.budgets)
    here = replace(
        task,
        finished=OthersParts(set(finished), share),
        workspace=run.folder(name, label),
    )
    for part in analysis(here):
        parts[part.name] = part.rows.num_rows
        write_part(run, name, label, name=part.name, key=mark, table=part.rows)
        if task.budgets != noted:
            noted = dict(task.budgets)
            note(noted)
    seconds = time.monotonic() - started
    if share.is_whole:
        done = {"key": mark, "parts": dict(sorted(parts.items()))}
        write_json(_completion(run, name, label), done)
    # Whoever watches has the reporter's line.
    count = sum(parts.values())
    logger.debug("%s of %s: %d rows after %.1f s", name, label, count, seconds)
    return seconds


def remembered_budgets(run: Run) -> dict[str, int]:
    """Positions per batch that had to be halved, by model, device and mode."""
    path = run.path / BUDGETS
    if not path.is_file():
        return {}
    return read_json(path)


def remember_budgets(run: Run, found: Mapping[str, int]) -> None:
    """Keep the smallest budget seen by any process."""
    known = remembered_budgets(run)
    least = {key: min(size, known.get(key, size)) for key, size in found.items()}
    if {**known, **least} != known:
        write_json(run.path / BUDGETS, {**known, **least})


def _completion(run: Run, name: str, label: str) -> Path:
    return run.folder(name, label) / "complete.json"


def _is_complete(run: Run, name: str, label: str, key: Mapping[str, Any]) -> bool:
    """Whether an analysis was finished, and all its parts are still there and whole."""
    path = _completion(run, name, label)
    if not path.is_file():
        return False
    mark = claim(run, name, label, key)
    try:
        noted = read_json(path)
    except ResultsError as error:
        logger.warning("%s; %s of %s is looked through again", error, name, label)
        return False
    return noted == {"key": mark, "parts": part_rows(run, name, label, mark)}
