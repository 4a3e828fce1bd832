"""How much goes through a model at once: less when memory runs out, never more again.

Every batch of the package is run here, so that running out means the same everywhere:
half as much is tried, and a single row that does not fit is the user's to mend.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from concord.errors import ModelError
from concord.models.padding import on_grid, plain_length

CPU_POSITIONS = 2048
CUDA_POSITIONS = 32_768

Result = TypeVar("Result")


@dataclass
class TokenBudget:
    """Positions per batch; halves when memory runs out and never grows again.

    The caller keeps it between calls, and across runs what `remember` was told.
    """

    positions: int = CPU_POSITIONS
    remember: Callable[[int], None] = lambda positions: None
    """Told the positions whenever they were halved."""
    is_known: bool = False
    """Memory has run out: the positions are what it holds, no longer a guess."""

    def halve(self, fed: int) -> None:
        """Remember that so many positions were too many."""
        self.positions = max(1, min(self.positions, fed) // 2)
        self.is_known = True
        self.remember(self.positions)


def first_positions(device: torch.device) -> int:
    """A first guess where states are kept: 2,048 positions, 32,768 on a GPU."""
    return CUDA_POSITIONS if device.type == "cuda" else CPU_POSITIONS


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or in the machine."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def run_or_halve(
    run: Callable[[], Result], budget: TokenBudget, *, rows: int, width: int, who: str
) -> tuple[Result] | None:
    """What a batch gives; None where memory ran out and the budget was halved.

    Args:
        run: The batch.
        budget: What is halved.
        rows: Of the batch, copies included.
        width: Positions of one row.
        who: The model or the prompt, for the message.

    Raises:
        ModelError: Memory ran out on a single row.
    """
    try:
        return (run(),)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if rows == 1:
            raise ModelError(
                f"{who}: out of memory on a single row of {width} positions; needed: "
                "room for one row. Use a smaller dtype, a device with more memory "
                "(--device cpu) or shorter prompts"
            ) from error
    # Out of the handler, so that the failed pass is no longer held by its traceback.
    torch.cuda.empty_cache()
    budget.halve(rows * width)
    return None


def in_batches(
    lengths: Sequence[int],
    measure: Callable[[list[int], int], Result],
    *,
    budget: TokenBudget,
    who: str,
    is_plain: bool = False,
    row_limit: int | None = None,
) -> Iterator[tuple[list[int], Result]]:
    """Measure prompts batch by batch, longest first; halve batches that do not fit.

    Args:
        lengths: Positions that each prompt takes, copies included.
        measure: Given the indices of a batch and its padded width. A batch of one is
            given twice (one row takes other kernels), so results follow the indices.
        budget: Positions per batch, halved when memory runs out.
        who: The model, for the message.
        is_plain: No mask is made for the rows, so that a batch holds rows of one padded
            length alone (`plain_length`); else they are padded on the grid.
        row_limit: Most rows of one batch.

    Yields:
        The indices of a batch, and what it gave.

    Raises:
        ModelError: A prompt does not fit in memory alone.
    """
    padded = plain_length if is_plain else on_grid
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        width = padded(lengths[order[start]])
        count = max(1, budget.positions // width)
        chosen = order[start : start + min(count, row_limit or count)]
        if is_plain:
            chosen = [index for index in chosen if padded(lengths[index]) == width]
        rows = chosen if len(chosen) > 1 else chosen * 2
        with torch.inference_mode():
            found = run_or_halve(
                *(partial(measure, rows, width), budget),
                rows=len(chosen),
                width=width,
                who=who,
            )
        if found is None:
            continue
        start += len(chosen)
        yield chosen, found[0]
