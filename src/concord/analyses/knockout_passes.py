"""How the runs of a prompt go through the model: growing tree, tree, or rows.

In a *tree* the last token is repeated behind the prompt, each copy sees the prompt and
itself, and each loses its own edges. Exact because attention is causal and only the
last query is cut: all states before it are the same in every run, and no copy sees
another. In a *growing* tree a copy enters where it begins to differ. As *rows* every
run is a prompt of its own: always right, and many times the work.
"""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from concord.analyses.knockout_runs import Cuts, RunPlaces, Runs, edges_of
from concord.analyses.probing import own_log_probabilities
from concord.errors import ModelError
from concord.models.architecture import sliding_window
from concord.models.growing import growing
from concord.models.hooks import intervene
from concord.models.load import LoadedModel
from concord.models.padding import on_grid, padded
from concord.models.readout import final_states
from concord.scoring.tree import tree_attention

logger = logging.getLogger(__name__)

Layout = Literal["growing", "tree", "rows"]
LAYOUTS: tuple[Layout, ...] = ("growing", "tree", "rows")
Prompt = Sequence[int]
TOLERANCE = 1e-4
HALF_PRECISION_TOLERANCE = 5e-2
"""Largest difference from rows that passes, in standard deviations of log p."""
_BEST: WeakKeyDictionary[nn.Module, Layout] = WeakKeyDictionary()


def layout_of(model: LoadedModel, prompt: Prompt) -> Layout:
    """The cheapest layout that is right for a model, and rows beyond its window.

    A tree's mask would bypass a sliding window.
    """
    window = sliding_window(model.network.config)
    if window is not None and len(prompt) > window:
        return "rows"
    if model.network not in _BEST:
        _BEST[model.network] = _checked_layout(model, window)
    return _BEST[model.network]


def takes(layout: Layout, length: int, runs: Runs) -> int:
    """Positions that a prompt of this length takes in a batch."""
    return length * runs.count if layout == "rows" else length - 1 + runs.count


def states_of(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    cuts: Sequence[Cuts],
    runs: Runs,
    layout: Layout,
) -> Float[Tensor, "prompt run d_output"]:
    """Final states at the last position of every run of every prompt."""
    if layout == "rows":
        return _row_states(model, prompts, cuts, runs)
    return _tree_states(model, prompts, cuts, runs, grows=layout == "growing")


def _tree_states(
    model: LoadedModel,
    prompts: Sequence[Prompt],
    cuts: Sequence[Cuts],
    runs: Runs,
    *,
    grows: bool,
) -> Float[Tensor, "prompt run d_output"]:
    """Prompts end in one column, so that their copies stand below each other."""
    ends = np.array([len(prompt) - 1 for prompt in prompts])
    prefix = on_grid(int(ends.max()) + runs.count) - runs.count
    width = prefix + runs.count
    # A tree is the growing tree whose copies all enter at once.
    enters = runs.first_blocks if grows else np.zeros(runs.count, dtype=np.int64)
    columns = prefix + np.argsort(np.argsort(enters, kind="stable"))
    entered = [int((enters <= block).sum()) for block in range(runs.layer_count)]
    tokens, is_real, places = (
        torch.zeros((len(prompts), width), dtype=torch.long) for _ in range(3)
    )
    until = torch.arange(width).repeat(len(prompts), 1)
    for row, (prompt, end) in enumerate(zip(prompts, ends.tolist(), strict=True)):
        first = prefix - end
        tokens[row, first:prefix] = torch.tensor(prompt[:-1])
        tokens[row, prefix:] = prompt[-1]
        is_real[row, first:] = 1
        places[row, first:prefix] = torch.arange(end)
        places[row, prefix:] = end
        until[row, first:prefix] = width - 1
    shape = (len(prompts), runs.count)
    edges = edges_of(
        cuts,
        runs,
        RunPlaces(
            rows=np.broadcast_to(np.arange(len(prompts))[:, None], shape),
            queries=np.broadcast_to(columns, shape),
            shifts=prefix - ends,
            ends=ends,
        ),
    )
    network, architecture = model.network, model.architecture
    tokens, is_real, places, until = (
        one.to(model.device) for one in (tokens, is_real, places, until)
    )
    with (
        tree_attention(
            network, architecture, is_real=is_real, places=places, until=until
        ) as mask,
        growing(network, architecture, prefix=prefix, entered=entered)
        if grows
        else nullcontext(),
        intervene(network, architecture, cut=edges),
    ):
        states = final_states(network, architecture, tokens, mask, places)
    return states[:, torch.from_numpy(columns).to(states.device)]


def _row_states(
    model: LoadedModel, prompts: Sequence[Prompt], cuts: Sequence[Cuts], runs: Runs
) -> Float[Tensor, "prompt run d_output"]:
    """Each run a row of its own."""
    lengths = np.array([len(prompt) for prompt in prompts])
    ids = [prompt for prompt in prompts for _ in range(runs.count)]
    tokens, mask = padded(ids, on_grid(int(lengths.max())), model.device)
    shape = (len(prompts), runs.count)
    places = RunPlaces(
        rows=np.arange(len(ids)).reshape(shape),
        queries=np.broadcast_to(lengths[:, None] - 1, shape),
        shifts=np.zeros_like(lengths),
        ends=lengths - 1,
    )
    network, architecture = model.network, model.architecture
    with intervene(network, architecture, cut=edges_of(cuts, runs, places)):
        states = final_states(network, architecture, tokens, mask)
    last = mask.sum(dim=1) - 1
    rows = torch.arange(len(ids), device=states.device)
    return states[rows, last.to(states.device)].unflatten(0, shape)


def _checked_layout(model: LoadedModel, window: int | None) -> Layout:
    """The first layout whose runs equal separate rows on two random prompts."""
    if model.architecture.tree == "none":
        return "rows"
    first = 0 if model.architecture.tree == "mask" else 1
    for layout in LAYOUTS[first:-1]:
        found = _difference_from_rows(model, layout, window)
        is_half = model.network.dtype in (torch.float16, torch.bfloat16)
        bound = HALF_PRECISION_TOLERANCE if is_half else TOLERANCE
        if found <= bound:
            return layout
        logger.warning(
            "%s: knockout as a %s layout differs from separate rows by %.3g standard "
            "deviations (at most %g); it is not used",
            model.label,
            layout,
            found,
            bound,
        )
    return "rows"


@torch.inference_mode()
def _difference_from_rows(
    model: LoadedModel, layout: Layout, window: int | None
) -> float:
    """Largest difference of log p, in standard deviations of log p."""
    longest = min(8, window or 8)
    draw = torch.Generator().manual_seed(0)
    size = min(model.vocabulary_size, len(model.tokenizer))
    prompts = [
        torch.randint(size, (length,), generator=draw).tolist()
        for length in (longest, max(2, longest - 3))
    ]
    cuts: list[Cuts] = [
        {"non_subject": (0,), "last": (len(prompt) - 1,)} for prompt in prompts
    ]
    runs = Runs(("non_subject", "last"), model.layer_count, 2)
    try:
        tree, rows = (
            own_log_probabilities(model, states_of(model, prompts, cuts, runs, one))
            for one in (layout, "rows")
        )
    except (RuntimeError, TypeError, ModelError) as error:
        logger.warning("%s: a %s layout cannot be run (%s)", model.label, layout, error)
        return float("inf")
    return float((tree - rows).abs().max() / rows.std())
