"""How long exact scoring takes on trained models, and what it costs over one pass.

The embedded base answers all prompts of its own world, its tuned models some of them.
The floor is one pass over every distinct prompt with the whole vocabulary read out at
its end, in plain PyTorch, longest prompts first. Seconds are process time on one
thread, ways interleaved in one process.

    python benchmarks/scoring_trained.py --output FILE
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from machine import processor_name

from concord.data.pararel import read_pararel
from concord.data.records import FactData
from concord.models.contexts import study_contexts
from concord.models.load import load_model
from concord.models.tokens import Encoder, candidate_ids, encode_prompts
from concord.organism import FAMILY, shipped_world, write_world_data
from concord.organism.family import Variant
from concord.scoring.engine import (
    ScoringConfig,
    ScoringModel,
    WorkCounts,
    score_prompts,
)
from concord.scoring.trie import CandidateTrie, Tokens, build_trie
from concord.study import resolve_study

PART = 2048
"""Prompts of one call, as in a study."""
FLOOR_POSITIONS = 2048
SOME = 2720
"""Prompts spread over the world, where not all of them are asked."""
REPEATS = 2
WAYS = {
    "first": ScoringConfig(mode="first"),
    "top, k = 1": ScoringConfig(k=1),
    "top, k = 2": ScoringConfig(k=2),
}
CONTEXT = study_contexts("tuned", "facts")[0]


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
    lines = [
        *_heading(),
        *floor_lines(world, options.prompts),
        *family_lines(world),
        *prefix_lines(world),
    ]
    text = "\n".join([*lines, ""])
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    return 0


def load(variant: Variant) -> tuple[ScoringModel, Encoder]:
    """An embedded model, in float32 on the processor."""
    names = [f"embedded:{name}" for name in (FAMILY[0].name, variant.name)]
    labels = [{"source": name, "label": f"m{i}"} for i, name in enumerate(names)]
    study = resolve_study(
        {"base": labels[0], "tuned": labels[1:], "device": "cpu", "dtype": "float32"}
    )
    model = load_model(study, study.tuned[0])
    encoder = Encoder(model.tokenizer, family="llama")
    scoring = ScoringModel(model.network, model.architecture, model.device)
    return scoring, encoder


def questions(
    model: ScoringModel,
    encoder: Encoder,
    data: FactData,
    keep: Sequence[int],
    *,
    context: str = "{}",
) -> Questions:
    """Some prompts, by their places in the order of a study."""
    every = [
        (relation, context.format(text))
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


def prompt_count(data: FactData) -> int:
    """Prompts of a set of facts."""
    return sum(len(r.prompts_of(fact)) for r in data.relations for fact in r.facts)


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


def floor_lines(world: FactData, most: int | None) -> list[str]:
    """The base on its own world, beside one plain pass; the fastest of the rounds."""
    model, encoder = load(FAMILY[0])
    total = prompt_count(world)
    keep = range(0, total, -(-total // (most or total)))
    asked = questions(model, encoder, world, keep)
    seconds: dict[str, list[float]] = {"floor": [], **{name: [] for name in WAYS}}
    works: dict[str, WorkCounts] = {}
    for _ in range(REPEATS):
        seconds["floor"].append(floor(asked))
        for name, config in WAYS.items():
            spent, works[name] = score(asked, config)
            seconds[name].append(spent)
    least = min(seconds["floor"])
    positions = sum(map(len, set(asked.prompts)))
    lines = [
        "",
        f"## Beside the floor: the base, {len(asked.prompts):,} prompts of its world",
        "",
        "| way | expansions per prompt | rounds | positions | seconds "
        "| times the floor |",
        "|---|---:|---:|---:|---:|---:|",
        f"| floor | | 1 | {positions:,} | {least:.1f} | 1.00 |",
    ]
    for name, work in works.items():
        spent = min(seconds[name])
        lines.append(
            f"| {name} | {work.expansions / work.distinct_prompts:.2f} | {work.rounds} "
            f"| {work.token_positions:,} | {spent:.1f} | {spent / least:.2f} |"
        )
    return lines


def family_lines(world: FactData) -> list[str]:
    """Expansions of every member of the family on prompts spread over the world."""
    total = prompt_count(world)
    keep = range(0, total, -(-total // SOME))
    lines = [
        "",
        f"## The family, {len(keep):,} prompts each",
        "",
        "| model | expansions, k = 1 | k = 2 | rounds, k = 2 | positions, k = 2 |",
        "|---|---:|---:|---:|---:|",
    ]
    for variant in FAMILY:
        model, encoder = load(variant)
        asked = questions(model, encoder, world, keep)
        one, two = (score(asked, ScoringConfig(k=k))[1] for k in (1, 2))
        lines.append(
            f"| {variant.name} | {one.expansions / one.distinct_prompts:.2f} "
            f"| {two.expansions / two.distinct_prompts:.2f} | {two.rounds} "
            f"| {two.token_positions:,} |"
        )
    return lines


def prefix_lines(world: FactData) -> list[str]:
    """Tokens that all prompts of a context begin with, run once or every time."""
    model, encoder = load(FAMILY[0])
    lines = [
        "",
        "## A context run once",
        "",
        f"The base's prompts in a tuned model's context ({CONTEXT!r}), top, k = 2.",
        "",
        "| front of all prompts | prompts | tokens shared | positions | seconds |",
        "|---|---:|---:|---:|---:|",
    ]
    total = prompt_count(world)
    keep = range(0, total, -(-total // SOME))
    asked = questions(model, encoder, world, keep, context=CONTEXT)
    for name, shares in {"with every prompt": False, "once": True}.items():
        spent, work = score(asked, ScoringConfig(share_prefix=shares))
        lines.append(
            f"| {name} | {work.prompts:,} | {work.shared_prefix} "
            f"| {work.token_positions:,} | {spent:.1f} |"
        )
    return lines


def _heading() -> list[str]:
    return [
        "# Scoring on trained models",
        "",
        f"One thread of {processor_name()} ({os.cpu_count()} cores), process time, "
        f"float32, sdpa, empty context. torch {torch.__version__}, Python "
        f"{platform.python_version()}. *Floor*: one plain pass over each distinct "
        "prompt with the vocabulary read out at its end; what `first` takes beyond it "
        "is the engine's own (searches, rows, batches), what `top` takes beyond "
        "`first` are the further rounds, whose small batches cost more per position. "
        "Made by `python benchmarks/scoring_trained.py --output FILE`.",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Exact scoring on trained models")
    parser.add_argument("--prompts", type=int, default=None)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
