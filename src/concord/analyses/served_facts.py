"""The facts asked of a model behind an address: does rewording change its answer?

Where the server echoes prompts with log-probabilities every candidate gets its exact
score, as in `facts`. Elsewhere the answer is what the model writes: the candidate that
the text names, or none. A score is given only where one was told.

It cannot show what a candidate that is not named would have scored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from concord.analyses.columns import floats, repeated, strings
from concord.analyses.facts import Question, questions_of
from concord.analyses.part import Part, Task
from concord.analyses.served import PART_PROMPTS, echoed_endings
from concord.endpoints.connection import Connection
from concord.endpoints.contexts import served_contexts
from concord.endpoints.named import named_candidate, spelt_score
from concord.models.contexts import Context
from concord.study import FactsConfig

NORMALISATIONS = ("acc", "acc_norm", "acc_bytes", "acc_tokens")
"""Those that need nothing but the scores and the candidates."""
_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Answer:
    """What an endpoint answered to one prompt; None and NaN where it does not tell."""

    prediction: int | None
    score: float
    runner_up: int | None = None
    margin: float = _NAN
    is_tie: bool | None = None
    free: str | None = None
    """The likeliest token behind the prompt."""
    free_log_probability: float = _NAN
    written: str | None = None
    """What it wrote, where that is the answer."""
    scores: Float[np.ndarray, " candidate"] | None = None
    normalised: dict[str, int] | None = None
    """The best candidate under each normalisation."""


def run(task: Task[Connection]) -> Iterator[Part]:
    """One part for each small block of prompts in each context."""
    assert task.data.facts is not None
    questions = questions_of(task.data.facts)
    for context in served_contexts(task.model.served, task.study, "facts"):
        for number, start in enumerate(range(0, len(questions), PART_PROMPTS)):
            block = questions[start : start + PART_PROMPTS]
            name = f"{context.contexts}-{context.index}-{number:05d}"
            if name in task.finished:
                task.advance(len(block))
                continue
            ask = partial(answer, task.model, context, task.study.facts)
            answers = task.model.ask_all(ask, block, task.advance)
            yield Part(name, _rows(context, block, answers, task.study.facts))


def answer(
    connection: Connection, context: Context, config: FactsConfig, question: Question
) -> Answer:
    """Ask for the object of one fact in one wording.

    Raises:
        ModelError: The server cannot be used, or its tokens do not fit the prompt.
    """
    prompt = context.wrap(question.text)
    if connection.offer.level == "echo":
        return _scored(connection, prompt, question, config)
    reply = connection.write(prompt, tokens=connection.entry.answer_tokens)
    candidates = question.relation.candidates
    named = named_candidate(reply.text, candidates)
    score = (
        None
        if named is None
        else spelt_score(reply.text, candidates[named], reply.tokens)
    )
    first = reply.tokens.texts[:1] if reply.tokens else ()
    number = reply.tokens.log_probabilities[0] if reply.tokens and first else None
    return Answer(
        prediction=named,
        score=_NAN if score is None else score,
        free=first[0] if first else None,
        free_log_probability=_NAN if number is None else number,
        written=reply.text,
    )


def _scored(
    connection: Connection, prompt: str, question: Question, config: FactsConfig
) -> Answer:
    """Every candidate by the echo of the prompt with the candidate behind it."""
    candidates = question.relation.candidates
    endings = [f"{candidate}{config.candidate_end}" for candidate in candidates]
    found, _, free, number = echoed_endings(connection, prompt, endings)
    sums = np.array([ending.score for ending in found])
    lengths = {
        "acc": np.ones(len(sums)),
        "acc_norm": np.array([len(text) for text in candidates]),
        "acc_bytes": np.array([len(text.encode()) for text in candidates]),
        "acc_tokens": np.array([len(ending.tokens) for ending in found]),
    }
    scores = sums / lengths[config.normalisation]
    # The lowest index wins a tie: the sort is stable.
    order = np.argsort(-scores, kind="stable")
    second = int(order[1]) if len(order) > 1 else None
    margin = _NAN if second is None else float(scores[order[0]] - scores[second])
    return Answer(
        prediction=int(order[0]),
        score=float(scores[order[0]]),
        runner_up=second,
        margin=margin,
        is_tie=margin == 0,
        free=free,
        free_log_probability=_NAN if number is None else number,
        scores=sums,
        normalised={
            name: int(np.argmax(sums / length)) for name, length in lengths.items()
        },
    )


def _rows(
    context: Context,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    config: FactsConfig,
) -> pa.Table:
    """One row for each prompt; no answer is null and never right."""
    pairs = list(zip(questions, answers, strict=True))
    count = len(questions)
    named = [_candidate(q, a.prediction) for q, a in pairs]
    columns = {
        "contexts": repeated(context.contexts, count),
        "context": pa.array([context.index] * count, pa.int8()),
        "relation": strings([q.relation.id for q in questions]),
        "fact": strings([q.fact.id for q in questions]),
        "subject": strings([q.fact.subject for q in questions]),
        "object": strings([q.fact.object for q in questions]),
        "template": pa.array([q.template.index for q in questions], pa.int16()),
        "prompt": strings([context.wrap(q.text) for q in questions]),
        "prediction": strings(named),
        "prediction_index": pa.array([a.prediction for a in answers], pa.int32()),
        "score": floats(np.array([a.score for a in answers])),
        "runner_up": strings([_candidate(q, a.runner_up) for q, a in pairs]),
        "margin": floats(np.array([a.margin for a in answers])),
        "margin_is_exact": pa.array([a.runner_up is not None for a in answers]),
        "is_tie": pa.array([a.is_tie for a in answers], pa.bool_()),
        "is_correct": pa.array(
            [n in q.fact.objects for n, q in zip(named, questions, strict=True)]
        ),
        "is_trivial": pa.array([q.fact.is_trivial for q in questions]),
        # Whether tokens begin another candidate's cannot be told from text.
        "is_shadowing": pa.nulls(count, pa.bool_()),
        "free_prediction": strings([a.free for a in answers]),
        "free_log_probability": floats(
            np.array([a.free_log_probability for a in answers])
        ),
        "candidate_count": pa.array(
            [len(q.relation.candidates) for q in questions], pa.int32()
        ),
        "written": strings([a.written for a in answers]),
    }
    if config.scoring == "full":
        columns |= _vectors(pairs)
    return pa.table(columns)


def _vectors(pairs: Sequence[tuple[Question, Answer]]) -> dict[str, pa.Array]:
    """Every candidate's sum, and the predictions under each normalisation."""
    vectors = [a.scores for _, a in pairs]
    columns = {"scores": pa.array(vectors, pa.list_(pa.float32()))}
    for name in (*NORMALISATIONS, "acc_mutual_info"):
        places = [(a.normalised or {}).get(name) for _, a in pairs]
        columns[f"prediction_index_{name}"] = pa.array(places, pa.int32())
        columns[f"is_correct_{name}"] = pa.array(
            [
                None if at is None else q.relation.candidates[at] in q.fact.objects
                for at, (q, _) in zip(places, pairs, strict=True)
            ],
            pa.bool_(),
        )
    return columns


def _candidate(question: Question, index: int | None) -> str | None:
    return None if index is None else question.relation.candidates[index]
