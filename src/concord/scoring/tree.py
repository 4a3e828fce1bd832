"""Trie nodes laid out as rows, and what lets many continuations share one row.

In a *tree row* all wanted nodes stand behind their prompt, each seeing the prompt and
its own ancestors and nothing else. In a *chain row* one path stands behind the prompt,
so the model's own causal mask is right; it works for every model, at the price of a
prompt per path.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from concord.errors import ModelError, did_you_mean
from concord.models.architecture import (
    Architecture,
    blocks_of,
    module_at,
    without_adapter_wrapper,
)
from concord.models.hooks import attention_mask_of
from concord.models.network import Network
from concord.scoring.batching import Row
from concord.scoring.trie import CandidateTrie

Layout = Literal["tree", "chains"]


def rows_for(
    job: int,
    trie: CandidateTrie,
    wanted: Int[np.ndarray, " node"],
    *,
    layout: Layout,
    most_nodes: int,
) -> list[Row]:
    """The rows that read all wanted nodes of one prompt, each exactly once.

    Args:
        job: Which prompt.
        trie: Its candidates.
        wanted: Nodes to read, in ascending order; 0 is the end of the prompt.
        layout: Tree rows or chain rows.
        most_nodes: A tree row with more nodes is split by whole first-token
            subtrees, the prompt repeated; one subtree is never split.
    """
    is_end_alone = len(wanted) == 1 and not wanted[0]
    nodes = wanted[:0] if is_end_alone else trie.with_ancestors(wanted)
    if not len(nodes) or (layout == "tree" and len(nodes) <= most_nodes):
        return [Row(job=job, nodes=nodes, reads=wanted)]
    if layout == "tree":
        parts = _subtree_groups(trie, nodes, most_nodes)
    else:
        parts = _chains(trie, nodes)
    rows, unread = [], set(wanted.tolist())
    for part in parts:
        here = np.array([n for n in (0, *part.tolist()) if n in unread], dtype=np.int64)
        unread -= set(here.tolist())
        rows.append(Row(job=job, nodes=part, reads=here))
    return rows


def _subtree_groups(
    trie: CandidateTrie, nodes: Int[np.ndarray, " node"], most_nodes: int
) -> list[Int[np.ndarray, " _node"]]:
    """Neighbouring first-token subtrees, as many together as fit."""
    starts = np.flatnonzero(trie.node_depths[nodes] == 1)
    ends = np.append(starts[1:], len(nodes))
    cuts = [0]
    for start, end in zip(starts, ends, strict=True):
        if end - cuts[-1] > most_nodes and start > cuts[-1]:
            cuts.append(int(start))
    return np.split(nodes, cuts[1:])


def _chains(
    trie: CandidateTrie, nodes: Int[np.ndarray, " node"]
) -> list[Int[np.ndarray, " _node"]]:
    """One path from the first token down for every node with none below it here."""
    inner = set(trie.node_parents[nodes].tolist())
    lowest = [node for node in nodes if int(node) not in inner]
    return [trie.with_ancestors(np.array([node])) for node in lowest]


def visible_until(
    trie: CandidateTrie, nodes: Int[np.ndarray, " node"], prompt_length: int
) -> Int[np.ndarray, " position"]:
    """Last position of a tree row from which each position is still seen.

    A node is seen from its own subtree, a prompt token from everywhere after it;
    depth-first order makes both one interval.
    """
    last = prompt_length + len(nodes) - 1
    ends = np.searchsorted(nodes, trie.node_ends[nodes], side="right") - 1
    return np.append(np.full(prompt_length, last), prompt_length + ends)


def tree_mask(
    until: Int[Tensor, "batch position"],
) -> Bool[Tensor, "batch query key"]:
    """Which key each query may see: k <= q <= until[k].

    A padding position has itself as `until`, so it sees itself and no row of the
    mask is empty.
    """
    positions = torch.arange(until.shape[1], device=until.device)
    query, key = positions[:, None], positions[None, :]
    return (key <= query) & (query <= until[:, None, :])


@contextmanager
def tree_attention(
    network: Network,
    architecture: Architecture,
    *,
    is_real: Int[Tensor, "batch position"],
    places: Int[Tensor, "batch position"],
    until: Int[Tensor, "batch position"] | None,
    seen: Bool[Tensor, "batch seen"] | None = None,
) -> Generator[Tensor]:
    """The mask to call the model with, and a position bias that follows depths.

    Rotary and absolute positions follow the position ids. A learned relative bias (T5)
    and a linear one (Bloom) are made inside the model from places in the row: inside
    this context they are made from `places` instead.

    Args:
        network: The model.
        architecture: Its row of the table.
        is_real: 1 for tokens, 0 for padding.
        places: Position of each token on its own path.
        until: See `visible_until`; None for plain rows, which need no such mask.
        seen: Which positions of the cache each row sees; None without a cache.
    """
    if until is None:
        yield is_real
        return
    allowed = tree_mask(until)
    if seen is not None:
        before = seen[:, None, :].expand(-1, allowed.shape[1], -1)
        allowed = torch.cat([before, allowed], dim=2)
    plain: Any = without_adapter_wrapper(network)
    mask = attention_mask_of(allowed, plain.config._attn_implementation, plain.dtype)
    with ExitStack() as hooks:
        if architecture.positions == "relative":
            hooks.enter_context(_relative_bias(network, architecture, places))
        if architecture.positions == "alibi":
            hooks.enter_context(_linear_bias(network, architecture, places, mask))
            mask = is_real
        yield mask


@contextmanager
def _relative_bias(
    network: nn.Module,
    architecture: Architecture,
    places: Int[Tensor, "batch position"],
) -> Generator[None]:
    """T5: the bias table read at differences of depth; the first block hands it on."""
    first = blocks_of(network, architecture)[0]
    attention: Any = first.get_submodule(architecture.attention)
    buckets = attention._relative_position_bucket(
        places[:, None, :] - places[:, :, None],
        bidirectional=False,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    bias = attention.relative_attention_bias(buckets).permute(0, 3, 1, 2)
    with _replaced([attention], {"position_bias": bias}):
        yield


@contextmanager
def _linear_bias(
    network: nn.Module,
    architecture: Architecture,
    places: Int[Tensor, "batch position"],
    mask: Float[Tensor, "batch 1 query key"],
) -> Generator[None]:
    """Bloom: slope x depth of the key; the mask goes to the blocks past the model."""
    body: Any = module_at(network, architecture.body)
    two = torch.ones((1, 2), device=places.device)
    slopes = body.build_alibi_tensor(two, body.num_heads, mask.dtype)[:, 0, 1]
    bias = places[:, None, None, :] * slopes[None, :, None, None]
    replaced = {"alibi": bias.flatten(0, 1).to(mask.dtype), "attention_mask": mask}
    with _replaced(list(blocks_of(network, architecture)), replaced):
        yield


@contextmanager
def _replaced(
    modules: list[nn.Module], arguments: dict[str, Tensor]
) -> Generator[None]:
    """Hand modules other keyword arguments than the model would; always undone.

    Raises:
        ModelError: In the pass, when a module is not given such an argument: it would
            ignore the new one, or take it for something else.
    """

    def replace(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        missing = sorted(arguments.keys() - kwargs.keys())
        if missing:
            raise ModelError(
                f"{type(module).__name__} takes no argument {missing[0]!r} here, so "
                "positions cannot follow a tree: "
                f"{did_you_mean(missing[0], kwargs)}; install the pinned transformers"
            )
        return args, kwargs | arguments

    with ExitStack() as hooks:
        for module in modules:
            handle = module.register_forward_pre_hook(replace, with_kwargs=True)
            hooks.callback(handle.remove)
        yield
