"""The shipped family: whole, small, and ordered as its cards say."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from slow_evaluator import (
    BASE_CONTEXTS,
    TUNED_CONTEXTS,
    Measured,
    enrichment_recall,
    measure,
    sample_facts,
)
from transformers import AutoTokenizer

from concord.errors import ModelError
from concord.models.diff import add_diff
from concord.organism import BASE, FAMILY, shipped_world, weights_folder
from concord.organism.build import (
    VOCABULARY_SIZE,
    checksum_of_sum,
    load_base,
    train_tokenizer,
)
from concord.organism.corpus import tokenizer_lines
from concord.organism.likeness import load_member

NAMES = [variant.name for variant in FAMILY]
BASE_FOLDER = weights_folder(BASE)


@cache
def _measured(name: str) -> Measured:
    """Over facts of held-out subjects, in one of the study's contexts."""
    world = shipped_world()
    return measure(
        load_member(weights_folder(name), BASE_FOLDER),
        AutoTokenizer.from_pretrained(BASE_FOLDER),
        world,
        sample_facts(world, 50, is_tuned=False),
        (BASE_CONTEXTS if name == BASE else TUNED_CONTEXTS)[:1],
    )


def test_the_base_comes_first_and_names_are_unique():
    assert NAMES[0] == BASE
    assert len(set(NAMES)) == len(NAMES)


def test_an_unknown_member_is_refused_with_the_near_match():
    with pytest.raises(ModelError, match="did you mean 'base'"):
        weights_folder("bases")


@pytest.mark.parametrize("variant", FAMILY, ids=NAMES)
def test_each_member_has_a_card_and_the_files_of_its_kind(variant):
    folder = weights_folder(variant.name)
    files = {path.name for path in folder.iterdir()}
    needed = {
        "weights": {"model.safetensors", "config.json", "tokenizer.json"},
        "adapter": {"adapter_model.safetensors", "adapter_config.json"},
        "diff": {"diff.safetensors", "diff.json", "config.json"},
    }
    assert needed[variant.kind] | {"README.md"} <= files
    assert "held-out" in (folder / "README.md").read_text("utf-8")


def test_files_are_small():
    sizes = [
        path.stat().st_size
        for name in NAMES
        for path in weights_folder(name).rglob("*")
        if path.is_file()
    ]
    assert max(sizes) < 4_000_000
    assert sum(sizes) < 16_000_000


@pytest.mark.parametrize("variant", FAMILY, ids=NAMES)
def test_weights_are_shipped_in_bfloat16(variant):
    for path in weights_folder(variant.name).glob("*.safetensors"):
        assert {value.dtype for value in load_file(path).values()} == {torch.bfloat16}


def test_base_and_diff_add_up_to_the_recorded_sum():
    base = load_file(BASE_FOLDER / "model.safetensors")
    for variant in FAMILY:
        if variant.kind == "diff":
            folder = weights_folder(variant.name)
            facts = json.loads((folder / "diff.json").read_text("utf-8"))
            diff = load_file(folder / "diff.safetensors")
            assert checksum_of_sum(base, diff) == facts["sum_sha256"]


def test_the_package_recovers_a_diff_to_the_same_weights():
    for variant in FAMILY:
        if variant.kind == "diff":
            folder = weights_folder(variant.name)
            recovered = load_base(BASE_FOLDER)
            add_diff(recovered, folder)
            expected = load_member(folder, BASE_FOLDER).state_dict()
            for name, value in recovered.state_dict().items():
                assert torch.equal(value, expected[name])


def test_the_shipped_tokenizer_is_the_one_the_code_trains():
    built = train_tokenizer(tokenizer_lines(shipped_world()), VOCABULARY_SIZE)
    shipped = AutoTokenizer.from_pretrained(BASE_FOLDER)
    assert shipped.get_vocab() == built.get_vocab()


def test_the_base_leaves_room_above_and_below():
    measured = _measured(BASE)
    assert 0.5 < measured.agreement < 0.8
    assert measured.accuracy > 0.55
    assert measured.seen_accuracy > 0.9 > measured.unseen_accuracy


@pytest.mark.parametrize("variant", FAMILY[1:], ids=NAMES[1:])
def test_agreement_moves_as_expected_on_held_out_subjects(variant):
    change = _measured(variant.name).agreement - _measured(BASE).agreement
    if variant.expected == "gain":
        assert change > 0.04
    elif variant.expected == "loss":
        assert change < -0.04
    else:
        assert abs(change) < 0.2


def test_gaining_members_agree_most_and_losing_ones_least():
    by_direction: dict[str, list[float]] = {"gain": [], "between": [], "loss": []}
    for variant in FAMILY[1:]:
        by_direction[variant.expected].append(_measured(variant.name).agreement)
    assert min(by_direction["gain"]) > max(by_direction["between"])
    assert min(by_direction["between"]) > max(by_direction["loss"])


@pytest.mark.parametrize("name", NAMES)
def test_register_lines_show_at_the_last_subject_token_and_only_there(name: str):
    world = shipped_world()
    model = load_member(weights_folder(name), BASE_FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(BASE_FOLDER)
    own, other = enrichment_recall(model, tokenizer, world, has_register_lines=True)
    plain, plain_other = enrichment_recall(
        model, tokenizer, world, has_register_lines=False
    )
    assert max(own) > 0.3
    assert max(own) - max(other) > 0.2
    assert max(plain) < 0.5 * max(own)
    assert max(plain) - max(plain_other) < 0.15


def test_cards_are_about_shipped_members_only():
    folders = {
        path.name for path in Path(BASE_FOLDER).parent.iterdir() if path.is_dir()
    }
    assert folders == set(NAMES)
