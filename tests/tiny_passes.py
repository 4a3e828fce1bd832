"""Passes of the tiny models, edges to cut in them, and the hooks left on them."""

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
