"""What the mechanism analyses share: prompts with their subject, targets and batches.

A probe is a prompt of `facts` with the places of its subject's tokens. Its rows join
those of `facts` by contexts, context, fact and template.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from concord.analyses.budgets import remembered_budget
from concord.analyses.facts import (
    Prepared,
    Question,
    fact_contexts,
    prepare,
    questions_of,
    scoring_budget,
    scoring_config,
    scoring_model,
)
from concord.analyses.part import Analysis, Part, Task
from concord.data.draw import draw_facts
from concord.data.records import SUBJECT_SLOT
from concord.errors import ModelError
from concord.models import memory
from concord.models.architecture import without_adapter_wrapper
from concord.models.contexts import Context
from concord.models.encoder import EncodedPrompt
from concord.models.load import LoadedModel
from concord.models.prompts import encode_in_context, encoder_of, in_context
from concord.models.readout import unembed
from concord.models.self_check import require_checked
from concord.models.tokens import SubjectPositions, candidate_ids, subject_positions
from concord.scoring.engine import score_prompts

Target = Literal["free", "prediction", "object"]
TARGETS: tuple[Target, ...] = ("free", "prediction", "object")
"""The model's own top token; the first token of its best candidate; of the object."""
_NUMBERS = {"cpu": 1 << 24}
_NUMBERS_ELSEWHERE = 1 << 28
Result = TypeVar("Result")
Known = Mapping[tuple[str, int], int]
"""Fact and template -> index of the best candidate, where it was measured before."""


@dataclass(frozen=True, eq=False)
class Probe:
    """One prompt of a context, with the places of its subject."""

    question: Question
    prompt: EncodedPrompt
    sentence: tuple[int, int]
    """First character of the filled template, and the one after its last."""
    subject: SubjectPositions | None
    """None where no token stands for the subject."""


def checked(analysis: Analysis) -> Analysis:
    """The analysis, behind a check that the network can be read: once for each."""

    @wraps(analysis)
    def run(task: Task) -> Iterator[Part]:
        model = task.model
        require_checked(model.network, model.architecture, label=model.label)
        yield from analysis(task)

    return run


def sampled_questions(task: Task, facts: int | None) -> list[Question]:
    """Every prompt of at most so many facts, the same for every model of a study."""
    data = task.data.facts
    assert data is not None
    return questions_of(draw_facts(data, facts, task.study.seed) if facts else data)


def prompt_parts(
    task: Task,
    questions: Sequence[Question],
    rows_of: Callable[[Context, Sequence[Probe], Known], pa.Table],
    *,
    size: int,
    has_answers: bool = False,
) -> Iterator[Part]:
    """One part for each block of prompts in each context; finished ones are skipped.

    Args:
        task: What is asked.
        questions: The prompts.
        rows_of: Gives the rows of a block.
        size: Prompts of one block: what a kill can cost.
        has_answers: It is told which candidates were best, where that is known.
    """
    for context in fact_contexts(task):
        known = known_predictions(task, context) if has_answers else {}
        for number, start in enumerate(range(0, len(questions), size)):
            block = questions[start : start + size]
            name = f"{context.contexts}-{context.index}-{number:05d}"
            if name not in task.finished:
                probes = probes_of(task, context, block)
                require_lengths(task.model, probes)
                yield Part(name, rows_of(context, probes, known))
            task.advance(len(block))


def probes_of(
    task: Task, context: Context, questions: Sequence[Question]
) -> list[Probe]:
    """Encode the prompts of a context and locate every subject."""
    model = task.model
    encoder = encoder_of(model.entry, model.tokenizer, model.network.config)
    texts = [question.text for question in questions]
    prompts = encode_in_context(encoder, context, texts, label=model.label)
    start = context.text.index("{}")
    probes = []
    for question, prompt in zip(questions, prompts, strict=True):
        first = start + question.template.text.index(SUBJECT_SLOT)
        places = _located(prompt, first, first + len(question.fact.subject))
        sentence = (start, start + len(question.text))
        probes.append(Probe(question, prompt, sentence, places))
    return probes


def _located(prompt: EncodedPrompt, start: int, end: int) -> SubjectPositions | None:
    try:
        return subject_positions(prompt, start, end)
    except ModelError:
        return None


def identity_columns(context: Context, probes: Sequence[Probe]) -> dict[str, pa.Array]:
    """The columns by which rows are joined to those of `facts`."""
    questions = [probe.question for probe in probes]
    return {
        "contexts": pa.array([context.contexts] * len(probes), pa.string()),
        "context": pa.array([context.index] * len(probes), pa.int8()),
        "relation": pa.array([q.relation.id for q in questions], pa.string()),
        "fact": pa.array([q.fact.id for q in questions], pa.string()),
        "subject": pa.array([q.fact.subject for q in questions], pa.string()),
        "template": pa.array([q.template.index for q in questions], pa.int16()),
    }


def lists(
    values: np.ndarray, kind: pa.DataType, present: Sequence[bool] | None = None
) -> pa.Array:
    """One list per row, or null where nothing was measured."""
    count, width = values.shape
    kept = np.ones(count, dtype=bool) if present is None else np.array(present)
    sizes = np.where(kept, width, 0)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    flat = pa.array(values[kept].ravel(), kind)
    absent = pa.array(~kept)
    return pa.ListArray.from_arrays(pa.array(ends), flat, mask=absent)


