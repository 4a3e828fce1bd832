"""How long exact scoring takes on trained models, and what it costs over one pass.

The embedded models answer all prompts of their own world; a story model of 260,000
parameters with 512 pieces, which never read an encyclopedia, is the adverse case for
best-first search. The floor is one pass over every distinct prompt with the whole
vocabulary read out at its end, in plain PyTorch, longest prompts first. Seconds are
process time on one thread, ways interleaved in one process.

    python benchmarks/scoring_trained.py --stories WEIGHTS --data-dir DATA
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from concord.data.pararel import read_pararel
from concord.data.records import FactData
from concord.models.architecture import architecture_of
from concord.models.tokens import Encoder, candidate_ids, encode_prompts
from concord.organism import FAMILY, shipped_world, weights_folder, write_world_data
from concord.scoring.engine import (
    ScoringConfig,
    ScoringModel,
    WorkCounts,
    score_prompts,
)
from concord.scoring.trie import CandidateTrie, Tokens, build_trie

PART = 2048
"""Prompts of one call, as in a study."""
FLOOR_POSITIONS = 2048
SOME = 2720
"""Prompts for every model but the first, spread over the world."""


@dataclass(frozen=True)
class Questions:
    """A model with prompts and the candidates of each."""

    model: ScoringModel
    prompts: Sequence[Tokens]
    tries: Sequence[CandidateTrie]
    trie_index: Sequence[int]


def main() -> int:
    """Measure and print the tables; write them where asked."""
    options = _options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_world_data(shipped_world(), Path(folder))
        world = read_pararel(Path(folder) / "pararel")
    lines = [*_heading(), *trained_lines(world, options.prompts)]
    if options.stories is not None:
        data = read_pararel(options.data_dir / "pararel")
        lines += adverse_lines(options.stories, data, options.blocks)
    text = "\n".join([*lines, ""])
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    return 0


def load(folder: Path) -> tuple[ScoringModel, Encoder]:
    """A model from a folder, in float32 on the processor."""
    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    encoder = Encoder(AutoTokenizer.from_pretrained(folder), family="llama")
    device = torch.device("cpu")
    return ScoringModel(network, architecture_of(network), device), encoder


def questions(
    model: ScoringModel, encoder: Encoder, data: FactData, keep: Sequence[int]
) -> Questions:
    """Some prompts, by their places in the order of a study."""
    every = [
        (relation, text)
        for relation in data.relations
        for fact in relation.facts
        for _, text in relation.prompts_of(fact)
    ]
    chosen = [every[at] for at in keep]
    tries, trie_index = [], []
    for relation, group in groupby(chosen, key=lambda own: own[0]):
        own = [text for _, text in group]
        ids = candidate_ids(encoder, own[0], relation.candidates)
        trie_index += [len(tries)] * len(own)
        tries.append(build_trie(ids, texts=relation.candidates))
    prompts = encode_prompts(encoder, [text for _, text in chosen])
    return Questions(model, [prompt.ids for prompt in prompts], tries, trie_index)


def score(asked: Questions, config: ScoringConfig) -> tuple[float, WorkCounts]:
    """Process time and work of all parts."""
    work, start = WorkCounts(), time.process_time()
    for first in range(0, len(asked.prompts), PART):
        block = slice(first, first + PART)
        _, done = score_prompts(
            asked.model,
            asked.prompts[block],
            asked.tries,
            asked.trie_index[block],
            config=config,
        )
        work += done
    return time.process_time() - start, work


@torch.inference_mode()
def floor(asked: Questions) -> float:
    """Process time of one padded pass over each distinct prompt, and its readout."""
    network, start = asked.model.network, time.process_time()
    waiting = sorted(set(asked.prompts), key=len, reverse=True)
    while waiting:
        length = len(waiting[0])
        batch = waiting[: FLOOR_POSITIONS // length]
        waiting = waiting[len(batch) :]
        ends = torch.tensor([len(prompt) - 1 for prompt in batch])
        ids = torch.tensor([[*p, *[0] * (length - len(p))] for p in batch])
        states = network.model(
            input_ids=ids, attention_mask=torch.arange(length) <= ends[:, None]
        ).last_hidden_state
        network.lm_head(states[torch.arange(len(batch)), ends]).log_softmax(-1).numpy()
    return time.process_time() - start


def trained_lines(world: FactData, most: int | None) -> list[str]:
    """The embedded models on their own world."""
    lines = [
        "",
        "## Trained models on their own world",
        "",
        "| model | way | prompts | expansions per prompt | rounds | positions | "
        "seconds | times the floor |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    total = sum(len(r.prompts_of(fact)) for r in world.relations for fact in r.facts)
    for variant in FAMILY:
        if not (weights_folder(variant.name) / "model.safetensors").is_file():
            lines.append(
                f"| {variant.name} | an adapter or diff: not measured | | | | | | |"
            )
            continue
        model, encoder = load(weights_folder(variant.name))
        wanted = most or (total if variant is FAMILY[0] else SOME)
        keep = range(0, total, -(-total // wanted))
        asked = questions(model, encoder, world, keep)
        ways = {
            "first": ScoringConfig(mode="first"),
            "top, k = 1": ScoringConfig(k=1),
            "top, k = 2": ScoringConfig(k=2),
        }
        least = floor(asked)
        lines.append(
            f"| {variant.name} | floor | {len(asked.prompts):,} | | 1 | "
            f"{sum(map(len, set(asked.prompts))):,} | {least:.1f} | 1.00 |"
        )
        for name, config in ways.items():
            spent, work = score(asked, config)
            lines.append(
                f"| {variant.name} | {name} | {work.prompts:,} | "
                f"{work.expansions / work.distinct_prompts:.2f} | {work.rounds} | "
                f"{work.token_positions:,} | {spent:.1f} | {spent / least:.2f} |"
            )
    return lines


def adverse_lines(folder: Path, data: FactData, blocks: int) -> list[str]:
    """The story model on parts of ParaRel spread over it: time, and peak memory."""
    model, encoder = load(folder)
    total = sum(len(r.prompts_of(fact)) for r in data.relations for fact in r.facts)
    parts = -(-total // PART)
    lines = [
        "",
        f"## Adverse case: stories, {blocks} of {parts} parts of ParaRel",
        "",
        "| prompts | expansions per prompt | rounds | positions per prompt | seconds | "
        f"seconds for all {total:,} | peak memory, MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count in sorted({1, blocks}):
        starts = [PART * (part * parts // count) for part in range(count)]
        keep = [at for first in starts for at in range(first, first + PART)]
        asked = questions(model, encoder, data, [at for at in keep if at < total])
        spent, work = score(asked, ScoringConfig())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mebibytes = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        lines.append(
            f"| {work.prompts:,} | {work.expansions / work.distinct_prompts:.1f} | "
            f"{work.rounds} | {work.token_positions / work.prompts:.0f} | {spent:.1f} "
            f"| {spent / work.prompts * total:,.0f} | {mebibytes:,.0f} |"
        )
    return lines


def _heading() -> list[str]:
    return [
        "# Scoring on trained models",
        "",
        f"One thread of {_cpu_model()} ({os.cpu_count()} cores), process time, "
        f"float32, sdpa, empty context. torch {torch.__version__}, Python "
        f"{platform.python_version()}. *Floor*: one plain pass over each distinct "
        "prompt with the vocabulary read out at its end.",
    ]


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "an unnamed processor"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Exact scoring on trained models")
    parser.add_argument("--stories", type=Path, default=None)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--prompts", type=int, default=None)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
