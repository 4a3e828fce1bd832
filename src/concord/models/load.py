"""A model of the study, loaded: network, tokenizer, architecture and fingerprint."""

import gc
import hashlib
import json
import warnings
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from concord.errors import ModelError
from concord.models.architecture import (
    Architecture,
    architecture_of,
    attention_implementation,
    blocks_of,
)
from concord.models.contexts import Kind
from concord.models.diff import add_diff
from concord.models.sources import (
    Source,
    read_config,
    read_tokenizer,
    resolve_source,
)
from concord.study import ModelEntry, Study


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be measured; one at a time is in memory."""

    entry: ModelEntry
    kind: Kind
    network: PreTrainedModel
    """In eval mode; a PEFT model keeps its adapter live."""
    tokenizer: PreTrainedTokenizerFast
    architecture: Architecture
    info: dict[str, Any]
    """What the run records of the model; its fingerprint among it."""

    @property
    def label(self) -> str:
        """Name in tables and folders."""
        return self.entry.label

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return next(self.network.parameters()).device

    @property
    def is_encoder_decoder(self) -> bool:
        """T5 and its kin."""
        return bool(self.network.config.is_encoder_decoder)

    @property
    def layer_count(self) -> int:
        """Blocks of the stack that predicts."""
        return len(blocks_of(self.network, self.architecture))

    @property
    def vocabulary_size(self) -> int:
        """Rows of the input embedding."""
        weight: Any = self.network.get_input_embeddings().weight
        return len(weight)

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens; None where the config sets no limit."""
        return getattr(self.network.config, "max_position_embeddings", None)


def free_memory() -> None:
    """Give back what models that are no longer referred to have held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def load_model(study: Study, entry: ModelEntry) -> LoadedModel:
    """Load one model of a study.

    Raises:
        ModelError: It cannot be loaded whole.
    """
    source = resolve_source(entry, study.base)
    config = read_config(source, trust_remote_code=study.trust_remote_code)
    device = torch.device(device_name(study.device))
    network = _load_network(study, source, config)
    network.eval().requires_grad_(False)
    nn.Module.to(network, device)
    tokenizer = read_tokenizer(source, trust_remote_code=study.trust_remote_code)
    return LoadedModel(
        entry=entry,
        kind="base" if entry is study.base else "tuned",
        network=network,
        tokenizer=tokenizer,
        architecture=architecture_of(network),
        info=_describe(source, network, tokenizer),
    )


def device_name(asked: str) -> str:
    """``auto``: the first CUDA device, else Apple's, else the CPU.

    Raises:
        ModelError: The device asked for is not there.
    """
    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise ModelError(
            f"device {asked!r} cannot be used ({first_line}); give cpu, cuda or mps"
        ) from error
    return asked


def _load_network(
    study: Study, source: Source, config: PretrainedConfig
) -> PreTrainedModel:
    dtype = _dtype(study, config, source)
    network = _from_pretrained(study, source, config, dtype)
    if source.diff:
        add_diff(network, source.diff)
        nn.Module.to(network, _dtype(study, config, None))
    if source.adapter:
        network = _with_adapter(network, source)
    return network


def _from_pretrained(
    study: Study, source: Source, config: PretrainedConfig, dtype: torch.dtype
) -> PreTrainedModel:
    family = (
        AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    )
    try:
        # With output_loading_info two things come back; its annotation says one.
        loaded: Any = family.from_pretrained(
            source.weights,
            revision=source.revision,
            dtype=dtype,
            attn_implementation=attention_implementation(config),
            use_safetensors=None if study.allow_pickle else True,
            trust_remote_code=study.trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{source.weights}: cannot load the weights ({first_line}); needed whole "
            "safetensors of a model in its config's shape"
        ) from error
    network, report = loaded
    _require_whole(source, report)
    return network


def _require_whole(source: Source, report: dict[str, Any]) -> None:
    for fault in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = sorted(str(key) for key in report.get(fault, ()))
        if keys and fault != "unexpected_keys":
            raise ModelError(
                f"{source.weights}: {len(keys)} {fault.replace('_', ' ')}, the first "
                f"{keys[0]!r}; those weights would be random numbers; needed a whole "
                "model of its config's shape"
            )


def _with_adapter(network: PreTrainedModel, source: Source) -> PreTrainedModel:
    """Put a PEFT adapter on a network; every tensor of it must find its place."""
    assert source.adapter is not None
    try:
        with warnings.catch_warnings():
            # PEFT only warns of tensors that are not in the file and stay at zero.
            warnings.filterwarnings("error", message=".*missing adapter keys")
            wrapped = PeftModel.from_pretrained(network, source.adapter)
    except (
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        Warning,
    ) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{source.adapter}: the adapter does not fit {source.weights} "
            f"({first_line}); give the model it was trained on"
        ) from error
    # A PEFT model passes everything on to the network it wraps.
    return cast(PreTrainedModel, wrapped)


def _dtype(
    study: Study, config: PretrainedConfig, source: Source | None
) -> torch.dtype:
    """Dtype to load in: float32 where a diff will be added, whatever comes after."""
    if source is not None and source.diff:
        return torch.float32
    if study.dtype != "auto":
        return getattr(torch, study.dtype)
    if device_name(study.device) == "cpu":
        return torch.float32
    return getattr(config, "dtype", None) or torch.float32


def _describe(
    source: Source, network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    config = network.config
    return {
        "source": source.name,
        "revision": source.revision,
        "adapter": source.adapter,
        "diff": str(source.diff) if source.diff else None,
        "fingerprint": weights_fingerprint(network),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "family": config.model_type,
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "attention": getattr(config, "_attn_implementation", None),
        "parameters": sum(p.numel() for p in network.parameters()),
        "layers": getattr(config, "num_hidden_layers", None),
        "vocabulary_size": getattr(config, "vocab_size", None),
        "tokenizer_size": len(tokenizer),
    }


def weights_fingerprint(network: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor, in order of names.

    Independent of file format and sharding; a live adapter counts.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of the serialised fast tokenizer with its special tokens."""
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    text = tokenizer.backend_tokenizer.to_str() + json.dumps(
        tokenizer.special_tokens_map, sort_keys=True, default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()
