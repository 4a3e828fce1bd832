import io

import pytest
from rich.console import Console

from concord.progress import Bars, Lines, Phases


def lines(clock_step: float = 20.0) -> tuple[Lines, io.StringIO]:
    printed = io.StringIO()
    ticks = iter(range(10_000))
    console = Console(file=printed, width=100)
    return Lines(console, clock=lambda: next(ticks) * clock_step), printed


def test_plain_lines_have_rate_and_time_left():
    reporter, printed = lines()
    with reporter.step("score", 100, "prompts") as advance:
        advance(40)
    first, last = printed.getvalue().splitlines()
    assert first == "score: 40 of 100 prompts, 2 prompts/s, 30 s left"
    assert last == "score: 40 prompts in 40.0 s"


def test_quick_steps_print_one_line_only():
    reporter, printed = lines(clock_step=0.1)
    with reporter.step("score", 100, "prompts") as advance:
        for _ in range(10):
            advance(10)
    assert printed.getvalue().splitlines() == ["score: 100 prompts in 1.1 s"]


def test_each_phase_has_a_line_of_its_own():
    reporter, printed = lines(clock_step=0.1)
    with Phases(reporter) as phases:
        for done in (1, 2, 3):
            phases.show(f"base, loss {1 / done:.3f}", done, 3)
        phases.show("tuned", 2, 2)
    found = [line.partition(" in ")[0] for line in printed.getvalue().splitlines()]
    assert found == ["base: 3 steps", "tuned: 2 steps"]


def test_a_phase_that_is_told_step_by_step_has_one_line():
    reporter, printed = lines(clock_step=0.1)
    with Phases(reporter) as phases:
        for step in ("facts: base", "facts: tuned", "report: tables"):
            phases.tell(step)
    found = [line.partition(" in ")[0] for line in printed.getvalue().splitlines()]
    assert found == ["facts: 2 steps", "report: 1 steps"]


def test_markup_in_a_title_is_shown_as_text():
    printed = io.StringIO()
    bars = Bars(Console(file=printed, width=100, force_terminal=False))
    with bars.step("[red]model", 1, "prompts") as advance:
        advance(1)
    assert "[red]model" in printed.getvalue()


def test_a_failure_inside_a_step_comes_out(capsys: pytest.CaptureFixture[str]):
    reporter, _ = lines()
    with pytest.raises(ZeroDivisionError), reporter.step("x", 1, "y"):
        raise ZeroDivisionError
