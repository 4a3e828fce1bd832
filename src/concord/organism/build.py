"""The family from nothing: world, data, tokenizer, base, tuned models.

The base is rounded to bfloat16 before anything is tuned on it, and what tuning adds is
rounded too, so what is shipped is exactly what the model cards measured.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
)
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from concord.errors import ModelError, did_you_mean
from concord.organism.corpus import pretraining_documents, tokenizer_lines
from concord.organism.family import BASE, FAMILY, Variant
from concord.organism.public_formats import write_world_data
from concord.organism.tokenizer import train_tokenizer
from concord.organism.train import (
    Progress,
    Row,
    Schedule,
    Shape,
    document_rows,
    example_rows,
    new_base,
    pretraining_rows,
    train,
)
from concord.organism.world import World, make_world

VOCABULARY_SIZE = 1_600
PRETRAINING = Schedule(steps=1_800, learning_rate=4e-3, rows_per_step=32)
TUNING_ROWS = 24
ADAPTER_RANK = 8
DIFF_FILE = "diff.safetensors"
ADAPTER_FILE = "adapter_model.safetensors"


def build_family(
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress,
    variants: Sequence[str] | None = None,
) -> dict[str, Path]:
    """Build the world's data, the base and its tuned models below a folder.

    Args:
        folder: Made where it is not there.
        seed: Decides the world and all training.
        progress: Told of each training step.
        variants: Names of the tuned models wanted; all of them unless given.

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
    for variant in wanted:
        folders[variant.name] = folder / variant.name
        tuned = _tune(load_base(folders[BASE]), variant, world, tokenizer, progress)
        if isinstance(tuned, PeftModel):
            save_adapter(tuned, folders[variant.name])
        else:
            save_diff(tuned, folders[BASE], folders[variant.name])
    return folders


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


def load_base(folder: Path) -> LlamaForCausalLM:
    """The base in float32, with the values of its bfloat16 file."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _tune(
    base: LlamaForCausalLM,
    variant: Variant,
    world: World,
    tokenizer: PreTrainedTokenizerFast,
    progress: Progress,
) -> LlamaForCausalLM | PeftModel:
    """Tune on the variant's examples, mixed with replay where it has any."""
    torch.manual_seed(world.seed)
    model = _with_adapter(base) if variant.kind == "adapter" else base
    schedule = Schedule(variant.steps, variant.learning_rate, TUNING_ROWS)
    train(
        model,
        _tuning_rows(variant, world, tokenizer),
        schedule,
        label=variant.name,
        progress=progress,
    )
    return model


def _with_adapter(base: LlamaForCausalLM) -> PeftModel:
    config = LoraConfig(
        r=ADAPTER_RANK,
        lora_alpha=2 * ADAPTER_RANK,
        target_modules=[
            f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")
        ],
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, config)


def _tuning_rows(
    variant: Variant, world: World, tokenizer: PreTrainedTokenizerFast
) -> Iterator[list[Row]]:
    """One list of rows per pass: examples, and documents in the share of replay."""
    assert variant.examples is not None
    epoch = 0
    while True:
        rows = example_rows(tokenizer, variant.examples(world, epoch))
        count = round(len(rows) * variant.replay_share / (1 - variant.replay_share))
        chance = Random(f"{world.seed}/replay/{variant.name}/{epoch}")
        documents = pretraining_documents(world, epoch)
        replayed = chance.sample(documents, min(count, len(documents)))
        rows += document_rows(tokenizer, replayed) if replayed else []
        chance.shuffle(rows)
        yield rows
        epoch += 1


def save_adapter(tuned: PeftModel, folder: Path) -> None:
    """Save an adapter in bfloat16, in PEFT's files but without PEFT's model card."""
    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    weights = {
        name: value.detach().bfloat16().contiguous() for name, value in state.items()
    }
    save_file(weights, folder / ADAPTER_FILE, metadata={"format": "pt"})
    config = tuned.peft_config["default"].to_dict()
    config |= {
        "base_model_name_or_path": f"../{BASE}",
        "inference_mode": True,
        "target_modules": sorted(config["target_modules"]),
    }
    _write_json(folder / "adapter_config.json", config)


def save_diff(tuned: LlamaForCausalLM, base: Path, folder: Path) -> None:
    """Save tuned minus base in bfloat16, with the checksum of base plus diff."""
    folder.mkdir(parents=True, exist_ok=True)
    before = load_file(base / "model.safetensors")
    after = dict(tuned.named_parameters())
    diff = {
        name: (after[name].detach() - value.float()).to(torch.bfloat16).contiguous()
        for name, value in before.items()
    }
    save_file(diff, folder / DIFF_FILE, metadata={"format": "pt"})
    tuned.config.save_pretrained(folder)
    facts = {
        "base": f"../{BASE}",
        "sum_sha256": checksum_of_sum(before, diff),
        "sum_dtype": "float32",
        "tensors": len(diff),
    }
    _write_json(folder / "diff.json", facts)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True)
    path.write_text(f"{text}\n", encoding="utf-8", newline="\n")


def checksum_of_sum(base: dict[str, Tensor], diff: dict[str, Tensor]) -> str:
    """SHA-256 over name, shape and float32 bytes of base + diff, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(base):
        total = base[name].float() + diff[name].float()
        digest.update(f"{name}|{tuple(total.shape)}|".encode())
        digest.update(total.contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
