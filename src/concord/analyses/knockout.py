"""What does the prediction lose when the last position may not attend somewhere?

Attention from the last position to a set of positions (the subject, everything else,
itself) is cut in a window of blocks around each layer, in all heads, and the change of
the probability of the prediction is measured. All cuts of a prompt share one pass: the
last token is repeated behind the prompt, each copy sees the prompt and itself, and each
loses its own edges. Copy 0 loses nothing and is the base of every difference.

Cutting takes a model off its usual states: a loss of 96 % is no share of
responsibility, and windows overlap, so neighbouring layers are not independent.

Source: Geva et al. (2023), section 4; not part of Fierro et al. (2024).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from concord.analyses.extraction import lists
from concord.analyses.facts import fact_contexts, questions_of
from concord.analyses.part import Part, Task
from concord.analyses.probing import (
    TARGETS,
    Probe,
    answer_tokens,
    identity_columns,
    in_batches,
    own_log_probabilities,
    padded,
    probes_of,
    projected_rows,
    readable_tokens,
    require_lengths,
    top_token,
)
from concord.models.architecture import sliding_window
from concord.models.contexts import Context
from concord.models.hooks import Edges, Site, intervene
from concord.models.load import LoadedModel
from concord.models.readout import final_states
from concord.scoring.batching import on_grid
from concord.scoring.tree import tree_attention
from concord.study import KnockoutSet

PART_PROMPTS = 512
DEEP = 24
"""Blocks from which on the window is Geva et al.'s."""
GEVA_WINDOW = 9
Layout = Literal["tree", "rows"]
LAYOUTS: tuple[Layout, ...] = ("tree", "rows")
Cuts = Mapping[KnockoutSet, tuple[int, ...] | None]


def run(task: Task) -> Iterator[Part]:
    """One part for each block of prompts in each context."""
    assert task.data.facts is not None
    questions = questions_of(task.data.facts)
    starts = range(0, len(questions), PART_PROMPTS)
    for context in fact_contexts(task):
        for number, start in enumerate(starts):
            block = questions[start : start + PART_PROMPTS]
            name = f"{context.contexts}-{context.index}-{number:05d}"
            if name not in task.finished:
                probes = probes_of(task, context, block)
                require_lengths(task.model, probes)
                yield Part(name, _rows(task, context, probes))
            task.advance(len(block))


