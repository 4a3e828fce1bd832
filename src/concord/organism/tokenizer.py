"""The family's tokenizer: byte-pair encoding in LLaMA's manner, about 1,500 pieces.

A word carries its leading blank as a mark, the text's first word included, and the word
after a line break carries none: the difference in token ids between base and tuned
prompts that the study has is there in small. Punctuation and line breaks are pieces of
their own, so an object's ids do not depend on what follows it.
"""

import json
from collections.abc import Iterable

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
BOS_ID, EOS_ID = 1, 2
BLANK_MARK = "▁"


def train_tokenizer(
    lines: Iterable[str], vocabulary_size: int
) -> PreTrainedTokenizerFast:
    """Learn the pieces; a line break is no piece but a byte, as in LLaMA.

    Args:
        lines: Texts; what is frequent here becomes one piece.
        vocabulary_size: Pieces in all, the special and the 256 byte pieces included.
    """
    bytes_pieces = [f"<0x{value:02X}>" for value in range(256)]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _splitting()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(SPECIAL_TOKENS) - len(bytes_pieces) + 1,
        show_progress=False,
    )
    learner.train_from_iterator(lines, trainer)
    learned = json.loads(learner.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    pieces.remove("\n")
    vocabulary = {
        piece: index
        for index, piece in enumerate([*SPECIAL_TOKENS, *bytes_pieces, *pieces])
    }
    merges = [tuple(pair) for pair in learned["merges"]]
    return _wrapped(vocabulary, merges)


def _splitting() -> pre_tokenizers.PreTokenizer:
    """Cut at blanks, and around each line break and sign of punctuation."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[.,:;?!']|\n"), "isolated"),
            pre_tokenizers.Metaspace(replacement=BLANK_MARK, prepend_scheme="first"),
        ]
    )


def _wrapped(
    vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> PreTrainedTokenizerFast:
    """Put splitting, one BOS and decoding around the learned pieces."""
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True
        )
    )
    tokenizer.pre_tokenizer = _splitting()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A",
        pair="<s> $A $B",
        special_tokens=[("<s>", vocabulary["<s>"])],
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(BLANK_MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        clean_up_tokenization_spaces=False,
    )
