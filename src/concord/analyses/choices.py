"""Does the wording of the task, or the order of the options, change the choice?

Every question is asked in each setting, an instruction (or a perturbed text) and an
order of the options. The letters A, B, ... are scored as next tokens, all from one pass
over the prompt; the choice is the option behind the best letter, the first at a tie.

It cannot show that an answer is known, nor what a model would say freely: the row holds
the most likely token of the whole vocabulary beside the choice, and whether that is one
of the letters.

Source: Fierro et al. (2024), section 3 and appendix C.1; prompts after Open-Instruct
(Wang et al. 2023).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from concord.analyses.facts import scoring_model
from concord.analyses.part import Part, Task
from concord.data.choices import LETTERS, ChoiceData, ChoiceItem, identity, order_of
from concord.errors import ModelError
from concord.models.contexts import Context, contexts_of
from concord.models.encoder import EncodedPrompt, Encoder
from concord.models.prompts import encode_in_context, encoder_of, in_context
from concord.models.tokens import Tokens, candidate_ids, candidate_sets
from concord.scoring.batching import TokenBudget, on_grid
from concord.scoring.engine import budget_of, score_prompts
from concord.scoring.records import PromptScores, ScoringConfig
from concord.scoring.trie import CandidateTrie, build_trie

PART_PROMPTS = 2048
"""Prompts scored together and lost together in a kill."""
_LOOKED_AT = 32
"""Items with the longest questions, encoded before anything is measured."""


@dataclass(frozen=True)
class Block:
    """Some items of a data set in one setting and context."""

    data: ChoiceData
    context: Context
    wording: int
    order: int
    number: int

    @property
    def name(self) -> str:
        """Name of its part."""
        place = f"{self.wording}-{self.order}-{self.number:05d}"
        return f"{self.data.name}-{self.context.contexts}-{place}"

    @property
    def items(self) -> tuple[ChoiceItem, ...]:
        """The items asked."""
        start = self.number * PART_PROMPTS
        return self.data.items[start : start + PART_PROMPTS]

    def order_for(self, item: ChoiceItem) -> tuple[int, ...]:
        """Place in the item's question of the option behind each letter."""
        return order_of(self.data.orders[self.order], len(item.question.options))


@dataclass(frozen=True, eq=False)
class Letters:
    """The letters as a model's tokens, one trie for each number of options."""

    tries: list[CandidateTrie]
    trie_index: list[int]
    """The trie of each prompt."""
    are_whole: bool
    """Each letter is a single token; else the last of its tokens stands for it."""


def run(task: Task) -> Iterator[Part]:
    """One part for each block of items in each setting and context."""
    budget: TokenBudget | None = None
    _refuse_long(task)
    for block in blocks_of(task):
        if block.name in task.finished:
            task.advance(len(block.items))
            continue
        prompts = encode_block(task, block)
        letters = letters_of(task, block, prompts)
        config = scoring_config(task, prompts)
        budget = budget or budget_of(scoring_model(task.model), config)
        scores, _ = score_prompts(
            scoring_model(task.model),
            [prompt.ids for prompt in prompts],
            letters.tries,
            letters.trie_index,
            config=config,
            budget=budget,
            progress=task.advance,
        )
        yield Part(block.name, _rows(task, block, prompts, letters, scores))


