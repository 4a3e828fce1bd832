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

from concord.errors import ModelError
from concord.models.architecture import without_adapter_wrapper
from concord.models.readout import unembed
from concord.scoring.batching import Batch, Row
from concord.scoring.feeding import batch_states
from concord.scoring.passes import Pass, ScoringModel

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
class Reading:
    """What one row gave."""

    row: Row
    log_probabilities: Float[np.ndarray, " edge"]
    """Of all edges of the nodes read, in the order of `CandidateTrie.edges_of`."""
    free_prediction: int = -1
    """Best token of the vocabulary at the end of the prompt, if the row reads it."""
    free_log_probability: float = np.nan
    state: Float[Tensor, " d_model"] | None = None
    """Final state at the end of the prompt, if the row reads it."""


@torch.inference_mode()
def read_batch(batch: Batch, plan: Pass) -> list[Reading]:
    """Run a batch and read the asked-for positions of its rows (not of copies).

    Raises:
        ModelError: The model gave something that is not a number, or a candidate's
            token is not in its vocabulary.
    """
    states = batch_states(batch, plan)
    rows, positions, ends = _read_positions(batch.rows, plan)
    index = torch.from_numpy(rows), torch.from_numpy(positions)
    wanted = states[index[0].to(states.device), index[1].to(states.device)]
    edges = [plan.jobs[row.job].trie.edges_of(row.reads) for row in batch.rows]
    owners = np.concatenate(
        [owner + start for (_, owner), start in zip(edges, ends[:-1], strict=True)]
    )
    tokens = np.concatenate(
        [
            plan.jobs[row.job].trie.edge_tokens[own]
            for row, (own, _) in zip(batch.rows, edges, strict=True)
        ]
    )
    is_end = np.concatenate([row.reads == 0 for row in batch.rows])
    scores, best, best_scores = _project(wanted, owners, tokens, is_end, plan)
    return _readings(batch.rows, edges, scores, (best, best_scores, wanted), ends)


def _read_positions(
    rows: Sequence[Row], plan: Pass
) -> tuple[
    Int[np.ndarray, " read"], Int[np.ndarray, " read"], Int[np.ndarray, " row_plus_one"]
]:
    """Row and position of every read, and where each row's reads begin."""
    counts = [len(row.reads) for row in rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    positions = np.concatenate(
        [
            len(plan.start_of(row))
            + np.where(row.reads == 0, -1, np.searchsorted(row.nodes, row.reads))
            for row in rows
        ]
    )
    return owners, positions, np.append(0, np.cumsum(counts))


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


def _readings(
    rows: Sequence[Row],
    edges: Sequence[tuple[Int[np.ndarray, " edge"], Int[np.ndarray, " edge"]]],
    scores: Float[np.ndarray, " edge"],
    free: tuple[Int[np.ndarray, " read"], Float[np.ndarray, " read"], Tensor],
    ends: Int[np.ndarray, " row_plus_one"],
) -> list[Reading]:
    best, best_scores, states = free
    cuts = np.cumsum([len(own) for own, _ in edges])[:-1]
    readings = []
    for row, own, first in zip(rows, np.split(scores, cuts), ends, strict=False):
        if len(row.reads) and row.reads[0] == 0:
            free_of_row = int(best[first]), float(best_scores[first]), states[first]
            readings.append(Reading(row, own, *free_of_row))
        else:
            readings.append(Reading(row, own))
    return readings
