"""The single checks by which a row of the architecture table is proved on a network.

Each takes a network and the row and gives what it measured, with the largest value that
passes. A wrong row gives numbers that look plausible; these tell it apart.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from concord.errors import ConcordError
from concord.models.architecture import (
    Architecture,
    blocks_of,
    without_adapter_wrapper,
)
from concord.models.check_batch import (
    CheckBatch,
    check_batch,
    encoded,
    states_to_unembed,
    whole_logits,
)
from concord.models.hooks import Edges, Replacement, Site, SiteKind, intervene, record
from concord.models.readout import normed, unembed

TOLERANCE = 1e-5
HALF_PRECISION_TOLERANCE = 3e-2


@dataclass(frozen=True)
class CheckResult:
    """One thing that was checked.

    Attributes:
        family: The model type.
        check: What was checked, in words.
        block: Which block, where the check has one.
        value: What was measured: a difference, a ratio or a count.
        tolerance: The largest value that passes.
    """

    family: str
    check: str
    block: int | None
    value: float
    tolerance: float

    @property
    def is_passed(self) -> bool:
        """Whether the value is within tolerance, which no not-a-number ever is."""
        return self.value <= self.tolerance


Check = Callable[[nn.Module, Architecture], Iterable[CheckResult]]
Output = Callable[[nn.Module, Architecture, "CheckBatch"], Tensor]


def empty_interventions_change_nothing(
    network: nn.Module, architecture: Architecture
) -> Iterable[CheckResult]:
    """Hooks that change nothing leave the logits as they are, bit for bit."""
    probe = check_batch(network)
    plain = whole_logits(network, architecture, probe)
    nothing = torch.zeros(0, dtype=torch.long)
    edges = Edges(rows=nothing, queries=nothing, keys=nothing)
    with (
        intervene(network, architecture, cut={("mhsa", 0): edges}, replace={}),
        record(network, architecture, _all_sites(network, architecture)),
    ):
        hooked = whole_logits(network, architecture, probe)
    yield CheckResult(
        architecture.model_type,
        "empty interventions leave the logits bit-equal",
        None,
        _largest(hooked - plain),
        0.0,
    )


def updates_add_up(
    network: nn.Module, architecture: Architecture
) -> Iterable[CheckResult]:
    """The state before a block plus its updates is the state after it.

    The difference is measured against the block's largest update or, where the stream
    itself is larger there, against the stream: trained models have a few entries of
    several hundred, of which float32 rounds off more than the tolerance allows of an
    update, and half precision more than a whole update.
    """
    probe = check_batch(network)
    stacks = [
        (architecture, probe.decoder_mask if architecture.encoder else probe.mask)
    ]
    if architecture.encoder is not None:
        stacks.append((architecture.encoder, probe.mask))
    for stack, mask in stacks:
        sites = _all_sites(network, stack)
        with record(network, stack, sites) as recording:
            whole_logits(network, architecture, probe)
        for layer in range(len(blocks_of(network, stack))):
            yield CheckResult(
                stack.model_type,
                f"state + updates = next state ({stack.body})",
                layer,
                _identity_error(recording, stack, layer, mask.cpu().bool()),
                _tolerance(network),
            )


def last_state_gives_the_logits(
    network: nn.Module, architecture: Architecture
) -> Iterable[CheckResult]:
    """The final norm of h_L is the body's output; unembedded, that gives the logits."""
    probe = check_batch(network)
    last: Site = ("hidden", len(blocks_of(network, architecture)))
    with record(network, architecture, [last]) as recording:
        final = states_to_unembed(network, architecture, probe)
    own = whole_logits(network, architecture, probe)
    logits = unembed(network, architecture, final, head_dtype="model")
    read = normed(network, architecture, recording[last])
    mask = probe.decoder_mask if architecture.encoder else probe.mask
    # Padding has no place of its own: there the model counts positions differently.
    real = mask.bool()
    for name, found, expected in (
        ("final norm of the last state = the body's output", read[real], final[real]),
        ("unembedded final states = logits", logits[real], own[real]),
    ):
        yield CheckResult(
            architecture.model_type,
            name,
            None,
            _largest(found - expected) / _largest(expected),
            _tolerance(network),
        )


