"""What a model is, and how it would be asked, seen without loading a weight.

The network is built from its config on the meta device, where parameters have shapes
and no values: so its row of the architecture table is looked up as it is for a loaded
one, and the parameters are counted.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from concord.errors import ModelError
from concord.models.architecture import (
    architecture_of,
    attention_implementation,
    candidate_architectures,
    family_hint,
    known_families,
)
from concord.models.contexts import prompt_format
from concord.models.encoder import Encoder
from concord.models.load import tokenizer_fingerprint
from concord.models.placement import parameter_count, stored_quantisation
from concord.models.prompts import encoder_of
from concord.models.sources import (
    Source,
    check_source,
    local_folder,
    read_config,
    read_tokenizer,
    resolve_source,
)
from concord.models.tokens import encode_prompt
from concord.study import ModelEntry, is_endpoint

_NAMES_ITS_BASE = (
    ("adapter_config.json", "base_model_name_or_path"),
    ("diff.json", "base"),
)
_EXAMPLE = "Rome"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


@dataclass(frozen=True)
class Inspection:
    """What can be known of a model beforehand; None: it has no such part."""

    weights: str
    """Folder or hub id of whole weights, with their size where they are here."""
    adapter: str | None
    difference: str | None
    family: str
    support: str
    """Whether its inside can be read: known, refused, or after the self-check."""
    layers: int | None
    width: int | None
    vocabulary: int | None
    """Rows of the embedding, which may be more than the tokenizer's pieces."""
    parameters: str
    dtype: str
    """As the weights are stored."""
    tokenizer: str
    bos: str
    """What stands in front of a prompt, as a run would put it."""
    prompts: str
    """How a tuned model is asked, and whether it has a chat template."""


def inspect_model(
    entry: ModelEntry,
    base: ModelEntry | None = None,
    *,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Inspection:
    """Look at configs, headers of weights and the tokenizer of a model.

    Args:
        entry: The model.
        base: What an adapter or a difference is put on; by default what it names.
        trust_remote_code: Read configs and tokenizers by code that comes with them.
        allow_pickle: Take weights that are not safetensors.

    Raises:
        ModelError: A part is missing, damaged or cannot be reached.
    """
    if is_endpoint(entry.source):
        raise ModelError(
            f"{entry.source}: found an address, whose model has no files to look at; "
            "concord validate STUDY.yaml tries what its server tells"
        )
    source = resolve_source(entry, base or _base_named_by(entry))
    check_source(source, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    config = read_config(source, trust_remote_code=trust_remote_code)
    tokenizer = read_tokenizer(source, trust_remote_code=trust_remote_code)
    network = _without_values(config, trust_remote_code=trust_remote_code)
    shape: Any = config
    return Inspection(
        weights=_place(source.weights, source.revision),
        adapter=_adapter(source.adapter) if source.adapter else None,
        difference=_place(source.diff) if source.diff else None,
        family=config.model_type,
        support=_support(network, config),
        layers=getattr(shape, "num_hidden_layers", None),
        width=getattr(shape, "hidden_size", None),
        vocabulary=getattr(shape, "vocab_size", None),
        parameters=_parameters(network, source),
        dtype=str(config.dtype or "not told by its config").removeprefix("torch."),
        tokenizer=_tokenizer(tokenizer, source.tokenizer),
        bos=_bos(encoder_of(entry, tokenizer, config)),
        prompts=_prompts(entry, tokenizer),
    )


def _base_named_by(entry: ModelEntry) -> ModelEntry:
    """The base that an adapter or a difference names in its own files, or itself.

    Raises:
        ModelError: The file is none, or names no base.
    """
    if entry.source.startswith("+diff:"):
        raise ModelError(f"{entry.source}: needed the base it is added to; give --base")
    folder = local_folder(entry.source.partition("+diff:")[0])
    for name, key in _NAMES_ITS_BASE:
        if folder is not None and (folder / name).is_file():
            named = _read_json(folder / name).get(key)
            if not isinstance(named, str) or not named:
                raise ModelError(f"{folder / name}: names no base; give it by --base")
            beside = (folder / named).resolve()
            place = str(beside) if beside.is_dir() else named
            return ModelEntry(source=place, label="base")
    return entry


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file}: not JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: found no names with values; fetch it again")
    return content


def _without_values(
    config: PretrainedConfig, *, trust_remote_code: bool
) -> PreTrainedModel | None:
    """The network with shapes alone; None for what no language model is made of."""
    family: Any = (
        AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    )
    try:
        with torch.device("meta"):
            return family.from_config(
                config,
                attn_implementation=attention_implementation(config),
                trust_remote_code=trust_remote_code,
            )
    except ValueError:
        return None


def _support(network: PreTrainedModel | None, config: PretrainedConfig) -> str:
    if network is None:
        return f"refused: {config.model_type} is no language model of transformers"
    try:
        if config.model_type in known_families():
            row = architecture_of(network)
            order = "parallel" if row.is_parallel else "sequential"
            words = f"known ({order} blocks, positions: {row.positions})"
            return words + _less_of(config)
        rows = candidate_architectures(network)
    except ModelError as error:
        return f"refused: {error}"
    if not rows:
        return f"refused: unknown family; {family_hint(config.model_type)}"
    return "unknown family, named like LLaMA or GPT-2: needs the self-check when loaded"


def _less_of(config: PretrainedConfig) -> str:
    """What a known family cannot be measured on all the same."""
    quantised = stored_quantisation(config)
    if quantised:
        return f"; quantised ({quantised}), so not for the recall analyses"
    if config.is_encoder_decoder:
        return "; encoder-decoder, so not for the recall analyses"
    return ""


def _parameters(network: PreTrainedModel | None, source: Source) -> str:
    whole = "not known" if network is None else f"{parameter_count(network):,}"
    if source.adapter and Path(source.adapter).is_dir():
        files = sorted(Path(source.adapter).glob("*.safetensors"))
        return f"{whole}, and {sum(map(_numbers_in, files)):,} of the adapter"
    return whole


def _numbers_in(file: Path) -> int:
    """How many numbers a file of tensors holds, from its header."""
    with safe_open(file, framework="pt") as tensors:
        shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]
    return sum(torch.Size(shape).numel() for shape in shapes)


