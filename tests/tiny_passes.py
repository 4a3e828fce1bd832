"""Passes of the tiny models, edges to cut in them, and the hooks left on them."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

from concord.models.architecture import architecture_of
from concord.models.hooks import Edges
from concord.models.readout import decoder_states, encoder_states, final_states

PADDINGS = ("none", "left", "right")


def run(network, ids, mask):
    """Final states; the decoder of an encoder-decoder reads the first five ids."""
    architecture = architecture_of(network)
    if architecture.encoder is None:
        return final_states(network, architecture, ids, mask)
    encoded = encoder_states(network, architecture, ids, mask)
    return decoder_states(network, architecture, ids[:, :5], encoded, mask)


def edges(*triples):
    """Edges from (row, query, key) triples."""
    rows, queries, keys = torch.tensor(triples).T
    return Edges(rows=rows, queries=queries, keys=keys)


def hook_count(network):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in network.modules()
    )


@contextmanager
def rows_fed(network) -> Generator[list[int]]:
    """Rows of every batch of ids that goes into a network, copies included."""
    found: list[int] = []

    def note(module, args, kwargs) -> None:
        ids = args[0] if args else kwargs["input"]
        found.append(len(ids))

    embedding = network.get_input_embeddings()
    handle = embedding.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()
