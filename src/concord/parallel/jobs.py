"""Who measures what next: jobs, what they wait for, and what to do when one is lost.

Models that come out even over the workers are measured whole, one worker each; those
left over are shared. An analysis of a model begins when all shares of the one before it
are done, because it may read that one's rows.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concord.analyses.share import WHOLE, Share
from concord.errors import ModelError

ATTEMPTS = 2
"""Workers that may end unexpectedly on one job before the run stops."""


@dataclass(frozen=True)
class Job:
    """One analysis of one model, or a share of it."""

    model: str
    analysis: str
    share: Share = WHOLE
    closes: bool = False
    """The pass over a shared analysis that measures what the shares left out."""


class Schedule:
    """Jobs of all models in their order; pure bookkeeping, no process."""

    def __init__(
        self, models: Sequence[str], analyses: Sequence[str], *, worker_count: int
    ):
        self._ways = dict(zip(models, ways_of(len(models), worker_count), strict=True))
        self._waiting = {model: deque(analyses) for model in models}
        self._ready: list[Job] = []
        self._unfinished: Counter[tuple[str, str]] = Counter()
        self._losses: Counter[Job] = Counter()
        self._running: set[Job] = set()
        for model in models:
            self._begin_next(model)

    @property
    def is_finished(self) -> bool:
        """Nothing is waiting, ready or running."""
        return not self._ready and not self._running

    def assign(self, idle: Mapping[int, str | None]) -> dict[int, Job]:
        """Jobs for idle workers, those of the model each one holds first.

        Args:
            idle: Worker -> label of the model in its memory.
        """
        assigned: dict[int, Job] = {}
        for worker, held in idle.items():
            own = next((job for job in self._ready if job.model == held), None)
            if own is not None:
                assigned[worker] = self._start(own)
        for worker in idle:
            if worker not in assigned and self._ready:
                assigned[worker] = self._start(self._ready[0])
        return assigned

    def finish(self, job: Job) -> bool:
        """Note a job as done; returns whether its whole analysis is."""
        self._running.remove(job)
        stage = job.model, job.analysis
        self._unfinished[stage] -= 1
        if self._unfinished[stage]:
            return False
        if not job.share.is_whole:
            self._unfinished[stage] = 1
            self._ready.insert(0, Job(job.model, job.analysis, closes=True))
            return False
        self._begin_next(job.model)
        return True

    def lose(self, job: Job, reason: str) -> None:
        """Give a job whose worker ended to another worker, once.

        Raises:
            ModelError: A second worker ended on the same job.
        """
        self._running.remove(job)
        self._losses[job] += 1
        if self._losses[job] >= ATTEMPTS:
            raise ModelError(
                f"{job.model}: {ATTEMPTS} workers in a row ended while measuring "
                f"{job.analysis} ({reason}); needed: workers that live, often a matter "
                "of memory. Finished parts are kept: give the same command with fewer "
                "--workers or a smaller --batch-size"
            )
        self._ready.insert(0, job)

    def _start(self, job: Job) -> Job:
        self._ready.remove(job)
        self._running.add(job)
        return job

    def _begin_next(self, model: str) -> None:
        if not self._waiting[model]:
            return
        analysis = self._waiting[model].popleft()
        ways = self._ways[model]
        self._unfinished[model, analysis] = ways
        self._ready += [Job(model, analysis, Share(i, ways)) for i in range(ways)]


def ways_of(model_count: int, worker_count: int) -> list[int]:
    """Into how many shares each model's analyses are divided.

    Returns:
        1 for models measured whole; the last ``model_count % worker_count`` models
        divide the workers between them.
    """
    left_over = model_count % worker_count
    ways = [1] * (model_count - left_over)
    for index in range(left_over):
        more = index < worker_count % left_over
        ways.append(worker_count // left_over + more)
    return ways
