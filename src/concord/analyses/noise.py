"""How often would a prediction change for no reason at all?

A seeded sample of the prompts of `facts` is scored again, each prompt alone and a row
at a time, without padding and without a tree, and put beside the scores of the run.
Scores that differ, and predictions that flip, are noise of the arithmetic: the floor
below which a difference in agreement means nothing.

It cannot show noise of sampling, seeds or hardware: the machine is the same.

Source: ours; the study gives no noise floor.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from concord.analyses.facts import (
    Question,
    fact_contexts,
    prepare,
    questions_of,
    scoring_config,
    scoring_model,
)
from concord.analyses.part import Model, Part, Task
from concord.errors import StudyError
from concord.models.contexts import Context
from concord.scoring.engine import score_prompts
from concord.scoring.records import one_by_one


@dataclass(frozen=True)
class Again:
    """What a prompt gave when it was asked once more."""

    prediction: int | None
    """Index of the best candidate."""
    score: float


Ask = Callable[[Context, Sequence[Question]], Sequence[Again]]


def run(task: Task) -> Iterator[Part]:
    """One part for each context, with its share of the sample."""
    return asked_again(task, fact_contexts(task), partial(_alone, task))


def asked_again(
    task: Task[Model], contexts: Sequence[Context], ask: Ask
) -> Iterator[Part]:
    """A part for each context: the sample's scores in the run, and asked again.

    Args:
        task: With the rows of `facts`.
        contexts: Those of the facts.
        ask: Asks some prompts of a context once more, and says how many are done.

    Raises:
        StudyError: Facts have not been measured.
    """
    assert task.data.facts is not None
    questions = questions_of(task.data.facts)
    chosen = _sample(task, len(questions) * len(contexts))
    for number, context in enumerate(contexts):
        start = number * len(questions)
        places = [i - start for i in chosen if start <= i < start + len(questions)]
        name = f"{context.contexts}-{context.index}"
        if not places or name in task.finished:
            task.advance(len(places))
            continue
        block = [questions[place] for place in places]
        before = _before(task, context)
        yield Part(name, _rows(context, block, before, ask(context, block)))


def _sample(task: Task[Model], count: int) -> list[int]:
    wanted = min(task.study.facts.noise_prompts, count)
    return sorted(random.Random(task.study.seed).sample(range(count), wanted))


def _alone(
    task: Task, context: Context, questions: Sequence[Question]
) -> Sequence[Again]:
    prepared = prepare(task, context, questions)
    model = scoring_model(task.model, ends_in_gap=context.ends_in_gap)
    # The best candidate is the same in mode `full`, which takes many more rows.
    config = replace(one_by_one(scoring_config(task, prepared)), mode="top")
    tries = [prepared.tries[index] for index in prepared.trie_index]
    found = []
    # A call for each prompt: its rows meet no other prompt's.
    for prompt, trie in zip(prepared.encoded(), tries, strict=True):
        scores, _ = score_prompts(
            model, [prompt.ids], [trie], [0], config=config, progress=task.advance
        )
        found.append(Again(int(scores.prediction[0]), float(scores.score[0])))
    return found


def _before(
    task: Task[Model], context: Context
) -> dict[tuple[str, int], tuple[int | None, float | None]]:
    """Prediction and score of a context's prompts in the run, by fact and template."""
    names = ["fact", "template", "prediction_index", "score"]
    here = (pc.field("contexts") == context.contexts) & (
        pc.field("context") == context.index
    )
    table = task.measured("facts", columns=names, filter=here)
    if table is None:
        raise StudyError(
            f"{task.model.label}: noise compares with the scores of facts, but found "
            "none of them; name facts before noise (analyses)"
        )
    columns = (table[name].to_pylist() for name in names)
    return {
        (fact, template): (index, score)
        for fact, template, index, score in zip(*columns, strict=True)
    }


def _rows(
    context: Context,
    questions: Sequence[Question],
    before: dict[tuple[str, int], tuple[int | None, float | None]],
    again: Sequence[Again],
) -> pa.Table:
    earlier = [before[q.fact.id, q.template.index] for q in questions]
    count = len(questions)
    return pa.table(
        {
            "contexts": pa.array([context.contexts] * count, pa.string()),
            "context": pa.array([context.index] * count, pa.int8()),
            "fact": pa.array([q.fact.id for q in questions], pa.string()),
            "template": pa.array([q.template.index for q in questions], pa.int16()),
            "prediction_index": pa.array([index for index, _ in earlier], pa.int32()),
            "prediction_index_alone": pa.array(
                [one.prediction for one in again], pa.int32()
            ),
            "score": pa.array([score for _, score in earlier], pa.float32()),
            "score_alone": pa.array(
                [one.score for one in again], pa.float32(), from_pandas=True
            ),
        }
    )
