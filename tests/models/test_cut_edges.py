"""What cut edges of attention change, and what they leave as it is."""

from dataclasses import replace

import pytest
import torch
from tiny_models import (
    ENCODER_DECODER_FAMILIES,
    FAMILIES,
    VARIANTS,
    shared_model,
    tiny_batch,
    tiny_model,
)
from tiny_passes import PADDINGS, edges, hook_count, run

from concord.errors import ModelError
from concord.models.architecture import architecture_of, blocks_of
from concord.models.hooks import intervene, record
from concord.models.readout import encoder_states, final_states

pytestmark = pytest.mark.usefixtures("inference")


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