def cut_edges_are_cut(
    network: nn.Module, architecture: Architecture
) -> Iterable[CheckResult]:
    """Two edges cut at a last query change that position, in that block, and no other.

    In an encoder later blocks would carry the change to other positions, so there the
    last block is cut.
    """
    probe = check_batch(network)
    middle = len(blocks_of(network, architecture)) // 2
    mask = (probe.decoder_mask if architecture.encoder else probe.mask).cpu()
    trials: list[tuple[Architecture, Site, Output, Tensor]] = [
        (architecture, ("mhsa", middle), whole_logits, mask)
    ]
    if architecture.cross_attention is not None:
        trials.append((architecture, ("cross", middle), whole_logits, mask))
    if architecture.encoder is not None:
        last = len(blocks_of(network, architecture.encoder)) - 1
        trials.append((architecture.encoder, ("mhsa", last), encoded, probe.mask.cpu()))
    for stack, site, output, real in trials:
        edges = _two_edges(real)
        plain = output(network, architecture, probe).cpu()
        with (
            intervene(network, stack, cut={site: edges}),
            _kept_weights(network, stack, site[0]) as weights,
        ):
            changed = output(network, architecture, probe).cpu()
        yield from _cut_results(stack, site, edges, real, changed - plain)
        if weights:
            yield _weight_result(stack, site, edges, weights)
        if site[0] == "mhsa":
            run = partial(output, network, architecture, probe)
            yield _nothing_passes(network, stack, site, edges, run)


def mlp_reads_what_the_row_says(
    network: nn.Module, architecture: Architecture
) -> Iterable[CheckResult]:
    """Cancelling attention changes the MLP of the same block unless it is parallel."""
    probe = check_batch(network)
    site: Site = ("mlp", 0)
    with record(network, architecture, [site]) as plain:
        whole_logits(network, architecture, probe)
    with (
        intervene(network, architecture, replace={("mhsa", 0): Replacement()}),
        record(network, architecture, [site]) as cancelled,
    ):
        whole_logits(network, architecture, probe)
    is_unmoved = torch.equal(plain[site], cancelled[site])
    layout = "parallel" if architecture.is_parallel else "sequential"
    yield CheckResult(
        architecture.model_type,
        f"the MLP reads what it does in a {layout} block (0 yes, 1 no)",
        0,
        float(is_unmoved != architecture.is_parallel),
        0.0,
    )


def hooks_are_gone_after_an_exception(
    network: nn.Module, architecture: Architecture
) -> Iterable[CheckResult]:
    """An error inside the contexts leaves no hook behind."""
    before = _hook_count(network)
    sites = _all_sites(network, architecture)
    index = torch.zeros(1, dtype=torch.long)
    edges = Edges(rows=index, queries=index, keys=index)
    try:
        with (
            intervene(
                network,
                architecture,
                cut={("mhsa", 0): edges},
                replace={("mlp", 0): Replacement()},
            ),
            record(network, architecture, sites),
        ):
            raise _DeliberateError
    except _DeliberateError:
        left = _hook_count(network) - before
    yield CheckResult(
        architecture.model_type,
        "no hook is left after an exception",
        None,
        float(left),
        0.0,
    )


class _DeliberateError(ConcordError):
    """Raised and caught by the check of clean-up."""


def _all_sites(network: nn.Module, architecture: Architecture) -> tuple[Site, ...]:
    """Every state and every update of a stack."""
    layers = range(len(blocks_of(network, architecture)))
    states: list[Site] = [("hidden", layer) for layer in (*layers, len(layers))]
    updates: list[Site] = [
        (kind, layer) for layer in layers for kind in architecture.sublayers
    ]
    return (*states, *updates)


def _identity_error(
    recording: Mapping[Site, Tensor],
    architecture: Architecture,
    layer: int,
    real: Tensor,
) -> float:
    """Largest relative error of "state + updates = next state" at real positions."""
    updates: list[Site] = [(kind, layer) for kind in architecture.sublayers]
    sites: list[Site] = [("hidden", layer), ("hidden", layer + 1), *updates]
    # Blocks may lie on different devices.
    state, after, *added = (recording[site].cpu()[real].float() for site in sites)
    scale = torch.stack([update.abs().max() for update in added]).max()
    error = (state + sum(added) - after).abs()
    return _largest(error / torch.maximum(state.abs(), after.abs()).clamp(min=scale))


