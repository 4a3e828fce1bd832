"""Requests to one server: a few at once, sent again after a pause, counted.

A reply counts only when it could be read whole; one that is cut, is no JSON or does
not hold what was asked for is asked for again. The key is in the request's header and
in no message.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Self, TypeVar

import httpx2

from concord.endpoints.address import Address, key_of
from concord.endpoints.usage import Usage
from concord.endpoints.wire import (
    Again,
    NotOffered,
    Unreadable,
    in_one_line,
    in_words,
    parse_object,
    read_content,
    retry_after_seconds,
    words_of,
)
from concord.errors import ModelError
from concord.study import EndpointLimits

Read = TypeVar("Read")
Item = TypeVar("Item")
Advance = Callable[[int], None]

FIRST_PAUSE_SECONDS = 0.5
"""Longest pause after the first failure; doubled after each further one."""
LONGEST_PAUSE_SECONDS = 30.0
TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers of a server that may be another one in a moment."""


class Client:
    """One server; safe to be used by several threads."""

    def __init__(self, address: Address, limits: EndpointLimits) -> None:
        self.address, self.limits = address, limits
        self.usage = Usage()
        self._key = key_of(address)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._next_start = 0.0
        self._http = httpx2.Client(
            headers=self._key.headers,
            timeout=limits.timeout_seconds,
            trust_env=not address.is_local,
            limits=httpx2.Limits(max_connections=limits.concurrency),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop whatever waits, and give the connections back."""
        self._stopped.set()
        self._http.close()

    def take_usage(self) -> Usage:
        """What was used since this was asked last."""
        with self._lock:
            taken, self.usage = self.usage, Usage()
        return taken

    def get(self, route: str) -> dict[str, Any]:
        """A document that the server may offer.

        Raises:
            NotOffered: It does not.
            ModelError: The server cannot be used.
        """
        return self._try_often("GET", route, None, dict, is_probe=True)

    def probe(
        self, route: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Read]
    ) -> Read:
        """Ask for something that a server may not do.

        Args:
            route: What comes behind the address, as ``/completions``.
            body: Sent as JSON.
            read: Takes what is needed from the reply, or raises `Unreadable`.

        Raises:
            NotOffered: It does not, or its reply does not hold what is needed.
            ModelError: The server cannot be used.
        """
        return self._try_often("POST", route, body, read, is_probe=True)

    def hide(self, text: str) -> str:
        """A server's words without the key."""
        return self._key.hide(text)

    def ask(
        self, route: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Read]
    ) -> Read:
        """Send one request until its reply can be read.

        Args:
            route: What comes behind the address, as ``/completions``.
            body: Sent as JSON.
            read: Takes what is needed from the reply, or raises `Unreadable`.

        Raises:
            ModelError: The server refuses, or no attempt has succeeded.
        """
        return self._try_often("POST", route, body, read, is_probe=False)

    def ask_all(
        self, ask: Callable[[Item], Read], items: Sequence[Item], advance: Advance
    ) -> list[Read]:
        """Apply a function that asks to many items, as many at once as is allowed.

        Returns:
            The answers in the order of the items.

        Raises:
            ModelError: One of them failed; the others are given up.
        """
        with ThreadPoolExecutor(self.limits.concurrency) as pool:
            futures = [pool.submit(ask, item) for item in items]
            try:
                for future in as_completed(futures):
                    future.result()
                    advance(1)
            except BaseException:
                # Not closed here: a connection that another thread is just making
                # would belong to nobody.
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _try_often(
        self,
        method: str,
        route: str,
        body: dict[str, Any] | None,
        read: Callable[[dict[str, Any]], Read],
        *,
        is_probe: bool,
    ) -> Read:
        deadline = time.monotonic() + self.limits.overall_seconds
        for attempt in range(1, self.limits.attempts + 1):
            self._wait_for_turn(deadline)
            try:
                return self._once(method, route, body, read, deadline, is_probe)
            except Again as failure:
                pause = self._pause_after(attempt, failure)
                out_of_time = time.monotonic() + pause > deadline
                if attempt == self.limits.attempts or out_of_time:
                    raise ModelError(self._gave_up(route, attempt, failure)) from None
                with self._lock:
                    self.usage.retries += 1
                self._rest(pause)
        raise AssertionError("attempts is 1 or more")

    def _once(
        self,
        method: str,
        route: str,
        body: dict[str, Any] | None,
        read: Callable[[dict[str, Any]], Read],
        deadline: float,
        is_probe: bool,
    ) -> Read:
        end = min(deadline, time.monotonic() + self.limits.timeout_seconds)
        try:
            with self._http.stream(
                method, f"{self.address.url}{route}", json=body
            ) as response:
                content = read_content(response, end)
        except httpx2.TimeoutException:
            limit = f"{self.limits.timeout_seconds:g} s"
            raise Again(f"no whole reply within {limit}") from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise ModelError(self._says(f"no address to ask ({error})")) from None
        except httpx2.HTTPError as error:
            raise Again(self.hide(in_words(error))) from None
        self._require_success(response, content, route, is_probe)
        reply = parse_object(content, self.hide)
        with self._lock:  # Its tokens are paid for, whatever can be read of it.
            self.usage.count_tokens(reply)
        try:
            found = read(reply)
        except Unreadable as error:
            said = in_one_line(self.hide(str(error)))
            raise (NotOffered if is_probe else Again)(said) from None
        with self._lock:
            self.usage.requests += 1
        return found

    def _require_success(
        self, response: httpx2.Response, content: bytes, route: str, is_probe: bool
    ) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        said = words_of(content, self.hide)
        if status in (401, 403):
            raise ModelError(self._says(self._refused_key(status, said)))
        if "insufficient_quota" in said:
            raise ModelError(
                self._says(f"answered {status}: the account has no credit left: {said}")
            )
        if is_probe and status in (400, 404, 405, 415, 422, 500, 501):
            raise NotOffered(f"{status}: {said}")
        if status in TEMPORARY:
            wait = retry_after_seconds(response.headers.get("retry-after"))
            raise Again(f"answered {status}: {said}", wait)
        remedy = {
            404: "check the address (mostly it ends in /v1) and the model's id",
            413: "the prompt is too long for the server",
        }.get(status, "change what the server names, or its own settings")
        if 300 <= status < 400:
            remedy = "give the address it sends to, if you trust it"
            said = in_one_line(self.hide(response.headers.get("location", said)))
        raise ModelError(
            self._says(f"{route} answered {status}: {said}; needed a reply; {remedy}")
        )

    def _refused_key(self, status: int, said: str) -> str:
        name = self.address.key_variable
        if self._key.value is None:
            return (
                f"answered {status}: {said}; it wants a key, but {name} is not set; "
                "put the key into that variable of the environment"
            )
        return (
            f"answered {status}: {said}; the key in {name} is refused (expired, "
            "withdrawn or another server's); put a valid one there and give the same "
            "command again"
        )

    def _gave_up(self, route: str, attempts: int, failure: Again) -> str:
        times = "once" if attempts == 1 else f"{attempts} times"
        wait = failure.wait_seconds
        asked = f" (it asks to wait {wait:.0f} s)" if wait else ""
        return self._says(
            f"{route} was asked {times} and gave no answer; at last: {failure}{asked}; "
            "needed a server that answers: see that it runs and is not overloaded "
            "(limits: concurrency, timeout_seconds), then give the same command again"
        )

    def _says(self, text: str) -> str:
        return f"{self.address.label}: {self.address.url}: {text}"

    def _pause_after(self, attempt: int, failure: Again) -> float:
        if failure.wait_seconds is not None:
            with self._lock:  # Every thread waits: the server spoke to us all.
                until = time.monotonic() + failure.wait_seconds
                self._next_start = max(self._next_start, until)
            return failure.wait_seconds
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)

    def _wait_for_turn(self, deadline: float) -> None:
        """Hold the rate, and any pause that the server asked for."""
        rate = self.limits.requests_per_minute
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            if rate and start <= deadline:
                self._next_start = start + 60.0 / rate
        if start > deadline:
            raise ModelError(
                self._says(
                    f"the next request may begin in {start - now:.0f} s only, after "
                    "the end of limits.overall_seconds; give the same command again "
                    "then, or raise it"
                )
            )
        self._rest(start - now)

    def _rest(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds)):
            raise ModelError(self._says("stopped, because another request failed"))
