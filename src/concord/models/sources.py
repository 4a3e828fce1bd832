"""A model's name -> the folders or hub ids its weights, adapter and tokenizer are in.

Everything that can be seen to be wrong without loading a weight is refused here, so a
long run does not stop at its fifth model.
"""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from huggingface_hub import file_exists, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from concord import organism
from concord.errors import ModelError, did_you_mean
from concord.models.architecture import attention_implementation
from concord.models.checkpoint import open_checkpoint
from concord.models.matching import plan_sum
from concord.study import ModelEntry

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
_DIFF = "+diff:"
_EMBEDDED = "embedded:"
_ADAPTER = "adapter_model"
"""What PEFT calls an adapter's weights, with the end of their format."""


@dataclass(frozen=True)
class Source:
    """Where the parts of one model lie."""

    label: str
    name: str
    """As the user gave it."""
    weights: str
    """Folder or hub id of whole weights: the model's own, or those it is put on."""
    revision: str | None
    """Of the weights on the hub."""
    adapter: str | None
    """Folder or hub id of a PEFT adapter."""
    diff: str | None
    """Folder or hub id of a weight difference."""
    tokenizer: str
    delta_revision: str | None = None
    """Of the adapter or the difference on the hub."""
    is_base_named: bool = True
    """The user said which weights an adapter is put on."""

    def revision_of(self, place: str) -> str | None:
        """The revision of one of the parts."""
        return self.revision if place == self.weights else self.delta_revision


def resolve_source(entry: ModelEntry, base: ModelEntry) -> Source:
    """Find the parts of a model.

    An entry's revision is that of what it names: of whole weights, or of the difference
    or adapter folder that is put on the study's base, which keeps its own.

    Args:
        entry: The model.
        base: The study's base, on which an adapter folder or a diff folder is put
            unless it names another.

    Raises:
        ModelError: A folder does not exist, or two adapters are named.
    """
    name, _, difference = entry.source.partition(_DIFF)
    name = name or base.source
    folder = local_folder(name)
    adapter = str(local_folder(entry.peft) or entry.peft) if entry.peft else None
    if folder is not None and (folder / "adapter_config.json").is_file():
        if adapter is not None:
            raise ModelError(
                f"{entry.label}: found two adapters, source {entry.source} and peft "
                f"{entry.peft}; needed one: leave out peft, or name the weights that "
                "it is put on in source"
            )
        adapter, folder = str(folder), local_folder(base.source)
        name = base.source
    elif folder is not None and (folder / "diff.json").is_file():
        difference, folder = str(folder), local_folder(base.source)
        name = base.source
    weights = str(folder) if folder is not None else name
    diff = str(local_folder(difference) or difference) if difference else None
    tokenizer = entry.tokenizer or _tokenizer_of(weights, adapter, diff)
    names_delta = bool(diff) or name != entry.source
    is_study_base = name == base.source
    return Source(
        label=entry.label,
        name=entry.source,
        weights=weights,
        revision=(None if names_delta else entry.revision)
        or (base.revision if is_study_base else None),
        adapter=adapter,
        diff=diff,
        tokenizer=tokenizer,
        delta_revision=entry.revision if names_delta else None,
        is_base_named=entry.peft is not None,
    )


def local_folder(name: str) -> Path | None:
    """The local folder a name stands for; None for a hub id.

    Raises:
        ModelError: The name is that of a folder, and there is none.
    """
    if name.startswith(_EMBEDDED):
        return _embedded_folder(name.removeprefix(_EMBEDDED))
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise ModelError(f"{name}: found a file; needed a model's folder or a hub id")
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    if is_path or path.parent.is_dir() and path.parent != Path("."):
        near = get_close_matches(path.name, _siblings(path), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "correct it, or give a hub id"
        raise ModelError(f"{name}: no such folder; {hint}")
    return None


def _siblings(path: Path) -> list[str]:
    """Folders beside it: of other people's, no list is shown."""
    parent = path.parent
    return [e.name for e in parent.iterdir() if e.is_dir()] if parent.is_dir() else []


def _embedded_folder(name: str) -> Path:
    known = [variant.name for variant in organism.FAMILY]
    if name not in known:
        raise ModelError(f"{_EMBEDDED}{name}: {did_you_mean(name, known)}")
    return organism.weights_folder(name)


def _tokenizer_of(weights: str, adapter: str | None, diff: str | None) -> str:
    for place in (adapter, diff):
        if place and any((Path(place) / name).is_file() for name in TOKENIZER_FILES):
            return place
    return diff if diff and not Path(diff).is_dir() else weights


def check_source(
    source: Source, *, trust_remote_code: bool, allow_pickle: bool
) -> None:
    """Refuse a model that cannot be loaded, reading headers only.

    Raises:
        ModelError: No config, an unknown family, no weights, weights that are not
            safetensors, a damaged file, a difference of other tensors than the base's,
            or an adapter that was trained on another model.
    """
    config = read_config(source, trust_remote_code=trust_remote_code)
    attention_implementation(config)
    folder = Path(source.weights)
    if folder.is_dir():
        # What is added to a difference is read as tensors only: no code can run.
        _check_weights(folder, allow_pickle=allow_pickle or bool(source.diff))
    if source.adapter and Path(source.adapter).is_dir():
        _check_weights(Path(source.adapter), _ADAPTER, allow_pickle=allow_pickle)
        _check_adapter(source, config)
    elif source.adapter and not allow_pickle:
        _check_adapter_on_hub(source.adapter, source.delta_revision)
    if source.diff and Path(source.diff).is_dir():
        _check_weights(Path(source.diff), allow_pickle=True)
        if folder.is_dir():
            _check_sum(folder, Path(source.diff), config)


def _check_sum(base: Path, diff: Path, config: PretrainedConfig) -> None:
    """Every tensor of the difference has its partner; only headers are read."""
    checkpoints = open_checkpoint(base), open_checkpoint(diff)
    plan_sum(*checkpoints, config)
    for checkpoint in checkpoints:
        checkpoint.close()


def trained_on(adapter: Path) -> str | None:
    """The model that an adapter's config names as its base.

    Raises:
        ModelError: The config is damaged.
    """
    path = adapter / "adapter_config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: cannot be read as an adapter's config ({error}); needed JSON "
            "with base_model_name_or_path; fetch the adapter again"
        ) from error


