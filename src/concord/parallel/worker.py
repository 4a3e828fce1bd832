"""A worker: one model in memory, measured job by job; writes rows and nothing else.

What belongs to the run as a whole (``run.json``, budgets) is told to the process that
started the worker, which alone writes it.
"""

import pickle
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch

from concord.analyses import ANALYSES, Analysis, Task
from concord.errors import StudyError
from concord.executors import require_same_rows, run_analysis
from concord.models.load import LoadedModel
from concord.models.loader import Loader
from concord.parallel.events import (
    Advanced,
    Failed,
    Finished,
    Halved,
    Loaded,
    Send,
    portable,
)
from concord.parallel.jobs import Job
from concord.plan import Plan
from concord.results import Run, read_rows

SECONDS_BETWEEN_NEWS = 0.2
"""So many lie between two messages of progress at least."""


@dataclass(frozen=True)
class Assignment:
    """What every worker of a run is told at its start."""

    run: Run
    plan: Plan
    analyses: Mapping[str, Analysis | None]
    """As `sendable` makes them."""
    threads: int
    """Of torch and the libraries below it, in each worker."""
    device: str

    def on(self, device: str) -> "Assignment":
        """The same on another device, without what is not for workers: endpoints."""
        return replace(self, device=device, plan=replace(self.plan, served={}))


def sendable(analyses: Mapping[str, Analysis]) -> dict[str, Analysis | None]:
    """Analyses as they can be sent to another process: built-in ones by name only.

    Raises:
        StudyError: An analysis of the user's own is a lambda, a closure or the like.
    """
    sent = {n: None if ANALYSES.get(n) is run else run for n, run in analyses.items()}
    for name, analysis in sent.items():
        try:
            pickle.dumps(analysis)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise StudyError(
                f"analysis {name!r} cannot be sent to another process ({error}); "
                "define it at the top of a module, or use executor 'here'"
            ) from error
    return sent


def received(sent: Mapping[str, Analysis | None]) -> dict[str, Analysis]:
    """The functions that were sent."""
    return {name: run or ANALYSES[name] for name, run in sent.items()}


class Worker:
    """Measures jobs; keeps the model of the last one."""

    def __init__(self, assignment: Assignment, send: Send):
        torch.set_num_threads(assignment.threads)
        self._assignment = assignment
        study = assignment.plan.study
        self._study = study.model_copy(update={"device": assignment.device})
        self._loader = Loader(self._study)
        self._analyses = received(assignment.analyses)
        self._send = send
        self._model: LoadedModel | None = None

    def measure(self, job: Job, budgets: Mapping[str, int]) -> None:
        """Do one job; how it went is sent, not raised."""
        try:
            seconds = self._measure(job, budgets)
        except Exception as error:  # Raised again where it can be shown.
            self._send(Failed(portable(error), traceback.format_exc()))
        else:
            self._send(Finished(seconds))

    def _measure(self, job: Job, budgets: Mapping[str, int]) -> float:
        run, plan = self._assignment.run, self._assignment.plan
        news = _News(self._send)
        task = Task(
            self._hold(job.model),
            plan.data,
            self._study,
            advance=news.advance,
            budgets=dict(budgets),
            measured=partial(read_rows, run, model=job.model),
        )
        seconds = run_analysis(
            run,
            job.analysis,
            self._analyses[job.analysis],
            task,
            share=job.share,
            note=lambda found: self._send(Halved(found)),
        )
        news.tell()
        return seconds

    def _hold(self, label: str) -> LoadedModel:
        """The model in memory, loaded in place of another if need be."""
        if self._model is None or self._model.label != label:
            self._model = None
            entry = next(e for e in self._study.models if e.label == label)
            self._model = self._loader.load(entry)
        model = self._model
        require_same_rows(self._assignment.run, model, self._assignment.plan)
        self._send(Loaded(label, model.kind, model.info, model.files))
        return model


class _News:
    """Counts progress and sends it now and then."""

    def __init__(self, send: Send):
        self._send = send
        self._count = 0
        self._told = time.monotonic()

    def advance(self, count: int) -> None:
        self._count += count
        if time.monotonic() - self._told >= SECONDS_BETWEEN_NEWS:
            self.tell()

    def tell(self) -> None:
        if self._count:
            self._send(Advanced(self._count))
        self._count, self._told = 0, time.monotonic()
