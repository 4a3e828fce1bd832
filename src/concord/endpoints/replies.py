"""What a server's reply holds, read strictly: a thing that is not there is said so.

Two layouts of log-probabilities are in use: lists side by side (completions) and one
entry for each token (chat; llama.cpp also for completions). Both are read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from concord.endpoints.wire import Unreadable

_HUGE = 10**15
"""Whole numbers beyond this are no log-probability, and may not even fit a float."""


@dataclass(frozen=True)
class Tokens:
    """Tokens as text, each with its log-probability."""

    texts: tuple[str, ...]
    log_probabilities: tuple[float | None, ...]
    """Nats; None where the server gives none, as for the first of a prompt."""
    offsets: tuple[int, ...] | None
    """Where each token begins, as the server counts."""
    top: tuple[Mapping[str, float], ...]
    """The likeliest tokens at each place; empty where none were sent."""


@dataclass(frozen=True)
class Written:
    """What a server wrote, the echoed prompt included if there is one."""

    text: str
    tokens: Tokens | None
    """None: no log-probabilities came, whatever was asked for."""


def written(reply: Mapping[str, Any], *, count: int = 1) -> list[Written]:
    """The choices of a reply, in the order of the prompts.

    Raises:
        Unreadable: There are not as many as prompts, or one of them holds no text.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != count:
        found = len(choices) if isinstance(choices, list) else "no"
        raise Unreadable(f"a reply with {found} choices where {count} were needed")
    ordered = sorted(choices, key=_index)
    if count > 1 and [_index(one) for one in ordered] != list(range(count)):
        raise Unreadable("choices whose index does not tell the prompt they belong to")
    return [_written(choice) for choice in ordered]


def _index(choice: Any) -> int:
    if not isinstance(choice, dict):
        raise Unreadable(f"a choice that is no object: {_shown(choice)}")
    found = choice.get("index", 0)
    return found if isinstance(found, int) else -1


def _written(choice: dict[str, Any]) -> Written:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if text is None and isinstance(message, dict):
        text = ""  # A chat model may end its turn without a word.
    if not isinstance(text, str):
        raise Unreadable("a choice without text")
    told = choice.get("logprobs")
    if not isinstance(told, dict):
        return Written(text, None)
    if isinstance(told.get("content"), list):
        return Written(text, _entries(told["content"]))
    if isinstance(told.get("token_logprobs"), list):
        return Written(text, _lists(told))
    return Written(text, None)


def _lists(told: dict[str, Any]) -> Tokens:
    """Lists side by side: tokens, token_logprobs, text_offset, top_logprobs."""
    texts, numbers = told.get("tokens"), told["token_logprobs"]
    if not isinstance(texts, list) or len(texts) != len(numbers):
        raise Unreadable("log-probabilities that are not as many as tokens")
    offsets = _places(told.get("text_offset"), len(texts))
    top = told.get("top_logprobs")
    top = top if isinstance(top, list) and len(top) == len(texts) else []
    return Tokens(
        texts=tuple(str(text) for text in texts),
        log_probabilities=tuple(_log_probability(number) for number in numbers),
        offsets=offsets,
        top=tuple(_alternatives(one) for one in top),
    )


def _places(offsets: Any, count: int) -> tuple[int, ...] | None:
    """As many whole numbers; None for anything else."""
    if not isinstance(offsets, list) or len(offsets) != count:
        return None
    return tuple(offsets) if all(type(place) is int for place in offsets) else None


def _entries(entries: list[Any]) -> Tokens:
    """One entry for each token: token, logprob, top_logprobs."""
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
            raise Unreadable("log-probabilities without their tokens")
    return Tokens(
        texts=tuple(entry["token"] for entry in entries),
        log_probabilities=tuple(_log_probability(e.get("logprob")) for e in entries),
        offsets=None,
        top=tuple(_listed(entry.get("top_logprobs")) for entry in entries),
    )


def _listed(found: Any) -> dict[str, float]:
    """Alternatives told one by one, each with its token."""
    each = found if isinstance(found, list) else []
    objects = [one for one in each if isinstance(one, dict)]
    named = [one for one in objects if isinstance(one.get("token"), str)]
    return _alternatives({one["token"]: one.get("logprob") for one in named})


def _alternatives(found: Any) -> dict[str, float]:
    if not isinstance(found, dict):
        return {}
    numbers = {token: _log_probability(number) for token, number in found.items()}
    return {token: number for token, number in numbers.items() if number is not None}


def _log_probability(value: Any) -> float | None:
    """A number of at most 0 (and a hair above it, by rounding); None for null."""
    if value is None:
        return None
    is_number = type(value) is float or (type(value) is int and value > -_HUGE)
    if not is_number or not value <= 1e-3:
        raise Unreadable(f"{_shown(value)} in the place of a log-probability")
    return float(value)


def _shown(value: Any) -> str:
    """As JSON, in which the client finds its key again, should it be repeated."""
    try:
        return json.dumps(value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"


def decided(reply: Mapping[str, Any], name: str, options: list[str]) -> list[float]:
    """The probability of each option of a typed question, in their order.

    Raises:
        Unreadable: An option has no probability, or they do not add up to 1.
    """
    answers = reply.get("answers")
    answer = answers.get(name) if isinstance(answers, dict) else None
    told = answer.get("probabilities") if isinstance(answer, dict) else None
    if not isinstance(told, dict) or set(told) != set(options):
        found = len(told) if isinstance(told, dict) else "no"
        raise Unreadable(
            f"a decision with {found} probabilities where {len(options)} were needed"
        )
    numbers = [told[option] for option in options]
    if not all(type(n) in (int, float) and 0 <= n <= 1 for n in numbers):
        raise Unreadable(f"{_shown(numbers)} in the place of probabilities")
    if abs(sum(numbers) - 1) > 1e-3:
        raise Unreadable(f"probabilities that add up to {sum(numbers):.4f}, not 1")
    return [float(number) for number in numbers]
