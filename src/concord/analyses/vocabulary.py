"""Tokens as words: which ids count as the same word, and which count at all.

`▁Paris`, `Paris` and `paris` are one class. Special tokens, rows beyond the tokenizer,
byte pieces, words of fewer than three characters, numbers and punctuation, and English
stop-words belong to none: frequent pieces would otherwise look like knowledge.

Source: Geva et al. (2023) clean both sides of the attributes rate in this way.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from concord.results import fingerprint

SHORTEST = 3
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_WORD_START = "▁Ġ"


@cache
def stop_words() -> frozenset[str]:
    """English words that say nothing of a subject: a list of our own keeping.

    With a library's list the rates would change when the library does.
    """
    text = files("concord.analyses").joinpath("stop_words.txt").read_text("utf-8")
    lines = (line.strip().casefold() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


@cache
def stop_words_hash() -> str:
    """Which list it is, for the rows."""
    return fingerprint(sorted(stop_words()))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Classes of a tokenizer's ids."""

    class_of_id: Int[np.ndarray, " id"]
    """-1 for ids that belong to no class."""
    words: tuple[str, ...]
    """The text of each class."""

    def classes_of(self, ids: Iterable[int]) -> Int[np.ndarray, " class_"]:
        """Distinct classes of ids, ascending."""
        found = self.class_of_id[np.asarray(list(ids), dtype=np.int64)]
        return np.unique(found[found >= 0])

    def kept(self, ids: Iterable[int]) -> Int[np.ndarray, " id"]:
        """Distinct ids that belong to a class, ascending."""
        own = np.unique(np.asarray(list(ids), dtype=np.int64))
        return own[self.class_of_id[own] >= 0]


def vocabulary_of(tokenizer: PreTrainedTokenizerFast, size: int) -> Vocabulary:
    """The classes of a tokenizer.

    Args:
        tokenizer: The model's.
        size: Rows of the unembedding; those beyond the tokenizer get no class.
    """
    special = set(tokenizer.all_special_ids) | {
        index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special
    }
    class_of_id = np.full(size, -1, dtype=np.int64)
    index: dict[str, int] = {}
    for number in range(min(size, len(tokenizer))):
        word = None if number in special else word_of(tokenizer, number)
        if word is not None:
            class_of_id[number] = index.setdefault(word, len(index))
    return Vocabulary(class_of_id, tuple(index))


def word_of(tokenizer: PreTrainedTokenizerFast, number: int) -> str | None:
    """The word an id stands for; None where it stands for none that counts."""
    piece = tokenizer.convert_ids_to_tokens(number)
    if not isinstance(piece, str) or _BYTE.fullmatch(piece):
        return None
    bare = piece.lstrip(_WORD_START)
    text = tokenizer.convert_tokens_to_string([piece]) if bare else ""
    word = text.strip().casefold()
    is_word = len(word) >= SHORTEST and any(letter.isalpha() for letter in word)
    return word if is_word and "�" not in word and word not in stop_words() else None
