"""Tests of what rows depend on: one changed field is another key, the rest is not."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PretrainedConfig

from concord import keys
from concord.data.collection import Collection, read_collection
from concord.keys import run_key
from concord.models.inputs import config_fields
from concord.models.load import load_model
from concord.models.sources import read_tokenizer, resolve_source
from concord.results import named_differences
from concord.study import ModelEntry, Study, resolve_study

Key = dict[str, Any]


def key_of(
    study: Study,
    *,
    entry: ModelEntry | None = None,
    data: Collection | None = None,
    info: Mapping[str, Any] | None = None,
    name: str = "facts",
) -> Key:
    entry = study.base if entry is None else entry
    info = load_model(study, entry).info if info is None else info
    data = read_collection(study) if data is None else data
    source = resolve_source(entry, study.base)
    tokenizer = read_tokenizer(source, trust_remote_code=False)
    return run_key(name, entry, info, data, study, tokenizer)


@pytest.fixture
def key(settings: dict[str, Any]) -> Callable[..., Key]:
    return lambda **changes: key_of(resolve_study(settings, changes))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"limit": 2},
        {"dtype": "bfloat16"},
        {"contexts": ["study"]},
        {"facts": {"scoring": "full"}},
        {"facts": {"normalisation": "acc_tokens"}},
        {"facts": {"candidate_end": "."}},
        {"facts": {"head_dtype": "model"}},
        {"base": {"fact_contexts": ["It is said that {}"]}},
        {"base": {"bos": "never"}},
    ],
    ids=str,
)
def test_what_changes_rows_changes_the_key(
    key: Callable[..., Key], settings: dict[str, Any], change: dict[str, Any]
) -> None:
    if "base" in change:
        change = {"base": {"source": settings["base"], **change["base"]}}
    assert key(**change) != key()


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 7},
        {"device": "cpu"},
        {"executor": "processes"},
        {"workers": 2},
        {"statistics": {"replicates": 177}},
    ],
    ids=str,
)
def test_what_does_not_leaves_it(
    key: Callable[..., Key], change: dict[str, Any]
) -> None:
    assert key(**change) == key()


def test_one_weight_is_another_key_and_a_copied_folder_is_not(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    study = resolve_study(settings)
    copied = tmp_path / Path(settings["base"]).name
    shutil.copytree(settings["base"], copied)
    moved = resolve_study(settings, {"base": str(copied)})
    assert key_of(moved) == key_of(study)
    weights = load_file(copied / "model.safetensors")
    first = weights[min(weights)].view(-1)
    first[0] += 1
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert (
        key_of(moved)["model"]["fingerprint"] != key_of(study)["model"]["fingerprint"]
    )


@pytest.mark.parametrize(
    "field",
    [
        *("fingerprint", "tokenizer", "dtype", "attention", "merged"),
        *("config", "adapter_config", "end_tokens"),
    ],
)
def test_a_models_own_fields_count(settings: dict[str, Any], field: str) -> None:
    study = resolve_study(settings)
    info = load_model(study, study.base).info
    assert key_of(study, info={**info, field: "another"}) != key_of(study, info=info)


@pytest.mark.parametrize("field", ["source", "revision", "adapter", "diff"])
def test_the_place_a_model_came_from_does_not(
    settings: dict[str, Any], field: str
) -> None:
    study = resolve_study(settings)
    info = load_model(study, study.base).info
    assert key_of(study, info={**info, field: "another"}) == key_of(study, info=info)


def test_the_order_of_candidates_counts(settings: dict[str, Any]) -> None:
    study = resolve_study(settings)
    data = read_collection(study)
    assert data.facts is not None
    first, *others = data.facts.relations
    turned = replace(first, candidates=tuple(reversed(first.candidates)))
    facts = replace(data.facts, relations=(turned, *others))
    assert key_of(study, data=replace(data, facts=facts)) != key_of(study)


def test_another_way_to_score_counts(
    key: Callable[..., Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key()
    monkeypatch.setattr(keys, "SCORING_VERSION", 0)
    assert key() != before


def test_analyses_have_keys_of_their_own(settings: dict[str, Any]) -> None:
    study = resolve_study(settings)
    assert key_of(study, name="facts") != key_of(study, name="noise")


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes))


def test_a_config_counts_by_its_fields(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """The base of rotary positions and a norm's epsilon are in no weight."""
    copied = shutil.copytree(settings["base"], tmp_path / "base")
    study = resolve_study(settings, {"base": str(copied)})
    before = key_of(study)
    change_json(copied / "config.json", rms_norm_eps=0.5)
    assert (
        named_differences(before, key_of(study))
        == "model.config.rms_norm_eps: 1e-06 -> 0.5"
    )


