"""What becomes of a pass in which updates or states are replaced."""

import pytest
import torch
from tiny_models import FAMILIES, shared_model, tiny_batch, tiny_model
from tiny_passes import run

from concord.models.architecture import architecture_of
from concord.models.hooks import Replacement, intervene, record

pytestmark = pytest.mark.usefixtures("inference")


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
