"""Several steps at once in one display."""

from io import StringIO
from typing import cast

from rich.console import Console

from concord.data.collection import Collection
from concord.parallel.display import Display
from concord.parallel.jobs import Job
from concord.plan import Plan
from concord.progress import Bars, Lines
from concord.study import Study


def test_a_step_that_ends_while_another_goes_on_leaves_a_plain_line():
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    bars = Bars(console)
    with bars.step("all", 10, "prompts") as advance_all:
        with bars.step("base: facts", 3, "prompts") as advance:
            advance(3)
            advance_all(3)
        with bars.step("tuned: [facts]", None, "prompts") as advance:
            advance(7)
            advance_all(7)
    shown = text.getvalue()
    assert "base: facts: 3 prompts in" in shown
    assert "tuned: [facts]: 7 prompts in" in shown
    assert "10/10" in shown


def test_steps_one_after_the_other_have_a_display_each():
    text = StringIO()
    bars = Bars(Console(file=text, force_terminal=True, width=120))
    for count in (3, 7):
        with bars.step("facts", count, "prompts") as advance:
            advance(count)
    first, _, second = text.getvalue().rpartition("3/3")
    assert "7/7" in second and "/7" not in first


def test_loading_is_no_part_of_an_analysis():
    ticks = iter(range(10))
    text = StringIO()
    lines = Lines(Console(file=text, width=120), clock=lambda: next(ticks))
    workload = [{"model": "base", "analysis": "facts", "prompts": 5}]
    plan = Plan(cast(Study, None), Collection(None, ()), [], workload)
    with Display(lines, plan, models=["base"], title="all") as display:
        job = Job("base", "facts")
        display.begin(0, job, loads=True)
        display.loaded(0)
        display.advance(job, 5)
        display.end(("base", "facts"))
    shown = text.getvalue().splitlines()
    # One tick of the clock for every time it is read.
    assert shown == [
        "base: load: 1 model in 2.0 s",
        "base: facts: 5 prompts in 3.0 s",
        "all: 5 prompts in 8.0 s",
    ]
