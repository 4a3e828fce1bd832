"""Tests of the tokenisation contract."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_models import tiny_tokenizer
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from concord.errors import DataError, ModelError
from concord.models.contexts import with_sentinel
from concord.models.tokens import (
    Encoder,
    candidate_ids,
    candidate_sets,
    decoder_start_ids,
    empty_prompt_ids,
    encode_prompt,
    encode_prompts,
    prompt_hash,
    split_delimiter,
    subject_positions,
)

PROMPT = "Barack Obama was born in"
CANDIDATES = ["Honolulu", "Paris", "Niger", "Nigeria", "Z\u00fcrich"]
LLAMA_LIKE = Encoder(tiny_tokenizer(bos=True), family="llama")
GPT_LIKE = Encoder(tiny_tokenizer(bos=False), family="gpt2")


def tokens_of(encoder: Encoder, ids: Any) -> list[str]:
    return list(encoder.tokenizer.convert_ids_to_tokens(list(ids)))


def spelled(pieces: str, merges: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """A BPE tokenizer of single characters and the merges given, nothing else."""
    names = ["<s>", "</s>", *pieces, *(first + second for first, second in merges)]
    vocabulary = {name: index for index, name in enumerate(names)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    )


@pytest.mark.parametrize(
    ("text", "kept", "delimiter"),
    [
        ("born in", "born in", " "),
        ("born in ", "born in", " "),
        ("born in \t ", "born in", " "),
        ("<|assistant|>\n", "<|assistant|>\n", ""),
        ("<|assistant|>\n ", "<|assistant|>\n", ""),
    ],
)
def test_the_delimiter_belongs_to_the_candidate(
    text: str, kept: str, delimiter: str
) -> None:
    assert split_delimiter(text) == (kept, delimiter)


@pytest.mark.parametrize("encoder", [LLAMA_LIKE, GPT_LIKE])
def test_prompt_and_candidate_are_the_whole_text(encoder: Encoder) -> None:
    prompt = encode_prompt(encoder, PROMPT)
    for candidate, ids in zip(
        CANDIDATES, candidate_ids(encoder, PROMPT, CANDIDATES), strict=True
    ):
        whole = encoder.tokenizer(f"{PROMPT} {candidate}")["input_ids"]
        assert [*prompt.ids, *ids] == whole
        assert encoder.tokenizer.decode(list(ids)) == f" {candidate}"


def test_a_trailing_space_changes_no_id() -> None:
    plain = (
        encode_prompt(LLAMA_LIKE, PROMPT),
        candidate_ids(LLAMA_LIKE, PROMPT, CANDIDATES),
    )
    spaced = (
        encode_prompt(LLAMA_LIKE, f"{PROMPT} "),
        candidate_ids(LLAMA_LIKE, f"{PROMPT} ", CANDIDATES),
    )
    assert spaced == plain


def test_after_a_newline_no_space_is_put() -> None:
    ids = candidate_ids(LLAMA_LIKE, "Answer:\n", ["Paris"])[0]
    assert LLAMA_LIKE.tokenizer.decode(list(ids)) == "Paris"


def test_a_merge_across_the_border_is_counted_and_named() -> None:
    tokenizer = spelled("abcin ", [("n", " ")])
    encoder = Encoder(tokenizer)
    with pytest.raises(ModelError, match=r"2 of 2 prompts .*'a in b'"):
        candidate_ids(encoder, "a in", ["b", "c"])
    # "a i" ends in no n: nothing merges
    assert tokens_of(encoder, candidate_ids(encoder, "a i", ["b"])[0]) == [" ", "b"]


def test_a_merge_behind_one_prompt_is_found_among_many() -> None:
    encoder = Encoder(spelled("abcin ", [("n", " ")]))
    with pytest.raises(ModelError, match=r"1 of 3 prompts .*'a in c'"):
        candidate_sets(encoder, ["a i", "b i", "a in"], ["b", "b", "c"])


def test_candidates_that_depend_on_the_prompt_get_sets_of_their_own() -> None:
    # after a newline no space belongs to the candidate
    prompts = ["Barack Obama was born in", "Answer:\n", "Paris is in"]
    found = candidate_sets(LLAMA_LIKE, prompts, CANDIDATES)
    assert found.set_index == (0, 1, 0)
    assert found.sets == tuple(
        candidate_ids(LLAMA_LIKE, prompt, CANDIDATES) for prompt in prompts[:2]
    )


def test_one_set_serves_prompts_of_one_kind() -> None:
    prompts = [PROMPT, "The capital of France is", "Marie Curie works in"]
    found = candidate_sets(LLAMA_LIKE, prompts, CANDIDATES, sample=[0, 1, 2])
    assert found.sets == (candidate_ids(LLAMA_LIKE, PROMPT, CANDIDATES),)
    assert found.set_index == (0, 0, 0)


def test_the_end_mark_is_part_of_the_candidate() -> None:
    dotted = replace(LLAMA_LIKE, candidate_end=".")
    closed = replace(LLAMA_LIKE, candidate_end="eos")
    decode = LLAMA_LIKE.tokenizer.decode
    assert decode(list(candidate_ids(dotted, PROMPT, ["Paris"])[0])) == " Paris."
    plain = candidate_ids(LLAMA_LIKE, PROMPT, ["Paris"])[0]
    assert candidate_ids(closed, PROMPT, ["Paris"])[0] == (*plain, 2)
    sets = candidate_sets(closed, [PROMPT, "Paris is in"], ["Paris", "Niger"])
    assert sets.set_index == (0, 0)


def test_a_candidate_without_tokens_is_named() -> None:
    tokenizer = spelled("ab ", [])
    encoder = Encoder(tokenizer, is_encoder_decoder=True)
    with pytest.raises(DataError, match="'\u4eac'"):
        candidate_ids(encoder, "a", ["b", "\u4eac"])


def test_bos_comes_once_and_first() -> None:
    assert encode_prompt(LLAMA_LIKE, PROMPT).ids[0] == 1
    assert 1 not in encode_prompt(GPT_LIKE, PROMPT).ids


def test_a_missing_bos_is_refused_with_its_remedy() -> None:
    bare = Encoder(tiny_tokenizer(bos=False), family="llama")
    with pytest.raises(ModelError, match="without a begin.*set bos: always"):
        encode_prompt(bare, PROMPT)
    forced = replace(bare, bos="always")
    assert encode_prompt(forced, PROMPT).ids == encode_prompt(LLAMA_LIKE, PROMPT).ids
    assert candidate_ids(forced, PROMPT, CANDIDATES) == candidate_ids(
        LLAMA_LIKE, PROMPT, CANDIDATES
    )


def test_an_unwanted_bos_is_refused_with_its_remedy() -> None:
    added = Encoder(tiny_tokenizer(bos=True), family="gpt2")
    with pytest.raises(ModelError, match="starts with a begin.*set bos: never"):
        encode_prompt(added, PROMPT)
    removed = replace(added, bos="never")
    assert encode_prompt(removed, PROMPT).ids == encode_prompt(GPT_LIKE, PROMPT).ids


@pytest.mark.parametrize("bos", ["tokenizer", "always"])
def test_a_doubled_bos_is_refused(bos: Any) -> None:
    encoder = replace(LLAMA_LIKE, bos=bos)
    with pytest.raises(ModelError, match="2 begin-of-sequence tokens"):
        encode_prompt(encoder, f"<s>{PROMPT}")
    # a chat template prints it itself, so none is added
    chat = replace(encoder, has_special_tokens=True)
    assert (
        encode_prompt(chat, f"<s>{PROMPT}").ids == encode_prompt(LLAMA_LIKE, PROMPT).ids
    )


def test_a_bos_inside_is_refused() -> None:
    with pytest.raises(ModelError, match="begin-of-sequence"):
        encode_prompt(replace(LLAMA_LIKE, bos="never"), f"{PROMPT}<s>")


def test_an_unknown_family_is_taken_at_its_tokenizers_word() -> None:
    for bos in (True, False):
        encoder = Encoder(tiny_tokenizer(bos=bos), family="unheard_of")
        assert (encode_prompt(encoder, PROMPT).ids[0] == 1) == bos


def test_always_needs_a_token_to_put() -> None:
    tokenizer = tiny_tokenizer(bos=False)
    tokenizer.bos_token = None
    with pytest.raises(ModelError, match="has no begin-of-sequence token"):
        encode_prompt(Encoder(tokenizer, bos="always"), PROMPT)


def closing_tokenizer() -> PreTrainedTokenizerFast:
    """Like T5's: `</s>` at the end of every text."""
    tokenizer = tiny_tokenizer(bos=False)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 2)]
    )
    return tokenizer


