"""The table of families: paths that exist, switches that are read, variants refused."""

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from tiny_models import (
    EAGER_ONLY_FAMILIES,
    FAMILIES,
    tiny_config,
    tiny_model,
)

from concord.errors import ModelError
from concord.models.architecture import (
    architecture_of,
    attention_implementation,
    blocks_of,
    candidate_architectures,
    known_families,
    module_at,
    refuse_beyond_window,
    sliding_window,
    without_adapter_wrapper,
)

PARALLEL = {
    "gpt_neox",
    "gptj",
    "phi",
    "stablelm_parallel",
    "falcon",
    "falcon_new_decoder",
}
TREES = {"bloom": "depth", "t5": "depth", "mt5": "depth", "falcon_alibi": "none"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_path_of_a_row_leads_to_a_module(family):
    network = tiny_model(family)
    architecture = architecture_of(network)
    stacks = [architecture] + ([architecture.encoder] if architecture.encoder else [])
    for stack in stacks:
        assert len(blocks_of(network, stack)) == 3
        for path in (stack.body, stack.final_norm, stack.output_projection):
            assert path is None or module_at(network, path) is not None
        inside = (stack.attention, stack.mhsa_update, stack.mlp_update)
        for path in (*inside, stack.cross_attention, stack.cross_update):
            assert path is None or blocks_of(network, stack)[2].get_submodule(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_switches_of_the_configuration_are_read(family):
    architecture = architecture_of(tiny_model(family))
    assert architecture.is_parallel == (family in PARALLEL)
    assert architecture.tree == TREES.get(family, "mask")
    has_projection = architecture.output_projection is not None
    assert has_projection == (family == "opt_projected")
    assert (architecture.encoder is not None) == (family in ("t5", "mt5"))


def test_sublayers_are_listed_in_the_order_they_run():
    assert architecture_of(tiny_model("llama")).sublayers == ("mhsa", "mlp")
    t5 = architecture_of(tiny_model("t5"))
    assert t5.sublayers == ("mhsa", "cross", "mlp")
    assert t5.encoder is not None
    assert t5.encoder.sublayers == ("mhsa", "mlp")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_implementation_asked_for_is_one_the_family_loads_with(family):
    config = tiny_config(family)
    asked = attention_implementation(config)
    assert asked == ("eager" if family in EAGER_ONLY_FAMILIES else "sdpa")
    architecture_of(tiny_model(family, implementation=asked))


def test_a_family_the_table_does_not_know_is_asked_for_sdpa():
    config = tiny_config("llama")
    config.model_type = "llamoid"
    assert attention_implementation(config) == "sdpa"


def test_a_family_under_an_implementation_it_gets_wrong_is_refused():
    network = tiny_model("bloom")
    network.config._attn_implementation_internal = "sdpa"
    with pytest.raises(ModelError, match="'sdpa' cannot be read and cut.*eager"):
        architecture_of(network)


@pytest.mark.parametrize("found", ["flash_attention_2", "flex_attention"])
def test_flash_and_flex_attention_are_refused(found):
    network = tiny_model("llama")
    network.config._attn_implementation_internal = found
    with pytest.raises(ModelError, match=f"{found}.*attn_implementation='sdpa'"):
        architecture_of(network)
    with pytest.raises(ModelError, match=found):
        attention_implementation(network.config)


def test_an_unknown_family_gets_a_near_match_and_the_list():
    network = tiny_model("llama")
    network.config.model_type = "lama"
    with pytest.raises(ModelError) as failure:
        architecture_of(network)
    assert "did you mean 'llama'?" in str(failure.value)
    assert all(name in str(failure.value) for name in known_families())


def test_the_image_wrapper_of_gemma3_is_named():
    network = tiny_model("gemma3_text")
    network.config.model_type = "gemma3"
    with pytest.raises(ModelError, match="image wrapper; load its text model"):
        architecture_of(network)


@pytest.mark.parametrize(
    ("family", "fields", "reason"),
    [
        ("gpt2", {"add_cross_attention": True}, "third sublayer"),
        ("opt", {"do_layer_norm_before": False}, "normalises the residual stream"),
        ("opt", {"_remove_final_layer_norm": True}, "no final norm"),
        (
            "bloom",
            {"apply_residual_connection_post_layernorm": True},
            "replaces the residual stream",
        ),
        ("bloom", {"slow_but_exact": True, "pretraining_tp": 2}, "bypasses"),
    ],
)
def test_variants_that_a_row_does_not_describe_are_refused(family, fields, reason):
    with pytest.raises(ModelError, match=reason):
        architecture_of(tiny_model(family, **fields))


def test_t5_in_float16_is_refused_and_in_bfloat16_is_not():
    with pytest.raises(ModelError, match="float16 clamps"):
        architecture_of(tiny_model("t5", dtype=torch.float16))
    architecture_of(tiny_model("t5", dtype=torch.bfloat16))


def test_compiled_models_are_refused():
    with pytest.raises(ModelError, match="compiled"):
        architecture_of(torch.compile(tiny_model("llama")))
    network = tiny_model("llama")
    network.compile()
    with pytest.raises(ModelError, match="compiled"):
        architecture_of(network)


def test_a_lora_wrapper_is_looked_through():
    network = tiny_model("llama")
    expected = architecture_of(network)
    adapted = get_peft_model(network, LoraConfig(target_modules=["q_proj"]))
    assert without_adapter_wrapper(adapted) is network
    assert architecture_of(adapted) == expected
    assert len(blocks_of(adapted, expected)) == 3


def test_adapters_that_add_virtual_tokens_are_refused():
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    adapted = get_peft_model(tiny_model("llama"), config)
    with pytest.raises(ModelError, match="virtual tokens"):
        architecture_of(adapted)


def test_something_else_than_a_transformers_model_is_refused():
    with pytest.raises(ModelError, match="found a Linear"):
        architecture_of(torch.nn.Linear(2, 2))


def test_candidates_for_an_unknown_family_have_the_paths_of_the_row():
    for family, count in (("llama", 1), ("gpt2", 1), ("gpt_neox", 0)):
        network = tiny_model(family)
        network.config.model_type = "unheard_of"
        candidates = candidate_architectures(network)
        assert len(candidates) == count
        assert all(row.model_type == "unheard_of" for row in candidates)


def test_an_active_sliding_window_is_found():
    assert sliding_window(tiny_config("mistral", sliding_window=4)) == 4
    assert sliding_window(tiny_config("mistral")) is None
    assert sliding_window(tiny_config("gemma2")) == 64
    # Qwen2 carries a window that is off unless asked for.
    assert sliding_window(tiny_config("qwen2", sliding_window=4)) is None
    assert sliding_window(tiny_config("llama")) is None


def test_trees_longer_than_a_sliding_window_are_refused_with_the_numbers():
    config = tiny_config("mistral", sliding_window=4)
    refuse_beyond_window(config, 4)
    refuse_beyond_window(tiny_config("llama"), 10_000)
    with pytest.raises(ModelError, match="5 positions.*window of 4"):
        refuse_beyond_window(config, 5)