def window_of(centre: int, width: int, layer_count: int) -> range:
    """Blocks that are cut together around a layer; an even width leans left."""
    first = max(0, centre - width // 2)
    return range(first, min(layer_count, centre + -(-width // 2)))


def default_width(layer_count: int) -> int:
    """Nine from 24 blocks on, else the odd number nearest to a quarter of them."""
    return GEVA_WINDOW if layer_count >= DEEP else 2 * (layer_count // 8) + 1


def cut_positions(
    probe: Probe, sets: Sequence[KnockoutSet], bos: int | None
) -> dict[KnockoutSet, tuple[int, ...] | None]:
    """Places of a prompt that each set holds.

    None where the set is empty, the subject was not found, or nothing would be left for
    the last position to attend to.
    """
    ids, last = probe.prompt.ids, len(probe.prompt.ids) - 1
    subject = set(probe.subject.positions) if probe.subject else None
    start, end = probe.sentence
    inside = {
        place
        for place, (first, after) in enumerate(probe.prompt.offsets)
        if first < after and first < end and after > start
    }
    others = set(range(last)) - (subject or set())
    front = {0} if bos is not None and ids[0] == bos else set()
    found: dict[KnockoutSet, set[int] | None] = {
        "subject": subject,
        "non_subject": None if subject is None else others,
        "last": {last},
        "template": None if subject is None else others & inside,
        "context": others - inside - front,
        "bos": front - {last},
    }
    return {
        name: tuple(sorted(own)) if (own := found[name]) and len(own) <= last else None
        for name in sets
    }


@dataclass(frozen=True)
class Runs:
    """The runs of a prompt: first nothing cut, then every set around every layer."""

    sets: tuple[KnockoutSet, ...]
    layer_count: int
    width: int

    @property
    def count(self) -> int:
        """Runs of one prompt, the base run included."""
        return 1 + len(self.sets) * self.layer_count

    def of_set(self, name: KnockoutSet) -> range:
        """The runs of a set, one per centre."""
        first = 1 + self.sets.index(name) * self.layer_count
        return range(first, first + self.layer_count)

    def cutting(self, block: int, name: KnockoutSet) -> Int[np.ndarray, " run"]:
        """Runs in which a set is cut in this block."""
        centres = [
            centre
            for centre in range(self.layer_count)
            if block in window_of(centre, self.width, self.layer_count)
        ]
        return np.array(centres, dtype=np.int64) + self.of_set(name).start


def layout_of(model: LoadedModel, probe: Probe) -> Layout:
    """A tree where the family can have one and no sliding window would be bypassed."""
    window = sliding_window(model.network.config)
    is_beyond = window is not None and len(probe.prompt.ids) > window
    return "rows" if is_beyond or model.architecture.tree == "none" else "tree"


@dataclass(frozen=True, eq=False)
class Effects:
    """What each run gave; one row per prompt."""

    tokens: Int[np.ndarray, "prompt target"]
    log_probability: Float[np.ndarray, "prompt run target"]
    top: Int[np.ndarray, "prompt run"]
    """Best token of each run."""


def knock_out(
    task: Task,
    probes: Sequence[Probe],
    answers: Int[np.ndarray, "prompt 2"],
    *,
    runs: Runs,
    cuts: Sequence[Cuts],
    layout: Layout,
) -> Effects:
    """Every run of every prompt: one pass per batch as a tree, or one row per run."""
    model = task.model
    tokens = np.zeros((len(probes), len(TARGETS)), dtype=np.int64)
    tokens[:, 1:] = answers
    logs = np.zeros((len(probes), runs.count, len(TARGETS)))
    top = np.zeros((len(probes), runs.count), dtype=np.int64)
    keep = readable_tokens(model).to(model.device)
    states_of = _tree_states if layout == "tree" else _row_states

    def measure(chosen: list[int], width: int) -> None:
        own = [probes[index] for index in chosen]
        states = states_of(model, own, [cuts[index] for index in chosen], runs)
        for index, state in zip(chosen, states, strict=True):
            for part in torch.arange(runs.count).split(projected_rows(model)):
                found = own_log_probabilities(model, state[part.to(state.device)])
                best = top_token(found, keep)
                if int(part[0]) == 0:
                    tokens[index, 0] = int(best[0])
                wanted = torch.from_numpy(tokens[index]).to(found.device)
                logs[index, part] = found[:, wanted].double().cpu().numpy()
                top[index, part] = best.cpu().numpy()

    lengths = [len(probe.prompt.ids) for probe in probes]
    taken = [
        n - 1 + runs.count if layout == "tree" else n * runs.count for n in lengths
    ]
    for _ in in_batches(task, taken, measure):
        pass
    return Effects(tokens, logs, top)


def _tree_states(
    model: LoadedModel, probes: Sequence[Probe], cuts: Sequence[Cuts], runs: Runs
) -> Float[Tensor, "prompt run d_output"]:
    """Final states of all copies of the last token.

    Exact because attention is causal and only the last query is cut: all states before
    it are the same in every run, and no copy sees another.
    """
    ends = [len(probe.prompt.ids) - 1 for probe in probes]
    width = on_grid(max(ends) + runs.count)
    ids = [
        (*probe.prompt.ids[:-1], *[probe.prompt.ids[-1]] * runs.count)
        for probe in probes
    ]
    tokens, is_real = padded(model, ids, width)
    until = torch.arange(width).repeat(len(probes), 1)
    places = torch.zeros_like(until)
    for row, end in enumerate(ends):
        until[row, :end] = end + runs.count - 1
        places[row, :end] = torch.arange(end)
        places[row, end : end + runs.count] = end
    places, until = places.to(model.device), until.to(model.device)
    edges = _edges(
        cuts, runs, [(row, end) for row, end in enumerate(ends)], step=(0, 1)
    )
    with (
        tree_attention(
            model.network,
            model.architecture,
            is_real=is_real,
            places=places,
            until=until,
        ) as mask,
        intervene(model.network, model.architecture, cut=edges),
    ):
        states = final_states(model.network, model.architecture, tokens, mask, places)
    found = [states[row, end : end + runs.count] for row, end in enumerate(ends)]
    return torch.stack(found)


def _row_states(
    model: LoadedModel, probes: Sequence[Probe], cuts: Sequence[Cuts], runs: Runs
) -> Float[Tensor, "prompt run d_output"]:
    """Final states at the last position, each run a row of its own."""
    lengths = [len(probe.prompt.ids) for probe in probes]
    ids = [probe.prompt.ids for probe in probes for _ in range(runs.count)]
    tokens, mask = padded(model, ids, on_grid(max(lengths)))
    ends = [(row * runs.count, end - 1) for row, end in enumerate(lengths)]
    edges = _edges(cuts, runs, ends, step=(1, 0))
    with intervene(model.network, model.architecture, cut=edges):
        states = final_states(model.network, model.architecture, tokens, mask)
    last = mask.sum(dim=1) - 1
    rows = torch.arange(len(ids), device=states.device)
    return states[rows, last.to(states.device)].unflatten(0, (len(probes), runs.count))


def _edges(
    cuts: Sequence[Cuts],
    runs: Runs,
    origins: Sequence[tuple[int, int]],
    *,
    step: tuple[int, int],
) -> dict[Site, Edges]:
    """The edges each block loses.

    Args:
        cuts: Places of each prompt's sets.
        runs: The runs.
        origins: Row and position of each prompt's base run.
        step: How far a run lies from the one before, in rows and in positions.
    """
    found: dict[Site, Edges] = {}
    for block in range(runs.layer_count):
        parts = []
        for own, (row, position) in zip(cuts, origins, strict=True):
            for name, places in own.items():
                if places is None:
                    continue
                numbers = np.repeat(runs.cutting(block, name), len(places))
                queries = position + numbers * step[1]
                keys = np.resize(np.array(places), len(numbers))
                # A copy stands for the last position: its edge to itself is meant.
                keys = np.where(keys == position, queries, keys)
                parts.append(np.stack([row + numbers * step[0], queries, keys]))
        if parts:
            rows, queries, keys = torch.from_numpy(np.concatenate(parts, axis=1))
            found["mhsa", block] = Edges(rows=rows, queries=queries, keys=keys)
    return found


def _rows(task: Task, context: Context, probes: Sequence[Probe]) -> pa.Table:
    """One row for each prompt and set, with the effect around every layer."""
    model, config = task.model, task.study.knockout
    width = config.window or default_width(model.layer_count)
    runs = Runs(config.sets, model.layer_count, width)
    answers = answer_tokens(task, context, probes)
    first = model.tokenizer.bos_token_id
    bos = first if isinstance(first, int) else None
    cuts = [cut_positions(probe, config.sets, bos) for probe in probes]
    layouts = [layout_of(model, probe) for probe in probes]
    tables = []
    for layout in LAYOUTS:
        chosen = [place for place, own in enumerate(layouts) if own == layout]
        if not chosen:
            continue
        own = [probes[place] for place in chosen]
        own_cuts = [cuts[place] for place in chosen]
        effects = knock_out(
            task, own, answers[chosen], runs=runs, cuts=own_cuts, layout=layout
        )
        for name in config.sets:
            present = [cut[name] is not None for cut in own_cuts]
            columns = _columns(task, effects, runs, name, present)
            sizes = [len(cut[name] or ()) or None for cut in own_cuts]
            tables.append(
                pa.table(
                    identity_columns(context, own)
                    | {
                        "set": pa.array([name] * len(own), pa.string()),
                        "position_count": pa.array(sizes, pa.int32()),
                        "window": pa.array([width] * len(own), pa.int16()),
                        "layout": pa.array([layout] * len(own), pa.string()),
                    }
                    | columns
                )
            )
    return pa.concat_tables(tables)


def _columns(
    task: Task,
    effects: Effects,
    runs: Runs,
    name: KnockoutSet,
    present: list[bool],
) -> dict[str, pa.Array]:
    own = list(runs.of_set(name))
    free = task.model.tokenizer.convert_ids_to_tokens(effects.tokens[:, 0].tolist())
    columns = {"free_token": pa.array(free, pa.string())}
    for index, target in enumerate(TARGETS):
        values = effects.log_probability[:, :, index]
        columns[f"{target}_log_probability"] = pa.array(values[:, 0], pa.float32())
        change = values[:, own] - values[:, :1]
        columns[f"{target}_change"] = lists(change, pa.float32(), present)
    moved: Bool[np.ndarray, "prompt layer"] = effects.top[:, own] != effects.top[:, :1]
    columns["is_top_changed"] = lists(moved, pa.bool_(), present)
    return columns
