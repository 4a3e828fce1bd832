"""Samples that lm-evaluation-harness logs with ``--log_samples``.

Source: EleutherAI/lm-evaluation-harness 0.4; one JSON object per line and question.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from concord.errors import DataError
from concord.harnesses.samples import (
    Sample,
    chosen,
    find_value,
    is_right,
    reading,
    require_numbers,
    require_verdict,
)

_NAME = re.compile(
    r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\dT[\d\-:.]+\.jsonl|samples_(?P<bare>.+)\.jsonl"
)

_NEEDED = "a sample as `lm_eval --log_samples` writes"


def lm_eval_files(folder: Path) -> list[Path]:
    """The newest samples of every task in a folder and the folders inside it."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.rglob("samples_*.jsonl"), key=lambda path: path.name):
        newest[_task_of(path)] = path
    return list(newest.values())


def _task_of(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    return (match["task"] or match["bare"]) if match else path.stem


@dataclass(frozen=True)
class _Scored:
    """A question whose options were scored, before its target is read."""

    sample: Sample
    verdict: bool | None
    """The logged 0 or 1 of the option with the highest score, if there is one."""
    by_text: str | None
    """The right option, if the target is its text."""
    by_place: str | None
    """The right option, if the target is its place."""


def read_lm_eval(
    path: Path, *, choices_key: str | None, metric: str | None
) -> Iterator[Sample]:
    """The questions of one file, those of its first filter.

    Args:
        path: ``samples_TASK_TIME.jsonl``.
        choices_key: Field of a question that lists its options as texts, where the
            scored ones are letters only.
        metric: The logged number that says right (1) or wrong (0), ``acc_norm`` and
            ``acc_bytes`` of scores by length; by default the chosen option is compared
            with the target, and generated text is judged by the first metric logged.

    Raises:
        DataError: A line is not of this form, or its numbers contradict one another;
            file and line are named.
    """
    found = list(_questions(path, choices_key, metric))
    by_place = _targets_are_places([one for one in found if isinstance(one, _Scored)])
    for one in found:
        if isinstance(one, _Scored):
            yield _judged(one, metric, by_place=by_place)
        else:
            yield one


def _questions(
    path: Path, choices_key: str | None, metric: str | None
) -> Iterator[Sample | _Scored]:
    first_filter: str | None = None
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            with reading(place, _NEEDED):
                row = _row(line, place)
                own = str(row.get("filter", "none"))
                first_filter = first_filter or own
                if own != first_filter:
                    continue
                found = _sample(row, place, _task_of(path), choices_key, metric)
            yield found


def _row(line: bytes, place: str) -> dict[str, Any]:
    text = line.decode("utf-8")
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}: not JSON ({error.msg}); needed one sample per line, as "
            "`lm_eval --log_samples` writes; the file may be cut off: log it again"
        ) from error
    needed = ("doc", "arguments", "filtered_resps")
    absent = [name for name in needed if not isinstance(row, dict) or name not in row]
    if absent:
        raise DataError(
            f"{place}: found no {absent[0]!r}; needed a sample as "
            "`lm_eval --log_samples` writes"
        )
    return row


def _sample(
    row: dict[str, Any],
    place: str,
    task: str,
    choices_key: str | None,
    metric: str | None,
) -> Sample | _Scored:
    fields = {"doc_id": row.get("doc_id"), "task": task, **_as_fields(row["doc"])}
    requests = _requests(row["arguments"], place)
    responses = list(row["filtered_resps"])
    verdict = _verdict(row, place, metric)
    target, number = _text(row.get("target")), row.get("doc_id")
    if not all(_is_scored(each) for each in responses):
        answer = str(responses[0]).strip() if responses else None
        return Sample(
            *(place, task, fields, requests[0][0], answer or None, target, verdict),
            id=number,
        )
    scored = [continuation.strip() for _, continuation in requests]
    texts = _options(fields, scored, choices_key, place)
    scores = tuple(float(each[0]) for each in responses)
    if not len(texts) == len(scores) == len(scored):
        raise DataError(
            f"{place}: found {len(scores)} scores for {len(texts)} options; needed one "
            "each; the line is damaged, or --choices names the wrong field"
        )
    require_numbers(scores, place)
    scores = _by_length(scores, scored, metric)
    answer = texts[chosen(scores)]
    by_text = texts[scored.index(target)] if target in scored else None
    by_place = _at(target, texts)
    if by_text is None and by_place is None and target in texts:
        by_text = target
    prompt = requests[0][0]
    found = Sample(
        *(place, task, fields, prompt, answer, None, verdict, texts, scores), id=number
    )
    is_of_scores = metric or "acc" in (row.get("metrics") or ())
    return _Scored(found, verdict if is_of_scores else None, by_text, by_place)


