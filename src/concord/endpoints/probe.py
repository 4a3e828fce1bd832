"""Finds what a server really returns by asking it a little, before anything runs.

Some servers take ``echo``, ``logprobs`` or ``n`` and do nothing about them, without an
error; so only what came back counts.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from concord.endpoints.address import address_of
from concord.endpoints.client import Client
from concord.endpoints.echo import token_starts
from concord.endpoints.offer import Offer, Route, ServedModel
from concord.endpoints.replies import Written, decided, written
from concord.endpoints.wire import NotOffered
from concord.errors import ModelError, did_you_mean
from concord.models.contexts import Kind
from concord.study import Api, ModelEntry

PROMPTS = ("The sun rises in the", "A week has seven days and a year has")
"""Texts to try with; their answers are not looked at."""
BATCH = 16
"""Prompts in one request where a server takes several."""
TOP_COUNTS = (20, 5)
_SELF = ("id", "root", "parent", "owned_by", "max_model_len")
_ROUTES: dict[Api, tuple[Route, ...]] = {
    "auto": ("completions", "chat"),
    "completions": ("completions",),
    "chat": ("chat",),
    "decisions": ("decisions",),
}
_RANK = ("echo", "decisions", "top", "text")


def serve(entry: ModelEntry, kind: Kind) -> ServedModel:
    """Look at an endpoint: which model it serves and what it tells of an answer.

    Raises:
        ModelError: It does not answer, refuses the key, or serves no such model.
    """
    address = address_of(entry)
    with Client(address, entry.limits) as client:
        offer = probe(client, entry.api, kind)
        return ServedModel(entry, kind, address.url, offer, probed=client.take_usage())


def probe(client: Client, api: Api, kind: Kind) -> Offer:
    """The best that a server offers on the routes allowed.

    Where two routes tell equally much a base is asked to continue a text and a tuned
    model is asked in its chat.

    Raises:
        ModelError: Nothing that could be used came back.
    """
    known = _listed(client)
    model = _model_id(client, known)
    tried: list[str] = []
    found: list[Offer] = []
    for route in _ROUTES[api]:
        offer = _TRIALS[route](client, model, tried)
        if offer is not None:
            found.append(offer)
        if offer is not None and offer.level == "echo":
            break
    if not found:
        hint = "" if model in known or not known else f" {did_you_mean(model, known)}"
        hint = client.hide(hint)
        raise ModelError(
            f"{client.address.label}: {client.address.url}: none of its routes gave an "
            f"answer of {model!r} that can be read ({'; '.join(tried)}); needed "
            "completions, chat or typed decisions (api:) of a model that it serves."
            f"{hint}"
        )
    liked: Route = "completions" if kind == "base" else "chat"
    best = min(found, key=lambda o: (_RANK.index(o.level), o.route != liked))
    reported = _reported(client, best, known.get(model, {}))
    return replace(best, reported=reported, tried=tuple(tried))


def _listed(client: Client) -> dict[str, dict[str, Any]]:
    """The models that the server lists; empty where it lists none."""
    try:
        listing = client.get("/models").get("data")
    except NotOffered:
        return {}
    entries = listing if isinstance(listing, list) else []
    return {
        str(one["id"]): one for one in entries if isinstance(one, dict) and "id" in one
    }


def _model_id(client: Client, known: dict[str, dict[str, Any]]) -> str:
    address = client.address
    if address.model is not None:
        return address.model
    if len(known) == 1:
        return next(iter(known))
    raise ModelError(
        f"{address.label}: {address.url} lists {len(known)} models and none is named; "
        f"put one behind the address (#MODEL). {client.hide(did_you_mean('', known))}"
    )


def _completions(client: Client, model: str, tried: list[str]) -> Offer | None:
    echo = _echo(client, model, tried)
    if echo is not None:
        return echo
    body = {"model": model, "prompt": PROMPTS[0], "max_tokens": 1, "temperature": 0}
    return _generating(client, "completions", body, {"logprobs": 0}, tried)


def _echo(client: Client, model: str, tried: list[str]) -> Offer | None:
    """Whether prompts come back with log-probabilities, and in what ways."""
    for count in (0, 1):
        body = echo_request(model, [PROMPTS[0]], echo_tokens=count)
        found = _try(client, "/completions", body, tried, f"echo, max_tokens {count}")
        if found is None or not _is_echo(found[0], PROMPTS[0]):
            continue
        body = echo_request(model, list(PROMPTS), echo_tokens=count)
        both = _try(client, "/completions", body, tried, "two prompts", len(PROMPTS))
        pairs = zip(both or (), PROMPTS, strict=False)
        takes_many = both is not None and all(_is_echo(*pair) for pair in pairs)
        return Offer(
            "completions", "echo", model, count, BATCH if takes_many else 1, top_count=1
        )
    return None


def echo_request(
    model: str, prompts: list[str], *, echo_tokens: int = 1
) -> dict[str, Any]:
    """Ask for prompts to be echoed, each token with its log-probability."""
    return {
        "model": model,
        "prompt": prompts if len(prompts) > 1 else prompts[0],
        "max_tokens": echo_tokens,
        "temperature": 0,
        "echo": True,
        "logprobs": 1,
    }


def _is_echo(reply: Written, text: str) -> bool:
    """The whole prompt came back, and every token of it but the first has a number."""
    tokens = reply.tokens
    if tokens is None or not reply.text.startswith(text):
        return False
    starts = token_starts(tokens, text)
    if starts is None:
        return False
    inside = [i for i, start in enumerate(starts) if start < len(text)][1:]
    return bool(inside) and all(tokens.log_probabilities[i] is not None for i in inside)


def _chat(client: Client, model: str, tried: list[str]) -> Offer | None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPTS[0]}],
        "max_tokens": 1,
        "temperature": 0,
    }
    extra = {"logprobs": True, "top_logprobs": 0}
    return _generating(client, "chat", body, extra, tried)


def _generating(
    client: Client,
    route: Route,
    body: dict[str, Any],
    extra: dict[str, Any],
    tried: list[str],
) -> Offer | None:
    """What comes with a written answer: the likeliest tokens beside it, or text."""
    path, model = path_of(route), body["model"]
    for count in TOP_COUNTS:
        wanted = {
            name: value if value is True else count for name, value in extra.items()
        }
        found = _try(client, path, body | wanted, tried, f"{route}, top {count}")
        tokens = found[0].tokens if found else None
        if tokens is not None and any(tokens.top):
            seen = max(len(one) for one in tokens.top)
            return Offer(route, "top", model, top_count=min(count, max(seen, 1)))
    found = _try(client, path, body, tried, f"{route}, text")
    return None if found is None else Offer(route, "text", model)


def _decisions(client: Client, model: str, tried: list[str]) -> Offer | None:
    options = ["east", "west"]
    body = decision_request(model, PROMPTS[0], dict.fromkeys(options))
    try:
        client.probe("/systemone", body, lambda r: decided(r, "choice", options))
    except NotOffered as error:
        tried.append(f"decisions: {error}")
        return None
    return Offer("decisions", "decisions", model)


def decision_request(
    model: str, state: str, options: dict[str, str | None]
) -> dict[str, Any]:
    """Ask for the probability of each option of one typed question."""
    question = {"type": "choice", "criteria": options}
    return {"model": model, "state": state, "questions": {"choice": question}}


def path_of(route: Route) -> str:
    """What stands behind the address."""
    return {
        "completions": "/completions",
        "chat": "/chat/completions",
        "decisions": "/systemone",
    }[route]


def _try(
    client: Client,
    path: str,
    body: dict[str, Any],
    tried: list[str],
    what: str,
    count: int = 1,
) -> list[Written] | None:
    try:
        found = client.probe(path, body, lambda reply: written(reply, count=count))
    except NotOffered as error:
        tried.append(f"{what}: {error}")
        return None
    has_numbers = all(one.tokens is not None for one in found)
    tried.append(f"{what}: {'with' if has_numbers else 'without'} log-probabilities")
    return found


def _reported(
    client: Client, offer: Offer, listed: dict[str, Any]
) -> tuple[tuple[str, Any], ...]:
    """What the server says of itself and of the model: all that can tell two apart."""
    told = {name: listed[name] for name in _SELF if listed.get(name) is not None}
    if offer.route != "decisions":
        mark = _system_fingerprint(client, offer)
        if mark is not None:
            told["system_fingerprint"] = mark
    return tuple(
        (name, client.hide(value) if isinstance(value, str) else value)
        for name, value in sorted(told.items())
    )


def _system_fingerprint(client: Client, offer: Offer) -> str | None:
    body: dict[str, Any] = {"model": offer.model, "max_tokens": 1, "temperature": 0}
    if offer.route == "chat":
        body["messages"] = [{"role": "user", "content": PROMPTS[0]}]
    else:
        body["prompt"] = PROMPTS[0]
    found = client.ask(path_of(offer.route), body, _read_fingerprint)
    return found if isinstance(found, str) else None


def _read_fingerprint(reply: dict[str, Any]) -> Any:
    written(reply)
    return reply.get("system_fingerprint")


_TRIALS: dict[Route, Callable[[Client, str, list[str]], Offer | None]] = {
    "completions": _completions,
    "chat": _chat,
    "decisions": _decisions,
}
