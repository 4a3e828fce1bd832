"""The tensors of a checkpoint, read one at a time: safetensors or PyTorch files.

Files are mapped into memory, so a tensor costs memory only while it is used, however
large its shard is. PyTorch files are read with ``weights_only``: nothing in them runs.
"""

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from concord.errors import ModelError

INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_NUMBERED = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>.*)")
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "adapter_")
_ZIP = b"PK\x03\x04"
"""How PyTorch's files begin since version 1.6; older ones cannot be mapped."""
_SMALL_FILES = ("*.json", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True)
class Checkpoint:
    """Where the tensors of a model, or of a difference, lie."""

    folder: Path
    files: Mapping[str, Path]
    """Tensor name -> file, in the order of the files."""
    shapes: Mapping[str, tuple[int, ...]]
    opened: dict[Path, Any] = field(default_factory=dict, repr=False)
    """Files in use: all that are mapped, at most one that had to be read whole."""

    def tensor(self, name: str) -> Tensor:
        """One tensor, as stored.

        Raises:
            ModelError: Its file is damaged.
        """
        file = self.files[name]
        try:
            return _tensor_of(_opened(file, self.opened), name)
        except (SafetensorError, RuntimeError, OSError) as error:
            raise ModelError(_damaged(file, error)) from error

    def close(self) -> None:
        """Let go of all files."""
        self.opened.clear()


def fetch_checkpoint(name: str, revision: str | None = None) -> Path:
    """The folder of a hub model, downloaded where it is not here yet.

    Safetensors are taken where there are any, else PyTorch files.

    Raises:
        ModelError: The hub has no such model, or cannot be reached.
    """
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=[*_SMALL_FILES, "*.safetensors"],
            )
        )
        if not any(folder.glob("*.safetensors")):
            snapshot_download(name, revision=revision, allow_patterns=["*.bin"])
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{name}: cannot fetch it ({type(error).__name__}: {first_line}); needed a "
            "folder with a model, or a hub id that can be reached"
        ) from error
    return folder


def open_checkpoint(folder: Path) -> Checkpoint:
    """Names and shapes of all tensors in a folder; headers are read, no weights.

    Raises:
        ModelError: There are no weights, a shard is missing or damaged, or a tensor
            that the index names is in none of them.
    """
    index = next((folder / name for name in INDICES if (folder / name).is_file()), None)
    paths = _indexed_files(index) if index else _plain_files(folder)
    opened: dict[Path, Any] = {}
    files: dict[str, Path] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        for name, shape in _shapes_in(path, opened).items():
            files[name], shapes[name] = path, shape
    if index:
        _require_indexed(index, files)
    return Checkpoint(folder, files, shapes, opened)


def _indexed_files(index: Path) -> list[Path]:
    try:
        names = sorted(set(_weight_map(index).values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{index}: no index of shards ({error}); needed 'weight_map'; fetch it "
            "again"
        ) from error
    paths = [index.parent / Path(name).name for name in names]
    _require_shards([path for path in paths if not path.is_file()], len(paths))
    return paths


def _weight_map(index: Path) -> Mapping[str, str]:
    found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    if not all(isinstance(name, str) for name in found.values()):
        raise ValueError("a tensor's file is no text")
    return found


def _require_indexed(index: Path, files: Mapping[str, Path]) -> None:
    absent = [name for name in _weight_map(index) if name not in files]
    if absent:
        raise ModelError(
            f"{index}: names {len(absent)} tensors that are in none of its shards, the "
            f"first {absent[0]!r}; the shards are of another model; fetch all again"
        )


def _plain_files(folder: Path) -> list[Path]:
    for pattern in ("*.safetensors", "*.bin", "*.pt"):
        paths = [
            path
            for path in sorted(folder.glob(pattern))
            if not path.name.startswith(_NOT_WEIGHTS)
        ]
        if paths:
            _require_shards(_gaps(paths), len(paths))
            return paths
    raise ModelError(
        f"{folder}: found no weights; needed *.safetensors or pytorch_model*.bin; give "
        "the folder that holds the model"
    )


def _gaps(paths: list[Path]) -> list[Path]:
    """Shards that the numbers in the names of the others ask for."""
    matches = [found for path in paths if (found := _NUMBERED.fullmatch(path.name))]
    return [
        wanted
        for found in matches[:1]
        for number in range(1, int(found["count"]) + 1)
        if not (
            wanted := paths[0].with_name(
                f"{found['stem']}-{number:05d}-of-{found['count']}{found['end']}"
            )
        ).is_file()
    ]


def _require_shards(missing: list[Path], count: int) -> None:
    if missing:
        raise ModelError(
            f"{missing[0]}: missing, the first of {len(missing)} missing shards "
            f"(needed {max(count, len(missing))}); fetch the model whole"
        )


def _shapes_in(path: Path, opened: dict[Path, Any]) -> dict[str, tuple[int, ...]]:
    try:
        content = _opened(path, opened)
        if isinstance(content, dict):
            return {name: tuple(value.shape) for name, value in content.items()}
        return {
            name: tuple(content.get_slice(name).get_shape()) for name in content.keys()
        }
    except (SafetensorError, RuntimeError, OSError, EOFError) as error:
        raise ModelError(_damaged(path, error)) from error


def _opened(path: Path, opened: dict[Path, Any]) -> Any:
    """A file's tensors by name; of files that cannot be mapped only one is kept."""
    if path not in opened:
        if path.suffix == ".safetensors":
            opened[path] = safe_open(path, framework="pt").__enter__()
        else:
            opened[path] = _load_pickle(path, opened)
    return opened[path]


def _load_pickle(path: Path, opened: dict[Path, Any]) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            is_mappable = file.read(len(_ZIP)) == _ZIP
        if not is_mappable:
            opened.clear()
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=is_mappable
        )
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds something besides tensors, or is cut off "
            f"({str(error).partition(chr(10))[0]}); needed a file of weights only; "
            "fetch it again, or from a source you trust"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path}: found {type(content).__name__}; needed tensors by name"
        )
    return {str(k): value for k, value in content.items() if isinstance(value, Tensor)}


def _tensor_of(content: Any, name: str) -> Tensor:
    return content[name] if isinstance(content, dict) else content.get_tensor(name)


def _damaged(path: Path, error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return (
        f"{path}: damaged or cut off ({first_line}); needed a whole file; fetch it "
        "again"
    )