def blocks_of(task: Task) -> list[Block]:
    """All blocks, in the order in which they are measured."""
    return [
        Block(data, context, wording, order, number)
        for data in task.data.choices
        for context in _contexts(task)
        for wording in range(len(data.wordings))
        for order in range(len(data.orders))
        for number in range(-(-len(data.items) // PART_PROMPTS))
    ]


def encode_block(task: Task, block: Block) -> list[EncodedPrompt]:
    """The ids of a block's prompts.

    Raises:
        ModelError: A prompt is longer than the model takes; the question is named.
    """
    return _encode(task, block, block.items)


def _refuse_long(task: Task) -> None:
    """Look at the longest prompts first, so that nothing is measured in vain."""
    for block in blocks_of(task):
        if not (block.number or block.wording or block.order):
            items = sorted(
                block.data.items, key=lambda i: -len(i.prompt(0, block.order_for(i)))
            )
            _encode(task, block, items[:_LOOKED_AT])


def _encode(
    task: Task, block: Block, items: Sequence[ChoiceItem]
) -> list[EncodedPrompt]:
    model = task.model
    prompts = encode_in_context(
        encoder_of(model.entry, model.tokenizer, model.network.config),
        block.context,
        [item.prompt(block.wording, block.order_for(item)) for item in items],
        label=model.label,
    )
    most = model.max_length
    for item, prompt in zip(items, prompts, strict=True):
        if most is not None and len(prompt.ids) > most:
            raise ModelError(
                f"{model.label}: the prompt of {item.question.place} has "
                f"{len(prompt.ids)} tokens, but the model takes {most}; nothing is "
                "cut: leave the question out, or name topics with shorter ones "
                "(choices.topics)"
            )
    return prompts


def letters_of(task: Task, block: Block, prompts: Sequence[EncodedPrompt]) -> Letters:
    """The letters' tokens behind the prompts of a block.

    Raises:
        ModelError: Two letters have the same token, or their tokens differ from prompt
            to prompt.
    """
    model = task.model
    encoder = in_context(
        encoder_of(model.entry, model.tokenizer, model.network.config), block.context
    )
    counts = [len(item.question.options) for item in block.items]
    letters = LETTERS[: max(counts)]
    ids = _letter_ids(encoder, [prompt.text for prompt in prompts], letters)
    last = [own[-1] for own in ids]
    if len(set(last)) < len(last):
        named = ", ".join(f"{a}: {list(b)}" for a, b in zip(letters, ids, strict=True))
        raise ModelError(
            f"{model.label}: its tokenizer gives two letters the same last token "
            f"({named}), so they cannot be told apart; needed one token for each; "
            "name another tokenizer (tokenizer=)"
        )
    sizes = sorted(set(counts))
    return Letters(
        tries=[
            build_trie([(token,) for token in last[:size]], texts=letters[:size])
            for size in sizes
        ],
        trie_index=[sizes.index(count) for count in counts],
        are_whole=all(len(own) == 1 for own in ids),
    )


def scoring_config(task: Task, prompts: Sequence[EncodedPrompt]) -> ScoringConfig:
    """One pass: letters are single tokens, so the first token is the whole score."""
    rows = task.study.batch_size
    longest = max(len(prompt.ids) for prompt in prompts)
    return ScoringConfig(
        mode="first",
        head_dtype=task.study.facts.head_dtype,
        token_budget=None if rows == "auto" else rows * on_grid(longest),
    )


def _contexts(task: Task) -> tuple[Context, ...]:
    return contexts_of(
        task.model.entry,
        task.model.tokenizer,
        kind=task.model.kind,
        task="choices",
        names=task.study.contexts,
        base_entry=task.study.base,
    )


def _letter_ids(
    encoder: Encoder, prompts: Sequence[str], letters: str
) -> tuple[Tokens, ...]:
    """Ids of each letter, the same behind every prompt."""
    sets = candidate_sets(encoder, prompts, letters)
    if len(sets.sets) == 1:
        return sets.sets[0]
    odd = next(p for p, i in zip(prompts, sets.set_index, strict=True) if i)
    raise ModelError(
        f"letters have other tokens behind {odd[-40:]!r} "
        f"({candidate_ids(encoder, odd, letters)}) than behind {prompts[0][-40:]!r} "
        f"({sets.sets[0]}); end all prompts alike"
    )


def _rows(
    task: Task,
    block: Block,
    prompts: Sequence[EncodedPrompt],
    letters: Letters,
    scores: PromptScores,
) -> pa.Table:
    """One row for each prompt of a block."""
    data, items = block.data, block.items
    questions = [item.question for item in items]
    orders = [block.order_for(item) for item in items]
    chosen: list[int] = scores.prediction.tolist()
    options = [order[place] for order, place in zip(orders, chosen, strict=True)]
    wording = data.wordings[block.wording]
    tries = [letters.tries[index] for index in letters.trie_index]
    free: list[int] = scores.free_prediction.tolist()
    named = task.model.tokenizer.convert_ids_to_tokens(free)
    return pa.table(
        {
            "dataset": pa.array([data.name] * len(items), pa.string()),
            "contexts": pa.array([block.context.contexts] * len(items), pa.string()),
            "context": pa.array([block.context.index] * len(items), pa.int8()),
            "item": pa.array([q.id for q in questions], pa.string()),
            "parent": pa.array(
                [q.id if wording.perturbation else None for q in questions],
                pa.string(),
            ),
            "topic": pa.array([q.topic for q in questions], pa.string()),
            "cluster": pa.array([identity(q) for q in questions], pa.string()),
            "wording": pa.array([block.wording] * len(items), pa.int16()),
            "instruction": pa.array([wording.instruction] * len(items), pa.int16()),
            "perturbation": pa.array([wording.perturbation] * len(items), pa.string()),
            "order": pa.array([block.order] * len(items), pa.int16()),
            "order_name": pa.array(
                [data.orders[block.order]] * len(items), pa.string()
            ),
            "is_repeat": pa.array(
                [i.is_repeat(block.wording, data.orders, block.order) for i in items]
            ),
            "prompt": pa.array([prompt.text for prompt in prompts], pa.string()),
            "letter": pa.array([LETTERS[place] for place in chosen], pa.string()),
            "right_letter": pa.array(
                [
                    LETTERS[order.index(q.answer)]
                    for q, order in zip(questions, orders, strict=True)
                ],
                pa.string(),
            ),
            "option": pa.array(options, pa.int8()),
            "content": pa.array(
                [q.contents[o] for q, o in zip(questions, options, strict=True)],
                pa.int8(),
            ),
            "right_option": pa.array([q.answer for q in questions], pa.int8()),
            "is_correct": pa.array(
                [q.answer == o for q, o in zip(questions, options, strict=True)]
            ),
            "score": _floats(scores.score),
            "margin": _floats(scores.margin),
            "is_tie": pa.array(scores.is_tie),
            "scores": pa.array(
                [
                    _in_question_order(own, order)
                    for own, order in zip(scores.first_token, orders, strict=True)
                ],
                pa.list_(pa.float32()),
            ),
            "option_count": pa.array([len(q.options) for q in questions], pa.int8()),
            "free_prediction": pa.array(named, pa.string()),
            "free_log_probability": _floats(scores.free_log_probability),
            "has_answer": pa.array(
                [
                    (token,) in trie.candidates
                    for token, trie in zip(free, tries, strict=True)
                ]
            ),
            "letters_are_whole": pa.array([letters.are_whole] * len(items)),
            "has_fixed_options": pa.array([data.has_fixed_options] * len(items)),
            "speaks_of_others": pa.array([q.speaks_of_others for q in questions]),
        }
    )


def _in_question_order(scores: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Log-probability of each option's letter, by the option's place in the question.

    Whatever letter an option stands behind, its score has one place in all settings.
    """
    placed = np.empty(len(order), np.float32)
    placed[list(order)] = scores
    return placed


def _floats(values: np.ndarray) -> pa.Array:
    """Float32, NaN as null: not measured."""
    return pa.array(np.asarray(values, np.float32), from_pandas=True)
