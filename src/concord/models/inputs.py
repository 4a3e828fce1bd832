"""What a model is read from besides its weights: files, config, adapter's config.

None of it can be told from the weights, and each of it changes what a model says: the
base of rotary positions, the epsilon of a norm, the factor of an adapter.
"""

import json
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PretrainedConfig
from transformers.utils.hub import cached_file

from concord.errors import ModelError
from concord.models.sources import Source

ADAPTER_CONFIG = "adapter_config.json"
_CHANGES_NOTHING = frozenset(
    {
        *("_name_or_path", "_commit_hash", "transformers_version"),
        # The dtype measured in is a field of its own.
        *("dtype", "torch_dtype"),
    }
)
_OF_NO_ADAPTER = frozenset(
    {"base_model_name_or_path", "inference_mode", "peft_version", "revision"}
)


def source_files(source: Source) -> list[list[Any]] | None:
    """Name, size and time of every file of a local model; None for hub models."""
    places = [source.weights, source.adapter, source.diff, source.tokenizer]
    return files_in({place for place in places if place})


def files_in(places: set[str]) -> list[list[Any]] | None:
    """Name, size and time of every file in some folders; None if one is none."""
    folders = {Path(place) for place in places}
    if not all(folder.is_dir() for folder in folders):
        return None
    return sorted(
        [str(path), path.stat().st_size, path.stat().st_mtime_ns]
        for folder in folders
        for path in folder.iterdir()
        if path.is_file()
    )


def config_fields(config: PretrainedConfig) -> dict[str, Any]:
    """A config as JSON, defaults filled in, less what changes no number."""
    return _less(_as_json(config.to_dict()), _CHANGES_NOTHING)


def adapter_fields(source: Source) -> dict[str, Any] | None:
    """The config of a source's adapter, less names and versions; None without one.

    Raises:
        ModelError: It cannot be read.
    """
    if source.adapter is None:
        return None
    try:
        file = cached_file(
            source.adapter, ADAPTER_CONFIG, revision=source.delta_revision
        )
        found = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{source.adapter}: cannot read its {ADAPTER_CONFIG} ({error}); needed "
            "the JSON that PEFT saves beside an adapter; fetch the adapter again"
        ) from error
    return _less(_as_json(found), _OF_NO_ADAPTER)


def end_tokens(network: nn.Module) -> list[int]:
    """Tokens that end what a model writes, as its ``generation_config`` has them."""
    given: int | list[int] | None = getattr(
        getattr(network, "generation_config", None), "eos_token_id", None
    )
    return [given] if isinstance(given, int) else list(given or ())


def _as_json(value: Any) -> Any:
    """What is left after a way through JSON; numbers that JSON lacks become text."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)


def _less(value: Any, names: frozenset[str]) -> Any:
    """A nested mapping without some names, at any depth."""
    if not isinstance(value, dict):
        return value
    return {k: _less(v, names) for k, v in value.items() if k not in names}
