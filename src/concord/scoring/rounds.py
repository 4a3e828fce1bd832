"""A call under way: round by round, all rows that are wanted through the model.

What does not fit is halved and tried again; what was read goes to the searches, which
say what their prompts need next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from concord.models.memory import TokenBudget, run_or_halve
from concord.scoring.batching import Row, batches
from concord.scoring.best_first import Searches, learn, open_nodes
from concord.scoring.forward import Readings, read_batch
from concord.scoring.passes import Pass
from concord.scoring.records import ScoringConfig
from concord.scoring.tree import rows_for
from concord.scoring.work import WorkCounts, work_of_batch

Jobs = Int[np.ndarray, " job"]
Nodes = Int[np.ndarray, " _node"]
Members = Int[np.ndarray, " _prompt"]


@dataclass
class Run:
    """A call under way: searches grow, counts add up.

    Jobs stand in the order of their tries, so those of one trie are neighbours.
    """

    plan: Pass
    config: ScoringConfig
    budget: TokenBudget
    searches: list[Searches]
    """One for each trie used."""
    group: Jobs
    """Which of them each job belongs to, and the place of the first job of each."""
    first_job: Int[np.ndarray, " trie"]
    members: list[Members]
    """The call's prompts that each job stands for."""
    progress: Callable[[int], None] | None
    counts: WorkCounts
    rounds: Jobs
    unread: Jobs
    free_prediction: Jobs
    free_log_probability: Float[np.ndarray, " job"]
    following: dict[int, Nodes] = field(default_factory=dict)
    """Jobs that go on, with the nodes of their next round."""


def work_through(run: Run) -> None:
    """Rounds, each over all prompts that still have open nodes."""
    is_full = run.config.mode == "full"
    wanted = {
        job: np.arange(own.trie.internal_count + 1 if is_full else 1)
        for job, own in enumerate(run.plan.jobs)
    }
    while wanted:
        rows = [row for job in sorted(wanted) for row in _rows(run, job, wanted[job])]
        run.rounds[list(wanted)] += 1
        np.add.at(run.unread, [row.job for row in rows], 1)
        run.following = {}
        _feed(run, rows)
        wanted = run.following
    expansions = sum(int(own.is_expanded.sum()) for own in run.searches)
    run.counts += WorkCounts(rounds=int(run.rounds.max()), expansions=expansions)


def _rows(run: Run, job: int, wanted: Nodes) -> list[Row]:
    return rows_for(
        job,
        run.plan.jobs[job].trie,
        wanted,
        layout=run.plan.layout,
        most_nodes=max(1, run.budget.positions - run.plan.front_length(job)),
    )


def _feed(run: Run, rows: Sequence[Row]) -> None:
    """All rows through the model; what does not fit is halved and tried again."""
    for batch in batches(
        rows,
        [run.plan.shape_of(row) for row in rows],
        budget=run.budget,
        fixed_shapes=run.config.deterministic,
        row_limit=run.config.row_limit,
    ):
        found = run_or_halve(
            *(partial(read_batch, batch, run.plan), run.budget),
            rows=batch.row_count,
            width=batch.shape.positions,
            who=f"prompt {batch.rows[0].job} of this call",
        )
        if found is None:
            _feed(run, batch.rows)
        else:
            run.counts += work_of_batch(batch)
            _take(run, found[0])


def _take(run: Run, readings: Readings) -> None:
    """Tell the searches, and note which of them end here."""
    jobs = np.array([row.job for row in readings.rows])
    ended = jobs[readings.ends]
    run.free_prediction[ended] = readings.free_prediction
    run.free_log_probability[ended] = readings.free_log_probability
    np.subtract.at(run.unread, jobs, 1)
    groups = run.group[jobs]
    for group in np.unique(groups):
        _tell(run, readings, jobs, np.flatnonzero(groups == group))
    _keep(run, readings, jobs)
    if run.progress is not None:
        over = [job for job in set(jobs.tolist()) if not run.unread[job]]
        finished = sum(len(run.members[j]) for j in over if j not in run.following)
        if finished:
            run.progress(finished)


def _tell(
    run: Run, readings: Readings, jobs: Jobs, rows: Int[np.ndarray, " row"]
) -> None:
    """Rows of one trie: what they read, and what their prompts need next."""
    group = int(run.group[jobs[rows[0]]])
    searches, first = run.searches[group], run.first_job[group]
    reads = [readings.rows[row].reads for row in rows]
    learn(
        searches,
        np.repeat(jobs[rows] - first, [len(own) for own in reads]),
        np.concatenate(reads),
        np.concatenate([readings.log_probabilities[row] for row in rows]),
    )
    complete = np.unique(jobs[rows])
    complete = complete[run.unread[complete] == 0]
    if run.config.mode != "top" or not len(complete):
        return
    opened = open_nodes(searches, complete - first)
    for job, nodes in zip(complete.tolist(), opened, strict=True):
        if len(nodes):
            run.following[job] = nodes


def _keep(run: Run, readings: Readings, jobs: Jobs) -> None:
    """Keys and values of the prompts that go on."""
    if run.plan.kept is None or readings.cache is None:
        return
    rows = {job: row for row, job in enumerate(jobs.tolist()) if job in run.following}
    run.plan.kept.keep(readings.cache, rows, skip=run.plan.skipped)
