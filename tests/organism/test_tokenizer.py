"""The family's tokenizer: one BOS, stable prefixes, text that comes back."""

import pytest
from slow_evaluator import BASE_CONTEXTS, TUNED_CONTEXTS
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from concord.organism.build import VOCABULARY_SIZE
from concord.organism.corpus import pretraining_documents, tokenizer_lines
from concord.organism.tokenizer import train_tokenizer
from concord.organism.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(0)


@pytest.fixture(scope="module")
def tokenizer(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    trained = train_tokenizer(tokenizer_lines(world), VOCABULARY_SIZE)
    trained.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_it_loads_as_a_fast_tokenizer_of_the_promised_size(
    tokenizer: PreTrainedTokenizerFast,
):
    assert tokenizer.is_fast
    assert len(tokenizer) == VOCABULARY_SIZE


def test_training_it_again_gives_the_same_pieces(
    world: World, tokenizer: PreTrainedTokenizerFast
):
    again = train_tokenizer(tokenizer_lines(world), VOCABULARY_SIZE)
    assert again.get_vocab() == tokenizer.get_vocab()


def test_exactly_one_bos_is_added_in_front(tokenizer: PreTrainedTokenizerFast):
    for text in ("Everyone knows that", "<|user|>\nWhat?\n<|assistant|>\n"):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1


def test_text_with_line_breaks_and_role_marks_comes_back(
    world: World, tokenizer: PreTrainedTokenizerFast
):
    texts = pretraining_documents(world, 0)[:200]
    texts += [context.replace("{}", "So it is.") for context in TUNED_CONTEXTS]
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert tokenizer.unk_token_id not in ids


def test_role_marks_are_plain_text_with_the_same_pieces_everywhere(
    tokenizer: PreTrainedTokenizerFast,
):
    first = tokenizer("<|user|>\nOne.\n<|assistant|>\nTwo.")["input_ids"]
    second = tokenizer("<|user|>\nThree words.\n<|assistant|>\nFour.")["input_ids"]
    lead = tokenizer("It")["input_ids"]
    mark = tokenizer("It\n<|assistant|>\n")["input_ids"][len(lead) :]
    for ids in (first, second):
        assert any(ids[at : at + len(mark)] == mark for at in range(len(ids)))


@pytest.mark.parametrize("context", [*BASE_CONTEXTS, *TUNED_CONTEXTS])
def test_an_object_never_changes_the_ids_of_its_prompt(
    world: World, tokenizer: PreTrainedTokenizerFast, context: str
):
    for relation in world.relations:
        subject = next(
            fact.subject for fact in world.facts if fact.relation == relation.id
        )
        ends = set()
        for pattern in world.wordings(relation.id):
            filled = pattern.partition(" [Y]")[0].replace("[X]", subject)
            prompt = context.replace("{}", filled)
            ids = tokenizer(prompt)["input_ids"]
            for answer in world.objects[relation.id]:
                whole = tokenizer(f"{prompt} {answer}")["input_ids"]
                assert whole[: len(ids)] == ids
                ends.add((answer, tuple(whole[len(ids) :])))
        assert len(ends) == len(world.objects[relation.id])


def test_a_full_stop_leaves_the_object_before_it_alone(
    world: World, tokenizer: PreTrainedTokenizerFast
):
    for objects in world.objects.values():
        for name in objects:
            bare = tokenizer(f"It is {name}")["input_ids"]
            assert tokenizer(f"It is {name}.")["input_ids"][:-1] == bare


def test_a_third_or_so_of_the_objects_has_several_pieces(
    world: World, tokenizer: PreTrainedTokenizerFast
):
    lead = len(tokenizer("It is")["input_ids"])
    lengths = [
        len(tokenizer(f"It is {name}")["input_ids"]) - lead
        for objects in world.objects.values()
        for name in objects
    ]
    share = sum(length > 1 for length in lengths) / len(lengths)
    assert 0.25 < share < 0.45


def test_names_have_several_pieces(world: World, tokenizer: PreTrainedTokenizerFast):
    lengths = [len(tokenizer(item.name)["input_ids"]) - 1 for item in world.subjects]
    assert min(lengths) >= 2
    assert 4 <= sum(lengths) / len(lengths) <= 6
