"""Scores of candidates for many prompts: the one function that analyses call.

`first` runs every prompt once; `top` goes on, round by round, until the best `k`
candidates are proven; `full` scores every candidate. Prompts with equal ids and equal
candidates are run once.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from concord.errors import ModelError, StudyError
from concord.models.architecture import refuse_beyond_window, without_adapter_wrapper
from concord.scoring.batching import (
    Batch,
    Row,
    TokenBudget,
    batches,
    budget_for,
    halve_or_refuse,
    is_out_of_memory,
)
from concord.scoring.best_first import Search, learn, open_nodes, outcome, start_search
from concord.scoring.forward import Reading, projected_rows, read_batch
from concord.scoring.normalisation import Affine, normalisation_of
from concord.scoring.passes import Job, Pass, ScoringModel, SharedPrefix, prefill
from concord.scoring.records import (
    SCORING_VERSION,
    PromptScores,
    ScoringConfig,
)
from concord.scoring.tree import Layout, rows_for
from concord.scoring.trie import CandidateTrie, Tokens
from concord.scoring.work import WorkCounts, work_asked, work_of_batch

__all__ = [
    "SCORING_VERSION",
    "PromptScores",
    "ScoringConfig",
    "ScoringModel",
    "TokenBudget",
    "WorkCounts",
    "budget_of",
    "score_prompts",
]

Nodes = Int[np.ndarray, " node"]
OnStates = Callable[[Int[np.ndarray, " prompt"], Float[Tensor, "prompt d_model"]], None]


@dataclass
class _Run:
    """A call under way: searches grow, counts add up."""

    plan: Pass
    config: ScoringConfig
    budget: TokenBudget
    searches: list[Search]
    members: list[Nodes]
    """The call's prompts that each job stands for."""
    progress: Callable[[int], None] | None
    on_states: OnStates | None
    counts: WorkCounts
    rounds: Counter[int] = field(default_factory=Counter)
    unread: Counter[int] = field(default_factory=Counter)
    following: dict[int, Nodes] = field(default_factory=dict)
    """Jobs that go on, with the nodes of their next round."""
    free: dict[int, tuple[int, float]] = field(default_factory=dict)


def score_prompts(
    model: ScoringModel,
    prompts: Sequence[Tokens],
    tries: Sequence[CandidateTrie],
    trie_index: Sequence[int],
    *,
    config: ScoringConfig,
    budget: TokenBudget | None = None,
    progress: Callable[[int], None] | None = None,
    on_states: OnStates | None = None,
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
        on_states: Called with prompt indices and their final states at the position
            where the prediction is made.

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
    plan = _plan(model, jobs, config)
    dtype = np.float64 if model.network.dtype == torch.float64 else np.float32
    run = _Run(
        plan=plan,
        config=config,
        budget=budget,
        searches=[
            start_search(
                job.trie, maps[job.trie_index], top_count=config.k, dtype=dtype
            )
            for job in jobs
        ],
        members=members,
        progress=progress,
        on_states=on_states,
        counts=extra + work_asked(plan, members),
    )
    _work(run)
    return _scores(run), run.counts


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
) -> list[Nodes]:
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
    if not model.empty_prompt:
        raise StudyError(
            "acc_mutual_info needs the score after an empty prompt, but this model's "
            "tokenizer puts no token there (no BOS); choose another normalisation"
        )
    plain = replace(config, mode="full", normalisation="acc", share_prefix=False)
    empty, own = [model.empty_prompt] * len(tries), list(tries.values())
    scores, counts = score_prompts(
        model, empty, own, range(len(own)), config=plain, budget=budget
    )
    assert scores.vectors is not None
    maps = {
        index: normalisation_of(trie, name, empty_scores=vector)
        for (index, trie), vector in zip(tries.items(), scores.vectors, strict=True)
    }
    no_work_asked = dict(prompts=0, distinct_prompts=0, pairs=0, pairwise_positions=0)
    return maps, replace(counts, **no_work_asked)


def _plan(model: ScoringModel, jobs: Sequence[Job], config: ScoringConfig) -> Pass:
    """Layout and shared prefix, after checking that every prompt can be run."""
    if model.network.training:
        raise ValueError("the model is in training mode; call eval() first")
    layout: Layout = "chains" if model.architecture.tree == "none" else "tree"
    layout = layout if config.layout == "auto" else config.layout
    if layout == "tree" and model.architecture.tree == "none":
        raise ModelError(
            f"{model.architecture.model_type}: this variant cannot share a row between "
            'candidates; use layout "auto" or "chains"'
        )
    _refuse_long(model, jobs)
    shares = config.share_prefix and model.architecture.tree == "mask"
    has_own_mask = shares or (layout == "tree" and config.mode != "first")
    if has_own_mask and not model.is_encoder_decoder:
        longest = max(len(job.prompt) + job.trie.max_depth for job in jobs)
        plain = without_adapter_wrapper(model.network)
        refuse_beyond_window(plain.config, longest)
    prefix = _shared_prefix(model, jobs) if shares else None
    return Pass(model, jobs, layout, config.head_dtype, prefix)


