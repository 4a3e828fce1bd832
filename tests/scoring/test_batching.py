"""Tests of batches: what goes together, and what is padded."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.models.memory import TokenBudget
from concord.scoring.batching import (
    Row,
    Shape,
    batches,
    budget_for,
)


def rows_of(lengths: list[int]) -> tuple[list[Row], list[Shape]]:
    nothing = np.arange(0)
    rows = [Row(job, nothing, nothing) for job in range(len(lengths))]
    return rows, [Shape(decoder=length) for length in lengths]


def test_longest_rows_come_first_and_batches_fill_up_with_copies() -> None:
    rows, shapes = rows_of([16, 20, 16, 13, 13, 16, 16, 13, 16])
    found = list(batches(rows, shapes, budget=TokenBudget(64), fixed_shapes=True))
    # 20 is alone and filled to 2; 4 rows of 16 make a batch, and 4 of 13
    assert [[row.job for row in batch.rows] for batch in found] == [
        [1],
        [0, 2, 5, 6],
        [8],
        [3, 4, 7],
    ]
    assert [batch.shape.decoder for batch in found] == [20, 16, 16, 13]
    assert [batch.row_count for batch in found] == [2, 4, 2, 4]


def test_many_rows_are_filled_to_a_multiple_of_eight() -> None:
    rows, shapes = rows_of([10] * 21)
    found = list(batches(rows, shapes, budget=TokenBudget(2048), fixed_shapes=True))
    assert [batch.row_count for batch in found] == [24]


def test_without_fixed_shapes_nothing_is_added() -> None:
    rows, shapes = rows_of([13, 20, 15])
    found = list(batches(rows, shapes, budget=TokenBudget(64), fixed_shapes=False))
    assert [(b.shape.decoder, b.row_count) for b in found] == [(20, 1), (15, 2)]


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40),
    positions=st.integers(1, 300),
    fixed=st.booleans(),
)
def test_every_row_comes_once_and_within_the_budget(
    lengths: list[int], positions: int, fixed: bool
) -> None:
    rows, shapes = rows_of(lengths)
    found = list(
        batches(rows, shapes, budget=TokenBudget(positions), fixed_shapes=fixed)
    )
    jobs = sorted(row.job for batch in found for row in batch.rows)
    assert jobs == list(range(len(lengths)))
    for batch in found:
        assert len(batch.rows) == 1 or (
            batch.row_count * batch.shape.positions <= positions
        )
        assert all(lengths[row.job] <= batch.shape.decoder for row in batch.rows)


def test_a_budget_halved_on_the_way_holds_for_the_next_batch() -> None:
    rows, shapes = rows_of([16] * 12)
    budget = TokenBudget(64)
    taken = batches(rows, shapes, budget=budget, fixed_shapes=True)
    assert len(next(taken).rows) == 4
    budget.halve(64)
    assert budget.positions == 32
    assert len(next(taken).rows) == 2


def test_a_processor_starts_with_2048_positions() -> None:
    budget = budget_for(
        torch.device("cpu"),
        width=64,
        vocabulary=100,
        bytes_per_number=4,
        projected_rows=16,
    )
    assert budget.positions == 2048
