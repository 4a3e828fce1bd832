"""A tuned model recovered from a base and a published difference, saved whole.

Tensors are summed and written one by one, so memory holds one of them, never a model.
All is written into a folder beside the one asked for, which gets its name only when it
is whole; what a stopped recovery has finished is kept and continued.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from concord.errors import ModelError, ResultsError
from concord.models.checkpoint import Checkpoint, fetch_checkpoint, open_checkpoint
from concord.models.diff import (
    CHECKSUM_FILE,
    Totals,
    require_difference,
    ships_hash,
    summed,
)
from concord.models.matching import SumPlan, plan_sum
from concord.models.shards import (
    is_whole,
    require_whole,
    shards_of,
    stored_bytes,
    write_shard,
)
from concord.models.sources import TOKENIZER_FILES, local_folder
from concord.results import read_json, require_space, write_json

RecoveredDtype = Literal["float32", "bfloat16", "float16"]
RECORD = "recovery.json"
PAD_TOKEN = "[PAD]"
SHARD_BYTES = 5_000_000_000


@dataclass(frozen=True)
class Recovery:
    """What was recovered, as told to the user and kept in ``recovery.json``."""

    folder: str
    base: str
    diff: str
    dtype: str
    tensors: int
    parameters: int
    checksum: float
    """Sum of all numbers of the tuned model, in float32 before any cast."""
    relative_norm: float
    """Norm of the difference over the base's; small for a tuned model."""
    has_padding_row: bool
    """The embeddings got a row for a padding token; it means nothing."""
    skipped: tuple[str, ...]
    """Tensors in the files that are no parameters."""
    checked_by_authors: bool
    """A checksum came with the difference, and agreed; without one another base of the
    same shape would not be noticed."""


def recover(
    base: str,
    diff: str,
    output: Path,
    *,
    dtype: RecoveredDtype = "float32",
    revision: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    allow_large: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Recovery:
    """Add a published difference to its base and save the tuned model.

    Args:
        base: Folder or hub id of the base.
        diff: Folder or hub id of the difference.
        output: Folder that the tuned model gets; must not hold anything yet.
        dtype: Of the saved weights; the sum itself is made in float32.
        revision: Of the difference on the hub.
        shard_bytes: Size at which a new file is begun.
        allow_large: Take a difference as large as whole weights.
        advance: Told how many tensors are done since it was told last.

    Raises:
        ModelError: Something is missing, damaged, or does not fit the other.
        ResultsError: The output folder holds something else, or cannot be written.
    """
    places = [_place(base), _place(diff, revision)]
    config = _config(places[0])
    plan = plan_sum(open_checkpoint(places[0]), open_checkpoint(places[1]), config)
    stored = getattr(torch, dtype)
    shards = shards_of(plan, stored, shard_bytes)
    key: dict[str, Any] = {
        "base": _files(plan.base),
        "diff": _files(plan.diff),
        "dtype": dtype,
        "shards": {name: list(own) for name, own in shards.items()},
    }
    _require_free(output)
    tokenizer = _tokenizer(*places, rows=_rows(plan))
    unfinished = _begin(output, key, _bytes(plan, stored))
    totals = _write_shards(unfinished, plan, shards, stored, advance or _ignored)
    require_difference(plan, totals, allow_large=allow_large)
    found = _describe(output, base, diff, dtype, plan, totals)
    _write_rest(unfinished, places, plan, shards, stored, config, tokenizer)
    write_json(unfinished / RECORD, {**read_json(unfinished / RECORD), **asdict(found)})
    require_whole(unfinished, plan, shards, stored)
    plan.base.close()
    plan.diff.close()
    _rename(unfinished, output)
    return found


def _place(name: str, revision: str | None = None) -> Path:
    return local_folder(name) or fetch_checkpoint(name, revision)


def _config(place: Path) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{place}: cannot load its config ({first_line}); needed a model's "
            "config.json; fetch the folder whole"
        ) from error


def _rows(plan: SumPlan) -> int | None:
    """Rows of the embeddings where they grew."""
    return next((plan.shape(name)[0] for name in plan.grown), None)


def _bytes(plan: SumPlan, stored: torch.dtype) -> int:
    return sum(stored_bytes(plan.shape(name), stored) for name in plan.pairs)


def _files(checkpoint: Checkpoint) -> list[list[Any]]:
    """Name, size and time of every file with weights."""
    found = sorted(set(checkpoint.files.values()))
    return [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in found]


