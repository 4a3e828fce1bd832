"""A cut in one block against its attention worked out by hand, per architecture."""

import pytest
import torch
from tiny_models import VARIANTS, shared_model, tiny_batch, tiny_model
from tiny_passes import edges, run

from concord.errors import ModelError
from concord.models.architecture import architecture_of, blocks_of
from concord.models.hooks import intervene, record
from concord.models.readout import final_states

pytestmark = pytest.mark.usefixtures("inference")
QUERY, CUT_KEYS = 5, (1, 3)
HEADS, HEAD_WIDTH = 4, 8


def attended(queries, keys, values, *, scale, bias=0.0, cap=None, cut=CUT_KEYS):
    """Softmax attention of position QUERY over the past without the cut keys.

    Queries are [head, d]; keys and values [head, position, d]; bias [head, position].
    """
    scores = scale * torch.einsum("hd,hkd->hk", queries, keys)
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    scores = scores + bias
    for key in range(scores.shape[-1]):
        if key > QUERY or key in cut:
            scores[:, key] = float("-inf")
    return torch.einsum("hk,hkd->hd", scores.softmax(dim=-1), values).reshape(-1)


def rotated(vectors):
    """Rotary positions 0, 1, 2, ... on [head, position, 8], halves paired."""
    positions = torch.arange(vectors.shape[1], dtype=torch.float32)
    frequencies = 10_000.0 ** (-torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
    angles = positions[:, None] * frequencies
    first, second = vectors.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat(
        [first * cosine - second * sine, second * cosine + first * sine], dim=-1
    )


def split(states, heads):
    """[position, heads * d] to [head, position, d]."""
    return states.view(len(states), heads, HEAD_WIDTH).transpose(0, 1)


def llama_by_hand(block, state, cut=CUT_KEYS):
    normed, attention = block.input_layernorm(state), block.self_attn
    queries = rotated(split(attention.q_proj(normed), 4))[:, QUERY]
    # Two key-value heads, each read by two query heads.
    keys = rotated(split(attention.k_proj(normed), 2)).repeat_interleave(2, dim=0)
    values = split(attention.v_proj(normed), 2).repeat_interleave(2, dim=0)
    scale = HEAD_WIDTH**-0.5
    return attention.o_proj(attended(queries, keys, values, scale=scale, cut=cut))


def gemma2_by_hand(block, state, cut=CUT_KEYS):
    normed, attention = block.input_layernorm(state), block.self_attn
    queries = rotated(split(attention.q_proj(normed), 4))[:, QUERY]
    keys = rotated(split(attention.k_proj(normed), 2)).repeat_interleave(2, dim=0)
    values = split(attention.v_proj(normed), 2).repeat_interleave(2, dim=0)
    mixed = attended(queries, keys, values, scale=HEAD_WIDTH**-0.5, cap=2.0, cut=cut)
    return block.post_attention_layernorm(attention.o_proj(mixed))


def falcon_by_hand(block, state, cut=CUT_KEYS):
    fused = block.self_attention.query_key_value(block.input_layernorm(state))
    # Four query heads, then one key head and one value head that all of them read.
    heads = split(fused, 6)
    keys, values = rotated(heads[4:5]).expand(4, -1, -1), heads[5:6].expand(4, -1, -1)
    mixed = attended(
        rotated(heads[:4])[:, QUERY], keys, values, scale=HEAD_WIDTH**-0.5, cut=cut
    )
    return block.self_attention.dense(mixed)


def falcon_alibi_by_hand(block, state, cut=CUT_KEYS, times=1):
    fused = block.self_attention.query_key_value(block.input_layernorm(state))
    queries, keys, values = fused.view(len(state), 4, 3, 8).permute(2, 1, 0, 3)
    # Slopes of four heads: 2^-2, 2^-4, 2^-6, 2^-8; scaled like the product.
    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8])
    scale = HEAD_WIDTH**-0.5
    bias = times * scale * slopes[:, None] * torch.arange(len(state))
    mixed = attended(queries[:, QUERY], keys, values, scale=scale, bias=bias, cut=cut)
    return block.self_attention.dense(mixed)


def bloom_by_hand(block, state, cut=CUT_KEYS):
    fused = block.self_attention.query_key_value(block.input_layernorm(state))
    queries, keys, values = fused.view(len(state), 4, 3, 8).permute(2, 1, 0, 3)
    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8])
    bias = slopes[:, None] * torch.arange(len(state))
    mixed = attended(
        queries[:, QUERY], keys, values, scale=HEAD_WIDTH**-0.5, bias=bias, cut=cut
    )
    return block.self_attention.dense(mixed)


def gpt2_by_hand(block, state, cut=CUT_KEYS):
    queries, keys, values = (
        split(part, 4)
        for part in block.attn.c_attn(block.ln_1(state)).split(32, dim=-1)
    )
    mixed = attended(queries[:, QUERY], keys, values, scale=HEAD_WIDTH**-0.5, cut=cut)
    return block.attn.c_proj(mixed.unsqueeze(0)).squeeze(0)


BY_HAND = {
    "llama": llama_by_hand,
    "gemma2": gemma2_by_hand,
    "falcon": falcon_by_hand,
    "falcon_alibi": falcon_alibi_by_hand,
    "bloom": bloom_by_hand,
    "gpt2": gpt2_by_hand,
}


@pytest.mark.parametrize(
    ("family", "implementation"),
    [variant for variant in VARIANTS if variant[0] in BY_HAND],
)
def test_a_cut_is_a_softmax_over_the_remaining_keys(family, implementation):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    sites = [("hidden", 1), ("mhsa", 1)]
    gone = edges(*((row, QUERY, key) for row in range(3) for key in CUT_KEYS))
    for cut in ((), CUT_KEYS):
        with (
            intervene(network, architecture, cut={("mhsa", 1): gone} if cut else {}),
            record(network, architecture, sites) as kept,
        ):
            run(network, ids, mask)
        block = blocks_of(network, architecture)[1]
        for row in range(3):
            by_hand = BY_HAND[family](block, kept["hidden", 1][row], cut)
            found = kept["mhsa", 1][row, QUERY]
            torch.testing.assert_close(found, by_hand, rtol=0, atol=1e-5)
            whole = BY_HAND[family](block, kept["hidden", 1][row], ())
            assert not cut or (whole - by_hand).abs().max() > 1e-2


def test_eager_falcon_counts_its_position_bias_twice_and_is_refused():
    network = tiny_model("falcon_alibi", implementation="eager")
    with pytest.raises(ModelError, match="needed one of sdpa"):
        architecture_of(network)
    ids, mask = tiny_batch()
    row = architecture_of(tiny_model("falcon_alibi"))
    with record(network, row, [("hidden", 1), ("mhsa", 1)]) as kept:
        final_states(network, row, ids, mask)
    block, state = network.transformer.h[1], kept["hidden", 1][0]
    found = kept["mhsa", 1][0, QUERY]
    twice = falcon_alibi_by_hand(block, state, (), times=2)
    torch.testing.assert_close(found, twice, rtol=0, atol=1e-5)
    once = falcon_alibi_by_hand(block, state, ())
    assert (found - once).abs().max() > 0.05
