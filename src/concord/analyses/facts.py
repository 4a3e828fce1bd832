"""Does rewording a question change the answer?

Every fact's subject is put into all templates of its relation; the prediction is the
candidate object with the highest log-probability. Agreement is the share of a fact's
template pairs with equal predictions (`concord.metrics.agreement`), accuracy the share
of templates whose prediction is the object.

It cannot show that an answer is known: a model that always gives one answer agrees with
itself everywhere. Read agreement with accuracy and with the share of the top answer.

Source: Fierro et al. (2024), section 3, Tables 2 and 5; Elazar et al. (2021).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from concord.analyses.budgets import remembered_budget
from concord.analyses.columns import floats, repeated, strings
from concord.analyses.part import Part, Task
from concord.analyses.task_contexts import task_contexts
from concord.data.records import Fact, FactData, Relation, Template
from concord.errors import DataError, ModelError
from concord.models.contexts import Context
from concord.models.encoder import EncodedPrompt, Encoder
from concord.models.load import LoadedModel
from concord.models.memory import TokenBudget
from concord.models.padding import on_grid
from concord.models.prompts import encode_in_context, encoder_of, in_context
from concord.models.tokens import (
    CandidateSets,
    candidate_sets,
    decoder_start_ids,
    empty_prompt_ids,
)
from concord.scoring.engine import (
    ScoringModel,
    budget_of,
    empty_scores,
    score_prompts,
)
from concord.scoring.normalisation import NORMALISATIONS, predictions_under_all
from concord.scoring.records import PromptScores, ScoringConfig
from concord.scoring.trie import CandidateTrie, Tokens, build_trie

PART_PROMPTS = 2048
"""Prompts scored together and lost together in a kill."""
LEAST_SHARED = 8
"""Tokens at the front of all prompts of a context from which on they are run once; a
base's contexts have fewer, a tuned model's more."""


@dataclass(frozen=True)
class Question:
    """One prompt: a fact in one of its templates."""

    relation: Relation
    fact: Fact
    template: Template
    text: str
    """The filled template, without its context."""


def run(task: Task) -> Iterator[Part]:
    """One part for each block of prompts in each context."""
    assert task.data.facts is not None
    questions = questions_of(task.data.facts)
    starts = range(0, len(questions), PART_PROMPTS)
    budget: TokenBudget | None = None
    for context in fact_contexts(task):
        names = {
            f"{context.contexts}-{context.index}-{number:05d}": start
            for number, start in enumerate(starts)
        }
        missing = {n: start for n, start in names.items() if n not in task.finished}
        if not missing:
            task.advance(len(questions))
            continue
        prepared = prepare(task, context, questions)
        config = scoring_config(task, prepared)
        budget = budget or scoring_budget(task, config)
        empty = _empty_scores(task, prepared, config, budget)
        for name, start in names.items():
            block = slice(start, start + PART_PROMPTS)
            if name in missing:
                prompts = prepared.encoded(block)
                scores, _ = score_prompts(
                    scoring_model(task.model, ends_in_gap=context.ends_in_gap),
                    [prompt.ids for prompt in prompts],
                    prepared.tries,
                    prepared.trie_index[block],
                    config=config,
                    budget=budget,
                    progress=task.advance,
                )
                texts = [prompt.text for prompt in prompts]
                yield Part(name, _rows(task, prepared, block, texts, scores, empty))
            else:
                task.advance(len(questions[block]))


def scoring_budget(task: Task, config: ScoringConfig) -> TokenBudget:
    """Positions per batch that scoring may begin with."""
    first = budget_of(scoring_model(task.model), config)
    return remembered_budget(task, config.mode, first.positions)


def _empty_scores(
    task: Task, prepared: "Prepared", config: ScoringConfig, budget: TokenBudget
) -> Sequence[np.ndarray] | None:
    """Scores without a prompt, for the normalisations of mode ``full``."""
    model = scoring_model(task.model, ends_in_gap=prepared.context.ends_in_gap)
    if config.mode != "full" or not model.empty_prompt:
        return None
    return empty_scores(model, prepared.tries, config=config, budget=budget)[0]


def fact_contexts(task: Task) -> tuple[Context, ...]:
    """The contexts of a model's facts."""
    return task_contexts(task, "facts")


