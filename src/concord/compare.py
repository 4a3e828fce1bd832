"""The story: plan, measure each model, summarise, report."""

from collections.abc import Callable, Mapping
from pathlib import Path

from concord.analyses import ANALYSES, Analysis
from concord.errors import StudyError, did_you_mean
from concord.lock import sole_writer
from concord.parallel.measure import measure_models
from concord.plan import Plan, plan_study
from concord.progress import SILENT, Phases, Reporter
from concord.provenance import begin_run, refuse_other_things
from concord.redraw import summarise_and_report
from concord.results import Run
from concord.study import Study


def compare(
    study: Study,
    output: Path,
    *,
    analyses: Mapping[str, Analysis] = ANALYSES,
    reporter: Reporter = SILENT,
    announce: Callable[[Plan], None] | None = None,
) -> Run:
    """Compare a base with its tuned models: measure, summarise, report.

    Every part is saved as soon as it is measured; the same call continues a run that
    was stopped.

    Args:
        study: What to measure, on which models.
        output: The run's folder; made if it does not exist.
        analyses: Functions by name; give one of your own beside the built-in ones.
        reporter: Shows progress; silent by default.
        announce: Called with the plan before any model is loaded.

    Returns:
        The run, with summary, tables, figures and report.

    Raises:
        ConcordError: Something in study, data, models or folder cannot be used. Nearly
            all of it is found before the first model is loaded.
    """
    _refuse_unknown(study, analyses)
    plan = plan_study(study)
    if announce:
        announce(plan)
    refuse_other_things(output)
    with sole_writer(output):
        run = begin_run(output, plan)
        measure_models(run, plan, analyses=analyses, reporter=reporter)
        with Phases(reporter) as phases:
            summarise_and_report(
                run, study.statistics, seed=study.seed, tell=phases.tell
            )
    return run


def _refuse_unknown(study: Study, analyses: Mapping[str, Analysis]) -> None:
    for name in study.analyses:
        if name not in analyses:
            raise StudyError(
                f"analysis {name!r}: there is no such; {did_you_mean(name, analyses)} "
                "One of your own is given as compare(..., analyses={NAME: FUNCTION})"
            )
