"""Safetensors files of a sum, written tensor by tensor: no file is ever in memory."""

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from concord.errors import ResultsError
from concord.models.diff import Totals, summed
from concord.models.matching import SumPlan

_STORED = {
    torch.float32: ("F32", 4),
    torch.bfloat16: ("BF16", 2),
    torch.float16: ("F16", 2),
}


def shards_of(
    plan: SumPlan, stored: torch.dtype, shard_bytes: int
) -> dict[str, tuple[str, ...]]:
    """File names, each with the parameters that go into it."""
    groups: list[list[str]] = [[]]
    filled = 0
    for name in plan.pairs:
        size = stored_bytes(plan.shape(name), stored)
        if groups[-1] and filled + size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    if len(groups) == 1:
        return {"model.safetensors": tuple(groups[0])}
    return {
        f"model-{number:05d}-of-{len(groups):05d}.safetensors": tuple(group)
        for number, group in enumerate(groups, start=1)
    }


def stored_bytes(shape: tuple[int, ...], stored: torch.dtype) -> int:
    """Room that a tensor takes in a file."""
    return torch.Size(shape).numel() * _STORED[stored][1]


def write_shard(
    path: Path,
    plan: SumPlan,
    names: tuple[str, ...],
    stored: torch.dtype,
    totals: Totals,
    advance: Callable[[int], None],
) -> None:
    """Write one safetensors file tensor by tensor; it is there whole or not at all."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_header(plan, names, stored))
            for name in names:
                file.write(_raw(summed(plan, name, totals).to(stored)))
                advance(1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ResultsError(
            f"{path}: cannot write ({error.strerror or error}); finished shards are "
            "kept; free some space, then give the same command again"
        ) from error


def is_whole(
    path: Path, plan: SumPlan, names: tuple[str, ...], stored: torch.dtype
) -> bool:
    """Whether a file holds these tensors and nothing else, by its header and size."""
    header = _header(plan, names, stored)
    size = len(header) + sum(stored_bytes(plan.shape(name), stored) for name in names)
    if not path.is_file() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return file.read(len(header)) == header


def require_whole(
    folder: Path,
    plan: SumPlan,
    shards: Mapping[str, tuple[str, ...]],
    stored: torch.dtype,
) -> None:
    """Refuse a folder that holds other files of weights than the planned ones.

    Raises:
        ResultsError: One is missing, cut off or of something else.
    """
    for file, names in shards.items():
        if not is_whole(folder / file, plan, names, stored):
            raise ResultsError(
                f"{folder / file}: missing, cut off or changed since it was written; "
                f"needed its {len(names)} tensors whole; give the same command again "
                "to write it anew"
            )
    foreign = sorted({each.name for each in folder.glob("*.safetensors")} - {*shards})
    if foreign:
        raise ResultsError(
            f"{folder / foreign[0]}: found weights that no recovery has written there; "
            "needed the recovered model alone; remove that file, then give the same "
            "command again"
        )


def _header(plan: SumPlan, names: tuple[str, ...], stored: torch.dtype) -> bytes:
    """Length and JSON in front of a safetensors file's numbers.

    Source: The format's own description, huggingface/safetensors.
    """
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in names:
        end = start + stored_bytes(plan.shape(name), stored)
        entries[name] = {
            "dtype": _STORED[stored][0],
            "shape": list(plan.shape(name)),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _raw(tensor: Tensor) -> memoryview:
    """A tensor's bytes, without a copy."""
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().data
