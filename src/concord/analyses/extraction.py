"""Which sublayer writes the prediction at the last position?

For every block the updates of attention (MHSA) and MLP at the last position, what they
add to the residual stream, are read through the unembedding, without norm and bias. An
event is an update whose best token, alone and not by a tie, is the target.

It shows that a token is written there, not that it is needed: see `knockout`. Early
updates read poorly through the unembedding: a low rate there is no absence.

Source: Fierro et al. (2024), section 4, Figures 5 and 8; Geva et al. (2023), section 6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from concord.analyses.part import Part, Task
from concord.analyses.probing import (
    TARGETS,
    Known,
    Probe,
    answer_tokens,
    identity_columns,
    in_batches,
    lists,
    own_log_probabilities,
    projected_rows,
    prompt_parts,
    readable_tokens,
    sampled_questions,
    top_token,
)
from concord.models.contexts import Context
from concord.models.hooks import Site, record
from concord.models.padding import padded
from concord.models.readout import final_states, rank_of, readout

PART_PROMPTS = 2048
SUBLAYERS = ("mhsa", "mlp")


def run(task: Task) -> Iterator[Part]:
    """One part for each block of prompts in each context."""
    questions = sampled_questions(task, task.study.extraction.facts)
    yield from prompt_parts(
        task, questions, partial(_rows, task), size=PART_PROMPTS, has_answers=True
    )


@dataclass(frozen=True, eq=False)
class Extracted:
    """Ranks and scores of the targets in every update; one row per prompt."""

    tokens: Int[np.ndarray, "prompt target"]
    log_probability: Float[np.ndarray, "prompt target"]
    """Of each target under the model's own distribution."""
    ranks: Int[np.ndarray, "sublayer target prompt layer"]
    """Tokens that score at least as high; 0 is an event."""
    scores: Float[np.ndarray, "sublayer target prompt layer"]


def _rows(
    task: Task, context: Context, probes: Sequence[Probe], known: Known
) -> pa.Table:
    found = extract(task, probes, answer_tokens(task, context, probes, known))
    columns = identity_columns(context, probes)
    keeps = _is_measured(task, probes)
    for index, target in enumerate(TARGETS):
        names = task.model.tokenizer.convert_ids_to_tokens(
            found.tokens[:, index].tolist()
        )
        columns[f"{target}_token"] = pa.array(names, pa.string())
        columns[f"{target}_log_probability"] = pa.array(
            found.log_probability[:, index], pa.float32()
        )
    for place, sublayer in enumerate(SUBLAYERS):
        for index, target in enumerate(TARGETS):
            columns[f"{sublayer}_rank_{target}"] = lists(
                found.ranks[place, index], pa.int32(), keeps
            )
            columns[f"{sublayer}_logit_{target}"] = lists(
                found.scores[place, index], pa.float32(), keeps
            )
    return pa.table(columns)


def _is_measured(task: Task, probes: Sequence[Probe]) -> list[bool]:
    if task.study.extraction.position == "last":
        return [True] * len(probes)
    return [probe.subject is not None for probe in probes]


def extract(
    task: Task, probes: Sequence[Probe], answers: Int[np.ndarray, "prompt 2"]
) -> Extracted:
    """Ranks and scores of the three targets in every update."""
    model, count = task.model, len(probes)
    shape = (len(SUBLAYERS), len(TARGETS), count, model.layer_count)
    tokens = np.zeros((count, len(TARGETS)), dtype=np.int64)
    tokens[:, 1:] = answers
    own = np.zeros((count, len(TARGETS)), dtype=np.float32)
    ranks, scores = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    keep = readable_tokens(model).to(model.device)

    def measure(chosen: list[int], width: int) -> None:
        final, updates = updates_at(task, [probes[index] for index in chosen], width)
        logs = own_log_probabilities(model, final)
        targets = torch.from_numpy(tokens[chosen]).to(model.device)
        targets[:, 0] = top_token(logs, keep)
        tokens[chosen] = targets.cpu().numpy()
        own[chosen] = logs.gather(1, targets).float().cpu().numpy()
        for place, stacked in enumerate(updates):
            _read(task, stacked, targets, keep, (place, chosen, ranks, scores))

    for _ in in_batches(task, [len(p.prompt.ids) for p in probes], measure):
        pass
    return Extracted(tokens, own, ranks, scores)


def updates_at(
    task: Task, probes: Sequence[Probe], width: int
) -> tuple[Float[Tensor, "prompt d_output"], list[Float[Tensor, "prompt layer d"]]]:
    """Final state at the last position, and the updates at the position asked for."""
    model = task.model
    ids, mask = padded([probe.prompt.ids for probe in probes], width, model.device)
    last = mask.sum(dim=1, keepdim=True) - 1
    place = last
    if task.study.extraction.position == "last_subject":
        found = [p.subject.last if p.subject else 0 for p in probes]
        place = torch.tensor(found, device=ids.device)[:, None]
    sites: list[list[Site]] = [
        [("mhsa", layer) for layer in range(model.layer_count)],
        [("mlp", layer) for layer in range(model.layer_count)],
    ]
    with record(model.network, model.architecture, sum(sites, []), place) as kept:
        states = final_states(model.network, model.architecture, ids, mask)
    rows = torch.arange(len(ids), device=ids.device)
    final = states[rows, last[:, 0].to(states.device)]
    return final, [
        torch.stack([kept[site][:, 0].to(model.device) for site in own], dim=1)
        for own in sites
    ]


def _read(
    task: Task,
    updates: Float[Tensor, "prompt layer d"],
    targets: Int[Tensor, "prompt target"],
    keep: Tensor,
    into: tuple[int, list[int], np.ndarray, np.ndarray],
) -> None:
    """Project updates in chunks and keep rank and score of each target."""
    model, (place, chosen, ranks, scores) = task.model, into
    step = max(1, projected_rows(model) // updates.shape[1])
    is_normed = task.study.extraction.norm == "final"
    for start in range(0, len(updates), step):
        rows = slice(start, start + step)
        logits = readout(
            model.network, model.architecture, updates[rows], norm=is_normed
        )
        for index in range(targets.shape[1]):
            own = targets[rows, index, None].expand(logits.shape[:2])
            found = rank_of(logits, own, keep=keep)
            score = logits.gather(-1, own.unsqueeze(-1)).squeeze(-1)
            ranks[place, index, chosen[rows]] = found.cpu().numpy()
            scores[place, index, chosen[rows]] = score.float().cpu().numpy()
