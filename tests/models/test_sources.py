import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model

from concord.errors import ModelError
from concord.models import sources
from concord.models.sources import check_source, read_tokenizer, resolve_source
from concord.study import ModelEntry


def entry(source: str | Path, **fields: str) -> ModelEntry:
    return ModelEntry(source=str(source), label="m", **fields)  # pyright: ignore


def check(source: str | Path, base: str | Path | None = None) -> None:
    resolved = resolve_source(entry(source), entry(base or source))
    check_source(resolved, trust_remote_code=False, allow_pickle=False)
    read_tokenizer(resolved, trust_remote_code=False)


@pytest.fixture
def copy(base_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base_folder, tmp_path / "copy"))


def test_a_whole_folder_is_taken(copy: Path):
    check(copy)
    found = resolve_source(entry(copy), entry(copy))
    assert (found.weights, found.tokenizer) == (str(copy), str(copy))
    assert found.adapter is None and found.diff is None


def test_a_missing_folder_names_its_neighbour(copy: Path):
    with pytest.raises(ModelError, match="did you mean 'copy'"):
        check(copy.parent / "copi")


def test_an_unknown_hub_id_is_explained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"no-one/nothing: cannot load its config"):
        check("no-one/nothing")


def test_a_folder_without_weights_is_refused(copy: Path):
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="found no weights"):
        check(copy)


def test_pickled_weights_are_refused_by_default(copy: Path):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="--allow-pickle"):
        check(copy)


@pytest.mark.parametrize("kept", [0, 4, 200, -100])
def test_cut_weights_are_refused_by_file(copy: Path, kept: int):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged"):
        check(copy)


def test_a_folder_without_a_config_is_refused(copy: Path):
    (copy / "config.json").unlink()
    with pytest.raises(ModelError, match="cannot load its config"):
        check(copy)


def test_a_folder_without_a_tokenizer_is_refused(copy: Path):
    for file in copy.glob("token*"):
        file.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        check(copy)


def test_an_unknown_family_is_refused(copy: Path):
    config = json.loads((copy / "config.json").read_text())
    config["model_type"] = "lama"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="lama"):
        check(copy)


def test_a_file_in_place_of_a_folder_is_refused(copy: Path):
    with pytest.raises(ModelError, match="found a file"):
        check(copy / "config.json")


