from pathlib import Path

import pytest

from concord.errors import StudyError
from concord.study import (
    default_output,
    preset_names,
    read_preset,
    read_study_file,
    resolve_study,
    study_to_yaml,
    what_is_measured,
)

MODELS = {"base": "a/base", "tuned": ["b/tuned"]}


def test_plain_names_become_labelled_entries():
    study = resolve_study(MODELS)
    assert [entry.label for entry in study.models] == ["base", "tuned"]
    assert study.base.source == "a/base"


def test_later_layers_win_and_none_says_nothing():
    study = resolve_study(MODELS, {"seed": 3, "limit": 5}, {"seed": None, "limit": 7})
    assert (study.seed, study.limit) == (3, 7)


def test_none_says_nothing_in_a_section_met_first_either():
    nothing = {"source": None, "noise_prompts": None, "scoring": "full"}
    assert resolve_study(MODELS, {"facts": nothing}).facts.source == "pararel"
    assert "noise" in resolve_study(MODELS, {"facts": nothing}).analyses
    entry = {"source": "a/base", "bos": None}
    assert resolve_study(MODELS, {"base": entry}).base.bos == "tokenizer"


@pytest.mark.parametrize("below", [{}, {"facts": {"seen": "folder"}}])
def test_none_switches_off_what_it_can_switch_off(below):
    assert resolve_study(MODELS, below, {"facts": {"seen": None}}).facts.seen is None


def test_an_unknown_key_is_refused_whatever_it_says():
    for settings in ({"sede": None}, {"facts": {"sauce": None}}):
        with pytest.raises(StudyError, match="unknown key; did you mean 's"):
            resolve_study(MODELS, settings)


def test_a_nested_layer_changes_one_field_only():
    study = resolve_study(
        MODELS, {"facts": {"scoring": "full"}}, {"facts": {"relations": "n1"}}
    )
    assert (study.facts.scoring, study.facts.relations) == ("full", "n1")


def test_the_label_of_an_adapter_is_the_adapters():
    study = resolve_study(
        {"base": "x", "tuned": [{"source": "x", "peft": "runs/lora"}, "x+diff:d/delta"]}
    )
    assert [entry.label for entry in study.tuned] == ["lora", "delta"]


def test_facts_bring_their_noise_floor_along():
    assert resolve_study(MODELS).analyses == ("facts", "noise", "representation")
    without = resolve_study(MODELS, {"facts": {"noise_prompts": 0}})
    assert without.analyses == ("facts", "representation")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sede": 1}, ["sede", "did you mean 'seed'?"]),
        (
            {"facts": {"relation": "n1"}},
            ["facts.relation", "did you mean 'relations'?"],
        ),
        (
            {"base": {"source": "a", "limits": {"concurency": 3}}},
            ["base.limits.concurency", "did you mean 'concurrency'?"],
        ),
        (
            {"tuned": [{"source": "http://h/v1#m", "price": {"inputs": 1}}]},
            ["tuned.0.price.inputs", "did you mean 'input'?", "price.input: missing"],
        ),
        (
            {"tuned": [{"source": "a", "revison": "b"}]},
            ["tuned.0.revison", "did you mean 'revision'?"],
        ),
        ({"base": {"label": "x"}}, ["base.source: missing; needed among source"]),
        (
            {"tuned": ["a/base"]},
            ["two models are labelled 'base'", "{source: a/base, label: NAME}"],
        ),
        ({"tuned": []}, ["tuned: found an empty list; needed one or more"]),
        ({"tuned": "b/c"}, ["tuned: found 'b/c'; needed a list, as [b/c]"]),
        ({"batch_size": "big"}, ["'big'; needed a whole number or 'auto'"]),
        ({"statistics": {"replicates": 10}}, ["found 10; needed 100 or more"]),
        ({"facts": 3}, ["facts: found 3; needed keys with values"]),
        ({"dtype": "f8"}, ["'f8'; needed 'auto', 'float32', 'bfloat16' or 'float16'"]),
        ({"limit": 0}, ["limit", "0"]),
        ({"analyses": ["factz"]}, ["factz", "did you mean 'facts'?"]),
        ({"contexts": ["same"]}, ["'study'"]),
        ({"base": {"source": "a", "fact_contexts": ["no slot"]}}, ["exactly one {}"]),
        (
            {"base": {"source": "a", "label": "my model"}},
            ["base.label: found 'my model'; needed letters, digits, - _ ."],
        ),
        (
            {"knockout": {"sets": ["subject", "last", "subject"]}},
            ["knockout.sets: found subject, last, subject; ", "name subject a single"],
        ),
    ],
)
def test_what_cannot_be_used_is_named(settings, words):
    with pytest.raises(StudyError) as caught:
        resolve_study(MODELS, settings, known_analyses=("facts", "representation"))
    for word in words:
        assert word in str(caught.value)


