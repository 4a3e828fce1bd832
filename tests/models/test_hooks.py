"""What hooks read, against identities, and that they leave nothing behind."""

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
from tiny_passes import PADDINGS, edges, hook_count, run

from concord.errors import ModelError
from concord.models.architecture import architecture_of
from concord.models.hooks import Edges, Replacement, intervene, record

pytestmark = pytest.mark.usefixtures("inference")


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
