"""What other tools log of one question, in one form."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from concord.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Sample:
    """One question that a model was asked, with its answer, as a log holds it."""

    place: str
    """File and line, or file and name, for messages."""
    task: str
    fields: Mapping[str, Any]
    """The question's own fields, and those the tool put beside them."""
    prompt: str
    answer: str | None
    """Text of the chosen option or of what was generated; None: none was read."""
    target: str | None
    is_correct: bool | None
    choices: tuple[str, ...] = ()
    """All options, in the order of their scores; empty where none were given."""
    scores: tuple[float, ...] = ()
    """Log-probability of each option, natural log, divided by the option's length where
    a metric asks for it; empty where none are logged."""
    repeat: int = 0
    """Which time the very same question was asked, from 0."""
    id: int | str | None = None
    """The question's own within its task, the same in every model's log."""


@contextmanager
def reading(place: str, needed: str) -> Generator[None]:
    """Name the place of a value that has another form than its tool writes.

    Args:
        place: File and line.
        needed: What stands there in a whole log.

    Raises:
        DataError: Something inside met a value of another type or shape.
    """
    wrong = (AttributeError, LookupError, OverflowError, RecursionError)
    try:
        yield
    except (*wrong, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: found a value of another form ({error}); needed {needed}; the "
            "log is damaged: copy or log it again"
        ) from error


def value_at(sample: Sample, key: str, option: str) -> str:
    """A field of a question as text; dots lead into fields of fields.

    Args:
        sample: The question.
        key: As ``fact`` or ``metadata.group``.
        option: The option that named the key, for the message.

    Raises:
        DataError: The question has no such field, or it is empty.
    """
    found = find_value(sample.fields, key)
    if found is None or found == "":
        known = [name for name, value in sample.fields.items() if value is not None]
        raise DataError(
            f"{sample.place}: found no field {key!r}; {option} needs one that every "
            f"question has; {did_you_mean(key, known)}"
        )
    return str(found)


def find_value(fields: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted path; None where there is none."""
    if key in fields:
        return fields[key]
    found: Any = fields
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def require_numbers(scores: Sequence[float], place: str) -> None:
    """Refuse scores among which no best one can be told.

    An option may be impossible (``-inf``), but not all of them.

    Raises:
        DataError: One is no number, or none is finite.
    """
    odd = [score for score in scores if math.isnan(score) or score == math.inf]
    if odd or (scores and not any(map(math.isfinite, scores))):
        shown = ", ".join(f"{score:g}" for score in scores)
        raise DataError(
            f"{place}: found scores {shown}; needed log-probabilities, one of them "
            "finite; run the model again in a dtype that holds them (float32)"
        )


def require_verdict(sample: Sample, verdict: bool | None, metric: str) -> None:
    """Refuse a sample whose log judges its answer otherwise than its target does.

    Raises:
        DataError: The logged 0 or 1 is not that of the answer.
    """
    if verdict is None or sample.target is None:
        return
    if (sample.answer == sample.target) != verdict:
        raise DataError(
            f"{sample.place}: found {metric} {int(verdict)}, but the best option is "
            f"{sample.answer!r} and the target {sample.target!r}; needed a number that "
            "judges the option with the highest score (acc; with --metric also "
            "acc_norm or acc_bytes), and options that can be told apart; name the "
            "number with --metric, or the field that lists the options with --choices"
        )


def chosen(scores: Sequence[float]) -> int:
    """Place of the highest score, the first of equal ones."""
    return max(range(len(scores)), key=lambda place: (scores[place], -place))


def is_right(value: Any) -> bool | None:
    """A logged score as right or wrong; None where it is neither.

    ``C`` and ``I`` are inspect's letters; shares between 0 and 1 are no verdict.
    """
    if isinstance(value, str):
        return {"C": True, "I": False, "1": True, "0": False}.get(value)
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    return None
