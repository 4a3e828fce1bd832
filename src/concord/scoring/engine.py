"""Scores of candidates for many prompts: the one function that analyses call.

`first` runs every prompt once; `top` goes on, round by round, until the best `k`
candidates are proven; `full` scores every candidate. Prompts with equal ids and equal
candidates are run once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from concord.errors import StudyError
from concord.models.architecture import without_adapter_wrapper
from concord.models.memory import TokenBudget
from concord.scoring.batching import budget_for
from concord.scoring.best_first import outcomes, start_searches
from concord.scoring.forward import projected_rows
from concord.scoring.normalisation import Affine, normalisation_of
from concord.scoring.passes import Job, Pass, ScoringModel
from concord.scoring.planning import plan_pass
from concord.scoring.records import (
    SCORING_VERSION,
    PromptScores,
    ScoringConfig,
)
from concord.scoring.rounds import Members, Run, work_through
from concord.scoring.trie import CandidateTrie, Tokens
from concord.scoring.work import WorkCounts, work_asked

__all__ = [
    "SCORING_VERSION",
    "PromptScores",
    "ScoringConfig",
    "ScoringModel",
    "WorkCounts",
    "budget_of",
    "empty_scores",
    "score_prompts",
]


def score_prompts(
    model: ScoringModel,
    prompts: Sequence[Tokens],
    tries: Sequence[CandidateTrie],
    trie_index: Sequence[int],
    *,
    config: ScoringConfig,
    budget: TokenBudget | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[PromptScores, WorkCounts]:
    """Score the candidates of every prompt, as far as the mode asks.

    Args:
        model: The model, in eval mode.
        prompts: Token ids, special tokens included.
        tries: Candidates by relation and context.
        trie_index: Which of them belongs to each prompt.
        config: How.
        budget: Positions per batch, halved when memory runs out; give the same object
            to all calls. By default a new one, by device or by the config.
        progress: Called with the number of prompts that have just been finished.

    Raises:
        ModelError: A prompt is too long, or the model gave no numbers.
        StudyError: The config cannot be met.
    """
    if not len(prompts):
        raise ValueError("there is no prompt to score")
    keys = list(zip(map(int, trie_index), map(tuple, prompts), strict=True))
    distinct = sorted(set(keys))
    jobs = [Job(prompt, tries[index], index) for index, prompt in distinct]
    members = _members(keys, distinct)
    budget = budget_of(model, config) if budget is None else budget
    used = {job.trie_index: job.trie for job in jobs}
    maps, extra = _normalisations(model, used, config, budget=budget)
    plan = plan_pass(model, jobs, config)
    run = Run(
        plan=plan,
        config=config,
        budget=budget,
        **_searches(plan, maps, config),
        members=members,
        progress=progress,
        counts=extra + work_asked(plan, members),
        rounds=np.zeros(len(jobs), dtype=np.int64),
        unread=np.zeros(len(jobs), dtype=np.int64),
        free_prediction=np.full(len(jobs), -1),
        free_log_probability=np.full(len(jobs), np.nan),
    )
    work_through(run)
    return _scores(run), run.counts


def _searches(
    plan: Pass, maps: Mapping[int, Affine], config: ScoringConfig
) -> dict[str, Any]:
    """One group of searches for each trie, and where each job is found in them."""
    is_double = plan.model.network.dtype == torch.float64
    tries = np.array([job.trie_index for job in plan.jobs])
    used, first, group, counts = np.unique(
        tries, return_index=True, return_inverse=True, return_counts=True
    )
    searches = [
        start_searches(
            plan.jobs[job].trie,
            maps[int(index)],
            count=int(count),
            top_count=config.k,
            dtype=np.float64 if is_double else np.float32,
        )
        for index, job, count in zip(used, first, counts, strict=True)
    ]
    return {"searches": searches, "group": group, "first_job": first}


def budget_of(model: ScoringModel, config: ScoringConfig) -> TokenBudget:
    """The budget a call starts with when it is given none."""
    if config.token_budget is not None:
        return TokenBudget(config.token_budget)
    network = without_adapter_wrapper(model.network)
    return budget_for(
        model.device,
        width=network.config.hidden_size,
        vocabulary=network.config.vocab_size,
        bytes_per_number=network.dtype.itemsize,
        projected_rows=projected_rows(model),
    )


def _members(
    keys: Sequence[tuple[int, Tokens]], distinct: Sequence[tuple[int, Tokens]]
) -> list[Members]:
    """Indices of the prompts equal to each distinct one."""
    place = {key: job for job, key in enumerate(distinct)}
    job_of = np.array([place[key] for key in keys], dtype=np.int64)
    order = np.argsort(job_of, kind="stable")
    return np.split(order, np.searchsorted(job_of[order], range(1, len(distinct))))


def _normalisations(
    model: ScoringModel,
    tries: Mapping[int, CandidateTrie],
    config: ScoringConfig,
    *,
    budget: TokenBudget,
) -> tuple[dict[int, Affine], WorkCounts]:
    """The map of every trie; for mutual information the empty prompt is scored."""
    name = config.normalisation
    if name != "acc_mutual_info":
        maps = {index: normalisation_of(trie, name) for index, trie in tries.items()}
        return maps, WorkCounts()
    used = list(tries.values())
    vectors, counts = empty_scores(model, used, config=config, budget=budget)
    maps = {
        index: normalisation_of(trie, name, empty_scores=vector)
        for (index, trie), vector in zip(tries.items(), vectors, strict=True)
    }
    no_work_asked = dict(prompts=0, distinct_prompts=0, pairs=0, pairwise_positions=0)
    return maps, replace(counts, **no_work_asked)


def empty_scores(
    model: ScoringModel,
    tries: Sequence[CandidateTrie],
    *,
    config: ScoringConfig,
    budget: TokenBudget | None = None,
) -> tuple[Sequence[Float[np.ndarray, " _candidate"]], WorkCounts]:
    """Scores of all candidates of each trie after the empty prompt.

    Raises:
        StudyError: The tokenizer puts no token into an empty prompt.
    """
    if not model.empty_prompt:
        raise StudyError(
            "acc_mutual_info needs the score after an empty prompt, but this model's "
            "tokenizer puts no token there (no BOS); choose another normalisation"
        )
    plain = replace(config, mode="full", normalisation="acc", share_prefix=False)
    scores, counts = score_prompts(
        model,
        [model.empty_prompt] * len(tries),
        tries,
        range(len(tries)),
        config=plain,
        budget=budget,
    )
    assert scores.vectors is not None
    return scores.vectors, counts


def _scores(run: Run) -> PromptScores:
    """Outcomes of the jobs, handed to every prompt they stand for."""
    job_of = np.empty(sum(map(len, run.members)), dtype=np.int64)
    for job, own in enumerate(run.members):
        job_of[own] = job
    best = [best for own in run.searches for best in outcomes(own)]
    first = [
        vector
        for own in run.searches
        for vector in own.edge_scores[:, own.trie.candidate_edges[:, 0]]
    ]
    vectors = [vector for own in run.searches for vector in own.partial]
    return PromptScores(
        prediction=np.array([b.prediction for b in best])[job_of],
        runner_up=np.array([b.runner_up for b in best])[job_of],
        score=np.array([b.score for b in best])[job_of],
        margin=np.array([b.margin for b in best])[job_of],
        margin_is_exact=np.array([b.margin_is_exact for b in best])[job_of],
        is_tie=np.array([b.is_tie for b in best])[job_of],
        free_prediction=run.free_prediction[job_of],
        free_log_probability=run.free_log_probability[job_of],
        first_token=tuple(first[job] for job in job_of),
        vectors=(
            tuple(vectors[job] for job in job_of) if run.config.mode == "full" else None
        ),
    )
