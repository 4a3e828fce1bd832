"""Draw a run again from its saved rows, without torch."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from concord.report import write_report
from concord.report.findings import Findings
from concord.report.lm_eval_results import write_lm_eval_results
from concord.results import Run, open_run
from concord.study import StatisticsConfig
from concord.summary import Settings, summarise, write_by_fact, write_summary


def redraw(folder: Path, tell: Callable[[str], None]) -> Path:
    """Summarise a run's rows and write tables, figures and report anew.

    Args:
        folder: The run's folder.
        tell: Told what is being done, in a few words.

    Returns:
        The path of the report.

    Raises:
        ResultsError: The folder holds no run.
    """
    run = open_run(folder)
    statistics = StatisticsConfig.model_validate(run.study["statistics"])
    return summarise_and_report(run, statistics, seed=run.study["seed"], tell=tell)


def summarise_and_report(
    run: Run, statistics: StatisticsConfig, *, seed: int, tell: Callable[[str], None]
) -> Path:
    """Write ``summary.json``, ``lm_eval/``, tables, figures and ``report.html``.

    Returns:
        The path of the report.
    """
    settings = Settings(seed=seed, **statistics.model_dump())
    summary = summarise(run, settings, tell, partial(write_by_fact, run))
    write_summary(run, summary)
    write_lm_eval_results(run, Findings(summary))
    return write_report(run, progress=lambda step: tell(f"report: {step}"))