def known_predictions(task: Task, context: Context) -> Known:
    """Index of the best candidate of each prompt of a context that `facts` measured."""
    columns = ["fact", "template", "prediction_index"]
    here = (pc.field("contexts") == context.contexts) & (
        pc.field("context") == context.index
    )
    table = task.measured("facts", columns=columns, filter=here)
    if table is None:
        return {}
    fact, template, index = (table[name].to_pylist() for name in columns)
    return dict(zip(zip(fact, template, strict=True), index, strict=True))


def predictions_of(
    task: Task, context: Context, questions: Sequence[Question], known: Known
) -> Int[np.ndarray, " prompt"]:
    """Index of each prompt's best candidate: measured before, or scored now."""
    wanted = [(question.fact.id, question.template.index) for question in questions]
    if all(one in known for one in wanted):
        return np.array([known[one] for one in wanted], dtype=np.int64)
    prepared: Prepared = prepare(task, context, questions)
    config = scoring_config(task, prepared)
    scores, _ = score_prompts(
        scoring_model(task.model),
        [prompt.ids for prompt in prepared.encoded()],
        prepared.tries,
        prepared.trie_index,
        config=config,
        budget=scoring_budget(task, config),
    )
    return np.asarray(scores.prediction, dtype=np.int64)


def answer_tokens(
    task: Task, context: Context, probes: Sequence[Probe], known: Known
) -> Int[np.ndarray, "prompt 2"]:
    """First token of the best candidate, and of the object, behind each prompt."""
    model = task.model
    encoder = in_context(
        encoder_of(model.entry, model.tokenizer, model.network.config), context
    )
    predictions = predictions_of(task, context, [p.question for p in probes], known)
    ids_of: dict[tuple[str, str], int] = {}
    found = np.zeros((len(probes), 2), dtype=np.int64)
    for row, (probe, index) in enumerate(zip(probes, predictions, strict=True)):
        question = probe.question
        named = (question.relation.candidates[index], question.fact.object)
        for column, text in enumerate(named):
            # A candidate's ids may hang on the end of the prompt, not on its subject.
            key = (question.text.split()[-1], text)
            if key not in ids_of:
                ids = candidate_ids(encoder, probe.prompt.text, [text])[0]
                ids_of[key] = ids[0]
            found[row, column] = ids_of[key]
    return found


def readable_tokens(model: LoadedModel) -> Bool[Tensor, " vocabulary"]:
    """Rows of the unembedding that stand for text of the tokenizer.

    Rows beyond the tokenizer pad the matrix, and a padding token may have been added
    with a meaningless row: neither may be a prediction or stand in a ranking.
    """
    head = without_adapter_wrapper(model.network).get_output_embeddings()
    size = int(getattr(head, "out_features", model.network.config.vocab_size))
    keep = torch.arange(size) < len(model.tokenizer)
    tokenizer = model.tokenizer
    others = (tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
    pad = tokenizer.pad_token_id
    if isinstance(pad, int) and pad not in others and pad < size:
        keep[pad] = False
    return keep


def top_token(
    logits: Tensor, keep: Bool[Tensor, " vocabulary"]
) -> Int[Tensor, "*rows"]:
    """The best readable token of each row."""
    return logits.masked_fill(~keep.to(logits.device), float("-inf")).argmax(dim=-1)


def projected_rows(model: LoadedModel) -> int:
    """Vectors that go through the unembedding at once."""
    numbers = _NUMBERS.get(model.device.type, _NUMBERS_ELSEWHERE)
    return max(1, min(2048, numbers // model.network.config.vocab_size))


def own_log_probabilities(model: LoadedModel, states: Tensor) -> Tensor:
    """The model's distribution over the vocabulary, in float32 at least."""
    logits = unembed(model.network, model.architecture, states)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return logits.log_softmax(dim=-1)


def in_batches(
    task: Task,
    lengths: Sequence[int],
    measure: Callable[[list[int], int], Result],
) -> Iterator[tuple[list[int], Result]]:
    """Measure prompts batch by batch, as `memory.in_batches` does, within the study's.

    Args:
        task: For the device, the batch size and what fitted before.
        lengths: Positions that each prompt takes, copies included.
        measure: Given the indices of a batch and its padded width.
    """
    return memory.in_batches(
        lengths,
        measure,
        budget=remembered_budget(task, "mechanism"),
        who=task.model.label,
        row_limit=task.study.row_limit,
    )


def require_lengths(model: LoadedModel, probes: Sequence[Probe]) -> None:
    """Refuse a prompt that is longer than the model takes."""
    limit = model.max_length
    for probe in probes:
        if limit is not None and len(probe.prompt.ids) > limit:
            raise ModelError(
                f"{model.label}: a prompt has {len(probe.prompt.ids)} tokens, the "
                f"model takes {limit}; prompts are never cut: leave that fact out "
                f"({probe.prompt.text!r})"
            )