def _refuse_long(model: ScoringModel, jobs: Sequence[Job]) -> None:
    for job in jobs:
        depth = 0 if model.is_encoder_decoder else job.trie.max_depth
        needed = len(job.prompt) + depth
        if not job.prompt:
            raise ModelError("a prompt has no token; give it a BOS or some text")
        if model.max_length is not None and needed > model.max_length:
            raise ModelError(
                f"a prompt of {len(job.prompt)} tokens and {depth} of its candidates "
                f"need {needed} positions, but the model ends at {model.max_length}; "
                "shorten the prompt or its context (nothing is truncated)"
            )


def _shared_prefix(model: ScoringModel, jobs: Sequence[Job]) -> SharedPrefix | None:
    """The longest front common to all prompts, each keeping a token of its own."""
    first, last = min(job.prompt for job in jobs), max(job.prompt for job in jobs)
    most = min(len(job.prompt) for job in jobs) - 1
    common = 0
    while common < most and first[common] == last[common]:
        common += 1
    return prefill(model, first[:common]) if common else None


def _work(run: _Run) -> None:
    """Rounds, each over all prompts that still have open nodes."""
    is_full = run.config.mode == "full"
    wanted = {
        job: np.arange(search.trie.internal_count + 1 if is_full else 1)
        for job, search in enumerate(run.searches)
    }
    while wanted:
        rows = [row for job in sorted(wanted) for row in _rows(run, job, wanted[job])]
        run.rounds.update(list(wanted))
        run.unread.update(row.job for row in rows)
        run.following = {}
        _feed(run, rows)
        wanted = run.following
    most = max(run.rounds.values(), default=0)
    expansions = sum(int(search.is_expanded.sum()) for search in run.searches)
    run.counts += WorkCounts(rounds=most, expansions=expansions)


def _rows(run: _Run, job: int, wanted: Nodes) -> list[Row]:
    start = len(run.plan.start_of(Row(job, wanted[:0], wanted[:0])))
    return rows_for(
        job,
        run.searches[job].trie,
        wanted,
        layout=run.plan.layout,
        most_nodes=max(1, run.budget.positions - start),
    )


def _feed(run: _Run, rows: Sequence[Row]) -> None:
    """All rows through the model; what does not fit is halved and tried again."""
    for batch in batches(
        rows,
        [run.plan.shape_of(row) for row in rows],
        budget=run.budget,
        fixed_shapes=run.config.deterministic,
    ):
        readings = _read_if_it_fits(run, batch)
        if readings is None:
            _feed(run, batch.rows)
        else:
            run.counts += work_of_batch(run.plan, batch)
            _take(run, readings)


def _read_if_it_fits(run: _Run, batch: Batch) -> list[Reading] | None:
    try:
        return read_batch(batch, run.plan)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        halve_or_refuse(run.budget, batch, error)
    # Out of the handler, so that the failed pass is no longer held by its traceback.
    if run.plan.model.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _take(run: _Run, readings: Sequence[Reading]) -> None:
    """Tell the searches, and note which of them end here."""
    finished = 0
    for reading in readings:
        job = reading.row.job
        learn(run.searches[job], reading.row.reads, reading.log_probabilities)
        if reading.state is not None:
            run.free[job] = reading.free_prediction, reading.free_log_probability
        run.unread[job] -= 1
        if run.unread[job]:
            continue
        is_over = run.config.mode == "first"
        nodes = np.arange(0) if is_over else open_nodes(run.searches[job])
        if len(nodes):
            run.following[job] = nodes
        else:
            finished += len(run.members[job])
    _hand_on_states(run, readings)
    if run.progress is not None and finished:
        run.progress(finished)


def _hand_on_states(run: _Run, readings: Sequence[Reading]) -> None:
    ends = [(r.row.job, r.state) for r in readings if r.state is not None]
    if run.on_states is None or not ends:
        return
    members = [run.members[job] for job, _ in ends]
    states = [
        state.expand(len(own), -1)
        for own, (_, state) in zip(members, ends, strict=True)
    ]
    run.on_states(np.concatenate(members), torch.cat(states))


def _scores(run: _Run) -> PromptScores:
    """Outcomes of the jobs, handed to every prompt they stand for."""
    job_of = np.empty(sum(map(len, run.members)), dtype=np.int64)
    for job, own in enumerate(run.members):
        job_of[own] = job
    best = [outcome(search) for search in run.searches]
    first = [s.edge_scores[s.trie.candidate_edges[:, 0]] for s in run.searches]
    vectors = [search.partial for search in run.searches]
    expansions = [int(search.is_expanded.sum()) for search in run.searches]
    free = [run.free[job] for job in range(len(run.searches))]
    return PromptScores(
        prediction=np.array([b.prediction for b in best])[job_of],
        runner_up=np.array([b.runner_up for b in best])[job_of],
        score=np.array([b.score for b in best])[job_of],
        runner_up_score=np.array([b.runner_up_score for b in best])[job_of],
        margin=np.array([b.margin for b in best])[job_of],
        margin_is_exact=np.array([b.margin_is_exact for b in best])[job_of],
        is_tie=np.array([b.is_tie for b in best])[job_of],
        free_prediction=np.array([token for token, _ in free])[job_of],
        free_log_probability=np.array([score for _, score in free])[job_of],
        expansions=np.array(expansions)[job_of],
        rounds=np.array([run.rounds[job] for job in range(len(best))])[job_of],
        first_token=tuple(first[job] for job in job_of),
        vectors=(
            tuple(vectors[job] for job in job_of) if run.config.mode == "full" else None
        ),
    )
