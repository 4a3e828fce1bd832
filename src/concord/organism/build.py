"""The family from nothing: world, data, tokenizer, base, tuned models."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from concord.errors import ModelError, did_you_mean
from concord.organism.corpus import tokenizer_lines
from concord.organism.family import BASE, FAMILY, Variant
from concord.organism.public_formats import write_world_data
from concord.organism.tokenizer import train_tokenizer
from concord.organism.train import (
    Progress,
    Schedule,
    Shape,
    new_base,
    pretraining_rows,
    train,
)
from concord.organism.tuning import tune_into
from concord.organism.world import World, make_world

VOCABULARY_SIZE = 1_600
PRETRAINING = Schedule(steps=1_800, learning_rate=4e-3, rows_per_step=32)
MOST_WORKERS = 2
"""Tuned models made at once; each takes half a gigabyte."""
TUNING = "tuned models"


def build_family(
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress,
    variants: Sequence[str] | None = None,
    workers: int | None = None,
) -> dict[str, Path]:
    """Build the world's data, the base and its tuned models below a folder.

    Args:
        folder: Made where it is not there.
        seed: Decides the world and all training.
        progress: Told of each training step of the base, then of each tuned model.
        variants: Names of the tuned models wanted; all of them unless given.
        workers: Tuned models made at once, in processes of one thread each; by default
            two where there are two processors. The models are the same.

    Returns:
        The folder of each model, the base first.

    Raises:
        ModelError: A variant is unknown.
    """
    wanted = _wanted(variants)
    world = make_world(seed)
    write_world_data(world, folder / "data")
    tokenizer = train_tokenizer(tokenizer_lines(world), VOCABULARY_SIZE)
    base = _build_base(world, tokenizer, progress)
    folders = {BASE: folder / BASE}
    base.bfloat16().save_pretrained(folders[BASE])
    tokenizer.save_pretrained(folders[BASE])
    folders |= {variant.name: folder / variant.name for variant in wanted}
    count = workers or min(MOST_WORKERS, os.cpu_count() or 1)
    for done, name in enumerate(_tuned(wanted, folders, seed, count), start=1):
        progress(f"{TUNING}, {name}", done, len(wanted))
    return folders


def _tuned(
    variants: Sequence[Variant], folders: Mapping[str, Path], seed: int, workers: int
) -> Iterator[str]:
    """Names of the tuned models, each as soon as it is stored."""
    if workers < 2:
        for variant in variants:
            tune_into(variant, folders[BASE], folders[variant.name], seed)
            yield variant.name
        return
    context = multiprocessing.get_context("spawn")
    # The longest first, so that no worker begins one when the others are done.
    variants = sorted(variants, key=lambda variant: -variant.steps)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        names: dict[Future[None], str] = {
            pool.submit(
                tune_into, variant, folders[BASE], folders[variant.name], seed
            ): variant.name
            for variant in variants
        }
        for future in as_completed(names):
            future.result()
            yield names[future]


def _wanted(names: Sequence[str] | None) -> list[Variant]:
    tuned = {variant.name: variant for variant in FAMILY if variant.examples}
    for name in names or ():
        if name not in tuned:
            raise ModelError(f"no tuned model {name!r}; {did_you_mean(name, tuned)}")
    return [tuned[name] for name in (names if names is not None else tuned)]


def _build_base(
    world: World, tokenizer: PreTrainedTokenizerFast, progress: Progress
) -> LlamaForCausalLM:
    base = new_base(tokenizer, Shape(), world.seed)
    rows = pretraining_rows(tokenizer, world)
    train(base, rows, PRETRAINING, label=BASE, progress=progress)
    return base
