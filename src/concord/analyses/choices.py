"""Does the wording of the task, or the order of the options, change the choice?

Every question is asked in each setting, an instruction (or a perturbed text) and an
order of the options. The letters A, B, ... are scored as next tokens, all from one pass
over the prompt; the choice is the option behind the best letter, the first at a tie.
What prompts of one instruction begin with is run once.

It cannot show that an answer is known, nor what a model would say freely: the row holds
the most likely token of the whole vocabulary beside the choice, and whether that is one
of the letters. A sample of prompts is asked again one by one, to measure the noise.

Source: Fierro et al. (2024), section 3 and appendix C.1; prompts after Open-Instruct
(Wang et al. 2023).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from concord.analyses.blocks import Block, blocks_of
from concord.analyses.choice_rows import Alone, Asked, asked_in, rows_of
from concord.analyses.facts import scoring_budget, scoring_model
from concord.analyses.part import Part, Task
from concord.analyses.task_contexts import task_contexts
from concord.data.choices import LETTERS, ChoiceData, order_of
from concord.errors import ModelError
from concord.models.architecture import sliding_window, without_adapter_wrapper
from concord.models.contexts import Context
from concord.models.encoder import EncodedPrompt, Encoder
from concord.models.memory import TokenBudget
from concord.models.padding import on_grid
from concord.models.prompts import encode_in_context, encoder_of, in_context
from concord.models.tokens import Tokens, candidate_ids, candidate_sets
from concord.scoring.engine import score_prompts
from concord.scoring.records import ScoringConfig, one_by_one
from concord.scoring.trie import CandidateTrie, build_trie

PART_PROMPTS = 2048
"""Prompts finished together and lost together in a kill, about."""
SHARED_PROMPTS = 256
"""Prompts from which a topic is worth a call of its own: its name is shared too."""
_LOOKED_AT = 32
"""Items with the longest questions, encoded before anything is measured."""


@dataclass(frozen=True, eq=False)
class Letters:
    """The letters as a model's tokens, one trie for each number of options."""

    tries: list[CandidateTrie]
    trie_index: list[int]
    """The trie of each prompt."""
    are_whole: bool
    """Each letter is a single token; else the last of its tokens stands for it."""


def run(task: Task) -> Iterator[Part]:
    """One part for each block of items in each wording and context."""
    budget: TokenBudget | None = None
    contexts = task_contexts(task, "choices")
    blocks = blocks_of(task.data.choices, contexts, items_of_a_block)
    if task.study.choices.too_long == "leave_out":
        kept = tuple(_that_fit(task, data, contexts) for data in task.data.choices)
        blocks = blocks_of(kept, contexts, items_of_a_block)
    _refuse_long(task, blocks)
    again = _asked_again(task, blocks)
    for block, chosen in zip(blocks, again, strict=True):
        asked = asked_in(block)
        if block.name in task.finished:
            task.advance(len(asked))
            continue
        tables = []
        for call in calls_of([one.item.question.topic for one in asked]):
            own = [asked[place] for place in call]
            prompts = encode(task, block, own)
            config = scoring_config(task, prompts)
            budget = budget or scoring_budget(task, config)
            wanted = [place for place, index in enumerate(call) if index in chosen]
            tables.append(_measure(task, block, own, prompts, config, budget, wanted))
        yield Part(block.name, pa.concat_tables(tables))


