"""Tests of loading: a base and its adapters from one load, bit for bit."""

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from concord.models import loader
from concord.models.load import LoadedModel, load_model
from concord.models.loader import Loader, in_loading_order
from concord.study import Study, resolve_study

IDS = torch.tensor([[1, 5, 9, 7], [1, 2, 3, 4]])


def save_adapter(base: Path, folder: Path, *, seed: int, **settings: Any) -> Path:
    network = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], **settings)
    wrapped = get_peft_model(network, config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture
def study(base_folder: Path, tuned_folder: Path, tmp_path: Path) -> Study:
    names = [
        save_adapter(base_folder, tmp_path / "one", seed=1),
        tuned_folder,
        save_adapter(base_folder, tmp_path / "two", seed=2),
    ]
    return resolve_study({"base": str(base_folder), "tuned": [str(n) for n in names]})


@torch.inference_mode()
def logits(model: LoadedModel) -> torch.Tensor:
    return model.network(IDS).logits


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    loads: list[str] = []

    def counted(study: Study, entry: Any, *, on: Any = None) -> LoadedModel:
        if on is None:
            loads.append(entry.label)
        return load_model(study, entry, on=on)

    monkeypatch.setattr(loader, "load_model", counted)
    return loads


def orders(study: Study) -> list[Sequence[Any]]:
    base, one, full, two = study.models
    return [(base, one, two, base), (one, base, two), (base, full, one), (two, one)]


@pytest.mark.parametrize("number", range(4))
def test_every_model_is_bit_equal_to_itself_loaded_apart(
    study: Study, number: int
) -> None:
    load = Loader(study).load
    for entry in orders(study)[number]:
        found, alone = load(entry), load_model(study, entry)
        assert torch.equal(logits(found), logits(alone))
        assert found.info == alone.info
        assert found.kind == alone.kind


def test_a_base_and_its_adapters_come_from_one_load(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = count_loads(monkeypatch)
    load = Loader(study).load
    for entry in in_loading_order(study):
        load(entry)
    assert loads == [study.base.label, study.tuned[1].label]


def test_adapters_follow_their_base(study: Study) -> None:
    base, one, full, two = study.models
    assert in_loading_order(study) == [base, one, two, full]


def test_an_adapter_that_replaces_whole_modules_shares_nothing(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = save_adapter(
        base_folder, tmp_path / "resized", seed=3, modules_to_save=["lm_head"]
    )
    study = resolve_study({"base": str(base_folder), "tuned": [str(adapter)]})
    loads = count_loads(monkeypatch)
    load = Loader(study).load
    for entry in (*study.models, study.base):
        found = load(entry)
        assert torch.equal(logits(found), logits(load_model(study, entry)))
    assert loads == [study.base.label, study.base.label]


def test_merged_adapters_share_nothing_and_give_nearly_the_same(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    merging = study.model_copy(update={"merge_adapters": True})
    loads = count_loads(monkeypatch)
    load = Loader(merging).load
    for entry in in_loading_order(study):
        merged, live = load(entry), load_model(study, entry)
        torch.testing.assert_close(logits(merged), logits(live), atol=1e-5, rtol=0)
        assert merged.info["merged"] == (merged.info["adapter"] is not None)
        is_other = merged.info["fingerprint"] != live.info["fingerprint"]
        assert is_other == merged.info["merged"]
    assert len(loads) == 4


def test_what_is_freed_is_loaded_again(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = count_loads(monkeypatch)
    own = Loader(study)
    own.load(study.base)
    own.free()
    own.load(study.base)
    assert loads == [study.base.label] * 2


def test_weights_overwritten_between_two_loads_are_loaded_again(
    study: Study, tmp_path: Path
) -> None:
    """An adapter is put on the weights that lie there, not on those of before."""
    base = copytree(study.base.source, tmp_path / "base")
    study = resolve_study({"base": str(base), "tuned": [study.tuned[0].source]})
    load = Loader(study).load
    before = load(study.base)
    weights = load_file(base / "model.safetensors")
    changed = {name: 1.5 * tensor for name, tensor in weights.items()}
    save_file(changed, base / "new", metadata={"format": "pt"})
    (base / "new").rename(base / "model.safetensors")
    found, alone = load(study.tuned[0]), load_model(study, study.tuned[0])
    assert found.info == alone.info
    assert found.files == alone.files != before.files
