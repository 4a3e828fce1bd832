"""Rows into batches: longest first, on a grid of lengths, within a token budget.

With fixed shapes the padded length of a row depends on the row alone and a batch is
filled up with copies, never left with a single row: on a CPU a row's numbers are then
the same whatever stands beside it (`models.padding`), as long as there is room for all
kept prompts (`passes.KeptPrompts`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int

from concord.models.memory import CPU_POSITIONS, TokenBudget
from concord.models.padding import on_grid, plain_length

ROW_GRID = 8
"""Part of what the scores depend on, like the lengths of `models.padding`."""


@dataclass(frozen=True, eq=False)
class Row:
    """One sequence for the model: a prompt and, after it, nodes of its trie.

    For an encoder-decoder model the prompt goes to the encoder and the nodes follow
    the decoder's start.
    """

    job: int
    """Which prompt, counted over the distinct ones."""
    nodes: Int[np.ndarray, " node"]
    """Nodes fed, with all their ancestors but the root, in depth-first order."""
    reads: Int[np.ndarray, " read"]
    """Nodes whose next-token distribution is wanted; 0 is the end of the prompt."""


@dataclass(frozen=True)
class Shape:
    """Lengths of one row, or of all rows of a batch after padding."""

    decoder: int
    encoder: int = 0
    seen: int = 0
    """Positions fed before whose keys and values are kept, padding included."""
    held: int = 0
    """What these take of memory, in positions fed."""

    @property
    def fed(self) -> int:
        """Token positions of one row that go through the model."""
        return self.decoder + self.encoder

    @property
    def positions(self) -> int:
        """What a row takes of a batch's budget."""
        return self.fed + self.held

    def padded(self, *, on_a_grid: bool) -> "Shape":
        """Lengths after padding: on the grid, or as a row without nodes is padded."""
        length = on_grid if on_a_grid else plain_length
        return Shape(length(self.decoder), length(self.encoder), self.seen, self.held)


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together; the last ones may be copies."""

    rows: tuple[Row, ...]
    shapes: tuple[Shape, ...]
    """Real lengths of the rows."""
    shape: Shape
    row_count: int
    """Rows fed, copies included."""


def budget_for(
    device: torch.device,
    *,
    width: int,
    vocabulary: int,
    bytes_per_number: int,
    projected_rows: int,
) -> TokenBudget:
    """A first guess: 2,048 positions on a CPU, else from the device's free memory.

    An estimate, corrected by halving: 20 numbers of the model's width per position
    (40 bytes x width at two bytes each) besides the rows of logits in flight, from
    seven tenths of what is free; a tenth is for kept prompts (`passes.room_for_kept`).

    Args:
        device: Where the model is.
        width: Numbers in a hidden state.
        vocabulary: Rows of the unembedding.
        bytes_per_number: Of the model's dtype.
        projected_rows: Rows of float32 logits computed at once.
    """
    if device.type != "cuda":
        return TokenBudget(CPU_POSITIONS)
    free, _ = torch.cuda.mem_get_info(device)
    spare = 0.7 * free - 2 * 4 * vocabulary * projected_rows
    return TokenBudget(max(CPU_POSITIONS, int(spare / (20 * width * bytes_per_number))))


def batches(
    rows: Sequence[Row],
    shapes: Sequence[Shape],
    *,
    budget: TokenBudget,
    fixed_shapes: bool,
    row_limit: int | None = None,
) -> Iterator[Batch]:
    """Batches of rows, those with the most positions first.

    Read lazily: a budget halved between two batches holds from the next batch on.
    A row longer than the budget makes a batch of its own.

    Args:
        rows: In any order.
        shapes: Their real lengths.
        budget: Positions per batch, padding included.
        fixed_shapes: Pad to the grid and fill up with copies (see the module).
        row_limit: Most rows of one batch, copies included.
    """
    # Rows without nodes stay among themselves: they need no tree mask, and whether
    # one is made must not depend on a row's neighbours.
    groups: dict[tuple[int, int, int, bool], list[int]] = defaultdict(list)
    for index, (row, shape) in enumerate(zip(rows, shapes, strict=True)):
        has_nodes = len(row.nodes) > 0
        padded = shape.padded(on_a_grid=has_nodes or not fixed_shapes)
        key = padded.positions, padded.decoder, padded.seen, has_nodes
        groups[key].append(index)
    for key in sorted(groups, reverse=True):
        waiting = sorted(
            groups[key], key=lambda i: (-shapes[i].positions, -shapes[i].decoder)
        )
        padded = shapes[waiting[0]].padded(on_a_grid=key[-1] or not fixed_shapes)
        start = 0
        while start < len(waiting):
            count = max(1, budget.positions // padded.positions)
            count = min(count, row_limit or count)
            taken = waiting[start : start + count]
            start += count
            yield Batch(
                rows=tuple(rows[index] for index in taken),
                shapes=tuple(shapes[index] for index in taken),
                shape=padded if fixed_shapes else _longest(shapes, taken),
                row_count=_filled(len(taken), count) if fixed_shapes else len(taken),
            )


def _longest(shapes: Sequence[Shape], taken: Sequence[int]) -> Shape:
    return replace(
        shapes[taken[0]],
        decoder=max(shapes[index].decoder for index in taken),
        encoder=max(shapes[index].encoder for index in taken),
    )


def _filled(count: int, most: int) -> int:
    """Rows after filling: 2, 4, or a multiple of 8, but no more than fit."""
    wanted = 1 << max(1, (count - 1).bit_length())
    return max(count, min(most, wanted, -(-count // ROW_GRID) * ROW_GRID))
