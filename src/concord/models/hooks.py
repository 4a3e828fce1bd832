"""Reading and changing what flows through a network, by two context managers.

`record` copies hidden states and sublayer updates out of a pass; `intervene` cuts edges
of attention and replaces states or updates. Both remove every hook they set, also when
the pass fails. A `record` entered inside an `intervene` sees the changed values.

A site is a pair (kind, layer). ("hidden", l) is the state before block l, and
("hidden", L) the last block's output before the final norm; "mhsa", "mlp" and, in a
decoder with an encoder, "cross" are the updates of block l: what the sublayer adds to
the stream.

Cutting all edges of a query is refused rather than used to cancel attention: with every
key blocked, sdpa returns zeros and eager a uniform average. To cancel, replace by
zeros.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from concord.errors import ModelError, did_you_mean
from concord.models.architecture import (
    Architecture,
    blocks_of,
    without_adapter_wrapper,
)

SiteKind = Literal["hidden", "mhsa", "cross", "mlp"]
Site = tuple[SiteKind, int]
Change = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True)
class Edges:
    """Edges of attention to cut, each from a key (attended from) to a query, all heads.

    Positions are columns of the padded batch; keys of "cross" are the encoder's.
    """

    rows: Int[Tensor, " edge"]
    queries: Int[Tensor, " edge"]
    keys: Int[Tensor, " edge"]


@dataclass(frozen=True)
class Replacement:
    """What takes the place of a state or update, and where; by default zeros all over.

    Attributes:
        value: One vector per place; None for zeros. It is copied at every use.
        positions: Columns of the padded batch, per row; -1 leaves a place out, for rows
            with fewer of them. None for all positions.
    """

    value: Float[Tensor, "batch place d_model"] | None = None
    positions: Int[Tensor, "batch place"] | None = None


@contextmanager
def record(
    network: nn.Module,
    architecture: Architecture,
    sites: Iterable[Site],
    positions: Int[Tensor, "batch place"] | None = None,
) -> Generator[dict[Site, Float[Tensor, "batch place d_model"]]]:
    """Copy states and updates out of the pass that is run inside the context.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: The row of the stack to read (`architecture.encoder` for an
            encoder).
        sites: What to keep.
        positions: Columns to keep, per row; by default all of them.

    Yields:
        A dictionary that holds the copies after the pass, those of the last pass where
        there were several.
    """
    if positions is not None and bool((positions < 0).any()):
        raise ModelError("positions to record must be 0 or more: count from the left")
    recording: dict[Site, Tensor] = {}
    wanted = _checked_sites(network, architecture, sites)

    def keeper(site: Site) -> Change:
        def keep(states: Tensor) -> None:
            recording[site] = _copied(states, positions)

        return keep

    with _attached(network, architecture, {site: keeper(site) for site in wanted}):
        yield recording


@contextmanager
def intervene(
    network: nn.Module,
    architecture: Architecture,
    *,
    cut: Mapping[Site, Edges] | None = None,
    replace: Mapping[Site, Replacement] | None = None,
) -> Generator[None]:
    """Cut edges and replace states or updates in every pass run inside the context.

    Without edges a mask stays as it came: an explicit mask would change the kernel.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: The row of the stack to change.
        cut: Edges per ("mhsa", l) or ("cross", l).
        replace: New values per site; at ("hidden", l) the block below still runs.

    Raises:
        ModelError: In the pass, when a cut would leave a query nothing to attend to.
    """
    cuts = {site: edges for site, edges in (cut or {}).items() if len(edges.rows)}
    for kind, layer in _checked_sites(network, architecture, cuts):
        if kind not in ("mhsa", "cross"):
            raise ModelError(
                f"only mhsa and cross have edges; cannot cut {(kind, layer)}"
            )
    replacements = dict(replace or {})
    _checked_sites(network, architecture, replacements)
    with ExitStack() as stack:
        for (kind, layer), edges in cuts.items():
            module = _attention_module(network, architecture, kind, layer)
            before = _mask_editor(network, architecture, kind, edges)
            handle = module.register_forward_pre_hook(before, with_kwargs=True)
            stack.callback(handle.remove)
        changes = {site: _replacer(new) for site, new in replacements.items()}
        stack.enter_context(_attached(network, architecture, changes))
        yield


def attention_mask_of(
    allowed: Bool[Tensor, "batch query key"],
    implementation: str,
    dtype: torch.dtype,
) -> Tensor:
    """A mask of [batch, 1, query, key] in the form an attention implementation takes.

    Eager attention adds a boolean mask to its scores as 0 and 1 without complaint, so
    this is the one place where masks are made.

    Args:
        allowed: Which keys each query may attend to.
        implementation: "sdpa" gets a boolean mask, "eager" an additive one.
        dtype: Of the model, for the additive mask.

    Raises:
        ModelError: For a query that may attend to nothing.
    """
    is_empty = ~allowed.any(dim=-1)
    if bool(is_empty.any()):
        row, query = is_empty.nonzero()[0].tolist()
        raise ModelError(
            f"query {query} of row {row} may attend to nothing; let padding see itself"
        )
    mask = allowed.unsqueeze(1)
    if implementation == "sdpa":
        return mask
    if implementation != "eager":
        raise ModelError(
            f"no masks for attention implementation {implementation!r}:"
            f" {did_you_mean(implementation, ('sdpa', 'eager'))}"
        )
    blank = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return blank.masked_fill(~mask, _blocked(dtype))


def _blocked(dtype: torch.dtype) -> float:
    """What blocks a key in an additive mask.

    Not below float32's minimum: attention in float64 may compute its softmax in
    float32, where float64's minimum becomes -inf, and a row of -inf is not a number.
    """
    return max(torch.finfo(dtype).min, torch.finfo(torch.float32).min)


def _checked_sites(
    network: nn.Module, architecture: Architecture, sites: Iterable[Site]
) -> tuple[Site, ...]:
    """The sites, each of a kind and a layer the stack has."""
    layer_count = len(blocks_of(network, architecture))
    kinds = ("hidden", *architecture.sublayers)
    checked = tuple(sites)
    for kind, layer in checked:
        if kind not in kinds:
            raise ModelError(
                f"no site {kind!r} in {architecture.model_type}:"
                f" {did_you_mean(kind, kinds)}"
            )
        last = layer_count if kind == "hidden" else layer_count - 1
        if not 0 <= layer <= last:
            raise ModelError(f"no site {(kind, layer)}: {kind} has layers 0 to {last}")
    return checked


@contextmanager
def _attached(
    network: nn.Module, architecture: Architecture, changes: Mapping[Site, Change]
) -> Generator[None]:
    """Call a function on the states of each site; what it returns takes their place."""
    blocks = blocks_of(network, architecture)
    leading: list[int] = []

    def note_shape(module: nn.Module, args: tuple, kwargs: dict) -> None:
        leading[:] = _stream(args, kwargs).shape[:2]

    with ExitStack() as stack:
        if changes:
            first = blocks[0].register_forward_pre_hook(note_shape, with_kwargs=True)
            stack.callback(first.remove)
        for (kind, layer), change in changes.items():
            if kind == "hidden" and layer < len(blocks):
                handle = _before(blocks[layer], change)
            elif kind == "hidden":
                handle = _after(blocks[-1], change, leading)
            else:
                module = _update_module(blocks[layer], architecture, kind)
                handle = _after(module, change, leading)
            stack.callback(handle.remove)
        yield


def _before(block: nn.Module, change: Change) -> RemovableHandle:
    """Hook the states that enter a block."""

    def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        changed = change(_stream(args, kwargs))
        if changed is None:
            return None
        if args:
            return (changed, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": changed}

    return block.register_forward_pre_hook(hook, with_kwargs=True)


def _after(module: nn.Module, change: Change, leading: list[int]) -> RemovableHandle:
    """Hook a module's output, a tensor or a tuple that starts with one.

    Args:
        module: What to hook.
        change: Sees [batch, position, d_model], also where the module flattens the
            first two, as OPT's does.
        leading: Batch and position, filled in before the module runs.
    """

    def hook(module: nn.Module, args: tuple, output: Any) -> Any:
        tensor = output if isinstance(output, Tensor) else output[0]
        changed = change(tensor.view(*leading, -1))
        if changed is None:
            return None
        changed = changed.view(tensor.shape)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    return module.register_forward_hook(hook)


def _stream(args: tuple, kwargs: dict) -> Tensor:
    """The states a module is called with, given by position or by name."""
    return args[0] if args else kwargs["hidden_states"]


def _update_module(
    block: nn.Module, architecture: Architecture, kind: SiteKind
) -> nn.Module:
    """The module of a block whose output is the update of that kind."""
    paths = {
        "mhsa": architecture.mhsa_update,
        "mlp": architecture.mlp_update,
        "cross": architecture.cross_update,
    }
    return block.get_submodule(paths[kind] or "")


def _attention_module(
    network: nn.Module, architecture: Architecture, kind: SiteKind, layer: int
) -> nn.Module:
    """The attention module of a block where the mask of that kind arrives."""
    paths = {"mhsa": architecture.attention, "cross": architecture.cross_attention}
    return blocks_of(network, architecture)[layer].get_submodule(paths[kind] or "")


def _copied(states: Tensor, positions: Tensor | None) -> Tensor:
    """A copy of the states at these positions.

    Falcon adds attention's output to the MLP's in place: a reference kept here would
    turn from the MLP's update into the sum of both.
    """
    if positions is None:
        return states.detach().clone()
    _refuse_outside(positions, states)
    columns = positions.to(states.device)
    rows = torch.arange(len(columns), device=states.device).unsqueeze(1)
    return states.detach()[rows, columns]


def _replacer(new: Replacement) -> Change:
    """A fresh tensor at each call: Falcon overwrites what a hook returns."""

    def replaced(states: Tensor) -> Tensor:
        value = None if new.value is None else new.value.to(states)
        if new.positions is None:
            fresh = torch.zeros_like(states)
            return fresh if value is None else fresh.copy_(value)
        _refuse_outside(new.positions, states)
        positions = new.positions.to(states.device)
        rows, places = (positions >= 0).nonzero(as_tuple=True)
        fresh = states.clone()
        fresh[rows, positions[rows, places]] = (
            torch.zeros((), dtype=states.dtype, device=states.device)
            if value is None
            else value[rows, places]
        )
        return fresh

    return replaced


def _refuse_outside(positions: Tensor, states: Tensor) -> None:
    """One row of positions per row of the batch, none beyond its padded length."""
    if len(positions) != len(states) or int(positions.max()) >= states.shape[1]:
        raise ModelError(
            f"positions for {len(positions)} rows, up to {int(positions.max())}, do not"
            f" fit a batch of {states.shape[0]} rows and {states.shape[1]} positions"
        )


def _mask_editor(
    network: nn.Module, architecture: Architecture, kind: SiteKind, edges: Edges
) -> Callable[[nn.Module, tuple, dict], tuple[tuple, dict]]:
    """A pre-hook that hands attention a copy of its mask without the cut edges."""
    keyword = architecture.mask_keyword
    config: Any = without_adapter_wrapper(network).config
    implementation: str = config._attn_implementation
    is_causal = architecture.is_causal and kind == "mhsa"

    def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if keyword not in kwargs:
            raise ModelError(
                f"{architecture.model_type}: attention was given no {keyword!r}, so no"
                f" edge can be cut: {did_you_mean(keyword, kwargs)}"
            )
        queries = _stream(args, kwargs)
        keys = kwargs["key_value_states"] if kind == "cross" else queries
        mask = kwargs[keyword]
        if mask is None:
            mask = _implied_mask(queries, keys, implementation, is_causal=is_causal)
        elif mask.dtype == torch.bool and implementation == "eager":
            raise ModelError(
                "eager attention was given a boolean mask, which it would add"
            )
        whole = mask.expand(len(queries), -1, queries.shape[1], -1)
        return args, kwargs | {keyword: _without(whole, edges)}

    return before


def _implied_mask(
    queries: Tensor, keys: Tensor, implementation: str, *, is_causal: bool
) -> Tensor:
    """The mask that None stands for: all keys, or under sdpa in a decoder the past."""
    if is_causal and implementation == "eager":
        raise ModelError(
            "eager attention of a decoder was given no mask, so it is not causal"
        )
    shape = (len(queries), queries.shape[1], keys.shape[1])
    allowed = torch.ones(shape, dtype=torch.bool, device=queries.device)
    if is_causal:
        allowed = allowed.tril()
    return attention_mask_of(allowed, implementation, queries.dtype)


def _without(mask: Tensor, edges: Edges) -> Tensor:
    """A copy of a mask, boolean or additive, in which the edges are blocked.

    Only the cut cells are written: an additive mask may carry a position bias
    elsewhere.
    """
    rows, queries, keys = (
        index.to(mask.device) for index in (edges.rows, edges.queries, edges.keys)
    )
    is_boolean = mask.dtype == torch.bool
    blocked = False if is_boolean else _blocked(mask.dtype)
    edited = mask.clone()
    edited[rows, :, queries, keys] = blocked
    left = edited[rows, :, queries]
    is_allowed = left if is_boolean else left > blocked / 2
    if not bool(is_allowed.any(dim=-1).all()):
        edge = int((~is_allowed.any(dim=-1)).any(dim=-1).nonzero()[0])
        raise ModelError(
            f"the cut leaves query {int(queries[edge])} of row {int(rows[edge])}"
            " nothing to attend to; to cancel attention, replace its update by zeros"
        )
    return edited
