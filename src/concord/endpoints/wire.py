"""Bytes of a reply -> an object, a server's words, or what failed about them."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

LARGEST_REPLY = 64 << 20
_SHOWN = 300


class Unreadable(Exception):
    """A reply does not hold what was asked for; it says what was found."""


class NotOffered(Exception):
    """The server will not do what a probe asked it to do; it says so in its words."""


class Again(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


def read_content(response: httpx2.Response, end: float) -> bytes:
    """The reply's bytes; a server that drips is cut off in time.

    Args:
        response: Under way.
        end: Moment of the monotonic clock after which it is too late.

    Raises:
        Again: The reply is too large.
        httpx2.HTTPError: It was cut, or is too slow.
    """
    blocks, size = [], 0
    for block in response.iter_bytes():
        blocks.append(block)
        size += len(block)
        if time.monotonic() > end:
            raise httpx2.ReadTimeout("too slow", request=response.request)
        if size > LARGEST_REPLY:
            raise Again(f"a reply of more than {LARGEST_REPLY:,} bytes")
    return b"".join(blocks)


def parse_object(content: bytes, hide: Callable[[str], str]) -> dict[str, Any]:
    """The JSON object of a reply.

    Raises:
        Again: There is none.
    """
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError):
        said = words_of(content, hide)
        raise Again(f"a reply that is no JSON: {said}") from None
    if not isinstance(reply, dict):
        raise Again(f"a reply that is no JSON object: {words_of(content, hide)}")
    return reply


def words_of(content: bytes, hide: Callable[[str], str]) -> str:
    """What a server says, in one short line.

    Args:
        content: Its reply.
        hide: Blots out what must not be shown.
    """
    text = content.decode("utf-8", "replace")
    try:
        told = json.loads(content)
        for name in ("error", "message", "detail"):
            if isinstance(told, dict) and told.get(name):
                told = told[name]
        text = told if isinstance(told, str) else json.dumps(told)
    except (ValueError, RecursionError):
        pass
    return in_one_line(hide(text)) or "nothing"


def in_one_line(text: str) -> str:
    """A text without line breaks, cut where it is long."""
    text = text[: 4 * _SHOWN]
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def in_words(error: httpx2.HTTPError) -> str:
    """What went wrong with a connection."""
    if isinstance(error, httpx2.ConnectError):
        return f"no connection ({error})"
    return f"the connection was cut ({str(error) or type(error).__name__})"


def retry_after_seconds(header: str | None) -> float | None:
    """Seconds to wait, from a number or a date; None where nothing can be read."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
