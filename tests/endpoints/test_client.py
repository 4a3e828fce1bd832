"""One clear message for each way in which a server can fail, and nothing of the key."""

import gc
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from local_server import Reply, Request, completion, serving

from concord.endpoints import client as clients
from concord.endpoints.address import address_of
from concord.endpoints.client import Client
from concord.endpoints.replies import Written, written
from concord.endpoints.wire import NotOffered, retry_after_seconds
from concord.errors import ModelError
from concord.study import EndpointLimits, ModelEntry

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("CONCORD_TEST_KEY", KEY)


def client_of(url: str, **limits: Any) -> Client:
    chosen = {"attempts": 3, "timeout_seconds": 5.0, **limits}
    entry = ModelEntry(
        source=f"{url}#m",
        label="far",
        key_variable="CONCORD_TEST_KEY",
        limits=EndpointLimits(**chosen),
    )
    return Client(address_of(entry), entry.limits)


def ask(client: Client, text: str = "hello") -> list[Written]:
    return client.ask("/completions", {"prompt": text}, written)


def in_turn(*replies: Reply) -> Any:
    """Answers one after the other; the last for ever."""
    numbers = count()

    def answer(request: Request) -> Reply:
        return replies[min(next(numbers), len(replies) - 1)]

    return answer


FINE = Reply(completion("hello back"))


@pytest.mark.parametrize(
    "broken",
    [
        Reply({"error": {"message": "boom"}}, status=500),
        Reply({"error": "busy"}, status=503),
        Reply(completion("a reply that is cut"), cut_after=9),
        Reply(b"", cut_after=0),
        Reply(b'{"choices": [{"ind'),
        Reply(b"<html>bad gateway</html>"),
        Reply(["no object"]),
        Reply(b"[" * 200_000),
        Reply({"choices": []}),
        Reply({"choices": [{"text": "a"}, {"text": "b"}]}),
        Reply({"choices": [{"text": None}]}),
        Reply({"object": "nothing"}),
    ],
    ids=[
        *("500", "503", "cut", "cut at once", "cut JSON", "no JSON", "a list", "deep"),
        *("no choice", "two choices", "no text", "no choices"),
    ],
)
def test_what_fails_once_is_asked_for_again(broken: Reply):
    with serving(in_turn(broken, FINE)) as server, client_of(server.url) as client:
        assert ask(client)[0].text == "hello back"
        assert len(server.requests) == 2
        used = client.take_usage()
    assert (used.requests, used.retries) == (1, 1)
    assert (used.input_tokens, used.output_tokens) == (5, 2)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Reply({"error": {"message": "boom"}}, status=500), "answered 500: boom"),
        (Reply(b'{"choices": [{"ind'), "a reply that is no JSON"),
        (Reply({"choices": []}), "0 choices where 1 were needed"),
        (Reply({"choices": [{"text": "a"}] * 2}), "2 choices where 1 were needed"),
        (Reply(completion("cut"), cut_after=9), "the connection was cut"),
    ],
)
def test_what_fails_for_ever_ends_in_one_message(broken: Reply, words: str):
    with serving(lambda request: broken) as server, client_of(server.url) as client:
        with pytest.raises(ModelError) as caught:
            ask(client)
        assert len(server.requests) == 3
    message = str(caught.value)
    assert message.startswith(f"far: {server.url}: /completions was asked 3 times")
    assert words in message
    assert "give the same command again" in message
    assert KEY not in message


def test_a_server_that_is_down_is_named():
    with serving(lambda request: FINE) as server:
        url = server.url
    with client_of(url) as client, pytest.raises(ModelError, match="no connection"):
        ask(client)


def test_a_slow_server_is_given_up_in_time():
    release = threading.Event()

    def answer(request: Request) -> Reply:
        release.wait(5)
        return FINE

    with serving(answer) as server:
        limits = {"timeout_seconds": 0.2, "attempts": 2}
        with client_of(server.url, **limits) as client:
            with pytest.raises(ModelError, match="no whole reply within 0.2 s"):
                ask(client)
        release.set()
        assert len(server.requests) == 2