def items_of_a_block(data: ChoiceData) -> int:
    """As many as make a part's prompts with all orders."""
    return max(1, PART_PROMPTS // len(data.orders))


def calls_of(topics: Sequence[str]) -> list[list[int]]:
    """Places of the prompts to score together: whole topics, while they are few.

    Prompts of one instruction share what stands before the topic; those of one topic
    share its name too, which is worth a call of its own when there are many.
    """
    places: dict[str, list[int]] = {}
    for place, topic in enumerate(topics):
        places.setdefault(topic, []).append(place)
    calls: list[list[int]] = []
    for own in places.values():
        if calls and len(calls[-1]) < SHARED_PROMPTS:
            calls[-1] += own
        else:
            calls.append(list(own))
    return calls


def encode(
    task: Task, block: Block[ChoiceData], asked: Sequence[Asked]
) -> list[EncodedPrompt]:
    """The ids of prompts in a block's context.

    Raises:
        ModelError: A prompt is longer than the model takes; the question is named.
    """
    model = task.model
    prompts = _encoded(task, block.context, asked)
    for one, prompt in zip(asked, prompts, strict=True):
        if _is_long(task, prompt):
            raise ModelError(
                f"{model.label}: the prompt of {one.item.question.place} has "
                f"{len(prompt.ids)} tokens, but the model takes {model.max_length}; "
                "nothing is cut: leave out questions that are too long "
                "(choices.too_long: leave_out), or name topics with shorter ones "
                "(choices.topics)"
            )
    return prompts


def _encoded(
    task: Task, context: Context, asked: Sequence[Asked]
) -> list[EncodedPrompt]:
    model = task.model
    return encode_in_context(
        encoder_of(model.entry, model.tokenizer, model.network.config),
        context,
        [one.prompt for one in asked],
        label=model.label,
    )


def _is_long(task: Task, prompt: EncodedPrompt) -> bool:
    most = task.model.max_length
    return most is not None and len(prompt.ids) > most


def _that_fit(task: Task, data: ChoiceData, contexts: Sequence[Context]) -> ChoiceData:
    """The questions of which the model takes every prompt.

    The summary counts only what every model was asked, so that a question that is too
    long for one is left out for all.
    """
    long = {
        one.question.id
        for block in blocks_of([data], contexts, items_of_a_block)
        for asked in [asked_in(block)]
        for one, prompt in zip(asked, _encoded(task, block.context, asked), strict=True)
        if _is_long(task, prompt)
    }
    kept = tuple(one for one in data.items if one.question.id not in long)
    if not kept:
        raise ModelError(
            f"{task.model.label}: every question of {data.name} has a prompt longer "
            f"than the {task.model.max_length} tokens that the model takes; needed one "
            "that fits: choose another data set, or another model"
        )
    settings = len(contexts) * len(data.wordings) * len(data.orders)
    task.advance(len(long) * settings)
    return replace(data, items=kept)


def letters_of(
    task: Task,
    block: Block[ChoiceData],
    asked: Sequence[Asked],
    prompts: Sequence[EncodedPrompt],
) -> Letters:
    """The letters' tokens behind some prompts of a block.

    Raises:
        ModelError: Two letters have the same token, or their tokens differ from prompt
            to prompt.
    """
    model = task.model
    encoder = in_context(
        encoder_of(model.entry, model.tokenizer, model.network.config), block.context
    )
    counts = [one.item.size for one in asked]
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
    """One pass: letters are single tokens, so the first token is the whole score.

    What all prompts begin with is run once, unless the model looks back less far than
    the longest of them: the mask that this takes would bypass its sliding window.
    """
    rows = task.study.row_limit
    longest = max(len(prompt.ids) for prompt in prompts)
    window = sliding_window(without_adapter_wrapper(task.model.network).config)
    return ScoringConfig(
        mode="first",
        head_dtype=task.study.facts.head_dtype,
        token_budget=None if rows is None else rows * on_grid(longest),
        row_limit=rows,
        share_prefix=not task.model.is_encoder_decoder
        and (window is None or longest < window),
    )


def _measure(
    task: Task,
    block: Block[ChoiceData],
    asked: Sequence[Asked],
    prompts: Sequence[EncodedPrompt],
    config: ScoringConfig,
    budget: TokenBudget,
    again: Sequence[int],
) -> pa.Table:
    """Rows of prompts that are scored in one call; some are asked again alone."""
    model = scoring_model(task.model, ends_in_gap=block.context.ends_in_gap)
    letters = letters_of(task, block, asked, prompts)
    ids = [prompt.ids for prompt in prompts]
    scores, _ = score_prompts(
        model,
        ids,
        letters.tries,
        letters.trie_index,
        config=config,
        budget=budget,
        progress=task.advance,
    )
    # A call for each prompt: its row meets no other prompt's.
    plain = one_by_one(config)
    alone: Alone = {}
    for place in again:
        trie = letters.tries[letters.trie_index[place]]
        own, _ = score_prompts(model, [ids[place]], [trie], [0], config=plain)
        alone[place] = int(own.prediction[0]), float(own.score[0])
    tries = [letters.tries[index] for index in letters.trie_index]
    return rows_of(
        asked,
        block.context,
        prompts,
        scores,
        tokens=[{token for (token,) in trie.candidates} for trie in tries],
        tokenizer=task.model.tokenizer,
        letters_are_whole=letters.are_whole,
        alone=alone,
    )


def _asked_again(task: Task, blocks: Sequence[Block[ChoiceData]]) -> list[set[int]]:
    """For each block the places of its prompts in the noise sample, by the seed."""
    sizes = [
        len(block.data.items[block.part]) * len(block.data.orders) for block in blocks
    ]
    wanted = min(task.study.choices.noise_prompts, sum(sizes))
    chosen = random.Random(task.study.seed).sample(range(sum(sizes)), wanted)
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [
        {place - start for place in chosen if start <= place < start + size}
        for start, size in zip(starts, sizes, strict=True)
    ]


def _refuse_long(task: Task, blocks: Sequence[Block[ChoiceData]]) -> None:
    """Look at the longest prompts first, so that nothing is measured in vain."""
    for block in blocks:
        if not (block.number or block.wording):
            identity = block.data.orders[0]
            asked = [
                Asked(block.data, item, 0, 0, order_of(identity, item.size))
                for item in block.data.items
            ]
            asked.sort(key=lambda one: -len(one.prompt))
            encode(task, block, asked[:_LOOKED_AT])


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
