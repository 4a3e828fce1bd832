"""How fast recall is measured on an accelerator, and what bfloat16 does to knockout.

A LLaMA of 7B shape with random weights, in bfloat16 and in float32 (the same weights,
rounded), goes through every mechanism on prompts of ParaRel, as a run does it; a plain
pass over the same prompts stands beside. Then the knockout curves of the two are
compared prompt by prompt: what differs is rounding.

    python benchmarks/mechanism_gpu.py --model FOLDER --data-dir DATA --limit 200
    python benchmarks/mechanism_gpu.py ... --limit 4 --tiny   # on a CPU

The folder's tokenizer is not used: a stand-in of 6,000 pieces is trained on the data.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from knockout import MECHANISM, first_candidates, mechanism_study
from random_llama import (
    SHAPE_7B,
    SHAPE_TINY,
    chosen_device,
    device_name,
    now,
    random_network,
)
from scoring import stand_in_tokenizer
from torch import nn

from concord.analyses.facts import fact_contexts, questions_of
from concord.analyses.part import Task
from concord.analyses.probing import in_batches, probes_of
from concord.data.attributes import read_attribute_texts
from concord.data.collection import Collection
from concord.data.draw import draw_facts
from concord.data.pararel import read_pararel
from concord.models.architecture import architecture_of
from concord.models.load import LoadedModel, load_model
from concord.models.padding import padded
from concord.models.readout import final_states

DTYPES = (torch.bfloat16, torch.float32)
_SHAPE_TINY = SHAPE_TINY | {"num_hidden_layers": 4}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=200, help="facts")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args(arguments)
    device = chosen_device(is_tiny=given.tiny, weights="float32 (about 27 GiB)")
    if device is None:
        return 2
    print(report(_tasks(given, device), device))
    return 0


def report(tasks: Iterator[Task], device: torch.device) -> str:
    """Prompts per second of each mechanism and dtype, and the noise between them."""
    names = ["plain pass", *MECHANISM]
    name = device_name(device)
    speeds: dict[torch.dtype, list[float]] = {}
    curves: dict[torch.dtype, dict[str, np.ndarray]] = {}
    prompts = 0
    for task in tasks:
        dtype = task.model.network.dtype
        assert task.data.facts is not None
        prompts = len(fact_contexts(task)) * len(questions_of(task.data.facts))
        next(iter(_plain(task)))  # The first pass also loads the kernels.
        speeds[dtype], curves[dtype] = _measure(task, prompts, device)
    lines = [
        f"{name}; {prompts:,} prompts in three contexts; prompts per second:",
        "",
        "| | bfloat16 | float32 |",
        "|---|---:|---:|",
    ]
    for place, one in enumerate(names):
        found = " | ".join(f"{speeds[dtype][place]:,.1f}" for dtype in DTYPES)
        lines.append(f"| {one} | {found} |")
    return "\n".join([*lines, "", *_noise(*(curves[dtype] for dtype in DTYPES))])


def _measure(
    task: Task, prompts: int, device: torch.device
) -> tuple[list[float], dict[str, np.ndarray]]:
    """Prompts per second of a plain pass and each mechanism; knockout's curves."""
    speeds, curves = [], {}
    for name, analysis in {"plain pass": _plain, **MECHANISM}.items():
        started = now(device)
        parts = list(analysis(task))
        speeds.append(prompts / (now(device) - started))
        if name == "knockout":
            curves = _curves(parts)
    return speeds, curves


def _plain(task: Task) -> Iterator[int]:
    """One pass over all prompts, of which nothing is kept."""
    assert task.data.facts is not None
    model = task.model
    for context in fact_contexts(task):
        probes = probes_of(task, context, questions_of(task.data.facts))

        def run(chosen: list[int], width: int, own: list[Any] = probes) -> None:
            ids = [own[index].prompt.ids for index in chosen]
            batch = padded(ids, width, model.device)
            final_states(model.network, model.architecture, *batch)

        for chosen, _ in in_batches(task, [len(p.prompt.ids) for p in probes], run):
            yield len(chosen)


def _curves(parts: Sequence[Any]) -> dict[str, np.ndarray]:
    """Relative change of the best candidate's p: a row per prompt, for each set."""
    found: dict[str, list[list[float]]] = {}
    for part in parts:
        for row in part.rows.select(["set", "prediction_change"]).to_pylist():
            if row["prediction_change"] is not None:
                found.setdefault(row["set"], []).append(row["prediction_change"])
    return {name: np.expm1(np.array(rows)) for name, rows in found.items()}


def _noise(half: dict[str, np.ndarray], full: dict[str, np.ndarray]) -> list[str]:
    """How far curves of bfloat16 lie from those of float32."""
    lines = [
        "Relative change of the prediction's probability, bfloat16 against float32:",
        "",
        "| set | prompts | largest change | difference of a prompt, median | 95 % "
        "| of the mean curve, largest |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, exact in full.items():
        apart = np.abs(half[name] - exact)
        mean = np.abs(half[name].mean(axis=0) - exact.mean(axis=0)).max()
        lines.append(
            f"| {name} | {len(exact):,} | {np.abs(exact.mean(axis=0)).max():.3g} "
            f"| {np.median(apart):.2g} | {np.quantile(apart, 0.95):.2g} | {mean:.2g} |"
        )
    return lines


def _tasks(given: argparse.Namespace, device: torch.device) -> Iterator[Task]:
    """The same facts and weights in each dtype, one network in memory at a time."""
    study = mechanism_study(given.model, given.data_dir)
    whole = read_pararel(given.data_dir / "pararel")
    data = draw_facts(whole, given.limit, study.seed)
    loaded = replace(load_model(study, study.base), tokenizer=stand_in_tokenizer(whole))
    texts = read_attribute_texts(given.data_dir / "attributes")
    for dtype in DTYPES:
        yield Task(
            _random_llama(loaded, given.tiny, dtype, device),
            Collection(data, (), attributes=texts),
            study,
            measured=first_candidates(data),
        )


def _random_llama(
    loaded: LoadedModel, is_tiny: bool, dtype: torch.dtype, device: torch.device
) -> LoadedModel:
    """Weights are drawn in float32 by one seed, and rounded."""
    shape = _SHAPE_TINY if is_tiny else SHAPE_7B
    network = random_network(shape, device, torch.float32)
    nn.Module.to(network.requires_grad_(False), dtype)
    return replace(loaded, network=network, architecture=architecture_of(network))


if __name__ == "__main__":
    raise SystemExit(main())