def _place(name: str, revision: str | None = None) -> str:
    """A folder or hub id with the size of its weights, where they are on this disk."""
    folder = Path(name)
    at = f" at {revision}" if revision else ""
    if not folder.is_dir():
        config = try_to_load_from_cache(name, "config.json", revision=revision)
        if not isinstance(config, str):
            return f"{name}{at} (not on this disk)"
        folder = Path(config).parent
    files = [file for pattern in _WEIGHTS for file in folder.glob(pattern)]
    size = sum(file.stat().st_size for file in files)
    found = f"{size / 1e6:,.1f} MB" if files else "weights not on this disk"
    return f"{name}{at} ({found})"


def _adapter(place: str) -> str:
    folder = Path(place)
    if not folder.is_dir():
        return f"{place} (looked at when it is loaded)"
    config = _read_json(folder / "adapter_config.json")
    modules = config.get("target_modules")
    on = modules if isinstance(modules, str) else ", ".join(sorted(modules or ()))
    rank = f" of rank {config['r']}" if config.get("r") else ""
    return f"{_place(place)}: {config.get('peft_type')}{rank} on {on or 'all'}"


def _tokenizer(tokenizer: PreTrainedTokenizerFast, place: str) -> str:
    name, digest = type(tokenizer).__name__, tokenizer_fingerprint(tokenizer)[:12]
    return f"{name} of {len(tokenizer):,} pieces, SHA-256 {digest}..., from {place}"


def _bos(encoder: Encoder) -> str:
    """What a prompt begins with, or why none can be given to the model."""
    tokenizer = encoder.tokenizer
    try:
        first = encode_prompt(encoder, _EXAMPLE).ids[0]
    except ModelError as error:
        return f"refused: {error}"
    if first != tokenizer.bos_token_id:
        return f"none in front (bos: {encoder.bos})"
    return f"{tokenizer.bos_token}:{first} in front (bos: {encoder.bos})"


def _prompts(entry: ModelEntry, tokenizer: PreTrainedTokenizerFast) -> str:
    """In which form the study's contexts are put, if this is a tuned model."""
    has_template = bool(getattr(tokenizer, "chat_template", None))
    chat = "has a chat template" if has_template else "has no chat template"
    return f"{prompt_format(entry, tokenizer)} when tuned; {chat}"
