"""Readouts against the models' own logits, and ranks against full sorting."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import (
    DECODER_FAMILIES,
    ENCODER_DECODER_FAMILIES,
    VARIANTS,
    shared_model,
    tiny_batch,
    tiny_model,
)
from tiny_passes import PADDINGS, run

from concord.errors import ModelError
from concord.models.architecture import architecture_of, blocks_of
from concord.models.hooks import record
from concord.models.readout import (
    decoder_states,
    encoder_states,
    final_states,
    normed,
    position_ids_of,
    rank_of,
    readout,
    unembed,
)

pytestmark = pytest.mark.usefixtures("inference")


def own_logits(network, architecture, ids, mask):
    if architecture.encoder is not None:
        inputs = {"decoder_input_ids": ids[:, :5]}
    elif architecture.positions == "alibi":
        inputs = {}
    else:
        inputs = {"position_ids": position_ids_of(mask)}
    return network(input_ids=ids, attention_mask=mask, use_cache=False, **inputs).logits


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("family", "implementation"), VARIANTS)
def test_unembedded_final_states_are_the_models_logits(family, implementation, padding):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch(padding)
    own = own_logits(network, architecture, ids, mask)
    found = unembed(network, architecture, run(network, ids, mask))
    real = torch.ones_like(found[..., 0]) if architecture.encoder else mask
    assert own[real.bool()].std() > 0.5
    torch.testing.assert_close(found[real.bool()], own[real.bool()], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("family", "implementation"), VARIANTS)
def test_the_last_state_normed_and_unembedded_gives_the_models_logits(
    family, implementation
):
    network = shared_model(family, implementation)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    last = ("hidden", len(blocks_of(network, architecture)))
    with record(network, architecture, [last]) as recording:
        own = own_logits(network, architecture, ids, mask)
    final = normed(network, architecture, recording[last])
    found = unembed(network, architecture, final, head_dtype="float32")
    torch.testing.assert_close(found, own, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma", "opt"])
def test_the_last_entry_of_output_hidden_states_is_already_normed(family):
    network = tiny_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch()
    output = network(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    with record(network, architecture, [("hidden", 3)]) as recording:
        network(input_ids=ids, attention_mask=mask)
    entry = output.hidden_states[-1]
    right = readout(network, architecture, recording["hidden", 3], norm=True)
    torch.testing.assert_close(right, output.logits, rtol=0, atol=1e-5)
    twice = readout(network, architecture, entry, norm=True)
    assert (twice - output.logits).abs().max() > 0.05


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("family", DECODER_FAMILIES)
def test_padded_rows_score_as_unpadded_ones(family, padding):
    network = shared_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch(padding)
    padded = final_states(network, architecture, ids, mask)
    for row in range(3):
        alone = ids[row, mask[row].bool()].unsqueeze(0)
        expected = final_states(network, architecture, alone)
        torch.testing.assert_close(
            padded[row, mask[row].bool()], expected[0], rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("family", ENCODER_DECODER_FAMILIES)
def test_padded_prompts_of_an_encoder_score_as_unpadded_ones(family):
    network = tiny_model(family)
    architecture = architecture_of(network)
    ids, mask = tiny_batch("right")
    padded = run(network, ids, mask)
    alone = ids[1:2, :5]
    encoded = encoder_states(network, architecture, alone)
    expected = decoder_states(network, architecture, ids[1:2, :5], encoded)
    torch.testing.assert_close(padded[1:2], expected, rtol=0, atol=1e-4)


def test_positions_of_real_tokens_count_from_zero_on_either_side():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert position_ids_of(mask).tolist() == [[0, 0, 0, 1], [0, 1, 2, 2]]


def test_a_mask_of_four_dimensions_needs_positions():
    network = tiny_model("llama")
    ids, _ = tiny_batch()
    mask = torch.ones(3, 1, 8, 8, dtype=torch.bool).tril()
    architecture = architecture_of(network)
    with pytest.raises(ModelError, match="pass position_ids"):
        final_states(network, architecture, ids, mask)
    places = torch.arange(8).expand(3, -1)
    found = final_states(network, architecture, ids, mask, places)
    plain = final_states(network, architecture, ids)
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-5)


def test_stacks_are_asked_for_by_the_function_that_fits():
    ids, mask = tiny_batch()
    llama, t5 = tiny_model("llama"), tiny_model("t5")
    with pytest.raises(ModelError, match="has an encoder"):
        final_states(t5, architecture_of(t5), ids, mask)
    with pytest.raises(ModelError, match="has no encoder"):
        encoder_states(llama, architecture_of(llama), ids, mask)
    with pytest.raises(ModelError, match="has no encoder"):
        decoder_states(llama, architecture_of(llama), ids, torch.zeros(3, 8, 32))


def test_the_scale_of_t5_is_applied_only_where_the_model_scales():
    states = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    for is_tied, scale in ((None, 32**-0.5), (False, 1.0)):
        fields = {} if is_tied is None else {"tie_word_embeddings": is_tied}
        network = tiny_model("t5", **fields)
        weight = network.get_output_embeddings().weight
        expected = scale * states @ weight.T
        found = unembed(network, architecture_of(network), states)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_soft_cap_of_gemma2_bends_logits_but_not_the_readout_of_an_update():
    network = tiny_model("gemma2")
    architecture = architecture_of(network)
    states = 3 * torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    plain = states @ network.get_output_embeddings().weight.T
    assert plain.abs().max() > 3
    torch.testing.assert_close(
        unembed(network, architecture, states), 3 * torch.tanh(plain / 3)
    )
    torch.testing.assert_close(
        readout(network, architecture, states, norm=False), plain
    )


@pytest.mark.parametrize("family", ["phi", "gptj"])
def test_the_bias_enters_logits_but_not_the_readout_of_an_update(family):
    network = tiny_model(family)
    architecture = architecture_of(network)
    head = network.get_output_embeddings()
    states = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    update = readout(network, architecture, states, norm=False)
    torch.testing.assert_close(update, states @ head.weight.T)
    torch.testing.assert_close(
        unembed(network, architecture, states), update + head.bias
    )
    assert head.bias.abs().max() > 0.1


def test_an_update_goes_through_the_projection_of_opt():
    network = tiny_model("opt_projected")
    architecture = architecture_of(network)
    update = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    projection = network.model.decoder.project_out.weight
    expected = update @ projection.T @ network.get_output_embeddings().weight.T
    found = readout(network, architecture, update, norm=False)
    torch.testing.assert_close(found, expected)


def test_logits_that_tie_in_bfloat16_differ_under_a_float32_head():
    network = tiny_model("llama", dtype=torch.bfloat16)
    architecture = architecture_of(network)
    head = network.get_output_embeddings().weight
    head.zero_()
    head[:, 0], head[5, 1], head[7, 1] = 17.0, 0.015625, 0.03125
    states = torch.zeros(1, 32, dtype=torch.bfloat16)
    states[0, :2] = 1.0
    # 17.015625 and 17.03125 both round to 17.0: multiples of 0.125 from 16 to 32.
    model = unembed(network, architecture, states, head_dtype="model")
    assert model[0, 5] == model[0, 7] == 17.0
    full = unembed(network, architecture, states)
    assert full.dtype == torch.float32
    assert full[0, [5, 7]].tolist() == [17.015625, 17.03125]


def test_a_double_precision_model_keeps_its_precision():
    network = tiny_model("llama", dtype=torch.float64)
    architecture = architecture_of(network)
    ids, _ = tiny_batch()
    logits = unembed(network, architecture, final_states(network, architecture, ids))
    assert logits.dtype == torch.float64
    own = network(input_ids=ids).logits
    torch.testing.assert_close(logits, own, rtol=0, atol=1e-12)


def test_an_adapter_on_the_unembedding_is_not_lost():
    network = tiny_model("llama")
    config = LoraConfig(target_modules=["lm_head"], init_lora_weights=False)
    adapted = get_peft_model(network, config).eval()
    architecture = architecture_of(adapted)
    ids, mask = tiny_batch()
    states = final_states(adapted, architecture, ids, mask)
    own = adapted(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(
        unembed(adapted, architecture, states), own, rtol=0, atol=1e-5
    )
    with adapted.disable_adapter():
        plain = unembed(adapted, architecture, states)
    assert (plain - own).abs().max() > 0.1


def test_a_half_precision_adapter_on_the_unembedding_is_refused_in_float32():
    network = tiny_model("llama", dtype=torch.bfloat16)
    config = LoraConfig(target_modules=["lm_head"])
    adapted = get_peft_model(network, config).eval()
    states = torch.zeros(1, 32, dtype=torch.bfloat16)
    with pytest.raises(ModelError, match="merge the adapter"):
        unembed(adapted, architecture_of(adapted), states)
    unembed(adapted, architecture_of(adapted), states, head_dtype="model")


def test_ranks_equal_places_in_a_full_sort():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 50, generator=generator)
    order = scores.argsort(dim=-1, descending=True)
    for place in (0, 1, 7, 49):
        assert (rank_of(scores, order[:, place]) == place).all()


def test_a_tie_counts_against_the_target():
    scores = torch.tensor([[2.0, 3.0, 3.0, 1.0]])
    ranks = [int(rank_of(scores, torch.tensor([token]))) for token in range(4)]
    # 3.0 twice: neither is alone in front.
    assert ranks == [2, 1, 1, 3]


def test_a_constant_readout_puts_nobody_first():
    scores = torch.zeros(1, 10)
    assert int(rank_of(scores, torch.tensor([4]))) == 9


def test_a_score_that_is_not_a_number_counts_against_the_target():
    scores = torch.tensor([[1.0, float("nan"), 0.0]])
    assert int(rank_of(scores, torch.tensor([0]))) == 1
    assert int(rank_of(scores, torch.tensor([1]))) == 2


def test_rows_beyond_the_tokenizer_take_no_part_in_ranks():
    scores = torch.tensor([[1.0, 2.0, 9.0, 9.0]])
    keep = torch.tensor([True, True, False, False])
    assert int(rank_of(scores, torch.tensor([1]))) == 2
    assert int(rank_of(scores, torch.tensor([1]), keep=keep)) == 0
