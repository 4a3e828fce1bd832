import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from concord.errors import ModelError
from concord.models.load import load_model, weights_fingerprint
from concord.study import Study, resolve_study


def study_of(base: Path, tuned: str | Path, **settings: object) -> Study:
    return resolve_study({"base": str(base), "tuned": [str(tuned)]}, settings)


def logits(study: Study, place: int) -> torch.Tensor:
    model = load_model(study, study.models[place])
    with torch.inference_mode():
        return model.network(torch.tensor([[1, 5, 9, 7]])).logits


@pytest.fixture
def adapter(base_folder: Path, tmp_path: Path) -> Path:
    network = AutoModelForCausalLM.from_pretrained(base_folder)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    wrapped = get_peft_model(network, config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    wrapped.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def diff(base_folder: Path, tuned_folder: Path, tmp_path: Path) -> Path:
    base = load_file(base_folder / "model.safetensors")
    tuned = load_file(tuned_folder / "model.safetensors")
    folder = tmp_path / "diff"
    folder.mkdir()
    save_file({k: tuned[k] - base[k] for k in base}, folder / "diff.safetensors")
    return folder


def test_a_model_gives_transformers_own_logits(base_folder: Path, tuned_folder: Path):
    study = study_of(base_folder, tuned_folder)
    network = AutoModelForCausalLM.from_pretrained(tuned_folder).eval()
    expected = network(torch.tensor([[1, 5, 9, 7]])).logits
    torch.testing.assert_close(logits(study, 1), expected)


def test_an_adapter_is_live_on_the_base(base_folder: Path, adapter: Path):
    study = study_of(base_folder, adapter)
    assert not torch.allclose(logits(study, 0), logits(study, 1))
    named = study_of(base_folder, base_folder.parent / "unused")
    entry = named.tuned[0].model_copy(
        update={"source": str(base_folder), "peft": str(adapter)}
    )
    other = load_model(named, entry)
    with torch.inference_mode():
        again = other.network(torch.tensor([[1, 5, 9, 7]])).logits
    assert torch.equal(again, logits(study, 1))


def test_base_plus_diff_is_the_tuned_model(
    base_folder: Path, tuned_folder: Path, diff: Path
):
    whole = logits(study_of(base_folder, tuned_folder), 1)
    summed = logits(study_of(base_folder, f"{base_folder}+diff:{diff}"), 1)
    torch.testing.assert_close(summed, whole, atol=1e-5, rtol=1e-5)


def test_the_fingerprint_sees_one_element(base_folder: Path):
    network = AutoModelForCausalLM.from_pretrained(base_folder)
    before = weights_fingerprint(network)
    assert before == weights_fingerprint(
        AutoModelForCausalLM.from_pretrained(base_folder)
    )
    with torch.no_grad():
        next(network.parameters()).view(-1)[3] += 1e-3
    assert weights_fingerprint(network) != before


def test_the_fingerprint_sees_a_live_adapter(base_folder: Path, adapter: Path):
    study = study_of(base_folder, adapter)
    prints = [load_model(study, entry).info["fingerprint"] for entry in study.models]
    assert prints[0] != prints[1]


def test_missing_tensors_are_never_random(base_folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(base_folder, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    study = study_of(base_folder, copy)
    with pytest.raises(ModelError, match=r"missing keys.*up_proj"):
        load_model(study, study.tuned[0])


def test_weights_of_another_shape_are_refused(base_folder: Path, tmp_path: Path):
    copy = Path(shutil.copytree(base_folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    config["intermediate_size"] += 8
    (copy / "config.json").write_text(json.dumps(config))
    study = study_of(base_folder, copy)
    with pytest.raises(ModelError, match="copy"):
        load_model(study, study.tuned[0])


def test_an_adapter_of_another_model_is_refused(
    base_folder: Path, adapter: Path, tmp_path: Path
):
    file = adapter / "adapter_model.safetensors"
    tensors = {k: torch.zeros(7, *v.shape[1:]) for k, v in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    study = study_of(base_folder, adapter)
    with pytest.raises(ModelError, match="does not fit"):
        load_model(study, study.tuned[0])


def test_an_adapter_that_lacks_tensors_is_refused(base_folder: Path, adapter: Path):
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file, metadata={"format": "pt"})
    study = study_of(base_folder, adapter)
    with pytest.raises(ModelError, match="does not fit"):
        load_model(study, study.tuned[0])


def _changed(diff: Path, change: str) -> None:
    file = diff / "diff.safetensors"
    tensors = load_file(file)
    first = sorted(tensors)[0]
    if change == "lacks":
        tensors.pop(first)
    elif change == "extra":
        tensors["more.weight"] = torch.zeros(2)
    elif change == "shape":
        tensors[first] = torch.zeros(3, 3)
    else:
        tensors = {name: value + 1 for name, value in tensors.items()}
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("lacks", "lacks 1 of the base's"),
        ("extra", r"'more\.weight', which the base has not"),
        ("shape", r"has shape \(3, 3\)"),
        ("whole", "look like whole weights"),
    ],
)
def test_a_diff_for_something_else_is_refused(
    base_folder: Path, diff: Path, change: str, words: str
):
    _changed(diff, change)
    study = study_of(base_folder, f"{base_folder}+diff:{diff}")
    with pytest.raises(ModelError, match=words):
        load_model(study, study.tuned[0])


def test_a_device_that_is_not_there_is_refused(base_folder: Path, tuned_folder: Path):
    study = study_of(base_folder, tuned_folder, device="cuda:99")
    with pytest.raises(ModelError, match="cuda:99"):
        load_model(study, study.base)
