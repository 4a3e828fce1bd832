"""The self-check passes for every family and fails, by name, for every wrong row."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import VARIANTS, tiny_model

from concord.errors import ModelError
from concord.models import checks, hooks, self_check
from concord.models.architecture import architecture_of
from concord.models.check_batch import check_batch, whole_logits
from concord.models.checks import CheckResult
from concord.models.self_check import accepted_architecture, checked_architecture


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("family", "implementation"), VARIANTS)
def test_every_family_passes(family, implementation, dtype):
    network = tiny_model(family, implementation=implementation, dtype=dtype)
    results = self_check.self_check(network, architecture_of(network))
    assert all(result.is_passed for result in results)
    # Three blocks, each with its identity; weights are seen under eager only.
    identities = [result for result in results if "next state" in result.check]
    assert [result.block for result in identities][:3] == [0, 1, 2]
    has_weights = any("cut weights" in result.check for result in results)
    assert has_weights == (implementation == "eager")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_huge_entries_of_the_stream_fail_no_right_row_and_hide_no_wrong_one(dtype):
    """Trained models have a few: their rounding alone is large beside an update."""
    network = tiny_model("llama", dtype=dtype)
    with torch.no_grad():
        network.model.embed_tokens.weight[:, 3] = 1500.0
    row = architecture_of(network)
    assert all(result.is_passed for result in checks.updates_add_up(network, row))
    sites = [("hidden", 0), ("mhsa", 0), ("mlp", 0), ("hidden", 1)]
    with hooks.record(network, row, sites) as kept:
        whole_logits(network, row, check_batch(network))
    state, mhsa, mlp, after = (kept[site].float() for site in sites)
    update = torch.maximum(mhsa.abs(), mlp.abs()).max()
    error = (state + (mhsa + mlp) - after).abs().max() / update
    assert error > checks._tolerance(network)
    wrong = replace(row, mlp_update="self_attn")
    results = list(checks.updates_add_up(network, wrong))
    assert not any(result.is_passed for result in results)


def test_an_adapted_model_passes():
    network = tiny_model("llama")
    config = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = get_peft_model(network, config).eval()
    assert checked_architecture(adapted).model_type == "llama"


@pytest.mark.parametrize(
    ("family", "wrong", "message"),
    [
        ("gemma2", {"mhsa_update": "self_attn", "mlp_update": "mlp"}, "next state"),
        ("gemma3_text", {"mlp_update": "mlp"}, "next state"),
        ("olmo2", {"mhsa_update": "self_attn"}, "next state"),
        ("bloom", {"mlp_update": "mlp"}, "next state"),
        ("bloom", {"mhsa_update": "self_attention"}, "next state"),
        ("t5", {"mlp_update": "layer.2"}, "next state"),
        ("t5", {"mhsa_update": "layer.0"}, "next state"),
        ("t5", {"cross_update": "layer.0.SelfAttention"}, "next state"),
        ("phi", {"final_norm": "model.layers.0.input_layernorm"}, "final norm"),
        ("gpt_neox", {"is_parallel": False}, "sequential block"),
        ("gpt_neox_sequential", {"is_parallel": True}, "parallel block"),
        ("llama", {"mask_keyword": "mask"}, "given no 'mask'"),
    ],
)
def test_a_wrong_row_fails_by_name(family, wrong, message):
    network = tiny_model(family)
    row = replace(architecture_of(network), **wrong)
    with pytest.raises(ModelError, match=message):
        self_check.self_check(network, row)


def test_a_failure_names_family_block_value_and_tolerance():
    network = tiny_model("gemma2")
    row = replace(architecture_of(network), mhsa_update="self_attn")
    with pytest.raises(
        ModelError,
        match=r"gemma2 failed, block 0: .*: found [\d.]+, needed at most 1e-05",
    ):
        self_check.self_check(network, row)


def test_updates_kept_by_reference_fail(monkeypatch):
    monkeypatch.setattr(hooks, "_copied", lambda states, positions: states)
    network = tiny_model("falcon")
    with pytest.raises(ModelError, match="falcon failed, block 0: state"):
        self_check.self_check(network, architecture_of(network))


def test_a_cut_that_does_nothing_fails(monkeypatch):
    monkeypatch.setattr(hooks, "_without", lambda mask, edges: mask)
    network = tiny_model("llama")
    with pytest.raises(ModelError, match="block 1: cut queries.*found 2"):
        self_check.self_check(network, architecture_of(network))


def test_a_cut_that_leaks_to_other_positions_fails(monkeypatch):
    without = hooks._without

    def leaking(mask, edges):
        also = replace(edges, queries=edges.queries - 1)
        return without(without(mask, edges), also)

    monkeypatch.setattr(hooks, "_without", leaking)
    network = tiny_model("llama")
    with pytest.raises(ModelError, match="positions that were not cut"):
        self_check.self_check(network, architecture_of(network))


def test_weights_that_are_cut_in_the_wrong_blocks_fail(monkeypatch):
    # The whole stack shares one mask: edited in place, the cut reaches later blocks.
    def in_place(mask, edges):
        mask[edges.rows, :, edges.queries, edges.keys] = torch.finfo(mask.dtype).min
        return mask

    monkeypatch.setattr(hooks, "_without", in_place)
    network = tiny_model("llama", implementation="eager")
    with pytest.raises(ModelError, match="block 1: blocks where the cut weights"):
        self_check.self_check(network, architecture_of(network))


def test_a_cut_that_lets_a_little_through_fails_without_weights_to_see(monkeypatch):
    """Under sdpa attention shows no weights, and the cut query moves all the same."""

    def weak(mask, edges):
        lowest = torch.finfo(torch.float32).min
        found = (
            torch.where(mask.bool(), 0.0, lowest) if mask.dtype is torch.bool else mask
        )
        found = found.clone()
        found[edges.rows, :, edges.queries, edges.keys] = -4.0
        return found

    monkeypatch.setattr(hooks, "_without", weak)
    network = tiny_model("llama", implementation="sdpa")
    with pytest.raises(ModelError, match="what reaches a query over a cut edge"):
        self_check.self_check(network, architecture_of(network))


def test_hooks_that_touch_the_stream_fail(monkeypatch):
    @contextmanager
    def meddling(network, architecture, sites, positions=None):
        with hooks.intervene(
            network,
            architecture,
            replace={("mlp", 0): hooks.Replacement()},
        ):
            yield {}

    monkeypatch.setattr(checks, "record", meddling)
    network = tiny_model("llama")
    with pytest.raises(ModelError, match="bit-equal"):
        self_check.self_check(network, architecture_of(network))


def test_hooks_left_behind_fail(monkeypatch):
    network = tiny_model("llama")
    row = architecture_of(network)

    @contextmanager
    def forgetful(network, architecture, sites, positions=None):
        network.model.layers[0].register_forward_hook(lambda *arguments: None)
        yield {}

    monkeypatch.setattr(checks, "record", forgetful)
    results = list(checks.hooks_are_gone_after_an_exception(network, row))
    assert [result.value for result in results] == [1.0]
    assert not results[0].is_passed


def test_a_soft_cap_that_the_readout_misses_fails(monkeypatch):
    network = tiny_model("gemma2")
    row = architecture_of(network)

    def uncapped(network, architecture, states, *, head_dtype):
        return network.get_output_embeddings()(states)

    monkeypatch.setattr(checks, "unembed", uncapped)
    with pytest.raises(ModelError, match="unembedded final states = logits"):
        self_check.self_check(network, row)


def test_a_value_that_is_not_a_number_fails():
    assert not CheckResult("llama", "anything", None, float("nan"), 1.0).is_passed


def test_a_network_with_broken_weights_fails():
    network = tiny_model("llama")
    with torch.no_grad():
        network.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="found nan"):
        self_check.self_check(network, architecture_of(network))


def test_training_mode_is_refused():
    network = tiny_model("llama").train()
    with pytest.raises(ModelError, match="training mode"):
        self_check.self_check(network, architecture_of(network))


def test_further_checks_run_last_and_may_fail():
    network = tiny_model("llama")
    row = architecture_of(network)

    def tree(network, architecture):
        yield CheckResult(architecture.model_type, "tree = rows", None, 0.5, 0.1)

    with pytest.raises(ModelError, match="tree = rows: found 0.5, needed at most 0.1"):
        self_check.self_check(network, row, extra=[tree])


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_an_unknown_family_built_like_a_known_one_is_accepted(family):
    network = tiny_model(family)
    network.config.model_type = "unheard_of"
    row = checked_architecture(network)
    assert row.model_type == "unheard_of"
    assert replace(row, model_type=family) == architecture_of(tiny_model(family))


def test_an_unknown_family_that_fails_is_refused_with_what_failed():
    network = tiny_model("olmo2")
    network.config.model_type = "olma2"
    with pytest.raises(ModelError) as failure:
        checked_architecture(network)
    message = str(failure.value)
    assert "unknown model family 'olma2'" in message
    assert "block 0: state + updates = next state" in message
    assert "did you mean 'olmo2'?" in message


def test_an_unknown_family_with_other_module_names_is_refused():
    network = tiny_model("gpt_neox")
    network.config.model_type = "unheard_of"
    with pytest.raises(ModelError, match="its modules are named otherwise"):
        checked_architecture(network)


def test_a_network_is_checked_once_and_refused_by_its_label(monkeypatch):
    network = tiny_model("llama")
    row = architecture_of(network)
    checked = []
    whole = self_check.self_check
    monkeypatch.setattr(
        self_check, "self_check", lambda *args: checked.append(args) or whole(*args)
    )
    for _ in range(2):
        self_check.require_checked(network, row, label="mine")
    assert len(checked) == 1
    wrong = replace(row, mlp_update="self_attn")
    with pytest.raises(ModelError, match="mine: self-check of llama failed, block 0"):
        self_check.require_checked(network, wrong, label="mine")


def test_a_known_family_is_accepted_unread_and_an_unknown_one_after_the_check():
    network = tiny_model("llama")
    assert accepted_architecture(network) == architecture_of(network)
    network.config.model_type = "unheard_of"
    assert accepted_architecture(network).model_type == "unheard_of"
    broken = tiny_model("olmo2")
    broken.config.model_type = "unheard_of"
    with pytest.raises(ModelError, match="unknown model family 'unheard_of'"):
        accepted_architecture(broken)


@pytest.mark.parametrize(
    "settings", [{"quant_method": "bitsandbytes", "load_in_4bit": True}, {"bits": 4}]
)
def test_quantised_weights_are_refused_by_their_configuration(settings):
    network = tiny_model("llama")
    network.config.quantization_config = settings
    with pytest.raises(ModelError, match="mine: found quantised weights.*float32"):
        self_check.require_checked(network, architecture_of(network), label="mine")
