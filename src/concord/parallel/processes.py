"""Workers in processes of this machine.

Each has one pipe to the process that started it and shares no lock with another, so one
that is killed takes nobody along.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from concord.analyses.part import Analysis
from concord.errors import ModelError
from concord.models.load import device_name
from concord.models.quiet import quiet_libraries
from concord.parallel.events import Event, Lost, Ready, send_logs
from concord.parallel.jobs import Job
from concord.parallel.libraries import begin_loading, passed_on
from concord.parallel.worker import Assignment, Worker, sendable
from concord.plan import Plan
from concord.results import Run

Context = ForkServerContext | SpawnContext
DEFAULT_WORKERS = 2
"""Without a GPU."""
SECONDS_TO_END = 10.0
"""A worker told to end has so long to tidy up before it is killed."""
FAILED_STARTS = 3
"""Workers in a row that end before they are ready, until the run stops."""


def default_worker_count() -> int:
    """One for each GPU, else two."""
    return torch.cuda.device_count() or DEFAULT_WORKERS


class Processes:
    """A pool of processes; nothing of this one is copied into them.

    Args:
        run: Where rows go.
        plan: Study and data, sent to every worker.
        analyses: Functions that can be imported by name.
        worker_count: How many; by default one for each GPU, else two.

    Raises:
        StudyError: An analysis cannot be sent to another process.
    """

    def __init__(
        self,
        run: Run,
        plan: Plan,
        *,
        analyses: Mapping[str, Analysis],
        worker_count: int | None = None,
    ):
        self.worker_count = worker_count or default_worker_count()
        self.title = f"{self.worker_count} processes"
        named = sendable({name: analyses[name] for name in plan.study.analyses})
        threads = max(1, torch.get_num_threads() // self.worker_count)
        self._assignment = Assignment(run, plan, named, threads, plan.study.device)
        self._context = _context()
        if isinstance(self._context, ForkServerContext):
            begin_loading(threads)
        self._processes: dict[int, BaseProcess] = {}
        self._connections: dict[int, Connection] = {}
        self._ready: set[int] = set()
        self._failed_starts = 0

    def begin(self, worker: int) -> None:
        """Start a process; it tells when it is ready."""
        ours, theirs = self._context.Pipe()
        assignment = self._assignment.on(device_of(worker, self._assignment.device))
        process = self._context.Process(
            target=work,
            args=(theirs, assignment, dict(os.environ)),
            name=f"concord worker {worker + 1}",
            daemon=True,
        )
        with passed_on(assignment.threads):
            process.start()
        theirs.close()
        self._processes[worker], self._connections[worker] = process, ours

    def give(self, worker: int, job: Job, budgets: Mapping[str, int]) -> None:
        """Send a job down the worker's pipe."""
        try:
            self._connections[worker].send((job, dict(budgets)))
        except BrokenPipeError:
            pass  # It has ended; `news` will find so and the job goes to another.

    def news(self) -> Sequence[tuple[int, Event]]:
        """Wait for the next message of any worker, or for its end."""
        workers = {connection: w for w, connection in self._connections.items()}
        ready: list[Any] = wait(list(workers))
        return [(workers[one], self._receive(workers[one], one)) for one in ready]

    def close(self) -> None:
        """End all processes: politely, then for good."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(SECONDS_TO_END)
            if process.is_alive():
                process.kill()
                process.join()
        for connection in self._connections.values():
            connection.close()

    def _receive(self, worker: int, connection: Connection) -> Event:
        try:
            event: Event = connection.recv()
        except (EOFError, OSError):
            return self._lost(worker)
        if isinstance(event, Ready):
            self._ready.add(worker)
            self._failed_starts = 0
        return event

    def _lost(self, worker: int) -> Lost:
        process = self._processes[worker]
        process.join(SECONDS_TO_END)
        self._connections.pop(worker).close()
        self._failed_starts += worker not in self._ready
        self._ready.discard(worker)
        reason = _end_of(process.exitcode)
        if self._failed_starts >= FAILED_STARTS:
            raise ModelError(
                f"{FAILED_STARTS} processes in a row ended before they could begin "
                f"({reason}; what they said stands above). A script that starts "
                "processes must do so under: if __name__ == '__main__'"
            )
        return Lost(reason)


def work(
    connection: Connection, assignment: Assignment, environment: Mapping[str, str]
) -> None:
    """What a process does: wait for a job, measure it, tell how it went."""
    os.environ.update(environment)  # A fork has that of the time of its loading.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    quiet_libraries()
    send_logs(connection.send)
    worker = Worker(assignment, connection.send)
    connection.send(Ready())
    try:
        while True:
            job, budgets = connection.recv()
            worker.measure(job, budgets)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # Whoever started this process is gone: so are we.


def device_of(worker: int, asked: str) -> str:
    """The device of one worker: GPUs are dealt round unless one is named."""
    if asked not in ("auto", "cuda") or device_name(asked) != "cuda":
        return asked
    return f"cuda:{worker % torch.cuda.device_count()}"


def _end_of(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"ended by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


def _context() -> Context:
    """How processes start: forked where the libraries lie loaded, or from nothing.

    A GPU cannot be used behind a fork once it has been asked for, which libraries do as
    they are loaded: there every process loads its own.
    """
    methods = multiprocessing.get_all_start_methods()
    if "forkserver" in methods and device_name("auto") == "cpu":
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")
