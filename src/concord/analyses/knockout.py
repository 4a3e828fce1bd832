"""What does the prediction lose when the last position may not attend somewhere?

Attention from the last position to a set of positions (the subject, everything else,
itself) is cut in a window of blocks around each layer, in all heads, and the change of
the probability of the prediction is measured. All cuts of a prompt share one pass, the
run without a cut among them: it is the base of every difference.

Cutting takes a model off its usual states: a loss of 96 % is no share of
responsibility, and windows overlap, so neighbouring layers are not independent.

Source: Geva et al. (2023), section 4; not part of Fierro et al. (2024).
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from concord.analyses.facts import Question
from concord.analyses.knockout_passes import (
    LAYOUTS,
    Layout,
    layout_of,
    states_of,
    takes,
)
from concord.analyses.knockout_runs import Cuts, Runs, cut_positions, default_width
from concord.analyses.part import Part, Task
from concord.analyses.probing import (
    TARGETS,
    Known,
    Probe,
    answer_tokens,
    identity_columns,
    in_batches,
    lists,
    own_log_probabilities,
    projected_rows,
    prompt_parts,
    readable_tokens,
    sampled_questions,
    top_token,
)
from concord.errors import ModelError
from concord.models.contexts import Context
from concord.models.memory import is_out_of_memory
from concord.models.placement import is_placed
from concord.study import KnockoutSet

PART_PROMPTS = 512
ROUNDING_PROMPTS = 4
"""Of each context, on which half precision is compared with float32."""
HALF = (torch.float16, torch.bfloat16)
_LOG = logging.getLogger(__name__)


def run(task: Task) -> Iterator[Part]:
    """One part for each block of prompts in each context."""
    questions = sampled_questions(task, task.study.knockout.facts)
    rows_of = partial(_rows, task, questions[:1])
    yield from prompt_parts(
        task, questions, rows_of, size=PART_PROMPTS, has_answers=True
    )


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

    def measure(chosen: list[int], width: int) -> None:
        prompts = [probes[index].prompt.ids for index in chosen]
        own_cuts = [cuts[index] for index in chosen]
        states = states_of(model, prompts, own_cuts, runs, layout)
        tokens[chosen, 0] = _best(task, states[:, 0], keep)
        logs[chosen], top[chosen] = _read(task, states, tokens[chosen], keep)

    lengths = [takes(layout, len(probe.prompt.ids), runs) for probe in probes]
    for _ in in_batches(task, lengths, measure):
        pass
    return Effects(tokens, logs, top)


@dataclass(frozen=True)
class Rounding:
    """Distance of relative changes of p in half precision from those in float32."""

    largest: float
    mean: float


def rounding_of(
    task: Task, probes: Sequence[Probe], runs: Runs, cuts: Sequence[Cuts]
) -> Rounding | None:
    """How far half precision moves the effects: the same weights, in float32.

    Returns:
        Over all cuts of some prompts, for the model's own top token; None in float32,
        where the weights are spread over devices, and where a copy has no room.
    """
    network = task.model.network
    if network.dtype not in HALF or is_placed(network):
        return None
    half = _changes(task, probes, runs, cuts, tokens=None)
    try:
        whole = copy.deepcopy(network).float()
        exact = replace(task, model=replace(task.model, network=whole))
        full = _changes(exact, probes, runs, cuts, tokens=half[0])
    except (RuntimeError, ModelError) as error:
        if not is_out_of_memory(error) and not isinstance(error, ModelError):
            raise
        _LOG.warning("%s: no room for a float32 copy (%s)", task.model.label, error)
        return None
    is_cut = np.zeros(half[1].shape, dtype=bool)
    for name in runs.sets:
        is_cut[:, runs.of_set(name)] = [[cut[name] is not None] for cut in cuts]
    apart = np.abs(half[1] - full[1])[is_cut]
    return Rounding(float(apart.max()), float(apart.mean())) if apart.size else None


def _changes(
    task: Task,
    probes: Sequence[Probe],
    runs: Runs,
    cuts: Sequence[Cuts],
    *,
    tokens: Int[np.ndarray, " prompt"] | None,
) -> tuple[Int[np.ndarray, " prompt"], Float[np.ndarray, "prompt run"]]:
    """Best tokens without a cut, and the relative changes of these or of others."""
    answers = np.zeros((len(probes), 2), dtype=np.int64)
    if tokens is not None:
        answers[:, 0] = tokens
    layouts: set[Layout] = {layout_of(task.model, p.prompt.ids) for p in probes}
    layout: Layout = layouts.pop() if len(layouts) == 1 else "rows"
    found = knock_out(task, probes, answers, runs=runs, cuts=cuts, layout=layout)
    log = found.log_probability[:, :, 0 if tokens is None else 1]
    return found.tokens[:, 0], np.expm1(log - log[:, :1])


def _best(
    task: Task, states: Float[Tensor, "prompt d_output"], keep: Bool[Tensor, " token"]
) -> Int[np.ndarray, " prompt"]:
    """The model's own top token of each state."""
    parts = states.split(projected_rows(task.model))
    found = [top_token(own_log_probabilities(task.model, own), keep) for own in parts]
    return torch.cat(found).cpu().numpy()