def test_who_saved_a_config_does_not_count(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    copied = shutil.copytree(settings["base"], tmp_path / "base")
    study = resolve_study(settings, {"base": str(copied)})
    before = key_of(study)
    changes = {"transformers_version": "4.0", "_name_or_path": "elsewhere"}
    change_json(copied / "config.json", **changes)
    assert key_of(study) == before


@pytest.mark.parametrize("merges", [False, True])
def test_an_adapters_config_counts_by_its_fields(
    settings: dict[str, Any], tmp_path: Path, merges: bool
) -> None:
    """A factor that no tensor of the adapter tells."""
    adapter = write_adapter(Path(settings["base"]), tmp_path / "lora")
    changes = {"tuned": [str(adapter)], "merge_adapters": merges}
    study = resolve_study(settings, changes)
    (entry,) = study.tuned
    before = key_of(study, entry=entry)
    change_json(adapter / "adapter_config.json", peft_version="0.0.1")
    assert key_of(study, entry=entry) == before
    change_json(adapter / "adapter_config.json", lora_alpha=80)
    found = named_differences(before, key_of(study, entry=entry))
    assert "model.adapter_config.lora_alpha: 8 -> 80" in found
    assert ("model.fingerprint" in found) == merges


def write_adapter(base: Path, folder: Path) -> Path:
    network = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights=False
    )
    get_peft_model(network, config).save_pretrained(str(folder))
    return folder


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}SIGN{{ m['role'] }}: {{ m['content'] }} "
    "{% endfor %}"
)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("facts", "contexts.facts.study 0.text"),
        ("noise", "contexts.facts.study 0.text"),
        ("knockout", "contexts.facts.study 0.text"),
        ("representation", "contexts.sentences.study 0.text"),
        ("choices", "contexts.choices.study 0.text"),
        ("answers", "contexts.answers.study 0.text"),
        ("of_ones_own", "contexts.chat_template"),
    ],
)
def test_a_chat_template_counts_where_it_is_used(
    settings: dict[str, Any], tmp_path: Path, name: str, named: str
) -> None:
    copied = shutil.copytree(settings["tuned"][0], tmp_path / "tuned")
    study = resolve_study(settings, {"tuned": [str(copied)]})
    (entry,), info, data = study.tuned, {}, read_collection(study)
    found = []
    for sign in ("#", "##"):
        text = TEMPLATE.replace("SIGN", sign)
        (copied / "chat_template.jinja").write_text(text)
        found.append(key_of(study, entry=entry, info=info, data=data, name=name))
    first, second = found
    assert named in named_differences(first, second)


def test_a_chat_template_does_not_count_where_role_tags_are_used(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    copied = shutil.copytree(settings["tuned"][0], tmp_path / "tuned")
    entry = {"source": str(copied), "prompt_format": "role_tags"}
    study = resolve_study(settings, {"tuned": [entry]})
    before = key_of(study, entry=study.tuned[0])
    (copied / "chat_template.jinja").write_text(TEMPLATE)
    assert key_of(study, entry=study.tuned[0]) == before


def test_a_gap_behind_the_prompt_counts(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = resolve_study(settings)
    before = key_of(study)
    given = keys.contexts_of

    def with_gaps(*arguments: Any, **options: Any) -> Any:
        found = given(*arguments, **options)
        return tuple(replace(context, ends_in_gap=True) for context in found)

    monkeypatch.setattr(keys, "contexts_of", with_gaps)
    assert "contexts.facts.study 0.ends_in_gap" in named_differences(
        before, key_of(study)
    )


def test_a_config_with_an_infinite_number_can_be_kept() -> None:
    fields = config_fields(PretrainedConfig.from_dict({"limits": [0.0, float("inf")]}))
    assert fields["limits"] == [0.0, "Infinity"]
    assert "dtype" not in fields
