"""The rules by which a model gets its ids, and the checks of special tokens.

A begin-of-sequence token (BOS) that is missing or doubled changes every number without
a sign of it, so it is asserted on the ids of every prompt.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from concord.errors import ModelError

Tokens = tuple[int, ...]
BosPolicy = Literal["tokenizer", "always", "never"]

# What each family was trained with; a family not named here is taken at its
# tokenizer's word.
_TRAINED_WITH_BOS = {
    "llama": True,
    "mistral": True,
    "gemma": True,
    "gemma2": True,
    "gemma3_text": True,
    "opt": True,
    "t5": False,
    "mt5": False,
    "gpt2": False,
    "gpt_neox": False,
    "falcon": False,
    "qwen2": False,
    "qwen3": False,
}


@dataclass(frozen=True)
class Encoder:
    """A tokenizer and the rules by which a model gets its ids."""

    tokenizer: PreTrainedTokenizerBase
    bos: BosPolicy = "tokenizer"
    family: str = ""
    """Model type, for what it was trained with; empty: no opinion."""
    is_encoder_decoder: bool = False
    has_special_tokens: bool = False
    """Prompts hold their special tokens as text (chat templates): none is added."""
    candidate_end: Literal["", ".", "eos"] = ""
    """Appended to every candidate and scored."""

    def __post_init__(self) -> None:
        """Refuse a slow tokenizer: it cannot tell where a subject stands."""
        if not self.tokenizer.is_fast:
            raise ModelError(
                f"found {type(self.tokenizer).__name__}, a slow tokenizer without "
                "character offsets; needed a fast one (tokenizer.json): convert it "
                "with transformers, or name another with tokenizer="
            )


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt's ids, and the characters each of them stands for."""

    text: str
    ids: Tokens
    offsets: tuple[tuple[int, int], ...]
    """First character and the one after the last; special tokens have (0, 0)."""

    @property
    def hash(self) -> str:
        """Name of this prompt that depends on its ids alone."""
        return prompt_hash(self.ids)


def encode_unchecked(encoder: Encoder, texts: Sequence[str]) -> list[EncodedPrompt]:
    """Ids and offsets under the BOS policy, unchecked."""
    tokenizer = encoder.tokenizer
    adds = not encoder.has_special_tokens and (
        encoder.bos == "tokenizer" or encoder.is_encoder_decoder
    )
    batch = tokenizer(list(texts), add_special_tokens=adds, return_offsets_mapping=True)
    puts_bos = encoder.bos == "always" and not (adds or encoder.has_special_tokens)
    front = (bos_id(encoder),) if puts_bos else ()
    return [
        EncodedPrompt(
            text=text,
            ids=(*front, *ids),
            offsets=(
                *((0, 0),) * len(front),
                *((first, after) for first, after in offsets),
            ),
        )
        for text, ids, offsets in zip(
            texts, batch["input_ids"], batch["offset_mapping"], strict=True
        )
    ]


def prompt_hash(ids: Sequence[int]) -> str:
    """A prompt's name from its ids: 32 hexadecimal digits."""
    return hashlib.sha256(np.asarray(ids, dtype="<i4").tobytes()).hexdigest()[:32]


def check_bos(encoder: Encoder, prompt: EncodedPrompt) -> None:
    """Exactly one BOS, in front, or none at all: as the policy and the family say."""
    bos = encoder.tokenizer.bos_token_id
    count = 0 if bos is None else prompt.ids.count(bos)
    wanted = _wants_bos(encoder)
    if count > 1 or (count == 1 and prompt.ids[0] != bos):
        raise ModelError(
            f"prompt {prompt.text!r} has {count} begin-of-sequence tokens (ids "
            f"{list(prompt.ids[:4])} ...); needed one at the front or none: remove "
            f"{encoder.tokenizer.bos_token!r} from the text, or set bos: never"
        )
    if wanted is None or wanted == bool(count):
        return
    is_family = encoder.bos == "tokenizer"
    who = f"the {encoder.family} family" if is_family else f"bos: {encoder.bos}"
    if wanted:
        raise ModelError(
            f"prompt {prompt.text!r} starts without a begin-of-sequence token, but "
            f"{who} needs one; set bos: always (or bos: never if the model was trained "
            "without)"
        )
    raise ModelError(
        f"prompt {prompt.text!r} starts with a begin-of-sequence token, but {who} "
        "needs none; set bos: never (or bos: always if the model was trained with one)"
    )


def _wants_bos(encoder: Encoder) -> bool | None:
    """Whether a prompt must start with BOS; None: as the tokenizer does."""
    if encoder.bos != "tokenizer":
        return encoder.bos == "always"
    return _TRAINED_WITH_BOS.get(encoder.family)


def check_end(encoder: Encoder, prompt: EncodedPrompt) -> None:
    """A causal prompt goes on; an encoder's is closed as its tokenizer does."""
    tokenizer = encoder.tokenizer
    end = tokenizer.eos_token_id
    if encoder.is_encoder_decoder or end is None or end == tokenizer.bos_token_id:
        return
    if prompt.ids[-1] == end:
        raise ModelError(
            f"prompt {prompt.text!r} ends with {tokenizer.eos_token!r}: the tokenizer "
            "closes every text, so nothing can follow; set add_eos_token: false in its "
            "tokenizer_config.json, or bos: always"
        )


def bos_id(encoder: Encoder) -> int:
    """The tokenizer's begin-of-sequence token."""
    bos = encoder.tokenizer.bos_token_id
    if not isinstance(bos, int):
        raise ModelError(
            "bos: always, but the tokenizer has no begin-of-sequence token; "
            "set bos: never"
        )
    return bos


def end_id(encoder: Encoder) -> int:
    """The tokenizer's end-of-sequence token."""
    end = encoder.tokenizer.eos_token_id
    if not isinstance(end, int):
        raise ModelError(
            'candidate_end: eos, but the tokenizer has no end token; use "" or "."'
        )
    return end