def test_a_busy_server_is_given_the_time_it_asks_for():
    times: list[float] = []
    busy = Reply({"error": "slow down"}, status=429, headers={"Retry-After": "0.4"})
    replies = in_turn(busy, FINE)

    def answer(request: Request) -> Reply:
        times.append(time.monotonic())
        return replies(request)

    with serving(answer) as server, client_of(server.url) as client:
        ask(client)
    assert times[1] - times[0] >= 0.4


def test_a_pause_longer_than_all_the_time_there_is_is_not_waited_for():
    busy = Reply({"error": "later"}, status=429, headers={"Retry-After": "3600"})
    with serving(lambda request: busy) as server:
        with client_of(server.url, overall_seconds=5.0) as client:
            with pytest.raises(ModelError, match="it asks to wait 3600 s"):
                ask(client)
        assert len(server.requests) == 1


def test_a_date_is_understood_as_a_pause():
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_seconds("7") == 7.0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds(None) is None


def test_an_expired_key_is_refused_at_once_and_not_repeated():
    said = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    with serving(lambda request: Reply(said, status=401)) as server:
        with client_of(server.url) as client, pytest.raises(ModelError) as caught:
            ask(client)
        sent = server.requests[0].headers["Authorization"]
        assert len(server.requests) == 1
    assert sent == f"Bearer {KEY}"
    message = str(caught.value)
    assert "the key in CONCORD_TEST_KEY is refused" in message
    assert KEY not in message and "***" in message


def test_a_missing_key_is_asked_for_by_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CONCORD_TEST_KEY")
    refusal = Reply({"error": "no key"}, status=401)
    with serving(lambda request: refusal) as server, client_of(server.url) as client:
        with pytest.raises(ModelError, match="CONCORD_TEST_KEY is not set"):
            ask(client)
        assert "Authorization" not in server.requests[0].headers


def test_a_key_is_in_nothing_that_can_be_printed():
    with client_of("http://127.0.0.1:9/v1") as client:
        assert KEY not in repr(client._key)
        assert KEY not in repr(client.address)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply({"error": {"message": "too long"}}, status=400), "400: too long"),
        (Reply({"detail": "no model q"}, status=404), "check the address"),
        (
            Reply(b"", status=302, headers={"Location": "http://127.0.0.2/"}),
            "http://127.0.0.2/",
        ),
        (
            Reply({"error": {"message": "insufficient_quota: pay"}}, status=429),
            "no credit left",
        ),
    ],
)
def test_what_another_try_cannot_mend_is_not_tried_again(reply: Reply, words: str):
    with serving(lambda request: reply) as server, client_of(server.url) as client:
        with pytest.raises(ModelError) as caught:
            ask(client)
        assert len(server.requests) == 1
    assert words in str(caught.value)


def test_a_probe_takes_a_refusal_for_an_answer():
    with serving(lambda request: Reply({"error": "no echo"}, status=500)) as server:
        with client_of(server.url) as client:
            with pytest.raises(NotOffered, match="500: no echo"):
                client.probe("/completions", {"echo": True}, written)
        assert len(server.requests) == 1


@pytest.mark.parametrize("form", ["words", "object", "no JSON", "choice", "moved"])
def test_no_piece_of_the_key_is_shown_wherever_a_text_is_cut(
    form: str, monkeypatch: pytest.MonkeyPatch
):
    key = "sk-'quoted'/\"0123456789abcdef"
    monkeypatch.setenv("CONCORD_TEST_KEY", key)

    def answer(request: Request) -> Reply:
        said = f"{request.body['prompt']} the header was Bearer {key}"
        return {
            "words": Reply({"error": {"message": said}}, status=400),
            "object": Reply({"error": {"code": 7, "header": said}}, status=400),
            "no JSON": Reply(f"{said} <html>".encode()),
            "choice": Reply({"choices": [said]}),
            "moved": Reply(b"", status=302, headers={"Location": said}),
        }[form]

    with serving(answer) as server, client_of(server.url, attempts=1) as client:
        for filler in range(0, 320, 4):
            with pytest.raises(ModelError) as caught:
                ask(client, "x" * filler)
            with pytest.raises((ModelError, NotOffered)) as probed:
                client.probe("/completions", {"prompt": "x" * filler}, written)
            for message in (str(caught.value), str(probed.value)):
                shown = [key[i : i + 6] for i in range(20) if key[i : i + 6] in message]
                assert not shown, message
                assert "***" in message or "..." in message


