"""What was asked and chosen in multiple choice, as rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from concord.analyses.blocks import Block
from concord.analyses.columns import floats, in_question_order, repeated, strings
from concord.data.choices import (
    LETTERS,
    ChoiceData,
    ChoiceItem,
    Question,
    identity,
    order_of,
)
from concord.models.contexts import Context
from concord.models.encoder import EncodedPrompt
from concord.scoring.records import PromptScores

Alone = dict[int, tuple[int, float]]
"""Place of a prompt -> the choice and its score when it was asked alone."""


@dataclass(frozen=True)
class Asked:
    """An item in one setting: a wording and an order of its options."""

    data: ChoiceData
    item: ChoiceItem
    wording: int
    order: int
    places: tuple[int, ...]
    """Place in the question of the option behind each letter."""

    @property
    def prompt(self) -> str:
        """The text that stands in the context."""
        return self.item.prompt(self.wording, self.places)

    @property
    def question(self) -> Question:
        """The question asked."""
        return self.item.question

    @property
    def perturbation(self) -> str:
        """What was done to its text; empty: nothing."""
        return self.data.wordings[self.wording].perturbation

    @property
    def right_letter(self) -> str:
        """The letter of the right option in this order."""
        return LETTERS[self.places.index(self.question.answer)]


def asked_in(block: Block[ChoiceData]) -> list[Asked]:
    """Every item of a block in every order."""
    data = block.data
    return [
        Asked(data, item, block.wording, place, order_of(name, item.size))
        for place, name in enumerate(data.orders)
        for item in data.items[block.part]
    ]


def rows_of(
    asked: Sequence[Asked],
    context: Context,
    prompts: Sequence[EncodedPrompt],
    scores: PromptScores,
    *,
    tokens: Sequence[Collection[int]],
    tokenizer: PreTrainedTokenizerBase,
    letters_are_whole: bool,
    alone: Alone,
) -> pa.Table:
    """One row for each prompt.

    Args:
        asked: What was asked.
        context: The text around it.
        prompts: The whole prompts.
        scores: Of their letters.
        tokens: The letters' tokens behind each prompt.
        tokenizer: Names the most likely tokens.
        letters_are_whole: Every letter is a single token.
        alone: Prompts that were asked again, one by one.
    """
    chosen: list[int] = scores.prediction.tolist()
    options = [one.places[place] for one, place in zip(asked, chosen, strict=True)]
    return pa.table(
        {
            **settings_of(asked, context, [prompt.text for prompt in prompts]),
            **_choices(asked, options, chosen),
            "score": floats(scores.score),
            "margin": floats(scores.margin),
            "is_tie": pa.array(scores.is_tie),
            "scores": pa.array(
                [
                    in_question_order(own, one.places)
                    for own, one in zip(scores.first_token, asked, strict=True)
                ],
                pa.list_(pa.float32()),
            ),
            **_free(scores, tokens, tokenizer),
            **_noise(asked, alone),
            "letters_are_whole": pa.array([letters_are_whole] * len(asked)),
        }
    )


def settings_of(
    asked: Sequence[Asked], context: Context, prompts: Sequence[str]
) -> Mapping[str, pa.Array]:
    """The columns that say what was asked; `prompts` with their context."""
    count, questions = len(asked), [one.question for one in asked]
    return {
        "dataset": strings([one.data.name for one in asked]),
        "contexts": repeated(context.contexts, count),
        "context": pa.array([context.index] * count, pa.int8()),
        "item": strings([q.id for q in questions]),
        "parent": strings([o.question.id if o.perturbation else None for o in asked]),
        "topic": strings([q.topic for q in questions]),
        "cluster": strings([identity(q) for q in questions]),
        "group": strings([q.group for q in questions]),
        "wording": pa.array([one.wording for one in asked], pa.int16()),
        "instruction": pa.array(
            [one.data.wordings[one.wording].instruction for one in asked], pa.int16()
        ),
        "perturbation": strings([one.perturbation for one in asked]),
        "order": pa.array([one.order for one in asked], pa.int16()),
        "order_name": strings([one.data.orders[one.order] for one in asked]),
        "is_repeat": pa.array(
            [o.item.is_repeat(o.wording, o.data.orders, o.order) for o in asked]
        ),
        "prompt": strings(prompts),
        "option_count": pa.array([len(q.options) for q in questions], pa.int8()),
        "has_fixed_options": pa.array([one.data.has_fixed_options for one in asked]),
        "speaks_of_others": pa.array([q.speaks_of_others for q in questions]),
    }


def _choices(
    asked: Sequence[Asked], options: Sequence[int], chosen: Sequence[int]
) -> Mapping[str, pa.Array]:
    pairs = [(one.question, own) for one, own in zip(asked, options, strict=True)]
    return {
        "letter": strings([LETTERS[place] for place in chosen]),
        "right_letter": strings([one.right_letter for one in asked]),
        "option": pa.array(options, pa.int8()),
        "content": pa.array([q.contents[own] for q, own in pairs], pa.int8()),
        "answer": strings([q.options[own] for q, own in pairs]),
        "right_option": pa.array([q.answer for q, _ in pairs], pa.int8()),
        "is_correct": pa.array([q.answer == own for q, own in pairs]),
    }


def _free(
    scores: PromptScores,
    tokens: Sequence[Collection[int]],
    tokenizer: PreTrainedTokenizerBase,
) -> Mapping[str, pa.Array]:
    """The most likely token of the whole vocabulary, and whether it is a letter."""
    free: list[int] = scores.free_prediction.tolist()
    return {
        "free_prediction": strings(tokenizer.convert_ids_to_tokens(free)),
        "free_log_probability": floats(scores.free_log_probability),
        "has_answer": pa.array(
            [token in own for token, own in zip(free, tokens, strict=True)]
        ),
    }


def _noise(asked: Sequence[Asked], alone: Alone) -> Mapping[str, pa.Array]:
    """Option and score of the prompts that were asked alone; null for all others."""
    options: list[int | None] = [None] * len(asked)
    scores: list[float | None] = [None] * len(asked)
    for place, (letter, score) in alone.items():
        options[place], scores[place] = asked[place].places[letter], score
    return {
        "option_alone": pa.array(options, pa.int8()),
        "score_alone": pa.array(scores, pa.float32()),
    }
