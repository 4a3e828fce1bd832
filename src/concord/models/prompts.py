"""Sentences in their context, as the ids a model is given."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PretrainedConfig, PreTrainedTokenizerFast

from concord.errors import ModelError
from concord.models.contexts import Context
from concord.models.encoder import EncodedPrompt, Encoder
from concord.models.tokens import encode_prompts
from concord.study import ModelEntry


def encoder_of(
    entry: ModelEntry, tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig
) -> Encoder:
    """The rules by which a model of the study gets its ids."""
    return Encoder(
        tokenizer=tokenizer,
        bos=entry.bos,
        family=config.model_type,
        is_encoder_decoder=bool(config.is_encoder_decoder),
    )


def in_context(encoder: Encoder, context: Context) -> Encoder:
    """The same rules for a context that may hold its special tokens itself."""
    return replace(encoder, has_special_tokens=context.has_special_tokens)


def encode_in_context(
    encoder: Encoder, context: Context, sentences: Sequence[str], *, label: str
) -> list[EncodedPrompt]:
    """Ids of every sentence in a context.

    Raises:
        ModelError: Special tokens are missing or doubled, or a prompt has no token; the
            model is named.
    """
    texts = [context.wrap(sentence) for sentence in sentences]
    try:
        return encode_prompts(in_context(encoder, context), texts)
    except ModelError as error:
        raise ModelError(f"{label}: {error}") from error
