"""How long a run of the whole study takes to summarise, to draw and to read.

Run ``python benchmarks/report.py``; writes ``docs/benchmarks/report.md``. A synthetic
run is made first (25,000 facts, 11 models, two sets of three contexts). Each step has a
process of its own, so that its peak memory is its own. The page is opened in Chromium
where there is one.
"""

import argparse
import importlib.util
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import peak_bytes, processor_name

from concord.report import write_report
from concord.results import open_run
from concord.study import StatisticsConfig
from concord.summary import Settings, summarise, write_summary

ROOT = Path(__file__).resolve().parents[1]
RELATIONS, TEMPLATES, CANDIDATES = 35, 6, 100
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FILTERS = ("model", "relation", "kind")
SEARCHES = ("subject 17", "object 3", "p101", "wording 2", "no such text")


@dataclass(frozen=True)
class Cost:
    """What a step needs."""

    seconds: float
    busy: float
    """Seconds of all processors together."""
    peak: float
    """Gigabytes of memory at most."""


def main() -> None:
    """Make the run, measure, write the page of results."""
    given = _arguments()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name) / "run"
        _in_a_process(_make, folder, given.facts, given.models, given.layers)
        steps = {
            "summary": _in_a_process(_summarise, folder),
            "tables, figures and page": _in_a_process(_draw, folder),
        }
        size = (folder / "report.html").stat().st_size
        browser = _in_a_browser(folder / "report.html")
    text = _page(given, steps, size, browser)
    print(text)
    given.out.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=25_000)
    parser.add_argument("--models", type=int, default=11)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--folder", help="Where the run is made; 0.5 GB.")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "benchmarks" / "report.md"
    )
    return parser.parse_args()


def _in_a_process(step: Callable[..., None], *given: Any) -> Cost:
    """What a step costs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (step, *given))


def _measured(step: Callable[..., None], *given: Any) -> Cost:
    start, busy = time.perf_counter(), time.process_time()
    step(*given)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return Cost(seconds, busy, peak_bytes() / 1e9)


def _make(folder: Path, facts: int, models: int, layers: int) -> None:
    path = ROOT / "tests" / "synthetic_run.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic_run"] = module
    spec.loader.exec_module(module)
    behaviours = [
        module.Behaviour(
            min(0.6 + 0.03 * place, 0.97),
            min(0.5 + 0.03 * place, 0.9),
            0.3 + 0.02 * place,
        )
        for place in range(models)
    ]
    module.write_synthetic_run(
        folder,
        relations=RELATIONS,
        facts=-(-facts // RELATIONS),
        templates=TEMPLATES,
        candidates=CANDIDATES,
        layers=layers,
        datasets=("pararel",),
        behaviours=behaviours,
    )


def _summarise(folder: Path) -> None:
    run = open_run(folder)
    settings = Settings(seed=0, **StatisticsConfig().model_dump())
    write_summary(run, summarise(run, settings))


def _draw(folder: Path) -> None:
    write_report(open_run(folder))


def _in_a_browser(page: Path) -> dict[str, float]:
    """Milliseconds to the first paint and for one search; empty without a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-charts=drawn]", state="attached")
        paint = tab.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        )
        drawn = tab.evaluate("performance.now()")
        tab.wait_for_timeout(1000)
        searches = [tab.evaluate(_SEARCH, text) for text in SEARCHES]
        tab.evaluate(_SEARCH, "")
        filters = [tab.evaluate(_FILTER, name) for name in FILTERS]
        browser.close()
    return {
        "first paint": paint,
        "all figures drawn": drawn,
        "first search": searches[0],
        "later searches, median": float(np.median(searches[1:])),
        "filters, slowest of three": max(filters),
    }


_SEARCH = """text => {
  const field = document.getElementById("flip-search");
  field.value = text;
  const start = performance.now();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  document.getElementById("flip-list").getBoundingClientRect();
  return performance.now() - start;
}"""
"""Types a search and waits until the list is laid out."""
_FILTER = """name => {
  const field = document.getElementById(`flip-${name}`);
  field.selectedIndex = 1;
  const start = performance.now();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  document.getElementById("flip-list").getBoundingClientRect();
  return performance.now() - start;
}"""
"""Chooses the first entry of a filter and waits until the list is laid out."""


def _page(
    given: argparse.Namespace,
    steps: dict[str, Cost],
    size: int,
    browser: dict[str, float],
) -> str:
    rows = [
        f"| {name} | {cost.seconds:.1f} s | {cost.busy:.1f} s | {cost.peak:.2f} GB |"
        for name, cost in [*steps.items(), ("whole report", _together(steps))]
    ]
    views = [f"| {name} | {spent:.0f} ms |" for name, spent in browser.items()]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return "\n".join(
        [
            "# Report benchmark\n",
            f"A synthetic run of {given.facts:,} facts in {RELATIONS} relations, "
            f"{TEMPLATES} templates, {given.models} models, two sets of three contexts "
            f"and {given.layers} layers; 2,000 replicates, 10,000 sign flips. "
            f"{processor_name()}, {os.cpu_count()} cores, threads of numpy: {threads}. "
            f"Python {platform.python_version()}. Made by "
            "`python benchmarks/report.py`.\n",
            "| step, from saved rows | time | of processors | peak memory |",
            "|---|---:|---:|---:|",
            *rows,
            f"\nThe page has {size / 1e6:.2f} MB.\n",
            *(
                ["| in Chromium | time |", "|---|---:|", *views, ""]
                if views
                else ["No browser was found, so reading was not measured.\n"]
            ),
        ]
    )


def _together(steps: dict[str, Cost]) -> Cost:
    """One step after the other, as `concord report` takes them."""
    costs = steps.values()
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.busy for cost in costs),
        max(cost.peak for cost in costs),
    )


if __name__ == "__main__":
    main()
