"""Tests of batches that do not fit: halved, remembered, and never below a row."""

from functools import partial

import pytest
import torch

from concord.errors import ModelError
from concord.models.memory import (
    TokenBudget,
    in_batches,
    is_out_of_memory,
    run_or_halve,
)

ON_A_CPU = "[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 byte"
LENGTHS = [3, 5, 5, 8, 5, 3, 5]


def scarce(most: int, error: Exception, sizes: list[int], chosen: list[int], width):
    """Refuses batches of more positions than `most`."""
    sizes.append(len(set(chosen)) * width)
    if sizes[-1] > most:
        raise error
    return list(chosen)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(ON_A_CPU)]
)
@pytest.mark.parametrize("is_plain", [True, False])
def test_every_prompt_is_measured_once_however_little_fits(
    error: Exception, is_plain: bool
):
    assert is_out_of_memory(error)
    budget, told, sizes = TokenBudget(1000), [], []
    budget.remember = told.append
    found = list(
        in_batches(
            LENGTHS,
            partial(scarce, 10, error, sizes),
            budget=budget,
            who="tiny",
            is_plain=is_plain,
        )
    )
    assert sorted(index for chosen, _ in found for index in chosen) == list(range(7))
    assert all(own == (c if len(c) > 1 else c * 2) for c, own in found)
    assert told and told[-1] == budget.positions
    assert told == sorted(told, reverse=True)
    sizes.clear()
    again = partial(scarce, 10, error, sizes)
    list(in_batches(LENGTHS, again, budget=budget, who="tiny", is_plain=is_plain))
    assert max(sizes) <= 10


def test_plain_rows_of_one_length_stand_together_and_others_are_mixed():
    def batches_of(is_plain: bool) -> list[list[int]]:
        found = in_batches(
            LENGTHS,
            lambda chosen, width: None,
            budget=TokenBudget(24),
            who="tiny",
            is_plain=is_plain,
        )
        return [chosen for chosen, _ in found]

    assert batches_of(True) == [[3], [1, 2, 4, 6], [0, 5]]
    assert batches_of(False) == [[3, 1, 2], [4, 6, 0], [5]]


def test_no_more_rows_than_the_limit_stand_together():
    found = in_batches(
        LENGTHS, lambda chosen, width: None, budget=TokenBudget(), who="", row_limit=2
    )
    assert [len(chosen) for chosen, _ in found] == [2, 2, 2, 1]


def test_a_row_that_does_not_fit_is_a_users_error():
    def never() -> None:
        raise RuntimeError(ON_A_CPU)

    with pytest.raises(ModelError, match="tiny: out of memory on a single row of 9"):
        run_or_halve(never, TokenBudget(), rows=1, width=9, who="tiny")


def test_other_errors_are_bugs_and_halve_nothing():
    def broken() -> None:
        raise RuntimeError("shapes do not match")

    budget = TokenBudget(64)
    with pytest.raises(RuntimeError, match="shapes"):
        run_or_halve(broken, budget, rows=4, width=9, who="tiny")
    assert budget.positions == 64


def test_a_budget_never_grows():
    budget = TokenBudget(64)
    budget.halve(1000)
    assert budget.positions == 32
    budget.halve(1)
    assert budget.positions == 1