def _read(
    task: Task,
    states: Float[Tensor, "prompt run d_output"],
    tokens: Int[np.ndarray, "prompt target"],
    keep: Bool[Tensor, " token"],
) -> tuple[Float[np.ndarray, "prompt run target"], Int[np.ndarray, "prompt run"]]:
    """Log p of each prompt's targets in every run, and the best token."""
    count, runs = states.shape[:2]
    wanted = torch.from_numpy(tokens).to(states.device).repeat_interleave(runs, dim=0)
    step = projected_rows(task.model)
    logs, top = [], []
    flat = states.flatten(0, 1)
    for own, targets in zip(flat.split(step), wanted.split(step), strict=True):
        found = own_log_probabilities(task.model, own)
        logs.append(found.gather(1, targets).double().cpu())
        top.append(top_token(found, keep).cpu())
    shape = (count, runs, tokens.shape[1])
    return torch.cat(logs).numpy().reshape(shape), torch.cat(top).numpy().reshape(
        shape[:2]
    )


def _rows(
    task: Task,
    first: Sequence[Question],
    context: Context,
    probes: Sequence[Probe],
    known: Known,
) -> pa.Table:
    """One row for each prompt and set, with the effect around every layer.

    Rounding is measured with the first block of a context.
    """
    model, config = task.model, task.study.knockout
    width = config.window or default_width(model.layer_count)
    runs = Runs(config.sets, model.layer_count, width)
    answers = answer_tokens(task, context, probes, known)
    mark = model.tokenizer.bos_token_id
    bos = mark if isinstance(mark, int) else None
    cuts = [cut_positions(probe, config.sets, bos) for probe in probes]
    layouts = [layout_of(model, probe.prompt.ids) for probe in probes]
    rounding = None
    if probes[0].question == first[0]:
        some = slice(0, ROUNDING_PROMPTS)
        rounding = rounding_of(task, probes[some], runs, cuts[some])
    precision = str(model.network.dtype).removeprefix("torch.")
    tables = []
    for layout in LAYOUTS:
        chosen = [place for place, own in enumerate(layouts) if own == layout]
        if not chosen:
            continue
        own = [probes[place] for place in chosen]
        own_cuts = [cuts[place] for place in chosen]
        given = {"runs": runs, "cuts": own_cuts, "layout": layout}
        effects = knock_out(task, own, answers[chosen], **given)
        for name in config.sets:
            present = [cut[name] is not None for cut in own_cuts]
            columns = _columns(task, effects, runs, name, present)
            sizes = [len(cut[name] or ()) or None for cut in own_cuts]
            tables.append(
                pa.table(
                    identity_columns(context, own)
                    | {
                        "set": pa.array([name] * len(own), pa.string()),
                        "first_position": _first_positions(own),
                        "position_count": pa.array(sizes, pa.int32()),
                        "window": pa.array([width] * len(own), pa.int16()),
                        "layout": pa.array([layout] * len(own), pa.string()),
                        "precision": pa.array([precision] * len(own), pa.string()),
                        "rounding_largest": pa.array(
                            [rounding and rounding.largest] * len(own), pa.float32()
                        ),
                        "rounding_mean": pa.array(
                            [rounding and rounding.mean] * len(own), pa.float32()
                        ),
                    }
                    | columns
                )
            )
    return pa.concat_tables(tables)


def _first_positions(probes: Sequence[Probe]) -> pa.Array:
    """Where each subject begins; null where no token stands for it."""
    places = [probe.subject for probe in probes]
    return pa.array([p.positions[0] if p else None for p in places], pa.int32())


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