def _check_adapter(source: Source, config: PretrainedConfig) -> None:
    """An adapter put on the study's base was trained on it, as far as names tell."""
    assert source.adapter is not None
    named = trained_on(Path(source.adapter))
    if not named or source.is_base_named:
        return
    if (Path(source.adapter) / named).resolve() == Path(source.weights):
        return
    known = {source.weights, str(getattr(config, "_name_or_path", "") or "")}
    if _last_part(named) not in {_last_part(one) for one in known if one}:
        raise ModelError(
            f"{source.adapter}: found an adapter for {named!r}; needed one for the "
            f"study's base, {source.weights}; give that base, or name both to put it "
            "on this one all the same: source=WEIGHTS, peft=ADAPTER"
        )


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].casefold()


def _check_adapter_on_hub(name: str, revision: str | None) -> None:
    """PEFT takes safetensors where there are any: these must be there, or here."""
    file = f"{_ADAPTER}.safetensors"
    try:
        here = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(here, str):
            _check_safetensors(Path(here))
            return
        is_there = file_exists(name, file, revision=revision)
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise ModelError(_cannot_load(name, "adapter", error)) from error
    if not is_there:
        raise ModelError(
            f"{name}: found no {file}; needed the adapter's weights in that form; "
            "convert them, or allow files that can run code with --allow-pickle"
        )


def _check_weights(folder: Path, stem: str = "*", *, allow_pickle: bool) -> None:
    files = sorted(folder.glob(f"{stem}.safetensors"))
    pickles = sorted([*folder.glob(f"{stem}.bin"), *folder.glob(f"{stem}.pt")])
    if not files and not (pickles and allow_pickle):
        found = f"only {pickles[0].name}" if pickles else "no weights"
        remedy = (
            "convert them, or allow files that can run code with --allow-pickle"
            if pickles
            else "give the folder that holds the model"
        )
        raise ModelError(
            f"{folder}: found {found}; needed {stem}.safetensors; {remedy}"
        )
    for file in files:
        _check_safetensors(file)


def _check_safetensors(file: Path) -> None:
    try:
        with safe_open(file, framework="pt") as tensors:
            is_empty = not list(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{file}: damaged or cut off ({error}); needed a whole safetensors file; "
            "fetch it again"
        ) from error
    if is_empty:
        raise ModelError(f"{file}: holds no tensor; needed a model's weights")


def read_config(source: Source, *, trust_remote_code: bool) -> PretrainedConfig:
    """The model's config.

    Raises:
        ModelError: There is none, or it needs code of its own.
    """
    try:
        return AutoConfig.from_pretrained(
            source.weights,
            revision=source.revision,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError, KeyError, HFValidationError) as error:
        raise ModelError(_cannot_load(source.weights, "config", error)) from error


def read_tokenizer(
    source: Source, *, trust_remote_code: bool
) -> PreTrainedTokenizerFast:
    """The model's fast tokenizer.

    Raises:
        ModelError: There is none, or only a slow one.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.tokenizer,
            revision=_tokenizer_revision(source),
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(_cannot_load(source.tokenizer, "tokenizer", error)) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or not len(tokenizer):
        raise ModelError(
            f"{source.tokenizer}: found {type(tokenizer).__name__}, slow or without "
            "pieces; needed a fast tokenizer (tokenizer.json), whose "
            "character offsets tell where a subject stands; convert it with "
            "transformers, or name another with tokenizer="
        )
    return tokenizer


def _tokenizer_revision(source: Source) -> str | None:
    parts = (source.weights, source.adapter, source.diff)
    is_a_part = source.tokenizer in parts
    return source.revision_of(source.tokenizer) if is_a_part else None


def _cannot_load(place: str, what: str, error: Exception) -> str:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return (
        f"{place}: cannot load its {what} ({type(error).__name__}: {first_line}); "
        "needed a model's folder with config.json, tokenizer.json and *.safetensors, "
        "or a hub id that can be reached"
    )
