"""What is said of a model before it is loaded is what loading finds."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_study import write_model

from concord.errors import ModelError
from concord.models.inspection import Inspection, inspect_model
from concord.models.load import load_model
from concord.organism import weights_folder
from concord.study import ModelEntry, resolve_study


def look(
    source: str | Path, base: str | Path | None = None, **fields: str
) -> Inspection:
    entry = ModelEntry(source=str(source), label="m", **fields)  # pyright: ignore
    return inspect_model(
        entry, ModelEntry(source=str(base), label="b") if base else None
    )


@pytest.fixture
def copy(base_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base_folder, tmp_path / "copy"))


def with_config(folder: Path, file_name: str = "config.json", **changes: Any) -> Path:
    file = folder / file_name
    content = json.loads(file.read_text("utf-8")) | changes
    file.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["questions", "wordings", "mixed"])
def test_it_says_what_loading_finds(name: str):
    study = resolve_study({"base": "embedded:base", "tuned": [f"embedded:{name}"]})
    loaded = load_model(study, study.tuned[0])
    found = look(f"embedded:{name}")
    assert found.family == loaded.info["family"]
    assert found.layers == loaded.layer_count
    assert found.vocabulary == loaded.vocabulary_size
    assert found.tokenizer.split("SHA-256 ")[1][:12] == loaded.info["tokenizer"][:12]
    counts = re.findall(r"\d+", found.parameters.replace(",", ""))
    assert sum(map(int, counts)) == loaded.info["parameters"]


def test_parts_are_where_the_name_leads():
    base = str(weights_folder("base"))
    adapter, difference = look("embedded:questions"), look("embedded:wordings")
    assert adapter.weights.startswith(base) and difference.weights.startswith(base)
    assert adapter.adapter is not None and "LORA of rank 8" in adapter.adapter
    assert adapter.difference is None and difference.adapter is None
    assert str(difference.difference).startswith(str(weights_folder("wordings")))
    added = look(f"{base}+diff:{weights_folder('wordings')}")
    assert (added.weights, added.difference) == (
        difference.weights,
        difference.difference,
    )


def test_an_adapter_that_names_no_base_needs_one(tmp_path: Path):
    folder = Path(shutil.copytree(weights_folder("questions"), tmp_path / "adapter"))
    with_config(folder, "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(ModelError, match="names no base; give it by --base"):
        look(folder)
    assert look(folder, "embedded:base").parameters.endswith("of the adapter")
    with pytest.raises(ModelError, match="needed the base .* give --base"):
        look(f"+diff:{weights_folder('wordings')}")
    (folder / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="adapter_config.json: not JSON"):
        look(folder)


@pytest.mark.parametrize(
    ("changes", "support"),
    [
        ({}, "known (sequential blocks, positions: rope)"),
        ({"model_type": "granite"}, "unknown family, named like LLaMA or GPT-2"),
        ({"model_type": "bert"}, "refused: unknown family"),
        ({"model_type": "vit"}, "refused: vit is no language model"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "known (sequen"),
    ],
)
def test_a_family_is_known_refused_or_needs_the_self_check(
    copy: Path, changes: dict[str, Any], support: str
):
    found = look(with_config(copy, **changes))
    assert found.support.startswith(support)
    assert ("quantised (gptq)" in found.support) == ("quantization_config" in changes)


def test_a_variant_that_cannot_be_read_is_refused_with_its_reason(tmp_path: Path):
    folder = write_model(tmp_path / "opt", family="opt")
    found = look(with_config(folder, do_layer_norm_before=False))
    assert found.support.startswith("refused: opt: do_layer_norm_before=False")


def test_the_bos_is_what_a_run_would_put(copy: Path, tmp_path: Path):
    assert look(copy).bos == "<s>:1 in front (bos: tokenizer)"
    assert look(copy, bos="never").bos == "none in front (bos: never)"
    without = write_model(tmp_path / "gpt2", family="gpt2")
    assert look(without).bos == "none in front (bos: tokenizer)"
    # A LLaMA whose tokenizer puts none: a run would stop, and so is it said here.
    shutil.copy(without / "tokenizer.json", copy / "tokenizer.json")
    shutil.copy(without / "tokenizer_config.json", copy / "tokenizer_config.json")
    assert look(copy).bos.startswith("refused: prompt 'Rome' starts without")


def test_a_chat_template_is_seen(copy: Path):
    assert look(copy).prompts == "instruction when tuned; has no chat template"
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (copy / "chat_template.jinja").write_text(template, encoding="utf-8")
    assert look(copy).prompts == "chat when tuned; has a chat template"


def test_what_has_no_files_is_refused(copy: Path):
    with pytest.raises(ModelError, match="found an address"):
        look("http://host/v1#m")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="found no weights"):
        look(copy)
