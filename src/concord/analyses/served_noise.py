"""How often would a server's answer change for no reason at all?

A seeded sample of the prompts of the facts is asked once more. A server puts requests
into batches as they come, so scores move and near ties flip: the floor below which a
difference in agreement means nothing. Only where scores are told.

It cannot show noise between servers, or from one day to the next.

Source: ours; the study gives no noise floor.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from concord.analyses.facts import Question
from concord.analyses.noise import Again, asked_again
from concord.analyses.part import Part, Task
from concord.analyses.served_facts import answer
from concord.endpoints.connection import Connection
from concord.endpoints.contexts import served_contexts
from concord.models.contexts import Context


def run(task: Task[Connection]) -> Iterator[Part]:
    """One part for each context, with its share of the sample."""
    if task.model.offer.level != "echo":
        return
    contexts = served_contexts(task.model.served, task.study, "facts")
    yield from asked_again(task, contexts, partial(_once_more, task))


def _once_more(
    task: Task[Connection], context: Context, questions: Sequence[Question]
) -> Sequence[Again]:
    ask = partial(answer, task.model, context, task.study.facts)
    answers = task.model.ask_all(ask, questions, task.advance)
    return [Again(one.prediction, one.score) for one in answers]