def questions_of(data: FactData) -> list[Question]:
    """All prompts, by relation, fact and template."""
    return [
        Question(relation, fact, template, text)
        for relation in data.relations
        for fact in relation.facts
        for template, text in relation.prompts_of(fact)
    ]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All prompts of a context, each with the trie of its candidates.

    Ids are not kept: they are made again for a block when it is scored, so that memory
    does not grow with them.
    """

    context: Context
    questions: Sequence[Question]
    encode: Callable[[Sequence[Question]], list[EncodedPrompt]]
    tries: list[CandidateTrie]
    trie_index: list[int]
    longest: int
    """Tokens of the longest prompt."""
    front: int
    """Tokens that all prompts begin with."""

    def encoded(self, block: slice = slice(None)) -> list[EncodedPrompt]:
        """Prompts of some questions; of all by default."""
        return self.encode(self.questions[block])


def prepare(task: Task, context: Context, questions: Sequence[Question]) -> Prepared:
    """Look at every prompt of a context, a relation at a time, and its candidates.

    Raises:
        ModelError: Special tokens are missing or doubled, a prompt is longer than the
            model takes, or its ids change when a candidate follows.
        DataError: A candidate has no token.
    """
    model = task.model
    encoder = replace(
        encoder_of(model.entry, model.tokenizer, model.network.config),
        candidate_end=task.study.facts.candidate_end,
    )

    def encode(asked: Sequence[Question]) -> list[EncodedPrompt]:
        return encode_in_context(
            encoder,
            context,
            [question.text for question in asked],
            label=model.label,
            vocabulary=model.vocabulary_size,
        )

    tries: list[CandidateTrie] = []
    trie_index: list[int] = []
    lengths: list[int] = []
    ends: list[Tokens] = []
    for _, group in groupby(questions, key=lambda question: question.relation.id):
        own = list(group)
        relation = own[0].relation
        prompts = encode(own)
        sets = _candidates(
            in_context(encoder, context),
            [prompt.text for prompt in prompts],
            relation.candidates,
            _one_of_each_template(own),
            f"{model.label}: relation {relation.id}",
        )
        trie_index += [len(tries) + index for index in sets.set_index]
        tries += [build_trie(ids, texts=relation.candidates) for ids in sets.sets]
        lengths.append(max(len(prompt.ids) for prompt in prompts))
        ids = [prompt.ids for prompt in prompts]
        ends += [min(ids), max(ids)]
    return Prepared(
        context=context,
        questions=questions,
        encode=encode,
        tries=tries,
        trie_index=trie_index,
        longest=max(lengths),
        front=_common_front(ends),
    )


def _candidates(
    encoder: Encoder,
    prompts: Sequence[str],
    candidates: Sequence[str],
    sample: Sequence[int],
    where: str,
) -> CandidateSets:
    try:
        return candidate_sets(encoder, prompts, candidates, sample=sample)
    except (ModelError, DataError) as error:
        raise type(error)(f"{where}: {error}") from error


def _one_of_each_template(questions: Sequence[Question]) -> list[int]:
    first: dict[int, int] = {}
    for place, question in enumerate(questions):
        first.setdefault(question.template.index, place)
    return list(first.values())


def scoring_config(task: Task, prepared: Prepared) -> ScoringConfig:
    """How the study wants candidates scored."""
    facts, rows = task.study.facts, task.study.row_limit
    return ScoringConfig(
        mode=facts.scoring,
        normalisation=facts.normalisation,
        head_dtype=facts.head_dtype,
        token_budget=None if rows is None else rows * on_grid(prepared.longest),
        row_limit=rows,
        share_prefix=prepared.front >= LEAST_SHARED,
    )


def _common_front(prompts: Sequence[Tokens]) -> int:
    """Tokens that all prompts begin with."""
    first, last = min(prompts), max(prompts)
    pairs = zip(first, last, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), len(first))


def scoring_model(model: LoadedModel, *, ends_in_gap: bool = False) -> ScoringModel:
    """What scoring needs of a loaded model.

    Args:
        model: The model.
        ends_in_gap: Prompts end in a gap that the answer fills (`Context.ends_in_gap`).
    """
    config = model.network.config
    encoder = encoder_of(model.entry, model.tokenizer, config)
    start = (
        decoder_start_ids(encoder, config.decoder_start_token_id, sentinel=ends_in_gap)
        if model.is_encoder_decoder
        else ()
    )
    return ScoringModel(
        network=model.network,
        architecture=model.architecture,
        device=model.device,
        max_length=model.max_length,
        decoder_start=start,
        empty_prompt=empty_prompt_ids(encoder),
    )


def _rows(
    task: Task,
    prepared: Prepared,
    block: slice,
    texts: Sequence[str],
    scores: PromptScores,
    empty: Sequence[np.ndarray] | None,
) -> pa.Table:
    """One row for each prompt of a block."""
    questions = prepared.questions[block]
    tries = [prepared.tries[index] for index in prepared.trie_index[block]]
    shadowing = {id(trie): set(sum(trie.shadowing, ())) for trie in prepared.tries}
    predictions = scores.prediction.tolist()
    runners_up = scores.runner_up.tolist()
    named = [
        question.relation.candidates[index]
        for question, index in zip(questions, predictions, strict=True)
    ]
    context = prepared.context
    free = task.model.tokenizer.convert_ids_to_tokens(scores.free_prediction.tolist())
    return pa.table(
        {
            "contexts": repeated(context.contexts, len(questions)),
            "context": pa.array([context.index] * len(questions), pa.int8()),
            "relation": strings(q.relation.id for q in questions),
            "fact": strings(q.fact.id for q in questions),
            "subject": strings(q.fact.subject for q in questions),
            "object": strings(q.fact.object for q in questions),
            "template": pa.array([q.template.index for q in questions], pa.int16()),
            "prompt": pa.array(texts, pa.string()),
            "prediction": strings(named),
            "prediction_index": pa.array(predictions, pa.int32()),
            "score": floats(scores.score),
            "runner_up": strings(
                q.relation.candidates[index] if index >= 0 else None
                for q, index in zip(questions, runners_up, strict=True)
            ),
            "margin": floats(scores.margin),
            "margin_is_exact": pa.array(scores.margin_is_exact),
            "is_tie": pa.array(scores.is_tie),
            "is_correct": pa.array(
                [n in q.fact.objects for n, q in zip(named, questions, strict=True)]
            ),
            "is_trivial": pa.array([q.fact.is_trivial for q in questions]),
            "is_shadowing": pa.array(
                [
                    index in shadowing[id(trie)]
                    for index, trie in zip(predictions, tries, strict=True)
                ]
            ),
            "free_prediction": strings(free),
            "free_log_probability": floats(scores.free_log_probability),
            "candidate_count": pa.array([t.candidate_count for t in tries], pa.int32()),
        }
        | _score_vectors(prepared, block, scores, empty)
    )


def _score_vectors(
    prepared: Prepared,
    block: slice,
    scores: PromptScores,
    empty: Sequence[np.ndarray] | None,
) -> dict[str, pa.Array]:
    """Mode ``full``: every candidate's score, and what each normalisation makes of it.

    Agreement and accuracy under a normalisation are those of its two columns.
    """
    if scores.vectors is None:
        return {}
    tries = [prepared.tries[index] for index in prepared.trie_index[block]]
    columns = {
        "scores": pa.array(scores.vectors, pa.list_(pa.float32())),
        "candidate_tokens": pa.array(
            [trie.lengths for trie in tries], pa.list_(pa.int16())
        ),
    }
    found = predictions_under_all(
        scores.vectors,
        prepared.tries,
        prepared.trie_index[block],
        empty_scores=empty,
    )
    questions = prepared.questions[block]
    for name in NORMALISATIONS:
        places = found[name].tolist() if name in found else [None] * len(questions)
        columns[f"prediction_index_{name}"] = pa.array(places, pa.int32())
        columns[f"is_correct_{name}"] = pa.array(
            [
                None if at is None else q.relation.candidates[at] in q.fact.objects
                for at, q in zip(places, questions, strict=True)
            ],
            pa.bool_(),
        )
    return columns
