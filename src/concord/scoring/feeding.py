"""A batch of rows as tensors, and its states from the model.

Rows are padded on the right and positions are always passed. Rows of one layout go
through the same kind of mask whatever they hold, so that the same kernels run.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from concord.models.readout import decoder_states, encoder_states, final_states
from concord.scoring.batching import Batch
from concord.scoring.passes import Pass
from concord.scoring.tree import tree_attention, visible_until


@dataclass(frozen=True, eq=False)
class _Inputs:
    """A batch as arrays, copies included; 0 beyond a row's end."""

    ids: Int[np.ndarray, "batch position"]
    is_real: Int[np.ndarray, "batch position"]
    places: Int[np.ndarray, "batch position"]
    until: Int[np.ndarray, "batch position"]


def batch_states(batch: Batch, plan: Pass) -> Float[Tensor, "batch position d_model"]:
    """Final states of all positions, under the mask the layout needs."""
    inputs = _inputs(batch, plan)
    model = plan.model
    device = model.device
    ids = torch.from_numpy(inputs.ids).to(device)
    is_real = torch.from_numpy(inputs.is_real).to(device)
    places = torch.from_numpy(inputs.places).to(device)
    needs_tree = plan.layout == "tree" and any(len(row.nodes) for row in batch.rows)
    until = torch.from_numpy(inputs.until).to(device) if needs_tree else None
    if plan.prefix is not None:
        return _behind_prefix(ids, places, inputs, plan)
    with tree_attention(
        model.network, model.architecture, is_real=is_real, places=places, until=until
    ) as mask:
        if not model.is_encoder_decoder:
            return final_states(model.network, model.architecture, ids, mask, places)
        source, source_mask = _encoded(batch, plan)
        return decoder_states(
            model.network,
            model.architecture,
            ids,
            source,
            source_mask,
            decoder_mask=mask,
        )


def _inputs(batch: Batch, plan: Pass) -> _Inputs:
    shape = (batch.row_count, batch.shape.decoder)
    ids = np.full(shape, plan.model.pad_id)
    is_real, places = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    until = np.tile(np.arange(shape[1]), (shape[0], 1))
    for index in range(batch.row_count):
        row = batch.rows[index % len(batch.rows)]
        trie, start = plan.jobs[row.job].trie, plan.start_of(row)
        end = len(start) + len(row.nodes)
        ids[index, :end] = (*start, *trie.node_tokens[row.nodes])
        is_real[index, :end] = 1
        own = np.append(
            np.arange(len(start)), len(start) - 1 + trie.node_depths[row.nodes]
        )
        places[index, :end] = own + plan.skipped
        until[index, :end] = visible_until(trie, row.nodes, len(start))
    return _Inputs(ids, is_real, places, until)


def _behind_prefix(
    ids: Int[Tensor, "batch position"],
    places: Int[Tensor, "batch position"],
    inputs: _Inputs,
    plan: Pass,
) -> Float[Tensor, "batch position d_model"]:
    assert plan.prefix is not None
    model, rows = plan.model, ids.shape[0]
    until = torch.from_numpy(inputs.until).to(model.device)
    with tree_attention(
        model.network,
        model.architecture,
        is_real=torch.from_numpy(inputs.is_real).to(model.device),
        places=places,
        until=until,
        seen_before=plan.prefix.length,
    ) as mask:
        return final_states(
            model.network,
            model.architecture,
            ids,
            mask,
            places,
            past_key_values=plan.prefix.expanded(rows),
        )


def _encoded(
    batch: Batch, plan: Pass
) -> tuple[Float[Tensor, "batch source d_model"], Int[Tensor, "batch source"]]:
    """Encoder states of each row's prompt; prompts that rows share are run once."""
    jobs = sorted({row.job for row in batch.rows})
    place = {job: index for index, job in enumerate(jobs)}
    count = max(2, len(jobs)) if batch.row_count > 1 else 1
    ids = np.full((count, batch.shape.encoder), plan.model.pad_id)
    mask = np.zeros_like(ids)
    for index in range(count):
        prompt = plan.jobs[jobs[index % len(jobs)]].prompt
        ids[index, : len(prompt)] = prompt
        mask[index, : len(prompt)] = 1
    device = plan.model.device
    source_mask = torch.from_numpy(mask).to(device)
    states = encoder_states(
        plan.model.network,
        plan.model.architecture,
        torch.from_numpy(ids).to(device),
        source_mask,
    )
    owners = torch.tensor(
        [
            place[batch.rows[index % len(batch.rows)].job]
            for index in range(batch.row_count)
        ],
        device=device,
    )
    return states[owners], source_mask[owners]
