import json
import shutil
from pathlib import Path

import pytest
from tiny_models import tiny_model

from concord.errors import ModelError
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
    assert found.shipping == "weights"


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
    assert source.shipping == "adapter"


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


def test_an_unknown_embedded_model_lists_the_family():
    with pytest.raises(ModelError, match="Known: base"):
        resolve_source(entry("embedded:bse"), entry("embedded:base"))


def test_tiny_models_are_saved_as_safetensors(tmp_path: Path):
    tiny_model("gpt2").save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