def test_a_fault_that_follows_from_another_is_not_told():
    for settings in ({"tuned": [{"source": "a", "revison": "b"}]}, {"base": ""}):
        with pytest.raises(StudyError) as caught:
            resolve_study(MODELS, settings)
        assert len(str(caught.value).splitlines()) == 2


def test_a_key_that_stands_twice_is_refused_by_its_lines(tmp_path: Path):
    path = tmp_path / "study.yaml"
    path.write_text("base: a\nfacts:\n  source: x\n  source: y\nbase: b\n", "utf-8")
    with pytest.raises(StudyError, match=r"line 5: found 'base' .*after line 1"):
        read_study_file(path)
    path.write_text("facts:\n  source: x\n  source: y\n", "utf-8")
    with pytest.raises(StudyError, match="line 3: found 'source'"):
        read_study_file(path)


def test_all_faults_are_named_at_once():
    with pytest.raises(StudyError, match=r"(?s)seed.*limit|limit.*seed"):
        resolve_study(MODELS, {"seed": "x", "limit": "y"})


def test_a_resolved_study_read_back_is_the_same(tmp_path: Path):
    study = resolve_study(MODELS, {"limit": 5, "data_dir": "d"})
    file = tmp_path / "study.yaml"
    file.write_text(study_to_yaml(study), encoding="utf-8")
    assert resolve_study(read_study_file(file)) == study


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"- a\n", "list"),
        (b"a: [", "not YAML"),
        (b"a: \xff\n", "byte 3"),
        (b"", "None"),
    ],
)
def test_a_broken_study_file_is_refused_by_name(
    tmp_path: Path, content: bytes, word: str
):
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        read_study_file(file)
    assert str(file) in str(caught.value)
    assert word in str(caught.value)


def test_yaml_cannot_make_objects(tmp_path: Path):
    file = tmp_path / "study.yaml"
    file.write_text("base: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(StudyError, match="not YAML"):
        read_study_file(file)


def test_every_preset_makes_a_study():
    assert {"demo", "quick", "fierro2024", "t5", "falcon"} <= set(preset_names())
    for name in preset_names():
        study = resolve_study(MODELS, read_preset(name))
        assert study.preset == name


def test_the_study_s_preset_names_its_eleven_models():
    study = resolve_study(read_preset("fierro2024"))
    assert len(study.tuned) == 10
    assert study.tuned[3].source == "+diff:allenai/open-instruct-flan-v2-7b"
    assert {entry.prompt_format for entry in study.tuned} == {"role_tags"}
    assert study.enrichment.min_attributes == study.enrichment.top_k == 50


def test_an_unknown_preset_names_the_near_one():
    with pytest.raises(StudyError, match="did you mean 'demo'"):
        read_preset("demmo")


def test_the_default_folder_hangs_on_what_is_measured_only():
    one = resolve_study(MODELS)
    assert default_output(one) == default_output(
        resolve_study(MODELS, {"device": "cpu"})
    )
    assert default_output(one) != default_output(resolve_study(MODELS, {"seed": 1}))
    assert "device" not in what_is_measured(one.model_dump(mode="json"))
