"""How far rows of tokens are padded: a row's length alone decides, never its batch.

Whether a batch is padded at all matters as much as how far, because attention takes
another kernel without a mask; so rows of one batch are either all of one length or all
padded. Rows are padded on the right, where a causal mask never looks.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

GRID = 16
FINE_GRID = 4
EXACT_UP_TO = 64
"""Plain rows up to this length are not padded at all."""


def on_grid(length: int) -> int:
    """The length rounded up to a multiple of 16, below 64 of 4; up to 4 it stays."""
    if length <= FINE_GRID:
        return length
    step = FINE_GRID if length <= 4 * GRID else GRID
    return -(-length // step) * step


def plain_length(length: int) -> int:
    """Length after padding under a causal mask: its own, or more than its own."""
    return length if length <= EXACT_UP_TO else on_grid(length + 1)


def padded(
    prompts: Sequence[Sequence[int]], width: int, device: torch.device
) -> tuple[Int[Tensor, "row position"], Int[Tensor, "row position"]]:
    """Ids, and a mask of 1 for tokens and 0 for padding, on a device."""
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
        mask[row, : len(prompt)] = 1
    return ids.to(device), mask.to(device)
