"""From text to token ids: one contract for prompts, candidates and positions.

Prompt and candidate are encoded together and split afterwards, because a candidate
encoded alone gets other ids. Positions come from the character offsets of a fast
tokenizer, never from a search for ids. Ids are checked, not assumed: one
begin-of-sequence token (BOS) or none, and a prompt that stays whole in front of its
candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from concord.errors import DataError, ModelError
from concord.models.contexts import SENTINEL
from concord.models.encoder import (
    BosPolicy,
    EncodedPrompt,
    Encoder,
    Tokens,
    check_bos,
    check_end,
    encode_unchecked,
    end_id,
    prompt_hash,
)

__all__ = [
    "BosPolicy",
    "CandidateSets",
    "EncodedPrompt",
    "Encoder",
    "SubjectPositions",
    "Tokens",
    "candidate_ids",
    "candidate_sets",
    "decoder_start_ids",
    "empty_prompt_ids",
    "encode_prompt",
    "encode_prompts",
    "prompt_hash",
    "split_delimiter",
    "subject_positions",
]

_NAMED = 3


@dataclass(frozen=True)
class SubjectPositions:
    """Where a subject stands in a prompt."""

    positions: tuple[int, ...]
    covers_more: bool
    """Its last token also holds text that follows the subject."""

    @property
    def last(self) -> int:
        """Position of the last subject token."""
        return self.positions[-1]


@dataclass(frozen=True)
class CandidateSets:
    """Ids of the candidates, and which set each prompt takes."""

    sets: tuple[tuple[Tokens, ...], ...]
    """Usually one; several where ids depend on the prompt."""
    set_index: tuple[int, ...]


def encode_prompt(encoder: Encoder, text: str) -> EncodedPrompt:
    """The ids of one prompt. See `encode_prompts`."""
    return encode_prompts(encoder, [text])[0]


def encode_prompts(encoder: Encoder, texts: Sequence[str]) -> list[EncodedPrompt]:
    """The ids of prompts, special tokens included, trailing blanks left out.

    Raises:
        ModelError: BOS is missing, doubled or not wanted, the tokenizer closes a prompt
            with an end token, or nothing is left of a prompt.
    """
    kept = [split_delimiter(text)[0] for text in texts]
    encoded = encode_unchecked(encoder, kept)
    for prompt in encoded:
        if not prompt.ids:
            raise ModelError(
                f"prompt {prompt.text!r} has no token; give it text, or bos: always"
            )
        check_bos(encoder, prompt)
        check_end(encoder, prompt)
    return encoded


def empty_prompt_ids(encoder: Encoder) -> Tokens | None:
    """The ids of the prompt without text: BOS, or an encoder's end token.

    None where the tokenizer puts nothing there, so that there is no such prompt.
    """
    bare = replace(encoder, has_special_tokens=False)
    return encode_unchecked(bare, [""])[0].ids or None


def split_delimiter(text: str) -> tuple[str, str]:
    """A prompt without trailing blanks, and what stands between it and a candidate.

    The delimiter belongs to the candidate: one space, or nothing after a newline. A
    blank at the end of a prompt would become a token of its own.
    """
    kept = text.rstrip(" \t")
    return kept, "" if kept.endswith("\n") else " "


def candidate_ids(
    encoder: Encoder, prompt: str, candidates: Sequence[str]
) -> tuple[Tokens, ...]:
    """The ids of candidates behind a prompt, delimiter and end mark included.

    Causal models: ids of the whole text less those of the prompt. Encoder-decoder
    models: ids of the candidate alone, which is what the decoder gets.

    Raises:
        DataError: A candidate has no token; it is named.
        ModelError: The prompt's own ids change when a candidate follows (counted, and
            named).
    """
    if encoder.is_encoder_decoder:
        split = _encode_alone(encoder, candidates)
    else:
        split = _encode_behind(encoder, [prompt] * len(candidates), candidates)
    for candidate, ids in zip(candidates, split, strict=True):
        if not ids:
            raise DataError(
                f"candidate {candidate!r} has no token; remove it from the relation's "
                "objects, or write it in letters the tokenizer knows"
            )
    if encoder.candidate_end != "eos":
        return tuple(split)
    return tuple((*ids, end_id(encoder)) for ids in split)


def candidate_sets(
    encoder: Encoder,
    prompts: Sequence[str],
    candidates: Sequence[str],
    *,
    sample: Sequence[int] | None = None,
) -> CandidateSets:
    """The candidates' ids for the prompts of one relation and context.

    Ids must not depend on the prompt. That is checked on a sample of prompts with all
    candidates, and on every prompt with one candidate, a different one each time. Where
    it fails, every prompt gets its own ids.

    Args:
        encoder: The rules.
        prompts: All prompts of the relation in one context.
        candidates: In the order of their indices.
        sample: Prompts to check with all candidates, for instance one per template; by
            default the first.

    Raises:
        DataError: A candidate has no token.
        ModelError: A prompt's own ids change when a candidate follows.
    """
    shared = candidate_ids(encoder, prompts[0], candidates)
    if encoder.is_encoder_decoder:
        return CandidateSets((shared,), (0,) * len(prompts))
    turns = [index % len(candidates) for index in range(len(prompts))]
    bare = (
        replace(encoder, candidate_end="")
        if encoder.candidate_end == "eos"
        else encoder
    )
    each = _encode_behind(bare, prompts, [candidates[turn] for turn in turns])
    end = (end_id(encoder),) if encoder.candidate_end == "eos" else ()
    is_shared = all(
        (*ids, *end) == shared[turn] for ids, turn in zip(each, turns, strict=True)
    ) and all(
        candidate_ids(encoder, prompts[index], candidates) == shared
        for index in sample or ()
    )
    if is_shared:
        return CandidateSets((shared,), (0,) * len(prompts))
    own = [candidate_ids(encoder, prompt, candidates) for prompt in prompts]
    place = {ids: index for index, ids in enumerate(dict.fromkeys(own))}
    return CandidateSets(tuple(place), tuple(place[ids] for ids in own))


def subject_positions(prompt: EncodedPrompt, start: int, end: int) -> SubjectPositions:
    """Tokens of the subject: those that share a character with it, blanks aside.

    Args:
        prompt: With offsets.
        start: Place of the subject's first character in the prompt's text.
        end: The place after its last.

    Raises:
        ModelError: No token belongs to the subject.
    """
    spans = [_without_blanks(prompt.text, *offset) for offset in prompt.offsets]
    inside = [
        index
        for index, (first, after) in enumerate(spans)
        if first < after and first < end and after > start
    ]
    if not inside:
        raise ModelError(
            f"no token of prompt {prompt.text!r} stands for its subject "
            f"{prompt.text[start:end]!r} (characters {start} to {end}); the tokenizer "
            "drops it or the places are wrong"
        )
    return SubjectPositions(tuple(inside), covers_more=spans[inside[-1]][1] > end)


def decoder_start_ids(
    encoder: Encoder, start: int, *, sentinel: bool = False
) -> Tokens:
    """Decoder tokens in front of a candidate: the start token, and a sentinel if asked.

    With a sentinel the prompt has to end in it too (`contexts.with_sentinel`).

    Raises:
        ModelError: The tokenizer has no sentinel.
    """
    if not sentinel:
        return (start,)
    name = encoder.tokenizer.convert_tokens_to_ids(SENTINEL)
    if not isinstance(name, int) or name == encoder.tokenizer.unk_token_id:
        raise ModelError(
            f"the tokenizer has no {SENTINEL}; leave out sentinel: true, so that the "
            "answer follows the prompt"
        )
    return start, name


def _encode_behind(
    encoder: Encoder, prompts: Sequence[str], candidates: Sequence[str]
) -> list[Tokens]:
    """Ids of each candidate behind its prompt; the prompt's own must not change."""
    end = "." if encoder.candidate_end == "." else ""
    parts = [split_delimiter(prompt) for prompt in prompts]
    wholes = [
        f"{kept}{delimiter}{candidate}{end}"
        for (kept, delimiter), candidate in zip(parts, candidates, strict=True)
    ]
    distinct = list(dict.fromkeys(kept for kept, _ in parts))
    fronts = dict(zip(distinct, encode_unchecked(encoder, distinct), strict=True))
    split, broken = [], []
    for (kept, _), whole in zip(parts, encode_unchecked(encoder, wholes), strict=True):
        front = fronts[kept].ids
        split.append(whole.ids[len(front) :])
        if whole.ids[: len(front)] != front:
            broken.append(whole.text)
    if broken:
        raise ModelError(
            f"{len(broken)} of {len(wholes)} prompts change their own ids when a "
            f"candidate follows, for instance {broken[:_NAMED]}; the tokenizer merges "
            "across the border, so candidates cannot be scored behind these prompts: "
            "change the end of the template"
        )
    return split


def _encode_alone(encoder: Encoder, candidates: Sequence[str]) -> list[Tokens]:
    end = "." if encoder.candidate_end == "." else ""
    texts = [f"{candidate}{end}" for candidate in candidates]
    batch = encoder.tokenizer(texts, add_special_tokens=False)
    return [tuple(ids) for ids in batch["input_ids"]]


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """A span of the text less the white space at its ends."""
    span = text[start:end]
    return start + len(span) - len(span.lstrip()), end - len(span) + len(span.rstrip())
