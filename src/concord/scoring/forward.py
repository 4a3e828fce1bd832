"""From a batch of rows to log-probabilities at the positions asked for.

Only the states that are read go through the unembedding, so no array of
batch x length x vocabulary exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from concord.errors import ModelError
from concord.models.architecture import without_adapter_wrapper
from concord.models.readout import unembed
from concord.scoring.batching import Batch, Row
from concord.scoring.feeding import batch_states
from concord.scoring.passes import Pass, ScoringModel
from concord.scoring.trie import CandidateTrie

PROJECTED_ROWS = 2048
"""States that go through the unembedding at once, at most."""
_NUMBERS_IN_FLIGHT = {"cpu": 1 << 22}
_NUMBERS_ELSEWHERE = 1 << 26


def projected_rows(model: ScoringModel) -> int:
    """States that go through the unembedding at once.

    As many as keep the logits small: on a CPU within what its cache and allocator
    take lightly (16 MiB), elsewhere 256 MiB.
    """
    vocabulary = without_adapter_wrapper(model.network).config.vocab_size
    numbers = _NUMBERS_IN_FLIGHT.get(model.device.type, _NUMBERS_ELSEWHERE)
    return max(16, min(PROJECTED_ROWS, numbers // vocabulary))


@dataclass(frozen=True, eq=False)
class Readings:
    """What a batch gave, copies left out."""

    rows: tuple[Row, ...]
    log_probabilities: list[Float[np.ndarray, " _edge"]]
    """For each row, of all edges of the nodes read (`CandidateTrie.edges_of`)."""
    ends: Int[np.ndarray, " end"]
    """Rows that read the end of their prompt; what follows is for these."""
    free_prediction: Int[np.ndarray, " end"]
    """Best token of the vocabulary there."""
    free_log_probability: Float[np.ndarray, " end"]
    cache: DynamicCache | None
    """Keys and values of all rows, if prompts are to be kept."""


@torch.inference_mode()
def read_batch(batch: Batch, plan: Pass) -> Readings:
    """Run a batch and read the asked-for positions of its rows (not of copies).

    Raises:
        ModelError: The model gave something that is not a number, or a candidate's
            token is not in its vocabulary.
    """
    states, cache = batch_states(batch, plan)
    rows, positions, starts = _read_positions(batch.rows, plan)
    index = torch.from_numpy(rows), torch.from_numpy(positions)
    wanted = states[index[0].to(states.device), index[1].to(states.device)]
    edges = [_edges_read(plan.jobs[row.job].trie, row) for row in batch.rows]
    counts = np.array([len(own) for own, _ in edges])
    owners = np.concatenate([owner for _, owner in edges])
    owners += np.repeat(starts[:-1], counts)
    tokens = np.concatenate([own for own, _ in edges])
    is_end = np.concatenate([row.reads for row in batch.rows]) == 0
    scores, best, best_scores = _project(wanted, owners, tokens, is_end, plan)
    ends = np.flatnonzero(is_end)
    return Readings(
        rows=batch.rows,
        log_probabilities=np.split(scores, np.cumsum(counts)[:-1]),
        ends=rows[ends],
        free_prediction=best[ends],
        free_log_probability=best_scores[ends],
        cache=cache,
    )


def _edges_read(
    trie: CandidateTrie, row: Row
) -> tuple[Int[np.ndarray, " edge"], Int[np.ndarray, " edge"]]:
    """Tokens of all edges a row reads, and for each the place among its reads."""
    if len(row.reads) == 1:
        first, last = (
            trie.edge_offsets[row.reads[0]],
            trie.edge_offsets[row.reads[0] + 1],
        )
        return trie.edge_tokens[first:last], np.zeros(last - first, dtype=np.int64)
    edges, owner = trie.edges_of(row.reads)
    return trie.edge_tokens[edges], owner


def _read_positions(
    rows: Sequence[Row], plan: Pass
) -> tuple[
    Int[np.ndarray, " read"], Int[np.ndarray, " read"], Int[np.ndarray, " row_plus_one"]
]:
    """Row and position of every read, and where each row's reads begin."""
    counts = [len(row.reads) for row in rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    positions = np.concatenate([_places_read(row, plan) for row in rows])
    return owners, positions, np.append(0, np.cumsum(counts))


def _places_read(row: Row, plan: Pass) -> Int[np.ndarray, " read"]:
    start = len(plan.start_of(row))
    if not len(row.nodes):
        return np.full(len(row.reads), start - 1)
    found = np.searchsorted(row.nodes, row.reads)
    return start + np.where(row.reads == 0, -1, found)


def _project(
    states: Float[Tensor, "read d_model"],
    owners: Int[np.ndarray, " edge"],
    tokens: Int[np.ndarray, " edge"],
    is_end: Bool[np.ndarray, " read"],
    plan: Pass,
) -> tuple[
    Float[np.ndarray, " edge"], Int[np.ndarray, " read"], Float[np.ndarray, " read"]
]:
    """Log-probabilities of edges, and the best token where a prompt ends."""
    most = projected_rows(plan.model)
    chunk_count = -(-len(states) // most)
    best, best_scores = np.full(len(states), -1), np.full(len(states), np.nan)
    scores = []
    for part in np.array_split(np.arange(len(states)), chunk_count):
        first, last = np.searchsorted(owners, [part[0], part[-1] + 1])
        logs = _log_probabilities(states[part[0] : part[-1] + 1], plan)
        _refuse_unknown(tokens[first:last], logs.shape[1])
        scores.append(_gathered(logs, owners[first:last] - part[0], tokens[first:last]))
        ends = np.flatnonzero(is_end[part])
        top = logs[torch.from_numpy(ends).to(logs.device)].argmax(dim=1).cpu().numpy()
        best[part[ends]] = top
        best_scores[part[ends]] = _gathered(logs, ends, top)
    if any(np.isnan(part).any() for part in scores):
        raise ModelError(
            "the model gave log-probabilities that are not numbers; load it in float32 "
            "or bfloat16 and check that its weights are whole"
        )
    return np.concatenate(scores), best, best_scores


def _log_probabilities(
    states: Float[Tensor, "read d_model"], plan: Pass
) -> Float[Tensor, "read vocabulary"]:
    """Over the whole vocabulary, in float32 at least.

    A single state goes with a copy: a product with one row takes another kernel.
    """
    alone = len(states) == 1
    logits = unembed(
        plan.model.network,
        plan.model.architecture,
        states.expand(2, -1) if alone else states,
        head_dtype=plan.head_dtype,
    )
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    logs = logits.log_softmax(dim=1)
    return logs[:1] if alone else logs


def _gathered(
    logs: Float[Tensor, "read vocabulary"],
    owners: Int[np.ndarray, " edge"],
    tokens: Int[np.ndarray, " edge"],
) -> Float[np.ndarray, " edge"]:
    """Log-probabilities of single tokens; never above 0, which rounding could do."""
    row = torch.from_numpy(owners).to(logs.device)
    column = torch.from_numpy(tokens).to(logs.device)
    return logs[row, column].clamp(max=0).cpu().numpy()


def _refuse_unknown(tokens: Int[np.ndarray, " edge"], vocabulary: int) -> None:
    if len(tokens) and int(tokens.max()) >= vocabulary:
        raise ModelError(
            f"a candidate has token id {int(tokens.max())}, but the model's vocabulary "
            f"ends at {vocabulary - 1}; use the tokenizer that belongs to the model"
        )
