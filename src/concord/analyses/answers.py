"""Does the wording of the task change the answer that a model writes?

Every question of a user's task is asked in every instruction, and in the first with
every perturbation; the model continues the prompt greedily, and the answer is what
stands before the first stop, in the form in which answers are compared. What holds no
answer is null: it agrees with nothing and is never right.

It cannot show whether two answers in other words mean the same: compared are texts.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from concord.analyses.blocks import Block, blocks_of
from concord.analyses.budgets import remembered_budget
from concord.analyses.facts import scoring_model
from concord.analyses.part import Part, Task
from concord.analyses.task_contexts import task_contexts
from concord.data.answer_text import answer_in, has_stopped, normalised
from concord.data.free_tasks import FreeData
from concord.models.encoder import EncodedPrompt
from concord.models.memory import TokenBudget
from concord.models.prompts import encode_in_context, encoder_of
from concord.scoring.engine import budget_of
from concord.scoring.generation import Continuation, continue_greedily
from concord.scoring.records import ScoringConfig

PART_PROMPTS = 512
"""Prompts answered together and lost together in a kill."""


def run(task: Task) -> Iterator[Part]:
    """One part for each block of items in each wording and context."""
    budget: TokenBudget | None = None
    contexts = task_contexts(task, "answers")
    for block in blocks_of(task.data.answers, contexts, lambda data: PART_PROMPTS):
        if block.name in task.finished:
            task.advance(len(block.data.items[block.part]))
            continue
        if budget is None:
            config = ScoringConfig(head_dtype=task.study.facts.head_dtype)
            first = budget_of(scoring_model(task.model), config)
            budget = remembered_budget(task, "answers", first.positions)
        prompts = _encode(task, block)
        written = _answer(task, block, prompts, budget)
        yield Part(block.name, _rows(task, block, prompts, written))


def end_ids_of(task: Task) -> frozenset[int]:
    """Tokens that end an answer: the model's own ends, and a new text's begin."""
    tokenizer, network = task.model.tokenizer, task.model.network
    found: list[Any] = []
    for given in (
        getattr(network.generation_config, "eos_token_id", None),
        network.config.eos_token_id,
        tokenizer.eos_token_id,
        tokenizer.bos_token_id,
    ):
        found += given if isinstance(given, list) else [given]
    return frozenset(one for one in found if isinstance(one, int))


def _encode(task: Task, block: Block[FreeData]) -> list[EncodedPrompt]:
    model = task.model
    return encode_in_context(
        encoder_of(model.entry, model.tokenizer, model.network.config),
        block.context,
        [item.prompts[block.wording] for item in block.data.items[block.part]],
        label=model.label,
        vocabulary=model.vocabulary_size,
    )


def _answer(
    task: Task,
    block: Block[FreeData],
    prompts: Sequence[EncodedPrompt],
    budget: TokenBudget,
) -> list[Continuation]:
    data, ends = block.data, end_ids_of(task)
    padding: Any = task.model.tokenizer.pad_token_id
    is_apart = isinstance(padding, int) and padding not in ends
    return continue_greedily(
        scoring_model(task.model),
        [prompt.ids for prompt in prompts],
        max_tokens=data.max_tokens,
        end_ids=ends,
        forbidden=(padding,) if is_apart else (),
        is_over=lambda tokens: has_stopped(_text(task, tokens), data.stop),
        head_dtype=task.study.facts.head_dtype,
        budget=budget,
        row_limit=task.study.row_limit,
        progress=task.advance,
    )


def _text(task: Task, tokens: Sequence[int]) -> str:
    return str(
        task.model.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    )


def _rows(
    task: Task,
    block: Block[FreeData],
    prompts: Sequence[EncodedPrompt],
    written: Sequence[Continuation],
) -> pa.Table:
    """One row for each prompt of a block."""
    data, items = block.data, block.data.items[block.part]
    wording = data.wordings[block.wording]
    texts = [_text(task, one.tokens) for one in written]
    answers = [answer_in(text, data.stop, data.pattern) for text in texts]
    keys = [None if answer is None else normalised(answer) for answer in answers]
    accepted = [{normalised(one) for one in item.accepted} for item in items]
    count = len(items)
    columns = {
        "dataset": [data.name] * count,
        "contexts": [block.context.contexts] * count,
        "item": [item.id for item in items],
        "parent": [item.id if wording.perturbation else None for item in items],
        "topic": [item.topic for item in items],
        "cluster": [item.identity for item in items],
        "group": [item.group for item in items],
        "perturbation": [wording.perturbation] * count,
        "prompt": [prompt.text for prompt in prompts],
        "text": texts,
        "answer": answers,
        "normalised": keys,
        "right_answer": [item.accepted[0] for item in items],
    }
    return pa.table(
        {name: pa.array(values, pa.string()) for name, values in columns.items()}
        | {
            "context": pa.array([block.context.index] * count, pa.int8()),
            "wording": pa.array([block.wording] * count, pa.int16()),
            "instruction": pa.array([wording.instruction] * count, pa.int16()),
            "is_repeat": pa.array([item.is_repeat(block.wording) for item in items]),
            "is_correct": pa.array(
                [key in own for key, own in zip(keys, accepted, strict=True)]
            ),
            "log_probability": pa.array(
                [one.log_probability for one in written], pa.float32()
            ),
            "tokens": pa.array([len(one.tokens) for one in written], pa.int16()),
            "is_cut": pa.array([one.is_cut for one in written]),
        }
    )
