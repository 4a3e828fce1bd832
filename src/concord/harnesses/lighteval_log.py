"""Details that lighteval saves with ``--save-details``.

Source: huggingface/lighteval from 0.11 on; one Parquet row per question, with columns
``doc``, ``model_response`` and ``metric``. Where its nested columns could not be
written, lighteval writes them as the texts of Python values; these are read too.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from concord.errors import DataError
from concord.harnesses.samples import (
    Sample,
    chosen,
    is_right,
    reading,
    require_numbers,
    require_verdict,
)

COLUMNS = ("doc", "model_response", "metric")
_NEEDED = "a question as lighteval writes with --save-details"


def lighteval_files(folder: Path) -> list[Path]:
    """The newest details of every task in a folder and the folders inside it."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.rglob("details_*.parquet"), key=lambda path: path.name):
        newest[path.name.rpartition("_")[0]] = path
    return list(newest.values())


def read_lighteval(path: Path, *, metric: str | None) -> Iterator[Sample]:
    """The questions of one file.

    Args:
        path: ``details_TASK_TIME.parquet``.
        metric: The logged number that says right (1) or wrong (0), ``acc_norm`` and
            ``acc_norm_nospace`` of scores by character; by default the chosen option
            is compared with the target, and generated text is judged by the first
            metric logged.

    Raises:
        DataError: The file is damaged or has other columns.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path}: cannot read ({error}); needed Parquet as lighteval writes with "
            "--save-details; save it again"
        ) from error
    absent = [name for name in COLUMNS if name not in table.column_names]
    if absent:
        raise DataError(
            f"{path}: found columns {', '.join(table.column_names)}; needed "
            f"{', '.join(COLUMNS)}, which lighteval writes from 0.11 on; run it again "
            "with that version"
        )
    for number, row in enumerate(table.to_pylist(), start=1):
        place = f"{path}: row {number}"
        with reading(place, _NEEDED):
            values = {name: _value(row[name], place) for name in COLUMNS}
            sample = _sample(values, place, metric)
        yield sample


def _value(cell: Any, place: str) -> dict[str, Any]:
    if isinstance(cell, str):
        try:
            cell = ast.literal_eval(cell)
        except (ValueError, SyntaxError) as error:
            raise DataError(
                f"{place}: found a text that is no value ({error}); needed columns of "
                "nested values; save the details with a newer lighteval"
            ) from error
    return dict(cell or {})


def _sample(row: dict[str, dict[str, Any]], place: str, metric: str | None) -> Sample:
    doc, response, metrics = (row[name] for name in COLUMNS)
    fields = {**doc, **_fields(doc.get("specific"))}
    task = str(doc.get("task_name") or "lighteval")
    options = [str(each) for each in doc.get("choices") or ()]
    choices = tuple(option.strip() for option in options)
    target = _target(doc.get("gold_index"), choices)
    scores = tuple(float(each) for each in response.get("logprobs") or ())
    require_numbers(scores, place)
    logged = {name: value for name, value in metrics.items() if value is not None}
    name = metric or ("acc" if "acc" in logged else next(iter(logged), None))
    verdict = is_right(logged.get(name)) if name else None
    if metric and verdict is None:
        raise DataError(
            f"{place}: metric {metric!r} is {logged.get(metric)!r}; needed 0 or 1 for "
            f"each question; it logs {', '.join(logged) or 'none'}"
        )
    prompt = str(response.get("input") or doc.get("query") or "")
    number = doc.get("id") or None
    if scores and len(scores) == len(choices):
        scores = _by_length(scores, options, metric)
        answer = choices[chosen(scores)]
        right = verdict if metric or target is None else answer == target
        found = Sample(
            *(place, task, fields, prompt, answer, target, right, choices, scores),
            id=number,
        )
        if name is not None and (metric or name == "acc"):
            require_verdict(found, verdict, name)
        return found
    texts = [str(text).strip() for text in response.get("text") or ()]
    answer = texts[0] if texts and texts[0] else None
    return Sample(place, task, fields, prompt, answer, target, verdict, id=number)


def _by_length(
    scores: tuple[float, ...], options: Sequence[str], metric: str | None
) -> tuple[float, ...]:
    """Scores as a metric compares them: by character, or as they are."""
    if metric == "acc_norm_nospace":
        options = [option.removeprefix(" ") for option in options]
    elif metric != "acc_norm":
        return scores
    pairs = zip(scores, options, strict=True)
    return tuple(score / max(1, len(option)) for score, option in pairs)


def _fields(specific: Any) -> dict[str, Any]:
    return dict(specific) if isinstance(specific, Mapping) else {}


def _target(gold: Any, choices: tuple[str, ...]) -> str | None:
    """The right option's text; of several the first."""
    place = gold[0] if isinstance(gold, list) and gold else gold
    if isinstance(place, int) and 0 <= place < len(choices):
        return choices[place]
    return None
