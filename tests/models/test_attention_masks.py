"""Masks of attention against those that the models make themselves."""

import pytest
import torch
from tiny_models import VARIANTS, shared_model, tiny_batch, tiny_model
from tiny_passes import PADDINGS, edges

from concord.errors import ModelError
from concord.models.architecture import architecture_of
from concord.models.hooks import attention_mask_of, intervene
from concord.models.readout import final_states

pytestmark = pytest.mark.usefixtures("inference")


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
