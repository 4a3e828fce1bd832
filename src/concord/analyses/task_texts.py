"""Texts of a classification task as a model's ids, shortened where they must be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from concord.data.classification import Example
from concord.data.training_sets import TrainingSet
from concord.errors import ModelError
from concord.models.encoder import EncodedPrompt, Encoder
from concord.models.load import LoadedModel
from concord.models.prompts import encoder_of
from concord.models.tokens import Tokens, encode_prompts


@dataclass(frozen=True, eq=False)
class TaskTexts:
    """The ids of every example of a task, by its full text."""

    train: list[Tokens]
    ids: Mapping[str, Tokens]
    """Full text of an item -> what the model is given."""
    shortened: frozenset[str]
    """Full texts that did not fit."""


def task_texts(
    model: LoadedModel, data: TrainingSet, *, most: int | None, spared: int = 0
) -> TaskTexts:
    """Ids of all training rows and items.

    Args:
        model: Whose tokenizer, special tokens and window count.
        data: The task.
        most: Longest text in tokens; None: what the model takes.
        spared: Tokens that are put behind every text.

    Raises:
        ModelError: Special tokens are missing or doubled, a token has no embedding, or
            the text around the examples alone is too long.
    """
    limits = [size for size in (most, model.max_length) if size is not None]
    room = min(limits) - spared if limits else None
    encoder = encoder_of(model.entry, model.tokenizer, model.network.config)
    examples = [*data.train, *(one.example for one in data.items)]
    full = [example.filled(data.layout.text) for example in examples]
    distinct = {text: place for place, text in enumerate(full)}
    places = list(distinct.values())
    try:
        encoded = encode_prompts(encoder, [full[place] for place in places])
        ids = {
            full[place]: _fitting(
                encoder, examples[place], data.layout.text, prompt, room
            )
            for place, prompt in zip(places, encoded, strict=True)
        }
    except ModelError as error:
        raise ModelError(f"{model.label}: task {data.name}: {error}") from error
    _refuse_unknown(model, ids.values())
    shortened = frozenset(
        prompt.text for prompt in encoded if room is not None and len(prompt.ids) > room
    )
    return TaskTexts(
        train=[ids[text] for text in full[: len(data.train)]],
        ids=ids,
        shortened=shortened,
    )


def _fitting(
    encoder: Encoder,
    example: Example,
    text: str,
    prompt: EncodedPrompt,
    room: int | None,
) -> Tokens:
    """Ids of the text, its longest part shortened at the end until it fits."""
    while room is not None and len(prompt.ids) > room:
        name = "first" if len(example.first) > len(example.second) else "second"
        part = getattr(example, name)
        excess = len(prompt.ids) - room
        # At least a letter goes, and no more than the tokens too many may stand for.
        size = max(1, excess * len(part) // len(prompt.ids))
        if len(part) <= size:
            raise ModelError(
                f"the text around the examples leaves them no room in {room} tokens; "
                "shorten it (text, in task.yaml), or raise finetuned.max_tokens"
            )
        example = replace(example, **{name: part[:-size].rstrip()})
        prompt = encode_prompts(encoder, [example.filled(text)])[0]
    return prompt.ids


def _refuse_unknown(model: LoadedModel, texts: Iterable[Tokens]) -> None:
    """Ids beyond the embedding mean a tokenizer of another model."""
    highest = max(max(ids) for ids in texts)
    if highest >= model.vocabulary_size:
        raise ModelError(
            f"{model.label}: its tokenizer gives the id {highest}, but the model's "
            f"embedding ends at {model.vocabulary_size - 1}; give the tokenizer the "
            "model was trained with (tokenizer=)"
        )