def _two_edges(real: Tensor) -> Edges:
    """From the first two positions to the last real one of each row."""
    rows = torch.arange(len(real)).repeat_interleave(2)
    keys = torch.tensor([0, 1]).repeat(len(real))
    return Edges(rows=rows, queries=real.sum(dim=-1)[rows] - 1, keys=keys)


@contextmanager
def _kept_weights(
    network: nn.Module, architecture: Architecture, kind: SiteKind
) -> Generator[list[Tensor]]:
    """The weights of each attention module in turn; none under sdpa, which has none."""
    kept: list[Tensor] = []
    path = architecture.attention if kind == "mhsa" else architecture.cross_attention

    def keep(module: nn.Module, args: tuple, output: Any) -> None:
        if output[-1] is not None:
            kept.append(output[-1].cpu())

    with ExitStack() as stack:
        for block in blocks_of(network, architecture):
            module = block.get_submodule(path or "")
            stack.callback(module.register_forward_hook(keep).remove)
        yield kept


def _cut_results(
    architecture: Architecture,
    site: Site,
    edges: Edges,
    real: Tensor,
    difference: Tensor,
) -> Iterable[CheckResult]:
    """The cut queries moved, and every other real position is bit-equal."""
    family, (kind, layer) = architecture.model_type, site
    rows, queries = torch.stack([edges.rows, edges.queries]).unique(dim=1)
    moved = difference[rows, queries].abs().amax(dim=-1) > 0
    others = real.bool().clone()
    others[rows, queries] = False
    yield CheckResult(
        family,
        f"cut queries whose output did not move ({kind}, {architecture.body})",
        layer,
        float((~moved).sum()),
        0.0,
    )
    yield CheckResult(
        family,
        f"change at positions that were not cut ({kind}, {architecture.body})",
        layer,
        _largest(difference[others]),
        0.0,
    )


def _nothing_passes(
    network: nn.Module,
    architecture: Architecture,
    site: Site,
    edges: Edges,
    run: Callable[[], Tensor],
) -> CheckResult:
    """Whatever stands at the cut positions, the query's update is bit-equal.

    That is a weight of exactly 0, where attention shows no weights (sdpa).
    """
    state: Site = ("hidden", site[1])
    row_count = int(edges.rows.max()) + 1
    keys = edges.keys.view(row_count, -1)
    queries = edges.queries.view(row_count, -1)[:, :1]
    found = []
    with record(network, architecture, [state], keys) as recording:
        run()
    for value in (recording[state], recording[state].flip(-1) * 3 + 1):
        moved: dict[Site, Replacement] = {state: Replacement(value, keys)}
        with (
            intervene(network, architecture, cut={site: edges}, replace=moved),
            record(network, architecture, [site], queries) as updates,
        ):
            run()
        found.append(updates[site])
    return CheckResult(
        architecture.model_type,
        f"what reaches a query over a cut edge ({site[0]}, {architecture.body})",
        site[1],
        _largest(found[0] - found[1]),
        0.0,
    )


def _weight_result(
    architecture: Architecture,
    site: Site,
    edges: Edges,
    weights: Sequence[Tensor],
) -> CheckResult:
    """Cut weights are 0 in the block that was cut, and in no other."""
    kind, layer = site
    is_zero = [
        bool((weight[edges.rows, :, edges.queries, edges.keys] == 0).all())
        for weight in weights
    ]
    expected = [block == layer for block in range(len(weights))]
    wrong = sum(
        found != wanted for found, wanted in zip(is_zero, expected, strict=True)
    )
    return CheckResult(
        architecture.model_type,
        f"blocks where the cut weights are not as they should be ({kind},"
        f" {architecture.body})",
        layer,
        float(wrong),
        0.0,
    )


def _largest(values: Tensor) -> float:
    """Largest magnitude; not a number where one of them is not."""
    return float(values.abs().max())


def _tolerance(network: nn.Module) -> float:
    """What rounding explains in the network's own type."""
    dtype = without_adapter_wrapper(network).dtype
    is_half = dtype in (torch.float16, torch.bfloat16)
    return HALF_PRECISION_TOLERANCE if is_half else TOLERANCE


def _hook_count(network: nn.Module) -> int:
    """Forward hooks and pre-hooks on all modules."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in network.modules()
    )
