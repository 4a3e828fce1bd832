"""What hooks read, cut and replace, against identities and attention by hand."""

from dataclasses import replace

import pytest
import torch
from tiny_models import (
    DECODER_FAMILIES,
    ENCODER_DECODER_FAMILIES,
    FAMILIES,
    VARIANTS,
    shared_model,
    tiny_batch,
    tiny_model,
)
from tiny_passes import PADDINGS, run

from concord.errors import ModelError
from concord.models.architecture import architecture_of, blocks_of
from concord.models.hooks import (
    Edges,
    Replacement,
    attention_mask_of,
    intervene,
    record,
)
from concord.models.readout import (
    encoder_states,
    final_states,
)

pytestmark = pytest.mark.usefixtures("inference")


def edges(*triples):
    """Edges from (row, query, key) triples."""
    rows, queries, keys = torch.tensor(triples).T
    return Edges(rows=rows, queries=queries, keys=keys)


def hook_count(network):
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in network.modules()
    )


def weights_of(network, architecture, kind, passed):
    """Attention weights per block during a pass, under eager attention."""
    kept, handles = [], []
    path = architecture.attention if kind == "mhsa" else architecture.cross_attention
    for block in blocks_of(network, architecture):
        handles.append(
            block.get_submodule(path).register_forward_hook(
                lambda module, args, output: kept.append(output[-1])
            )
        )
    passed()
    for handle in handles:
        handle.remove()
    return kept


# --- recording -----------------------------------------------------------------------


@pytest.mark.parametrize(("family", "implementation"), VARIANTS)
def test_updates_and_states_add_up_in_every_block(family, implementation):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    sites = [("hidden", layer) for layer in range(4)]
    sites += [(kind, layer) for layer in range(3) for kind in architecture.sublayers]
    with record(network, architecture, sites) as kept:
        run(network, ids, mask)
    for layer in range(3):
        updates = sum(kept[kind, layer] for kind in architecture.sublayers)
        torch.testing.assert_close(
            kept["hidden", layer] + updates,
            kept["hidden", layer + 1],
            rtol=0,
            atol=1e-5,
        )
        assert updates.abs().max() > 0.5