def test_an_adapter_folder_is_put_on_the_base(copy: Path, tmp_path: Path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    source = resolve_source(entry(adapter), entry(copy))
    assert source.weights == str(copy)
    assert source.adapter == str(adapter)


def test_two_adapters_of_one_model_are_refused_by_name(copy: Path, tmp_path: Path):
    one, other = (adapter_for(tmp_path / name, "copy") for name in ("one", "other"))
    with pytest.raises(ModelError, match=r"two adapters, source .*one and peft .*oth"):
        resolve_source(entry(one, peft=str(other)), entry(copy))


def test_base_plus_diff_names_both(copy: Path, tmp_path: Path):
    (tmp_path / "diff").mkdir()
    source = resolve_source(entry(f"{copy}+diff:{tmp_path / 'diff'}"), entry("x/y"))
    assert source.weights == str(copy)
    assert source.diff == str(tmp_path / "diff")
    assert source.tokenizer == str(copy)


def test_a_diff_without_a_base_is_put_on_the_study_s(copy: Path):
    source = resolve_source(entry("+diff:someone/something"), entry(copy))
    assert source.weights == str(copy)
    assert source.diff == "someone/something"
    assert source.tokenizer == "someone/something"


def test_a_revision_is_that_of_what_the_entry_names(tmp_path: Path):
    pinned = entry("org/base", revision="aaa")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    cases = [
        (entry("org/base", revision="bbb"), ("bbb", None)),
        (entry("org/base"), ("aaa", None)),
        (entry("+diff:org/diff", revision="bbb"), ("aaa", "bbb")),
        (entry("org/base+diff:org/diff"), ("aaa", None)),
        (entry("org/other+diff:org/diff", revision="bbb"), (None, "bbb")),
        (entry(adapter, revision="bbb"), ("aaa", "bbb")),
        (entry("org/other", peft="org/adapter", revision="bbb"), ("bbb", None)),
    ]
    for named, wanted in cases:
        source = resolve_source(named, pinned)
        assert (source.revision, source.delta_revision) == wanted
    source = resolve_source(entry("+diff:org/diff", revision="bbb"), pinned)
    assert source.revision_of("org/base") == "aaa"
    assert source.revision_of("org/diff") == "bbb"


def adapter_for(folder: Path, trained_on: str | None) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": trained_on}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({"a": torch.zeros(1)}, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("trained_on", ["../copy", "org/COPY", "/gone/copy", "", None])
def test_an_adapter_whose_base_has_the_name_is_taken(
    copy: Path, tmp_path: Path, trained_on: str | None
):
    check(adapter_for(tmp_path / "adapter", trained_on), copy)


def test_an_adapter_for_another_model_is_refused_unless_both_are_named(
    copy: Path, tmp_path: Path
):
    adapter = adapter_for(tmp_path / "adapter", "meta-llama/Llama-3.1-8B")
    with pytest.raises(ModelError, match=r"'meta-llama/Llama-3\.1-8B'; needed one for"):
        check(adapter, copy)
    both = resolve_source(entry(copy, peft=str(adapter)), entry(copy))
    check_source(both, trust_remote_code=False, allow_pickle=False)


def test_weights_that_peft_would_not_take_do_not_hide_its_pickle(
    copy: Path, tmp_path: Path
):
    adapter = adapter_for(tmp_path / "adapter", "copy")
    (adapter / "adapter_model.safetensors").rename(adapter / "other.safetensors")
    (adapter / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"only adapter_model\.bin.*--allow-pickle"):
        check(adapter, copy)


def check_on_hub(copy: Path, *, allow_pickle: bool = False) -> None:
    named = entry(copy, peft="someone/adapter")
    source = resolve_source(named, entry(copy))
    check_source(source, trust_remote_code=False, allow_pickle=allow_pickle)


def test_an_adapter_on_the_hub_needs_safetensors_too(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def exists(*given: str, revision: str | None) -> bool:
        asked.append((*given, revision))
        return len(asked) > 1

    monkeypatch.setattr(sources, "file_exists", exists)
    with pytest.raises(ModelError, match=r"someone/adapter: .*--allow-pickle"):
        check_on_hub(copy)
    check_on_hub(copy, allow_pickle=True)
    check_on_hub(copy)
    assert asked == [("someone/adapter", "adapter_model.safetensors", None)] * 2


def test_an_adapter_of_the_hub_that_is_here_is_looked_at_without_it(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = adapter_for(tmp_path / "adapter", "copy") / "adapter_model.safetensors"
    monkeypatch.setattr(sources, "try_to_load_from_cache", lambda *a, **b: str(file))
    check_on_hub(copy)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors: damaged"):
        check_on_hub(copy)


def test_an_adapter_that_cannot_be_asked_for_is_explained(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"someone/adapter: cannot load its adapter"):
        check_on_hub(copy)


def test_a_damaged_adapter_config_is_named(copy: Path, tmp_path: Path):
    adapter = adapter_for(tmp_path / "adapter", "copy")
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config\.json: cannot be read"):
        check(adapter, copy)


def test_a_difference_of_another_shape_is_refused_before_weights_are_read(
    copy: Path, tmp_path: Path
):
    diff = Path(shutil.copytree(copy, tmp_path / "diff"))
    tensors = load_file(diff / "model.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: torch.zeros(3)}, diff / "model.safetensors")
    with pytest.raises(ModelError, match="has shape"):
        check(f"{copy}+diff:{diff}")
    save_file(
        {k: v for k, v in tensors.items() if k != name}, diff / "model.safetensors"
    )
    with pytest.raises(ModelError, match="the difference lacks 1 of"):
        check(f"{copy}+diff:{diff}")


def test_an_unknown_embedded_model_lists_the_family():
    with pytest.raises(ModelError, match="Known: base"):
        resolve_source(entry("embedded:bse"), entry("embedded:base"))


def test_tiny_models_are_saved_as_safetensors(tmp_path: Path):
    tiny_model("gpt2").save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
