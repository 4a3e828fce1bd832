"""A model of the study, loaded: network, tokenizer, architecture and fingerprint."""

import gc
import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
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
from concord.models.checkpoint import fetch_checkpoint, open_checkpoint
from concord.models.contexts import Kind
from concord.models.diff import summed_parameters
from concord.models.inputs import (
    adapter_fields,
    config_fields,
    end_tokens,
    source_files,
)
from concord.models.matching import SumPlan, plan_sum
from concord.models.network import Network
from concord.models.placement import (
    gather_ends,
    is_placed,
    parameter_count,
    placement_options,
    stored_quantisation,
    weight_at,
)
from concord.models.self_check import accepted_architecture
from concord.models.sources import (
    Source,
    read_config,
    read_tokenizer,
    resolve_source,
    trained_on,
)
from concord.study import ModelEntry, Study


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be measured; one at a time is in memory."""

    entry: ModelEntry
    kind: Kind
    network: Network
    """In eval mode; a PEFT model keeps its adapter live."""
    tokenizer: PreTrainedTokenizerFast
    architecture: Architecture
    info: dict[str, Any]
    """What the run records of the model; its fingerprint among it."""
    files: list[list[Any]] | None = None
    """The local files it was loaded from, as `source_files` saw them before."""

    @property
    def label(self) -> str:
        """Name in tables and folders."""
        return self.entry.label

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        weight: Any = self.network.get_input_embeddings().weight
        return weight.device

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


def load_model(
    study: Study, entry: ModelEntry, *, on: PreTrainedModel | None = None
) -> LoadedModel:
    """Load one model of a study.

    Args:
        study: Says how.
        entry: The model.
        on: The network that holds the full weights of this model already; an adapter
            is put on it.

    Raises:
        ModelError: It cannot be loaded whole.
    """
    source = resolve_source(entry, study.base)
    # First: a file that is changed from here on is seen to differ at the next start.
    files = source_files(source)
    config = read_config(source, trust_remote_code=study.trust_remote_code)
    fields = config_fields(config)  # A difference may add a row to the vocabulary.
    device = torch.device(device_name(study.device))
    network = _from_pretrained(study, source, config) if on is None else on
    if source.adapter:
        network = _with_adapter(network, source, merges=study.merge_adapters)
    network.eval().requires_grad_(False)
    if not is_placed(network):
        nn.Module.to(network, device)
    tokenizer = read_tokenizer(source, trust_remote_code=study.trust_remote_code)
    return LoadedModel(
        entry=entry,
        kind="base" if entry is study.base else "tuned",
        network=network,
        tokenizer=tokenizer,
        architecture=accepted_architecture(network),
        info=_describe(
            source,
            network,
            tokenizer,
            config=fields,
            quantisation=study.quantisation or stored_quantisation(config),
            is_merged=bool(source.adapter) and study.merge_adapters,
        ),
        files=files,
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


def _from_pretrained(
    study: Study, source: Source, config: PretrainedConfig
) -> PreTrainedModel:
    dtype = _dtype(study, config)
    family: Any = (
        AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    )
    options: dict[str, Any] = {"revision": source.revision}
    place: str | None = source.weights
    if source.diff:
        plan = _sum_plan(source, config)
        config.vocab_size += bool(plan.grown)
        family, place = plan.model_class, None
        options = {"state_dict": summed_parameters(plan, dtype)}
    else:
        options["trust_remote_code"] = study.trust_remote_code
        options["use_safetensors"] = None if study.allow_pickle else True
    options |= placement_options(study, dtype, device_name(study.device))
    try:
        # With output_loading_info two things come back; its annotation says one.
        loaded: Any = family.from_pretrained(
            place,
            config=config,
            dtype=dtype,
            attn_implementation=attention_implementation(config),
            output_loading_info=True,
            **options,
        )
    except (
        OSError,
        ValueError,
        RuntimeError,
        ImportError,
        SafetensorError,
    ) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{source.weights}: cannot load the weights ({first_line}); needed whole "
            "safetensors of a model in its config's shape"
        ) from error
    network, report = loaded
    _require_whole(source, report)
    if study.device_map:
        gather_ends(network, architecture_of(network))
    return network


def _sum_plan(source: Source, config: PretrainedConfig) -> SumPlan:
    """How base and difference of a source are added."""
    base, diff = (
        open_checkpoint(
            Path(name)
            if Path(name).is_dir()
            else fetch_checkpoint(name, source.revision_of(name))
        )
        for name in (source.weights, str(source.diff))
    )
    return plan_sum(base, diff, config)


def _require_whole(source: Source, report: dict[str, Any]) -> None:
    for fault in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = sorted(str(key) for key in report.get(fault, ()))
        if keys and fault != "unexpected_keys":
            raise ModelError(
                f"{source.weights}: {len(keys)} {fault.replace('_', ' ')}, the first "
                f"{keys[0]!r}; those weights would be random numbers; needed a whole "
                "model of its config's shape"
            )


def _with_adapter(network: PreTrainedModel, source: Source, *, merges: bool) -> Network:
    """Put a PEFT adapter on a network; every tensor of it must find its place."""
    assert source.adapter is not None
    try:
        with warnings.catch_warnings():
            # PEFT only warns of tensors that are not in the file and stay at zero.
            warnings.filterwarnings("error", message=".*missing adapter keys")
            wrapped = PeftModel.from_pretrained(
                network, source.adapter, revision=source.delta_revision
            )
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
    whole: Any = wrapped
    return cast(Network, whole.merge_and_unload() if merges else wrapped)


def _dtype(study: Study, config: PretrainedConfig) -> torch.dtype:
    """Dtype to measure in; differences are added in float32 whatever it is."""
    if study.dtype != "auto":
        return getattr(torch, study.dtype)
    if device_name(study.device) == "cpu":
        return torch.float32
    return getattr(config, "dtype", None) or torch.float32


def _describe(
    source: Source,
    network: Network,
    tokenizer: PreTrainedTokenizerFast,
    *,
    config: dict[str, Any],
    quantisation: str | None,
    is_merged: bool,
) -> dict[str, Any]:
    known = network.config
    return {
        "source": source.name,
        "revision": source.revision,
        "commit": getattr(known, "_commit_hash", None),
        "adapter": source.adapter,
        "adapter_trained_on": _trained_on(source),
        "diff": source.diff,
        "delta_revision": source.delta_revision,
        "fingerprint": weights_fingerprint(network),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "config": config,
        "adapter_config": adapter_fields(source),
        "end_tokens": end_tokens(network),
        "family": known.model_type,
        "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
        "attention": getattr(known, "_attn_implementation", None),
        "quantisation": quantisation,
        "merged": is_merged,
        "parameters": parameter_count(network),
        "layers": getattr(known, "num_hidden_layers", None),
        "vocabulary_size": getattr(known, "vocab_size", None),
        "tokenizer_size": len(tokenizer),
    }


def _trained_on(source: Source) -> str | None:
    if source.adapter is None or not Path(source.adapter).is_dir():
        return None
    return trained_on(Path(source.adapter))


def weights_fingerprint(network: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor, in order of names.

    Independent of file format and sharding; a live adapter counts.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.is_meta:
            tensor = weight_at(network, name)
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of the serialised fast tokenizer with its special tokens."""
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    text = tokenizer.backend_tokenizer.to_str() + json.dumps(
        tokenizer.special_tokens_map, sort_keys=True, default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()
