"""How much of a model goes through at once, as far as this run has learnt it."""

from functools import partial

from concord.analyses.part import Task
from concord.models.memory import TokenBudget, first_positions


def remembered_budget(
    task: Task, mode: str, positions: int | None = None
) -> TokenBudget:
    """Positions per batch: those that fitted before in this run, or a first guess.

    Halvings are noted in the task's budgets, so no later call tries more.

    Args:
        task: For the model, its device and what is known.
        mode: What is run: another mode takes another amount of memory.
        positions: The first guess; None: by device, as where states are kept.
    """
    first = first_positions(task.model.device) if positions is None else positions
    key = f"{task.model.info['fingerprint']} {task.model.device} {mode}"
    return TokenBudget(
        min(first, task.budgets.get(key, first)),
        remember=partial(task.budgets.__setitem__, key),
        is_known=key in task.budgets,
    )
