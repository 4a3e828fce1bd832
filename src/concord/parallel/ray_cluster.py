"""Workers on a Ray cluster: one actor for each model in memory, on a device of its own.

The nodes share a file system: every actor writes its parts into the run's folder, and
reads models from the same paths as here. What an actor tells goes through a mailbox on
this node; a node that is lost takes its actors along, whose jobs others do again.
"""

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from concord.analyses.part import Analysis
from concord.errors import ModelError, ResultsError, StudyError
from concord.models.quiet import quiet_libraries
from concord.parallel.events import Event, Failed, Lost, Ready, portable, send_logs
from concord.parallel.jobs import Job
from concord.parallel.worker import Assignment, Worker, sendable
from concord.plan import Plan
from concord.results import Run

SECONDS_BETWEEN_LOOKS = 0.2
"""How often the mailbox is emptied."""
SECONDS_FOR_A_PLACE = 300.0
"""So long no actor may be at work before the run stops."""


def import_ray() -> Any:
    """The module ``ray``, which is an extra.

    Raises:
        StudyError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise StudyError(
            "executor 'ray': found no package ray; install it with: "
            "pip install 'concord[cluster]', or use --executor processes"
        ) from error
    return ray


class Mailbox:
    """An actor that keeps what workers tell until it is fetched."""

    def __init__(self) -> None:
        self._events: list[tuple[int, int, Event]] = []

    def put(self, worker: int, generation: int, event: Event) -> None:
        """Keep an event of one worker."""
        self._events.append((worker, generation, event))

    def take(self) -> list[tuple[int, int, Event]]:
        """All events since the last call, in the order in which they came."""
        taken, self._events = self._events, []
        return taken


class Measurer:
    """An actor that measures; whatever happens in it is told, not raised."""

    def __init__(
        self, assignment: Assignment, mailbox: Any, worker: int, generation: int
    ):
        self._assignment = assignment
        self._put = lambda event: mailbox.put.remote(worker, generation, event)
        self._last: Any = None
        self._worker: Worker | None = None

    def prepare(self, folder: Path) -> None:
        """Look whether this node sees what it will read and write."""
        try:
            require_shared(folder, self._assignment.run)
        except ResultsError as error:
            self._tell(Failed(portable(error), ""))
        else:
            os.chdir(folder)
            quiet_libraries()
            send_logs(self._tell)
            self._worker = Worker(self._assignment, self._tell)
            self._tell(Ready())
        self._wait_until_told()

    def measure(self, job: Job, budgets: Mapping[str, int]) -> None:
        """Do one job; it has an end only when all that was told has arrived."""
        assert self._worker is not None
        self._worker.measure(job, budgets)
        self._wait_until_told()

    def _tell(self, event: Event) -> None:
        self._last = self._put(event)

    def _wait_until_told(self) -> None:
        """The mailbox takes what one actor sends in its order: the last comes last.

        Without this a node that is lost after its reply may take along the event on
        which the driver waits.
        """
        import_ray().get(self._last)


class RayActors:
    """A pool of actors on the cluster this process belongs to, or on one made for it.

    Args:
        run: Where rows go; its folder lies on the shared file system.
        plan: Study and data, sent to every actor.
        analyses: Functions that can be imported by name on every node.
        worker_count: How many actors; by default one for each GPU, else each node.

    Raises:
        StudyError: Ray is not installed, or an analysis cannot be sent.
    """

    def __init__(
        self,
        run: Run,
        plan: Plan,
        *,
        analyses: Mapping[str, Analysis],
        worker_count: int | None = None,
    ):
        named = sendable({name: analyses[name] for name in plan.study.analyses})
        self._ray = import_ray()
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            self._ray.init(log_to_driver=False, logging_level="ERROR")
        whole: dict[str, float] = self._ray.cluster_resources()
        nodes = [
            node
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        ]
        has_gpus = bool(whole.get("GPU")) and plan.study.device != "cpu"
        default = int(whole["GPU"]) if has_gpus else len(nodes) or 1
        self.worker_count = worker_count or default
        self._cpus = even_share(nodes, "CPU", self.worker_count)
        self._gpus = even_share(nodes, "GPU", self.worker_count) if has_gpus else 0
        self.title = f"{self.worker_count} actors on {len(nodes)} nodes"
        absolute = Run(run.path.resolve())
        device = plan.study.device
        assignment = Assignment(absolute, plan, named, self._cpus, device).on(device)
        self._assignment = self._ray.put(assignment)
        mailbox = self._ray.remote(Mailbox).options(
            num_cpus=0, scheduling_strategy=self._here()
        )
        self._mailbox = mailbox.remote()
        self._actors: dict[int, Any] = {}
        self._generations: dict[int, int] = {}
        self._pending: dict[Any, int] = {}
        """What was asked of which worker; an answer that fails means a lost actor."""
        self._ready: set[int] = set()
        self._heard = time.monotonic()

    def begin(self, worker: int) -> None:
        """Ask the cluster for an actor; it tells when it is there."""
        if worker in self._actors:  # One that only could not be reached must not go on.
            self._ray.kill(self._actors[worker], no_restart=True)
        generation = self._generations.get(worker, -1) + 1
        actor_class = self._ray.remote(Measurer).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0
        )
        actor = actor_class.remote(self._assignment, self._mailbox, worker, generation)
        self._actors[worker], self._generations[worker] = actor, generation
        self._pending[actor.prepare.remote(Path.cwd())] = worker

    def give(self, worker: int, job: Job, budgets: Mapping[str, int]) -> None:
        """Send a job to an actor."""
        reply = self._actors[worker].measure.remote(job, dict(budgets))
        self._pending[reply] = worker

    def news(self) -> Sequence[tuple[int, Event]]:
        """Empty the mailbox, then look whose actor is gone.

        Raises:
            ModelError: For minutes no actor has found a place on the cluster.
        """
        taken = self._ray.get(self._mailbox.take.remote())
        events: list[tuple[int, Event]] = [
            (worker, event)
            for worker, generation, event in taken
            if generation == self._generations[worker]
        ]
        finished, _ = self._ray.wait(
            list(self._pending),
            num_returns=len(self._pending),
            timeout=0 if events else SECONDS_BETWEEN_LOOKS,
        )
        self._ready |= {worker for worker, event in events if event == Ready()}
        events += [lost for one in finished for lost in self._ended(one)]
        self._require_life()
        return events

    def close(self) -> None:
        """End all actors, and Ray where it was begun here."""
        for actor in (*self._actors.values(), self._mailbox):
            self._ray.kill(actor, no_restart=True)
        if self._is_ours:
            self._ray.shutdown()

    def _ended(self, reply: Any) -> list[tuple[int, Event]]:
        worker = self._pending.pop(reply)
        try:
            self._ray.get(reply)
        except self._ray.exceptions.RayTaskError:
            raise  # Raised inside the actor by concord itself: a bug.
        except self._ray.exceptions.RayError as error:
            self._ready.discard(worker)
            self._pending = {r: w for r, w in self._pending.items() if w != worker}
            reason = str(error).strip().splitlines()[0]
            return [(worker, Lost(reason))]
        return []

    def _require_life(self) -> None:
        now = time.monotonic()
        if self._ready:
            self._heard = now
        elif now - self._heard > SECONDS_FOR_A_PLACE:
            raise ModelError(
                f"for {SECONDS_FOR_A_PLACE:.0f} s no node had room for an actor with "
                f"{self._cpus} CPUs and {self._gpus} GPUs; found "
                f"{self._ray.available_resources()} free; add nodes, or give fewer "
                "--workers. Finished parts are kept"
            )

    def _here(self) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self._ray.get_runtime_context().get_node_id()
        return NodeAffinitySchedulingStrategy(node, soft=False)


def require_shared(folder: Path, run: Run) -> None:
    """Refuse a node that does not see the run.

    Raises:
        ResultsError: The working folder or the run's is not there.
    """
    for path in (folder, run.path / "study.yaml"):
        if not path.exists():
            raise ResultsError(
                f"node {socket.gethostname()}: found no {path}; needed one file "
                "system that all nodes share; put run, models and data on it"
            )


def even_share(
    nodes: Sequence[Mapping[str, Any]], resource: str, worker_count: int
) -> int:
    """How many of a resource each actor gets, so that it fits on the smallest node.

    Returns:
        1 or more: with fewer workers than GPUs a model may be spread over several.
    """
    have = [int(node["Resources"].get(resource, 0)) for node in nodes]
    usable = [count for count in have if count]
    if not usable:
        return 1
    return max(1, min(sum(usable) // worker_count, min(usable)))
