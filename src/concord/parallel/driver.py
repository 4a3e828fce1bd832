"""Gives jobs to workers, takes their news, and alone writes what a run has only once.

The same loop for processes and for Ray; how a worker is started, told and heard is the
pool's affair.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from concord.errors import ConcordError
from concord.executors import remember_budgets, remembered_budgets
from concord.parallel.display import Display, Stage
from concord.parallel.events import (
    Advanced,
    Event,
    Failed,
    Finished,
    Halved,
    Loaded,
    Logged,
    Lost,
    Ready,
)
from concord.parallel.jobs import Job, Schedule
from concord.plan import Plan
from concord.progress import Reporter
from concord.provenance import record_model, record_timing
from concord.results import Run, remove_temporaries

logger = logging.getLogger(__name__)


class Pool(Protocol):
    """Workers, each known by its number."""

    title: str
    """What and how many they are, for the display."""
    worker_count: int
    """Jobs under way at once."""

    def begin(self, worker: int) -> None:
        """Start a worker, or another in place of one that was lost."""
        ...

    def give(self, worker: int, job: Job, budgets: Mapping[str, int]) -> None:
        """Tell a worker that is ready to measure a job."""
        ...

    def news(self) -> Sequence[tuple[int, Event]]:
        """Wait until a worker tells something.

        Raises:
            ConcordError: Nobody is left who could.
        """
        ...

    def close(self) -> None:
        """End all workers, whatever they do."""
        ...


@dataclass
class _Seat:
    """What is known of a worker."""

    is_ready: bool = False
    held: str | None = None
    job: Job | None = None


def measure_with(
    pool: Pool,
    run: Run,
    plan: Plan,
    *,
    models: Sequence[str],
    reporter: Reporter,
) -> None:
    """Have workers measure all analyses of some models.

    A worker that is lost is replaced and its job done again: its finished parts lie on
    disk and are kept.

    Args:
        pool: Workers to be started; they are ended whatever happens.
        run: Where rows go.
        plan: Which analyses, and the workload to show.
        models: Labels of the models not yet measured.
        reporter: Shows progress.

    Raises:
        ConcordError: What a worker ran into, or two workers lost on one job.
    """
    schedule = Schedule(models, plan.study.analyses, worker_count=pool.worker_count)
    try:
        with Display(reporter, plan, models=list(models), title=pool.title) as display:
            driver = _Driver(pool, run, schedule, display)
            for worker in range(pool.worker_count):
                driver.begin(worker)
            while not schedule.is_finished:
                driver.assign()
                for worker, event in pool.news():
                    driver.hear(worker, event)
    finally:
        pool.close()
        remove_temporaries(run)


class _Driver:
    """The state of a run while its workers are at work."""

    def __init__(self, pool: Pool, run: Run, schedule: Schedule, display: Display):
        self._pool, self._run = pool, run
        self._schedule, self._display = schedule, display
        self._seats: dict[int, _Seat] = {}
        self._seconds: dict[Stage, list[float]] = {}

    def begin(self, worker: int) -> None:
        self._seats[worker] = _Seat()
        self._pool.begin(worker)

    def assign(self) -> None:
        idle = {
            worker: seat.held
            for worker, seat in self._seats.items()
            if seat.is_ready and seat.job is None
        }
        for worker, job in self._schedule.assign(idle).items():
            seat = self._seats[worker]
            self._display.begin(worker, job, loads=seat.held != job.model)
            seat.job, seat.held = job, job.model
            self._pool.give(worker, job, remembered_budgets(self._run))

    def hear(self, worker: int, event: Event) -> None:
        seat = self._seats[worker]
        match event:
            case Ready():
                seat.is_ready = True
            case Loaded(label, kind, info, files):
                self._display.loaded(worker)
                record_model(self._run, label, kind=kind, info=info, files=files)
            case Advanced(count) if seat.job:
                self._display.advance(seat.job, count)
            case Halved(budgets):
                remember_budgets(self._run, budgets)
            case Logged(name, level, text):
                logging.getLogger(name).log(level, "%s", text)
            case Finished(seconds) if seat.job:
                self._finish(seat.job, seconds)
                seat.job = None
            case Failed(error, trace):
                raise _explained(error, trace)
            case Lost(reason):
                self._replace(worker, seat, reason)

    def _finish(self, job: Job, seconds: float) -> None:
        stage = job.model, job.analysis
        self._seconds.setdefault(stage, []).append(seconds)
        if self._schedule.finish(job):
            self._display.end(stage)
            # Shares run side by side; the closing pass comes after them.
            *shares, last = self._seconds.pop(stage)
            whole = last + max(shares, default=0.0)
            record_timing(self._run, job.model, job.analysis, whole)

    def _replace(self, worker: int, seat: _Seat, reason: str) -> None:
        self._display.loaded(worker)
        if seat.job is not None:
            logger.warning(
                "worker %d ended (%s) while measuring %s of %s; another goes on",
                worker + 1,
                reason,
                seat.job.analysis,
                seat.job.model,
            )
            self._schedule.lose(seat.job, reason)
        self.begin(worker)


def _explained(error: Exception, trace: str) -> Exception:
    """A user's mistake as it is; of a bug also where in the worker it happened."""
    if not isinstance(error, ConcordError):
        error.add_note(f"In the worker:\n{trace}")
    return error
