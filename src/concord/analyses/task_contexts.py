"""The contexts of the model that an analysis measures."""

from concord.analyses.part import Task
from concord.models.contexts import Context, contexts_of
from concord.models.contexts import Task as ContextTask


def task_contexts(task: Task, name: ContextTask) -> tuple[Context, ...]:
    """The contexts that a study gives the model in facts, sentences, and so on."""
    return contexts_of(
        task.model.entry,
        task.model.tokenizer,
        kind=task.model.kind,
        task=name,
        names=task.study.contexts,
        base_entry=task.study.base,
    )