@pytest.mark.parametrize("family", ENCODER_DECODER_FAMILIES)
def test_updates_and_states_of_an_encoder_add_up(family):
    network = shared_model(family)
    encoder = architecture_of(network).encoder
    ids, mask = tiny_batch("right")
    sites = [("hidden", 1), ("mhsa", 1), ("mlp", 1), ("hidden", 2)]
    with record(network, encoder, sites) as kept:
        run(network, ids, mask)
    total = kept["hidden", 1] + kept["mhsa", 1] + kept["mlp", 1]
    torch.testing.assert_close(total, kept["hidden", 2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_are_taken_per_row(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    positions = torch.tensor([[4, 0], [3, 3], [1, 2]])
    sites = [("hidden", 0), ("mlp", 1), ("mhsa", 2), ("hidden", 3)]
    with record(network, architecture, sites) as everything:
        run(network, ids, mask)
    with record(network, architecture, sites, positions) as some:
        run(network, ids, mask)
    for site in sites:
        rows = torch.arange(3).unsqueeze(1)
        assert torch.equal(some[site], everything[site][rows, positions])


@pytest.mark.parametrize("family", ["falcon", "falcon_new_decoder"])
def test_a_recorded_update_is_a_copy_and_not_a_reference(family):
    # Falcon adds attention's output to the MLP's in place, right after the hook.
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    by_reference = {}
    handle = network.transformer.h[1].mlp.register_forward_hook(
        lambda module, args, output: by_reference.update(mlp=output)
    )
    with record(network, architecture, [("mlp", 1), ("mhsa", 1)]) as kept:
        run(network, ids, mask)
    handle.remove()
    assert not torch.equal(kept["mlp", 1], by_reference["mlp"])
    torch.testing.assert_close(
        kept["mlp", 1] + kept["mhsa", 1], by_reference["mlp"], rtol=0, atol=1e-6
    )


def test_sites_that_do_not_exist_are_named():
    network = tiny_model("llama")
    architecture = architecture_of(network)
    with (
        pytest.raises(ModelError, match="'cross' in llama: Known: hidden, mhsa, mlp"),
        record(network, architecture, [("cross", 0)]),
    ):
        pass
    with (
        pytest.raises(ModelError, match="mlp has layers 0 to 2"),
        record(network, architecture, [("mlp", 3)]),
    ):
        pass


def test_positions_outside_the_batch_are_refused():
    network = tiny_model("llama")
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    with (
        pytest.raises(ModelError, match="count from the left"),
        record(network, architecture, [("mlp", 0)], torch.tensor([[-1]] * 3)),
    ):
        pass
    for positions in (torch.tensor([[8]] * 3), torch.tensor([[0]] * 2)):
        with (
            pytest.raises(ModelError, match="do not fit a batch of 3 rows"),
            record(network, architecture, [("mlp", 0)], positions),
        ):
            run(network, ids, mask)
    assert hook_count(network) == 0


# --- nothing, and clean-up -----------------------------------------------------------


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("family", "implementation"), VARIANTS)
def test_empty_interventions_leave_every_bit(family, implementation, padding):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch(padding)
    plain = run(network, ids, mask)
    nothing = torch.zeros(0, dtype=torch.long)
    cut = {("mhsa", 1): Edges(rows=nothing, queries=nothing, keys=nothing)}
    with (
        intervene(network, architecture, cut=cut, replace={}),
        record(network, architecture, [("hidden", 1), ("mhsa", 2), ("mlp", 0)]),
    ):
        hooked = run(network, ids, mask)
    assert torch.equal(plain, hooked)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_hook_is_left_after_a_pass_or_an_exception(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    for fails in (False, True):
        try:
            with (
                intervene(
                    network,
                    architecture,
                    cut={("mhsa", 0): edges((0, 3, 1))},
                    replace={("mlp", 1): Replacement(), ("hidden", 3): Replacement()},
                ),
                record(network, architecture, [("hidden", 0), ("mhsa", 2)]),
            ):
                run(network, ids, mask)
                assert hook_count(network) > 0
                if fails:
                    raise KeyError
        except KeyError:
            pass
        assert hook_count(network) == 0


# --- replacing -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_cancelling_leaves_the_other_updates(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    sites = [("hidden", 1), ("hidden", 2)]
    sites += [(kind, 1) for kind in architecture.sublayers]
    for cancelled in architecture.sublayers:
        with (
            intervene(network, architecture, replace={(cancelled, 1): Replacement()}),
            record(network, architecture, sites) as kept,
        ):
            run(network, ids, mask)
        assert not kept[cancelled, 1].any()
        others = sum(
            kept[kind, 1] for kind in architecture.sublayers if kind != cancelled
        )
        torch.testing.assert_close(
            kept["hidden", 2], kept["hidden", 1] + others, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_cancelling_all_updates_of_a_block_passes_the_state_through(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    gone = {(kind, 1): Replacement() for kind in architecture.sublayers}
    with (
        intervene(network, architecture, replace=gone),
        record(network, architecture, [("hidden", 1), ("hidden", 2)]) as kept,
    ):
        run(network, ids, mask)
    assert torch.equal(kept["hidden", 1], kept["hidden", 2])


@pytest.mark.parametrize("family", FAMILIES)
def test_cancelling_attention_reaches_the_mlp_only_in_sequential_blocks(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    with record(network, architecture, [("mlp", 0)]) as plain:
        run(network, ids, mask)
    with (
        intervene(network, architecture, replace={("mhsa", 0): Replacement()}),
        record(network, architecture, [("mlp", 0)]) as cancelled,
    ):
        run(network, ids, mask)
    is_same = torch.equal(plain["mlp", 0], cancelled["mlp", 0])
    assert is_same == architecture.is_parallel


@pytest.mark.parametrize("family", FAMILIES)
def test_a_models_own_values_put_back_change_no_bit(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    positions = torch.tensor([[4], [2], [3]])
    sites = [("hidden", 1), ("mhsa", 1), ("mlp", 2), ("hidden", 3)]
    with record(network, architecture, sites, positions) as own:
        plain = run(network, ids, mask)
    back = {site: Replacement(own[site], positions) for site in sites}
    with intervene(network, architecture, replace=back):
        assert torch.equal(run(network, ids, mask), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_replaced_state_is_what_the_next_block_reads(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    other, _ = tiny_batch("right", seed=1)
    with record(network, architecture, [("hidden", 2)]) as donor:
        expected = run(network, other, mask)
    patch = {("hidden", 2): Replacement(donor["hidden", 2])}
    with intervene(network, architecture, replace=patch):
        found = run(network, ids, mask)
    if architecture.encoder is None:
        # Every position was replaced: from here on it is the other batch's pass.
        assert torch.equal(found, expected)
    assert not torch.equal(found, run(network, ids, mask))


@pytest.mark.parametrize("family", ["llama", "opt", "falcon", "t5"])
def test_only_the_named_places_are_replaced_and_minus_one_names_none(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    positions = torch.tensor([[1, 3], [2, -1], [-1, -1]])
    value = torch.arange(6.0).reshape(3, 2, 1).expand(3, 2, 32)
    site = ("mlp", 0)
    with record(network, architecture, [site]) as plain:
        run(network, ids, mask)
    with (
        intervene(network, architecture, replace={site: Replacement(value, positions)}),
        record(network, architecture, [site]) as patched,
    ):
        run(network, ids, mask)
    expected = plain[site].clone()
    expected[0, 1], expected[0, 3], expected[1, 2] = 0.0, 1.0, 2.0
    assert torch.equal(patched[site], expected)


@pytest.mark.parametrize("family", ["falcon", "falcon_new_decoder", "llama"])
def test_one_stored_value_used_twice_is_not_overwritten(family):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    stored = torch.randn(3, 8, 32, generator=torch.Generator().manual_seed(3))
    before = stored.clone()
    shared = Replacement(stored)
    sites = [("mlp", 0), ("mlp", 1)]
    with (
        intervene(network, architecture, replace=dict.fromkeys(sites, shared)),
        record(network, architecture, sites) as kept,
    ):
        together = run(network, ids, mask)
    assert torch.equal(stored, before)
    assert torch.equal(kept["mlp", 0], stored)
    assert torch.equal(kept["mlp", 1], stored)
    with intervene(
        network,
        architecture,
        replace={site: Replacement(before.clone()) for site in sites},
    ):
        assert torch.equal(run(network, ids, mask), together)


@pytest.mark.parametrize(
    ("family", "last_matrix"),
    [
        ("falcon", "transformer.h.{}.mlp.dense_4h_to_h"),
        ("falcon_new_decoder", "transformer.h.{}.mlp.dense_4h_to_h"),
        ("llama", "model.layers.{}.mlp.down_proj"),
    ],
)
def test_cancelling_two_mlps_is_zeroing_their_last_matrices(family, last_matrix):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    zero = Replacement()
    with intervene(network, architecture, replace={("mlp", 0): zero, ("mlp", 1): zero}):
        cancelled = run(network, ids, mask)
    without = tiny_model(family)
    for layer in (0, 1):
        without.get_submodule(last_matrix.format(layer)).weight.zero_()
    assert torch.equal(cancelled, run(without, ids, mask))


# --- cutting -------------------------------------------------------------------------


def last_positions(mask, padding):
    return torch.full((3,), 7) if padding == "left" else mask.sum(dim=-1) - 1


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("family", "implementation"), VARIANTS)
def test_cut_edges_change_their_query_alone(family, implementation, padding):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch(padding)
    if architecture.encoder is None:
        last = last_positions(mask, padding)
        real = mask.bool().clone()
    else:
        last, real = torch.tensor([4, 4, 4]), torch.ones(3, 5, dtype=torch.bool)
    rows = torch.arange(3)
    gone = edges(
        *((row, last[row], last[row] - back) for row in rows for back in (1, 3))
    )
    with record(network, architecture, [("hidden", 2)]) as plain:
        run(network, ids, mask)
    with (
        intervene(network, architecture, cut={("mhsa", 1): gone}),
        record(network, architecture, [("hidden", 2)]) as cut,
    ):
        run(network, ids, mask)
    difference = (cut["hidden", 2] - plain["hidden", 2]).abs().amax(dim=-1)
    assert (difference[rows, last] > 1e-3).all()
    real[rows, last] = False
    # Without padding sdpa runs without a mask, and a cut makes one: another kernel.
    has_mask = padding != "none" and architecture.encoder is None
    is_same_kernel = has_mask or implementation == "eager"
    assert difference[real].max() <= (0.0 if is_same_kernel else 1e-5)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    "family",
    [
        name
        for name in FAMILIES
        if (name, "sdpa") in VARIANTS and (name, "eager") in VARIANTS
    ],
)
def test_a_cut_under_sdpa_is_the_cut_under_eager(family, padding):
    ids, mask = tiny_batch(padding)
    found = []
    for implementation in ("sdpa", "eager"):
        network = shared_model(family, implementation)
        architecture = architecture_of(network)
        gone = edges((0, 4, 0), (0, 4, 2), (1, 4, 3), (2, 4, 1))
        with intervene(
            network, architecture, cut={("mhsa", 0): gone, ("mhsa", 1): gone}
        ):
            found.append(run(network, ids, mask)[:, 4])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "family", [name for name in FAMILIES if (name, "eager") in VARIANTS]
)
def test_cut_weights_are_zero_in_the_cut_blocks_and_only_there(family):
    network = shared_model(family, "eager")
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    gone = edges((0, 4, 0), (1, 4, 2), (1, 4, 3))
    with intervene(network, architecture, cut={("mhsa", 1): gone}):
        weights = weights_of(
            network, architecture, "mhsa", lambda: run(network, ids, mask)
        )
    for layer, weight in enumerate(weights):
        cut = weight[gone.rows, :, gone.queries, gone.keys]
        assert (cut == 0).all() if layer == 1 else (cut > 0).all()
        torch.testing.assert_close(
            weight[1, :, 4].sum(dim=-1), torch.ones(4), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("family", ENCODER_DECODER_FAMILIES)
def test_a_cross_attention_cut_stays_in_its_blocks(family):
    network = shared_model(family, "eager")
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    gone = edges((0, 4, 0), (0, 4, 7), (2, 4, 1))
    with intervene(network, architecture, cut={("cross", 1): gone, ("cross", 2): gone}):
        for kind in ("cross", "mhsa"):
            weights = weights_of(
                network, architecture, kind, lambda: run(network, ids, mask)
            )
            if kind == "mhsa":
                assert all((weight[:, :, 4, :5] > 0).all() for weight in weights)
                continue
            for layer, weight in enumerate(weights):
                cut = weight[gone.rows, :, gone.queries, gone.keys]
                assert (cut == 0).all() if layer in (1, 2) else (cut > 0).all()


@pytest.mark.parametrize("padding", ["none", "right"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_edges_of_an_encoder_can_be_cut_too(implementation, padding):
    network = tiny_model("t5", implementation=implementation)
    architecture = architecture_of(network)
    encoder = architecture.encoder
    ids, mask = tiny_batch(padding)
    plain = encoder_states(network, architecture, ids, mask)
    # An encoder looks ahead: query 1 attends to key 4.
    with intervene(network, encoder, cut={("mhsa", 2): edges((0, 1, 4))}):
        cut = encoder_states(network, architecture, ids, mask)
    difference = (cut - plain).abs().amax(dim=-1)
    assert difference[0, 1] > 1e-3
    difference[0, 1] = 0
    assert difference[mask.bool()].max() < 1e-5


@pytest.mark.parametrize(
    ("family", "implementation"),
    [variant for variant in VARIANTS if variant[0] in ("llama", "falcon_alibi", "t5")],
)
def test_a_query_is_never_left_with_nothing_to_attend_to(family, implementation):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    with (
        pytest.raises(ModelError, match="query 0 of row 1 nothing to attend to"),
        intervene(
            network, architecture, cut={("mhsa", 1): edges((0, 2, 1), (1, 0, 0))}
        ),
    ):
        run(network, ids, mask)
    assert hook_count(network) == 0


def test_updates_have_no_edges():
    network = tiny_model("llama")
    with (
        pytest.raises(ModelError, match="only mhsa and cross have edges"),
        intervene(
            network, architecture_of(network), cut={("mlp", 0): edges((0, 1, 0))}
        ),
    ):
        pass


def test_a_boolean_mask_under_eager_attention_is_refused():
    network = tiny_model("llama", implementation="eager")
    architecture = architecture_of(network)
    ids, _ = tiny_batch()
    boolean = torch.ones(3, 1, 8, 8, dtype=torch.bool).tril()
    places = torch.arange(8).expand(3, -1)
    with (
        pytest.raises(ModelError, match="boolean mask"),
        intervene(network, architecture, cut={("mhsa", 0): edges((0, 1, 0))}),
    ):
        final_states(network, architecture, ids, boolean, places)


def test_a_wrong_mask_keyword_is_named():
    network = tiny_model("llama")
    wrong = replace(architecture_of(network), mask_keyword="mask")
    ids, mask = tiny_batch()
    with (
        pytest.raises(ModelError, match="given no 'mask'.*attention_mask"),
        intervene(network, wrong, cut={("mhsa", 0): edges((0, 1, 0))}),
    ):
        run(network, ids, mask)


# --- one block of attention by hand --------------------------------------------------

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


# --- masks and arguments -------------------------------------------------------------


def causal(padding="none"):
    """Causal visibility of the tiny batch; padding sees itself."""
    _, mask = tiny_batch(padding)
    seen = torch.ones(8, 8, dtype=torch.bool).tril() & mask.bool()[:, None, :]
    return seen | torch.eye(8, dtype=torch.bool), mask


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("family", "implementation"),
    [
        variant
        for variant in VARIANTS
        if variant[0] not in ("bloom", "falcon_alibi", "t5", "mt5")
    ],
)
def test_a_built_mask_gives_what_the_models_own_mask_gives(
    family, implementation, padding
):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    assert architecture.tree == "mask"
    ids, _ = tiny_batch(padding)
    allowed, mask = causal(padding)
    built = attention_mask_of(allowed, implementation, network.dtype)
    places = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    found = final_states(network, architecture, ids, built, places)
    own = final_states(network, architecture, ids, mask)
    real = mask.bool()
    torch.testing.assert_close(found[real], own[real], rtol=0, atol=1e-5)


def test_masks_take_the_form_of_the_implementation():
    allowed, _ = causal()
    boolean = attention_mask_of(allowed, "sdpa", torch.bfloat16)
    assert boolean.dtype == torch.bool
    assert boolean.shape == (3, 1, 8, 8)
    additive = attention_mask_of(allowed, "eager", torch.bfloat16)
    assert additive.dtype == torch.bfloat16
    assert additive[0, 0, 3, 3] == 0
    assert additive[0, 0, 3, 4] == torch.finfo(torch.bfloat16).min
    with pytest.raises(ModelError, match="no masks for .*'flex_attention'"):
        attention_mask_of(allowed, "flex_attention", torch.float32)


def test_a_mask_row_without_a_key_is_refused():
    allowed, _ = causal()
    allowed[1, 6] = False
    with pytest.raises(ModelError, match="query 6 of row 1 may attend to nothing"):
        attention_mask_of(allowed, "sdpa", torch.float32)


def test_double_precision_under_eager_stays_finite_with_left_padding():
    network = tiny_model("llama", implementation="eager", dtype=torch.float64)
    architecture = architecture_of(network)
    ids, _ = tiny_batch("left")
    allowed, mask = causal("left")
    built = attention_mask_of(allowed, "eager", torch.float64)
    assert built.min() == torch.finfo(torch.float32).min
    places = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    states = final_states(network, architecture, ids, built, places)
    assert states.isfinite().all()
    sdpa = tiny_model("llama", implementation="sdpa", dtype=torch.float64)
    expected = final_states(sdpa, architecture, ids, mask)
    real = mask.bool()
    # Eager attention computes its softmax in float32.
    torch.testing.assert_close(states[real], expected[real], rtol=0, atol=1e-5)


def test_a_cut_in_double_precision_sees_what_its_own_mask_blocked():
    network = tiny_model("llama", implementation="eager", dtype=torch.float64)
    architecture = architecture_of(network)
    ids, _ = tiny_batch()
    allowed, _ = causal()
    built = attention_mask_of(allowed, "eager", torch.float64)
    places = torch.arange(8).expand(3, -1)
    with (
        pytest.raises(ModelError, match="query 1 of row 0 nothing"),
        intervene(
            network, architecture, cut={("mhsa", 0): edges((0, 1, 0), (0, 1, 1))}
        ),
    ):
        final_states(network, architecture, ids, built, places)


def test_modules_that_give_tensors_and_tuples_are_both_read():
    # LLaMA's block gives a tensor, Falcon's a tuple; OPT's update is flattened.
    shapes = {}
    for family in DECODER_FAMILIES:
        network = shared_model(family)
        ids, mask = tiny_batch()
        sites = [("hidden", 3), ("mlp", 1), ("mhsa", 1)]
        with record(network, architecture_of(network), sites) as kept:
            run(network, ids, mask)
        shapes[family] = {tuple(kept[site].shape) for site in sites}
    assert all(found == {(3, 8, 32)} for found in shapes.values())