def _require_free(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ResultsError(
            f"{output}: found something there already; needed a new folder for the "
            "recovered model; give another, or remove it"
        )


def _unfinished(output: Path) -> Path:
    return output.with_name(f"{output.name}.unfinished")


def _begin(output: Path, key: Mapping[str, Any], size: int) -> Path:
    """The folder to write into: a stopped recovery of the same, or a new one."""
    folder = _unfinished(output)
    record = folder / RECORD
    wanted = json.loads(json.dumps(key))
    if record.is_file() and _key_in(record) != wanted:
        raise ResultsError(
            f"{folder}: found an unfinished recovery of other files, another dtype or "
            "another shard size; needed that name for this one; give the command that "
            "began it, give another folder, or remove it"
        )
    if folder.exists() and not record.is_file():
        raise ResultsError(
            f"{folder}: found a folder that no recovery has made; needed that name for "
            "the unfinished model; remove it, or give another folder"
        )
    if not record.is_file():
        require_space(output.absolute().parent, size)
        write_json(record, {"key": wanted, "finished": {}})
    return folder


def _key_in(record: Path) -> Any:
    found = read_json(record)
    if not isinstance(found, dict) or not isinstance(found.get("finished"), dict):
        raise ResultsError(
            f"{record}: found no record of a recovery; needed its key and what is "
            "finished; remove the folder and give the same command again"
        )
    return found.get("key")


def _write_shards(
    folder: Path,
    plan: SumPlan,
    shards: Mapping[str, tuple[str, ...]],
    stored: torch.dtype,
    advance: Callable[[int], None],
) -> Totals:
    """Write every shard that is not there whole yet.

    Returns:
        Sums over all parameters. Where the difference comes with a hash, finished
        shards are summed again for it, but not written.
    """
    record = read_json(folder / RECORD)
    needs_hash = ships_hash(plan.diff.folder) is not None
    totals = Totals()
    for file, names in shards.items():
        is_there = is_whole(folder / file, plan, names, stored)
        known = record["finished"].get(file) if is_there else None
        if known is None:
            before = _numbers(totals)
            write_shard(folder / file, plan, names, stored, totals, advance)
            after = _numbers(totals)
            plan.base.close()
            plan.diff.close()
            record["finished"][file] = {k: after[k] - before[k] for k in after}
            write_json(folder / RECORD, record)
        elif needs_hash:
            for name in names:
                summed(plan, name, totals)
        else:
            totals.sum += known["sum"]
            totals.base_square += known["base_square"]
            totals.diff_square += known["diff_square"]
        if known is not None:
            advance(len(names))
    return totals


def _ignored(_: int) -> None:
    return None


def _numbers(totals: Totals) -> dict[str, float]:
    return {
        name: getattr(totals, name) for name in ("sum", "base_square", "diff_square")
    }


def _tokenizer(base: Path, diff: Path, *, rows: int | None) -> PreTrainedTokenizerBase:
    """The difference's own tokenizer, or the base's with the padding token added.

    Raises:
        ModelError: There is none, or it has other tokens than the embeddings rows.
    """
    has_own = any((diff / name).is_file() for name in TOKENIZER_FILES)
    place = diff if has_own else base
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{place}: cannot load its tokenizer ({str(error).strip()[:200]}); needed "
            "tokenizer.json or tokenizer.model beside the difference or the base"
        ) from error
    if rows is not None and tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    if rows is not None and len(tokenizer) > rows:
        raise ModelError(
            f"{place}: its tokenizer has {len(tokenizer)} tokens, the recovered "
            f"embeddings {rows} rows; needed one row for each; give the difference "
            "with its own tokenizer"
        )
    return tokenizer


def _write_rest(
    folder: Path,
    places: list[Path],
    plan: SumPlan,
    shards: Mapping[str, tuple[str, ...]],
    stored: torch.dtype,
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Index, config and tokenizer."""
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": _bytes(plan, stored)},
            "weight_map": {n: file for file, names in shards.items() for n in names},
        }
        write_json(folder / "model.safetensors.index.json", index)
    if (places[1] / "config.json").is_file():
        config = _config(places[1])
    config.vocab_size = _rows(plan) or config.vocab_size
    config.dtype = stored
    config.save_pretrained(folder)
    for place in reversed(places):
        if (place / "generation_config.json").is_file():
            GenerationConfig.from_pretrained(place).save_pretrained(folder)
            break
    tokenizer.save_pretrained(folder)


def _rename(unfinished: Path, output: Path) -> None:
    try:
        os.replace(unfinished, output)
    except OSError as error:
        raise ResultsError(
            f"{output}: cannot name the recovered model so ({error.strerror}); it lies "
            f"whole in {unfinished}: rename it by hand"
        ) from error


def _describe(
    output: Path, base: str, diff: str, dtype: str, plan: SumPlan, totals: Totals
) -> Recovery:
    shipped = plan.diff.folder / CHECKSUM_FILE
    return Recovery(
        folder=str(output),
        base=base,
        diff=diff,
        dtype=dtype,
        tensors=len(plan.pairs),
        parameters=sum(torch.Size(plan.shape(name)).numel() for name in plan.pairs),
        checksum=totals.sum,
        relative_norm=totals.relative_norm,
        has_padding_row=bool(plan.grown),
        skipped=plan.skipped,
        checked_by_authors=shipped.is_file() or bool(ships_hash(plan.diff.folder)),
    )
