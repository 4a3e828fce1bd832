"""Logs of inspect: ``.json``, and ``.eval``, a zip archive of JSON files.

Source: UKGovernmentBEIS/inspect_ai, log format version 2. Newer versions compress the
archive with Zstandard, which Python reads from 3.14 on.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from concord.errors import DataError
from concord.harnesses.samples import Sample, is_right, reading

_NEEDED = "inspect's log, format version 2"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def inspect_files(folder: Path) -> list[Path]:
    """The logs in a folder, in the order of their names, which begin with the time."""
    found = [
        *folder.rglob("*.eval"),
        *(p for p in folder.rglob("*.json") if _is_log(p)),
    ]
    return sorted(found, key=lambda path: path.name)


def _is_log(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        start = file.read(4096)
    return '"eval"' in start and '"version"' in start


def read_inspect(path: Path, *, metric: str | None) -> Iterator[Sample]:
    """The questions of one log.

    Args:
        path: ``.json`` or ``.eval``.
        metric: Name of the scorer that says right or wrong; by default the first.

    Raises:
        DataError: The log is damaged, was not finished, or is compressed in a way this
            Python cannot read.
    """
    header, samples = _archive(path) if path.suffix == ".eval" else _whole(path)
    if header.get("status") not in (None, "success"):
        raise DataError(
            f"{path}: the evaluation ended with status {header.get('status')!r}; "
            "needed a finished one; retry it with `inspect eval-retry`"
        )
    with reading(str(path), _NEEDED):
        task = str((header.get("eval") or {}).get("task") or path.stem)
    for place, sample in samples:
        with reading(place, _NEEDED):
            found = _sample(sample, place, task, metric)
        yield found


def _whole(path: Path) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    log = _parsed(path.read_bytes(), str(path))
    with reading(str(path), _NEEDED):
        samples = enumerate(log.pop("samples", None) or [], start=1)
        return log, [(f"{path}: sample {number}", one) for number, one in samples]


def _archive(path: Path) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise DataError(
                    f"{path}: found no header.json in it; needed the log of a finished "
                    "evaluation; retry it with `inspect eval-retry`"
                )
            header = _parsed(archive.read("header.json"), f"{path}/header.json")
            inside = sorted(name for name in names if _is_sample(name))
            return header, [
                (f"{path}/{name}", _parsed(archive.read(name), f"{path}/{name}"))
                for name in inside
            ]
    except NotImplementedError as error:
        raise DataError(
            f"{path}: its parts are compressed with Zstandard, which this Python "
            "cannot read (3.14 can); convert it: inspect log convert --to json "
            "--output-dir FOLDER LOG"
        ) from error
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path}: no whole archive ({error}); needed inspect's log; copy it again"
        ) from error


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def _parsed(content: bytes, place: str) -> dict[str, Any]:
    try:
        with reading(place, _NEEDED):
            text = content.decode("utf-8")
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}: line {error.lineno} is not JSON ({error.msg}); needed inspect's "
            "log; copy it again"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{place}: found {type(found).__name__}; needed inspect's log")
    return found


def _sample(row: dict[str, Any], place: str, task: str, metric: str | None) -> Sample:
    metadata = row.get("metadata") or {}
    fields = {**row, **metadata, "task": task, "metadata": metadata}
    choices = tuple(str(each).strip() for each in row.get("choices") or ())
    score = _score(row, place, metric)
    output = row.get("output") or {}
    answer = score.get("answer") or _completion(output)
    repeat = int(row.get("epoch") or 1) - 1
    return Sample(
        place=place,
        task=task,
        fields=fields,
        prompt=_prompt(row.get("input")),
        answer=_option(answer, choices),
        target=_option(_first(row.get("target")), choices),
        is_correct=is_right(score.get("value")),
        choices=choices,
        repeat=repeat,
        id=row.get("id"),
    )


def _score(row: dict[str, Any], place: str, metric: str | None) -> Mapping[str, Any]:
    scores = row.get("scores") or {}
    if metric is not None and metric not in scores:
        raise DataError(
            f"{place}: found no score of {metric!r}; it holds "
            f"{', '.join(scores) or 'none'}; name one of these with --metric"
        )
    return scores.get(metric or next(iter(scores), ""), {})


def _completion(output: Mapping[str, Any]) -> str | None:
    """The model's text; older logs hold it in the first choice's message only."""
    if output.get("completion"):
        return str(output["completion"]).strip()
    first = next(iter(output.get("choices") or ()), {})
    return _content((first.get("message") or {}).get("content")) or None


def _content(content: Any) -> str:
    if isinstance(content, list):
        parts = [one.get("text", "") for one in content if isinstance(one, Mapping)]
        return "".join(parts).strip()
    return str(content or "").strip()


def _prompt(given: Any) -> str:
    if not isinstance(given, list):
        return str(given or "")
    return "\n".join(_content(message.get("content")) for message in given)


def _option(text: str | None, choices: tuple[str, ...]) -> str | None:
    """A letter as the option it stands for."""
    if text and len(text) == 1 and text in _LETTERS[: len(choices)]:
        return choices[_LETTERS.index(text)]
    return text or None


def _first(target: Any) -> str | None:
    if isinstance(target, list):
        target = target[0] if target else None
    return str(target).strip() if target is not None else None
