"""From a finished run to its tables, figures and page."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from concord.report.answers import answer_figures
from concord.report.choices import choice_figures
from concord.report.figure import write_figures
from concord.report.findings import Findings, read_findings
from concord.report.finetuned import finetuned_figures
from concord.report.flip_list import FlipsInPage, ListedFlips, pack
from concord.report.flips import (
    LISTED_WORDINGS,
    count_flips,
    first_wordings,
    flip_totals,
    flips_for_page,
    write_flips,
)
from concord.report.html import PAGE_LIMIT, Page, begin_bundle, renderer
from concord.report.mechanism import mechanism_figures
from concord.report.prediction_figures import prediction_figures
from concord.report.prompts import read_prompt_pairs
from concord.report.published import ATTRIBUTION, published_numbers
from concord.report.representation_figures import other_curves, representation_figures
from concord.report.table import write_tables
from concord.report.tables import all_tables
from concord.report.truth import truth_figures
from concord.results import Run, write_text

_RESERVE = 20_000


def write_report(run: Run, *, progress: Callable[[str], None] | None = None) -> Path:
    """Write ``tables/``, ``figures/`` and ``report.html`` of a run.

    Everything is drawn from rows, ``summary.json``, ``run.json`` and ``audit.json``; no
    model is loaded. The same run gives the same bytes.

    Args:
        run: A run with a summary.
        progress: Told the name of each step as it begins.

    Returns:
        The page.

    Raises:
        ResultsError: The run has no summary, or a file cannot be read or written.
    """
    with ThreadPoolExecutor(1) as database:
        return _write_report(run, database, progress or (lambda step: None))


def _write_report(run: Run, database: Executor, tell: Callable[[str], None]) -> Path:
    """What is asked of the database is found while the rest is drawn."""
    findings, info, study = read_findings(run), run.info, run.study
    begin_bundle()
    counting = database.submit(count_flips, run, findings)
    published = published_numbers(study)
    wordings = first_wordings(run, findings)
    tell("tables")
    tables = all_tables(findings, published, study.get("preset"))
    write_tables(tables, run.path / "tables")
    tell("figures")
    page = Page(
        findings=findings,
        info=info,
        study=study,
        pairs=read_prompt_pairs(run),
        predictions=prediction_figures(findings, wordings),
        representations=representation_figures(findings),
        choices=choice_figures(findings),
        finetuned=finetuned_figures(findings),
        answers=answer_figures(findings),
        told=truth_figures(findings),
        others=[*mechanism_figures(findings), *other_curves(findings)],
        tables={table.name: table for table in tables},
        wordings=wordings,
        attribution=ATTRIBUTION if published else "",
    )
    write_figures(page.figures, run.path / "figures")
    tell("flips")
    flip_counts = counting.result()
    total = sum(row["flips"] for row in flip_counts)
    listing = database.submit(
        flips_for_page,
        run,
        findings,
        wordings=sum(row["wordings"] for row in flip_counts),
        budget=PAGE_LIMIT // 2,
    )
    page = replace(
        page,
        flip_totals=flip_totals(flip_counts),
        has_flip_file=_write_flip_file(run, findings, flip_counts),
    )
    tell("page")
    return _write_page(run, page, listing, total)


def _write_flip_file(
    run: Run, findings: Findings, counts: Sequence[Mapping[str, Any]]
) -> bool:
    """Write the complete list of flips unless it is huge; say whether it is there."""
    path = run.path / "tables" / "flips.csv"
    if sum(row["wordings"] for row in counts) > LISTED_WORDINGS:
        path.unlink(missing_ok=True)
        return False
    write_flips(run, findings, path)
    return True


def _write_page(
    run: Run, page: Page, listing: Future[ListedFlips | None], total: int
) -> Path:
    """Fill what the rest of the page leaves of its size with flips."""
    fill = renderer(page)
    bare = len(fill(FlipsInPage("null", 0, 0)).encode())
    room = max(0, PAGE_LIMIT - _RESERVE - bare)
    flips = pack(listing.result(), total=total, budget=room)
    path = run.path / "report.html"
    write_text(path, fill(flips))
    return path