def test_a_tokenizer_that_closes_every_text_suits_encoders_alone() -> None:
    with pytest.raises(ModelError, match="closes every text"):
        encode_prompt(Encoder(closing_tokenizer()), PROMPT)
    encoder = Encoder(closing_tokenizer(), family="t5", is_encoder_decoder=True)
    assert encode_prompt(encoder, PROMPT).ids[-1] == 2
    # the decoder gets the candidate alone: no delimiter, nothing closed
    ids = candidate_ids(encoder, PROMPT, ["Paris"])[0]
    assert encoder.tokenizer.decode(list(ids)) == "Paris"


def test_the_empty_prompt_is_bos_alone_or_nothing() -> None:
    assert empty_prompt_ids(LLAMA_LIKE) == (1,)
    assert empty_prompt_ids(GPT_LIKE) is None


@pytest.mark.usefixtures("unchecked")
def test_a_slow_tokenizer_is_refused() -> None:
    slow: Any = SimpleNamespace(is_fast=False)
    with pytest.raises(ModelError, match="slow tokenizer"):
        Encoder(slow)


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(ModelError, match="no token"):
        encode_prompt(GPT_LIKE, "  ")


def covered(encoder: Encoder, text: str, subject: str) -> tuple[str, Any]:
    """Text of the subject's tokens, put together."""
    prompt = encode_prompt(encoder, text)
    start = text.index(subject)
    found = subject_positions(prompt, start, start + len(subject))
    spans = [prompt.offsets[position] for position in found.positions]
    return text[spans[0][0] : spans[-1][1]].strip(), found