def test_tokens_of_replies_that_cannot_be_used_are_counted_too():
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    broken = Reply({"choices": [], "usage": usage})
    with serving(in_turn(broken, broken, FINE)) as server:
        with client_of(server.url) as client:
            ask(client)
            used = client.take_usage()
    assert (used.requests, used.retries) == (1, 2)
    assert (used.input_tokens, used.output_tokens) == (9 + 9 + 5, 1 + 1 + 2)
    assert used.requests_without_count == 0


def test_no_more_requests_are_under_way_than_allowed():
    under_way, most, lock = 0, 0, threading.Lock()

    def answer(request: Request) -> Reply:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return FINE

    done: list[int] = []
    with serving(answer) as server, client_of(server.url, concurrency=3) as client:
        texts = [str(number) for number in range(12)]
        found = client.ask_all(
            lambda text: (text, ask(client, text)), texts, done.append
        )
    assert [text for text, _ in found] == texts
    assert 1 < most <= 3
    assert sum(done) == 12


def test_requests_keep_to_the_rate_asked_for(monkeypatch: pytest.MonkeyPatch):
    """At a clock that stands still, each of four requests waits a tenth longer."""
    now, waits = time.monotonic(), []
    monkeypatch.setattr(clients, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(Client, "_rest", lambda client, seconds: waits.append(seconds))
    with serving(lambda request: FINE) as server:
        with client_of(server.url, requests_per_minute=600) as client:
            client.ask_all(lambda text: ask(client, text), list("abcd"), lambda n: None)
    assert sorted(waits) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_one_failure_ends_all_and_what_waits_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(clients, "FIRST_PAUSE_SECONDS", 30.0)

    def answer(request: Request) -> Reply:
        if request.body["prompt"] == "2":
            return Reply({"error": "not you"}, status=400)
        return Reply({"error": "busy"}, status=503)

    with serving(answer) as server, client_of(server.url, attempts=5) as client:
        with pytest.raises(ModelError, match="400: not you"):
            client.ask_all(lambda t: ask(client, t), list("12345"), lambda n: None)
        asked = [request.body["prompt"] for request in server.requests]
    # Nobody came back after the pause: each was asked once at most.
    assert len(asked) == len(set(asked))


def test_a_connection_made_after_another_request_failed_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
):
    connect, numbers = socket.create_connection, count()
    is_late, has_failed = threading.Event(), threading.Event()

    def connect_late(*arguments: Any, **options: Any) -> socket.socket:
        if next(numbers) == 1:
            is_late.set()
            assert has_failed.wait(10)
        return connect(*arguments, **options)

    def answer(request: Request) -> Reply:
        assert is_late.wait(10)
        return Reply({"error": "not you"}, status=400)

    def fail(pool: ThreadPoolExecutor, wait: bool = True, **options: bool) -> None:
        has_failed.set()
        shutdown(pool, wait, **options)

    shutdown = ThreadPoolExecutor.shutdown
    monkeypatch.setattr(socket, "create_connection", connect_late)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", fail)
    with serving(answer) as server, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with client_of(server.url, concurrency=2) as client:
            with pytest.raises(ModelError, match="400: not you"):
                client.ask_all(lambda t: ask(client, t), ["1", "2"], lambda n: None)
        del client
        gc.collect()
    assert next(numbers) == 2
    assert not [one for one in caught if one.category is ResourceWarning]
