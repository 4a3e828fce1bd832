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
    encoder: Encoder,
    context: Context,
    sentences: Sequence[str],
    *,
    label: str,
    vocabulary: int | None = None,
) -> list[EncodedPrompt]:
    """Ids of every sentence in a context.

    Args:
        encoder: The rules.
        context: The text around each sentence.
        sentences: What goes into its slot.
        label: The model's, for messages.
        vocabulary: Rows of the model's embedding; ids beyond are refused.

    Raises:
        ModelError: Special tokens are missing or doubled, a prompt has no token, or a
            token has no embedding: the tokenizer is another model's.
    """
    texts = [context.wrap(sentence) for sentence in sentences]
    try:
        prompts = encode_prompts(in_context(encoder, context), texts)
    except ModelError as error:
        raise ModelError(f"{label}: {error}") from error
    for prompt in prompts:
        if vocabulary is not None and max(prompt.ids) >= vocabulary:
            raise ModelError(
                f"{label}: its tokenizer gives {prompt.text!r} the id "
                f"{max(prompt.ids)}, but the model's embedding ends at "
                f"{vocabulary - 1}; give the tokenizer the model was trained with "
                "(tokenizer=)"
            )
    return prompts