def _verdict(row: dict[str, Any], place: str, metric: str | None) -> bool | None:
    """The 0 or 1 that judges the answer; None where none is logged."""
    logged = [str(name) for name in row.get("metrics") or ()]
    first = "acc" if "acc" in logged else next(iter(logged), None)
    name = metric or first
    verdict = is_right(row.get(name)) if name else None
    if metric and verdict is None:
        raise DataError(
            f"{place}: metric {metric!r} is {row.get(metric)!r}; needed 0 or 1 for "
            f"each sample; it logs {', '.join(logged) or 'none'}"
        )
    return verdict


def _by_length(
    scores: tuple[float, ...], texts: Sequence[str], metric: str | None
) -> tuple[float, ...]:
    """Scores as a metric compares them: by character, by byte, or as they are."""
    if metric not in ("acc_norm", "acc_bytes"):
        return scores
    lengths = [len(text if metric == "acc_norm" else text.encode()) for text in texts]
    return tuple(s / max(1, n) for s, n in zip(scores, lengths, strict=True))


def _targets_are_places(questions: Sequence[_Scored]) -> bool:
    """Whether a file's targets that are both a text and a place mean the place.

    The harness logs either as text, so that among the options 1, 2 and 3 a target "1"
    may be the first or the second one. The logged verdicts settle it for the whole
    file; where they leave both possible, a target is a text.
    """
    unclear = [
        one
        for one in questions
        if None not in (one.by_text, one.by_place, one.verdict)
        and one.by_text != one.by_place
    ]
    return any(not _fits(one, one.by_text) for one in unclear) and all(
        _fits(one, one.by_place) for one in unclear
    )


def _fits(question: _Scored, target: str | None) -> bool:
    return (question.sample.answer == target) == question.verdict


def _judged(question: _Scored, metric: str | None, *, by_place: bool) -> Sample:
    """The sample with its target, its answer compared with that.

    Raises:
        DataError: The logged number says otherwise.
    """
    readings = [question.by_text, question.by_place]
    known = [one for one in (reversed(readings) if by_place else readings) if one]
    sample = question.sample
    target = known[0] if known else None
    is_correct = sample.is_correct if target is None else sample.answer == target
    judged = replace(sample, target=target, is_correct=is_correct)
    require_verdict(judged, question.verdict, metric or "acc")
    return judged


def _as_fields(doc: Any) -> dict[str, Any]:
    return dict(doc) if isinstance(doc, Mapping) else {"doc": doc}


def _requests(arguments: Any, place: str) -> list[tuple[str, str]]:
    """Prompt and continuation of every request of a question."""
    given = list(arguments.values()) if isinstance(arguments, Mapping) else arguments
    found = []
    for one in given if isinstance(given, Sequence) else ():
        parts = list(one.values()) if isinstance(one, Mapping) else one
        if isinstance(parts, Sequence) and parts:
            found.append((str(parts[0]), str(parts[1]) if len(parts) > 1 else ""))
    if not found:
        raise DataError(
            f"{place}: found no request in 'arguments'; needed prompt and continuation "
            "of every option; log the samples again"
        )
    return found


def _is_scored(response: Any) -> bool:
    """Whether a response is a log-probability with its greedy flag."""
    if not isinstance(response, list) or len(response) != 2:
        return False
    try:
        float(response[0])
    except (TypeError, ValueError):
        return False
    return str(response[1]) in ("True", "False")


def _options(
    fields: Mapping[str, Any],
    scored: Sequence[str],
    choices_key: str | None,
    place: str,
) -> tuple[str, ...]:
    """The options' texts: the continuations, or those a field lists."""
    if choices_key is None:
        return tuple(scored)
    listed = find_value(fields, choices_key)
    if not isinstance(listed, list):
        raise DataError(
            f"{place}: field {choices_key!r} is no list; --choices needs the field "
            "that lists the texts of the options"
        )
    return tuple(str(each).strip() for each in listed)


def _at(target: str | None, texts: Sequence[str]) -> str | None:
    """The option whose place a target may be."""
    if target is None or not target.isdecimal() or int(target) >= len(texts):
        return None
    return texts[int(target)]


def _text(value: Any) -> str | None:
    if isinstance(value, list) and value:
        value = value[0]
    return str(value).strip() if value is not None and str(value).strip() else None
