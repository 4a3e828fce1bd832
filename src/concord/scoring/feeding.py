"""A batch of rows as tensors, and its states from the model.

Rows are padded on the right and positions are always passed. Rows of one layout go
through the same kind of mask whatever they hold, so that the same kernels run.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from concord.models.padding import padded
from concord.models.readout import decoder_states, encoder_states, final_states
from concord.scoring.batching import Batch, Row
from concord.scoring.passes import Pass, keys_and_values
from concord.scoring.tree import tree_attention, visible_until


@dataclass(frozen=True, eq=False)
class _Inputs:
    """A batch as arrays, copies included; 0 beyond a row's end."""

    ids: Int[np.ndarray, "batch position"]
    is_real: Int[np.ndarray, "batch position"]
    places: Int[np.ndarray, "batch position"]
    until: Int[np.ndarray, "batch position"]


def batch_states(
    batch: Batch, plan: Pass
) -> tuple[Float[Tensor, "batch position d_model"], DynamicCache | None]:
    """Final states of all positions, under the mask the layout needs.

    Returns:
        The states; and keys and values of the prompts, if they are to be kept.
    """
    inputs = _inputs(batch, plan)
    model = plan.model
    ids = torch.from_numpy(inputs.ids).to(model.device)
    is_real = torch.from_numpy(inputs.is_real).to(model.device)
    places = torch.from_numpy(inputs.places).to(model.device)
    has_nodes = any(len(row.nodes) for row in batch.rows)
    is_tree = plan.prefix is not None or (plan.layout == "tree" and has_nodes)
    until = torch.from_numpy(inputs.until).to(model.device) if is_tree else None
    cache, seen = _before(batch, plan)
    with tree_attention(
        model.network,
        model.architecture,
        is_real=is_real,
        places=places,
        until=until,
        seen=seen,
    ) as mask:
        if not model.is_encoder_decoder:
            before = {} if cache is None else {"past_key_values": cache}
            states = final_states(
                model.network, model.architecture, ids, mask, places, **before
            )
            return states, None if has_nodes else cache
        source, source_mask = _encoded(batch, plan)
        states = decoder_states(
            model.network,
            model.architecture,
            ids,
            source,
            source_mask,
            decoder_mask=mask,
        )
        return states, None


def _before(
    batch: Batch, plan: Pass
) -> tuple[DynamicCache | None, Bool[Tensor, "batch seen"] | None]:
    """Keys and values that stand before the rows, and which of them each row sees."""
    rows = [batch.rows[i % len(batch.rows)] for i in range(batch.row_count)]
    cache = None if plan.prefix is None else plan.prefix.expanded(len(rows))
    seen = np.ones((len(rows), plan.skipped), dtype=bool)
    if plan.kept is not None and plan.is_kept(batch.rows[0]):
        jobs = [row.job for row in rows]
        own = plan.kept.gathered(jobs)
        cache = own if cache is None else _joined(cache, own)
        lengths = np.array([len(plan.jobs[job].prompt) for job in jobs]) - plan.skipped
        length = plan.kept.length_of(jobs[0])
        seen = np.hstack([seen, np.arange(length) < lengths[:, None]])
    elif plan.kept is not None and cache is None:
        cache = DynamicCache()
    if not seen.shape[1]:
        return cache, None
    return cache, torch.from_numpy(seen).to(plan.model.device)


def _joined(first: DynamicCache, second: DynamicCache) -> DynamicCache:
    for index, layer in enumerate(second.layers):
        first.update(*keys_and_values(layer), index)
    return first


def _inputs(batch: Batch, plan: Pass) -> _Inputs:
    """Arrays of the rows; copies of the first ones fill the batch up."""
    rows, width = batch.rows, batch.shape.decoder
    starts = [plan.start_of(row) for row in rows]
    tries = [plan.jobs[row.job].trie for row in rows]
    tokens = [
        part
        for start, trie, row in zip(starts, tries, rows, strict=True)
        for part in (start, trie.node_tokens[row.nodes])
    ]
    lengths = np.array(
        [len(s) + len(r.nodes) for s, r in zip(starts, rows, strict=True)]
    )
    is_real = np.arange(width) < lengths[:, None]
    ids = np.zeros(is_real.shape, dtype=np.int64)
    ids[is_real] = np.concatenate(tokens)
    places = np.where(is_real, np.arange(width) + plan.skipped, 0)
    until = np.tile(np.arange(width), (len(rows), 1))
    for index, (start, trie, row) in enumerate(zip(starts, tries, rows, strict=True)):
        if plan.prefix is not None or len(row.nodes):
            until[index, : lengths[index]] = visible_until(trie, row.nodes, len(start))
        if len(row.nodes):
            front = _front_of(plan, row, len(start))
            own = front - 1 + trie.node_depths[row.nodes]
            places[index, len(start) : lengths[index]] = own
    copies = np.arange(batch.row_count) % len(rows)
    return _Inputs(
        ids[copies], is_real[copies].astype(np.int64), places[copies], until[copies]
    )


def _front_of(plan: Pass, row: Row, start: int) -> int:
    """Places in front of a row's nodes, whether fed with them or before."""
    if plan.is_kept(row):
        return len(plan.jobs[row.job].prompt)
    return plan.skipped + start


def _encoded(
    batch: Batch, plan: Pass
) -> tuple[Float[Tensor, "batch source d_model"], Int[Tensor, "batch source"]]:
    """Encoder states of each row's prompt; prompts that rows share are run once."""
    jobs = sorted({row.job for row in batch.rows})
    place = {job: index for index, job in enumerate(jobs)}
    count = max(2, len(jobs)) if batch.row_count > 1 else 1
    prompts = [plan.jobs[jobs[index % len(jobs)]].prompt for index in range(count)]
    device = plan.model.device
    ids, source_mask = padded(prompts, batch.shape.encoder, device)
    states = encoder_states(
        plan.model.network, plan.model.architecture, ids, source_mask
    )
    owners = torch.tensor(
        [
            place[batch.rows[index % len(batch.rows)].job]
            for index in range(batch.row_count)
        ],
        device=device,
    )
    return states[owners], source_mask[owners]
