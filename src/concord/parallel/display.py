"""Progress of all workers in one display: a line for each analysis, and one for all."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

from concord.parallel.jobs import Job
from concord.plan import Plan
from concord.progress import Advance, Reporter

Stage = tuple[str, str]
"""Model and analysis."""


@dataclass
class _Line:
    """An analysis under way; each of its shares counts all units, skipped ones too."""

    stack: ExitStack
    advance: Advance
    ways: int
    now: dict[Job, int] = field(default_factory=dict)
    """Units counted by the worker that has the job now."""
    most: dict[Job, int] = field(default_factory=dict)
    """Units counted by any worker that had it: a job begun again shows no step back."""
    shown: int = 0


class Display:
    """Turns what workers tell into steps of a reporter.

    Args:
        reporter: Where steps are shown.
        plan: The workload of each analysis.
        models: Labels of the models still to be measured.
        title: Of the line for everything together.
    """

    def __init__(
        self, reporter: Reporter, plan: Plan, *, models: list[str], title: str
    ):
        self._reporter = reporter
        self._totals = {
            (row["model"], row["analysis"]): row["prompts"]
            for row in plan.workload
            if row["model"] in models
        }
        self._lines: dict[Stage, _Line] = {}
        self._loading: dict[int, tuple[ExitStack, Job]] = {}
        """Worker -> the step of its loading, and what it measures afterwards."""
        self._stack = ExitStack()
        self._title = title

    def __enter__(self) -> Self:
        total = sum(self._totals.values())
        step = self._reporter.step(self._title, total, "prompts")
        self._advance_all = self._stack.enter_context(step)
        return self

    def __exit__(self, *details: object) -> None:
        for stack, _ in self._loading.values():
            stack.close()
        self._loading.clear()
        for stage in list(self._lines):
            self.end(stage)
        self._stack.close()

    def begin(self, worker: int, job: Job, *, loads: bool) -> None:
        """A worker was given a job, for which it may have to load the model."""
        if not loads:
            self._open(job)
            return
        stack, title = ExitStack(), f"{job.model}: load"
        advance = stack.enter_context(self._reporter.step(title, 1, "model"))
        stack.callback(advance, 1)
        self._loading[worker] = stack, job

    def loaded(self, worker: int) -> None:
        """A worker's model is in memory: only now its analysis begins."""
        if worker in self._loading:
            stack, job = self._loading.pop(worker)
            stack.close()
            self._open(job)

    def _open(self, job: Job) -> None:
        stage = job.model, job.analysis
        if stage not in self._lines:
            stack, title = ExitStack(), f"{job.model}: {job.analysis}"
            total = self._totals.get(stage)
            step = self._reporter.step(title, total, "prompts")
            line = _Line(stack, stack.enter_context(step), job.share.count)
            self._lines[stage] = line
        self._lines[stage].now[job] = 0

    def advance(self, job: Job, count: int) -> None:
        """Units of a job are done; the mean over the shares is shown."""
        if job.closes:
            return
        stage = job.model, job.analysis
        line = self._lines[stage]
        line.now[job] = line.now.get(job, 0) + count
        line.most[job] = max(line.most.get(job, 0), line.now[job])
        done = sum(line.most.values()) // line.ways
        line.advance(done - line.shown)
        if stage in self._totals:
            self._advance_all(done - line.shown)
        line.shown = done

    def end(self, stage: Stage) -> None:
        """An analysis of a model is complete."""
        self._lines.pop(stage).stack.close()
