"""All models of a study measured: one after the other here, or by several workers."""

import logging
from collections.abc import Mapping

from concord.analyses.part import Analysis
from concord.executors import execute, is_measured
from concord.models.loader import Loader, in_loading_order
from concord.parallel.driver import Pool, measure_with
from concord.parallel.processes import Processes
from concord.parallel.ray_cluster import RayActors
from concord.plan import Plan
from concord.progress import Reporter
from concord.results import Run

logger = logging.getLogger(__name__)


def measure_models(
    run: Run, plan: Plan, *, analyses: Mapping[str, Analysis], reporter: Reporter
) -> None:
    """For each model: load it, run every analysis, save each part, free it.

    `execute` does so for one model in this process; a `concord.parallel.worker.Worker`
    does it elsewhere where the study's ``executor`` says so. The loader holds one model
    and frees it for the next. The rows are the same whoever measures them, and what is
    finished is kept.

    Raises:
        ConcordError: A model cannot be loaded or used, or the folder not written.
    """
    study = plan.study
    loader = Loader(study)
    for_workers = []
    for entry in in_loading_order(study):
        # A served model is asked over HTTP: nothing to compute here.
        if study.executor == "here" or entry.label in plan.served:
            execute(
                *(run, entry, plan),
                analyses=analyses,
                loader=loader,
                reporter=reporter,
            )
        elif is_measured(run, entry, plan):
            logger.info("%s: all analyses finished before; kept", entry.label)
        else:
            for_workers.append(entry.label)
    loader.free()
    if for_workers:
        pool = _pool(run, plan, analyses)
        measure_with(pool, run, plan, models=for_workers, reporter=reporter)


def _pool(run: Run, plan: Plan, analyses: Mapping[str, Analysis]) -> Pool:
    """The workers a study asks for."""
    wanted = plan.study.workers
    if plan.study.executor == "ray":
        return RayActors(run, plan, analyses=analyses, worker_count=wanted)
    return Processes(run, plan, analyses=analyses, worker_count=wanted)