@pytest.mark.parametrize("encoder", [LLAMA_LIKE, GPT_LIKE])
@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Barack Obama was born in", "Barack Obama"),
        ("It is known that Barack Obama was born in", "Barack Obama"),
        ("The capital of Z\u00fcrich is", "Z\u00fcrich"),
        ("The capital of \u4eac\u90fd is", "\u4eac\u90fd"),
        ("Obama's native language is", "Obama"),
        ("<|user|>\nFinish.\n<|assistant|>\nBarack Obama was born in", "Barack Obama"),
    ],
)
def test_subject_tokens_cover_the_subject(
    encoder: Encoder, text: str, subject: str
) -> None:
    found, positions = covered(encoder, text, subject)
    assert found == subject
    assert positions.last == positions.positions[-1]
    assert not positions.covers_more


def test_positions_count_the_bos() -> None:
    for encoder, first in [(LLAMA_LIKE, 1), (GPT_LIKE, 0)]:
        assert covered(encoder, PROMPT, "Barack Obama")[1].positions[0] == first
    forced = Encoder(tiny_tokenizer(bos=False), bos="always")
    assert covered(forced, PROMPT, "Barack Obama")[1].positions[0] == 1


def test_a_token_that_goes_on_after_the_subject_is_flagged() -> None:
    encoder = Encoder(spelled("abs'", [("a", "'"), ("a'", "s")]))
    prompt = encode_prompt(encoder, "ba's")
    assert tokens_of(encoder, prompt.ids) == ["b", "a's"]
    found = subject_positions(prompt, 0, 2)
    assert (found.positions, found.covers_more) == ((0, 1), True)


def test_a_subject_without_a_token_is_refused() -> None:
    prompt = encode_prompt(GPT_LIKE, PROMPT)
    with pytest.raises(ModelError, match="no token of prompt"):
        subject_positions(prompt, 6, 7)


def test_the_hash_follows_the_ids_alone() -> None:
    first, second = encode_prompts(LLAMA_LIKE, [PROMPT, f"{PROMPT} "])
    assert first.hash == second.hash == prompt_hash(first.ids)
    assert prompt_hash((1, 2)) != prompt_hash((2, 1))


def test_a_sentinel_follows_the_prompt_and_the_start() -> None:
    assert with_sentinel("born in ") == "born in <extra_id_0>"
    encoder = Encoder(tiny_tokenizer(bos=False), is_encoder_decoder=True)
    assert decoder_start_ids(encoder, 0) == (0,)
    with pytest.raises(ModelError, match="extra_id_0"):
        decoder_start_ids(encoder, 0, sentinel=True)
    encoder.tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<extra_id_0>"]}
    )
    sentinel = encoder.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert decoder_start_ids(encoder, 0, sentinel=True) == (0, sentinel)


def test_a_sentencepiece_tokenizer_keeps_the_space_mark_on_the_word(
    shared: Path,
) -> None:
    folder = shared / "weights" / "stories260K-hf"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    encoder = Encoder(tokenizer, family="llama")
    prompt = encode_prompt(encoder, PROMPT)
    assert tokens_of(encoder, prompt.ids)[0] == "<s>"
    ids = candidate_ids(encoder, PROMPT, ["Honolulu"])[0]
    assert (*prompt.ids, *ids) == tuple(tokenizer(f"{PROMPT} Honolulu")["input_ids"])
    assert "".join(tokens_of(encoder, ids)) == "\u2581Honolulu"
    found = covered(encoder, PROMPT, "Barack Obama")
    assert found[0] == "Barack Obama"
