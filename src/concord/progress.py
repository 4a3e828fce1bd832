"""One line for each long step, with rate and time left; plain lines off a terminal."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Advance = Callable[[int], None]
PLAIN_LINE_SECONDS = 15.0
"""Seconds between two plain lines of one step."""


class Reporter(Protocol):
    """Shows how far a step has come."""

    def step(
        self, title: str, total: int | None, unit: str
    ) -> AbstractContextManager[Advance]:
        """Begin a step of ``total`` units; call the result with units done."""
        ...


class Silent:
    """Shows nothing."""

    @contextmanager
    def step(self, title: str, total: int | None, unit: str) -> Generator[Advance]:
        """A step nobody watches."""
        yield lambda count: None


SILENT: Reporter = Silent()


class Lines:
    """Plain lines with rate and time left, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        self._console = console
        self._clock = clock

    @contextmanager
    def step(self, title: str, total: int | None, unit: str) -> Generator[Advance]:
        """A line now and then, and one at the end."""
        started = shown = self._clock()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, shown
            done += count
            now = self._clock()
            if now - shown >= PLAIN_LINE_SECONDS:
                shown = now
                self._show(title, done, total, unit, now - started)

        yield advance
        seconds = self._clock() - started
        self._console.print(
            f"{title}: {done:,} {unit} in {seconds:.1f} s", markup=False
        )

    def _show(
        self, title: str, done: int, total: int | None, unit: str, seconds: float
    ) -> None:
        rate = done / seconds if seconds else 0.0
        left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
        of = f" of {total:,}" if total else ""
        self._console.print(
            f"{title}: {done:,}{of} {unit}, {rate:,.0f} {unit}/s{left}",
            markup=False,
        )


class Phases:
    """Long work that names its phase, step and total: a line for each phase."""

    def __init__(self, reporter: Reporter):
        self._reporter = reporter
        self._stack = ExitStack()
        self._phase: str | None = None
        self._done = 0
        self._advance: Advance = lambda count: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def tell(self, step: str) -> None:
        """One more step has begun, of the phase named before the colon."""
        phase = step.partition(":")[0]
        self.show(phase, self._done + 1 if phase == self._phase else 1, None)

    def show(self, phase: str, done: int, total: int | None) -> None:
        """So many steps of a phase are done; what follows a comma is no part of it."""
        phase = phase.partition(",")[0]
        if phase != self._phase:
            self._stack.close()
            self._phase, self._done = phase, 0
            step = self._reporter.step(phase, total, "steps")
            self._advance = self._stack.enter_context(step)
        self._advance(done - self._done)
        self._done = done


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "")
        return Text(f"{speed:,.0f} {unit}/s" if speed else "", style="cyan")


class Bars:
    """A rich progress bar for each step, for terminals.

    Steps that overlap share one display; one that ends while others go on leaves a
    plain line above it, so that the display stays as small as what is under way.
    """

    def __init__(self, console: Console):
        self._console = console
        self._progress: Progress | None = None
        self._open = 0

    @contextmanager
    def step(self, title: str, total: int | None, unit: str) -> Generator[Advance]:
        """A bar with rate and time left."""
        if self._progress is None:
            self._progress = Progress(*_columns(), console=self._console)
            self._progress.start()
        progress = self._progress
        task = progress.add_task(title, total=total, unit=unit)
        self._open += 1
        try:
            yield lambda count: progress.advance(task, count)
        finally:
            self._open -= 1
            if self._open:
                self._leave_a_line(progress, task)
            else:
                progress.stop()
                self._progress = None

    def _leave_a_line(self, progress: Progress, task: TaskID) -> None:
        ended = next(one for one in progress.tasks if one.id == task)
        line = (
            f"{ended.description}: {ended.completed:,.0f} {ended.fields['unit']} "
            f"in {ended.elapsed or 0:.1f} s"
        )
        progress.remove_task(task)
        self._console.print(line, markup=False, highlight=False)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
