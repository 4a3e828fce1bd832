"""The models of a study: where they are, and how they are asked."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from concord.study.section import Section

Api = Literal["auto", "completions", "chat", "decisions"]
PromptFormat = Literal["auto", "role_tags", "chat", "instruction"]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class EndpointLimits(Section):
    """How hard a server is asked; never changes which rows come out."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests under way at once."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests begun in a minute at most; by default as many as come."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 6
    """How often one request is sent before the run stops."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """One request, from sending it to the last byte of its reply."""
    overall_seconds: Annotated[float, Field(gt=0)] = 600.0
    """One request with all its attempts and pauses."""


class TokenPrice(Section):
    """What a server's owner asks for, per million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    currency: Annotated[str, Field(pattern=r"^\w+$")] = "USD"


class ModelEntry(Section):
    """A model of the study: where it is and how its prompts are written."""

    source: Annotated[str, Field(min_length=1)]
    """Hub id, local folder, adapter folder, ``BASE+diff:PATH``, ``embedded:NAME``, or
    the address of an endpoint, ``http://HOST/v1#MODEL``."""
    label: Annotated[str, Field(pattern=r"^[\w\-][\w\-.]*$")]
    """Name in tables and folders; by default the last part of the source."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    peft: str | None = None
    """Adapter put on top of ``source``."""
    tokenizer: str | None = None
    """Another tokenizer than the model's own."""
    bos: Literal["tokenizer", "always", "never"] = "tokenizer"
    """Who puts the begin-of-sequence token in front (scoring: exactly one, or none)."""
    sentinel: bool = False
    """Encoder-decoder models that were only trained to fill gaps (T5 before it was
    adapted): facts and choices end in the gap ``<extra_id_0>`` that an answer fills."""
    prompt_format: PromptFormat = "auto"
    """How a tuned model is asked: the study's ``<|user|>`` tags, its tokenizer's chat
    template, or the bare instruction. ``auto``: tags for the study's own models and the
    embedded family, else the chat template, else the bare instruction."""
    fact_contexts: tuple[str, ...] | None = None
    """Texts around a filled template, ``{}`` in its place; default: the study's."""
    sentence_contexts: tuple[str, ...] | None = None
    """Texts around a sentence, ``{}`` in its place; default: the study's."""
    choice_contexts: Annotated[tuple[str, ...], Field(max_length=1)] | None = None
    """Text around a multiple choice question, ``{}`` in its place; a letter follows."""
    answer_contexts: Annotated[tuple[str, ...], Field(max_length=1)] | None = None
    """Text around a question with a free answer, ``{}`` in its place."""
    model: str | None = None
    """Endpoints: the model's id there, unless it stands behind ``#`` in ``source``."""
    api: Api = "auto"
    """Endpoints: how they are asked; ``auto`` takes what tells most."""
    answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 16
    """Endpoints: tokens of a written answer, where no candidate can be scored."""
    key_variable: str = "OPENAI_API_KEY"
    """Endpoints: name of the environment variable that holds the key."""
    limits: EndpointLimits = EndpointLimits()
    price: TokenPrice | None = None
    """Endpoints: for an estimate of the cost; null: none is given."""

    @model_validator(mode="after")
    def _address_can_be_kept(self) -> Self:
        # What is refused may be a secret, so that no message repeats it.
        if not _VARIABLE.fullmatch(self.key_variable):
            raise ValueError(
                "key_variable needs the name of an environment variable (as "
                "OPENAI_API_KEY), never a key; what was found is not shown"
            )
        if is_endpoint(self.source):
            parts = urlsplit(self.source)
            if not parts.hostname or "@" in parts.netloc or parts.query:
                raise ValueError(
                    "an endpoint's address is http(s)://HOST[:PORT]/PATH#MODEL "
                    "without user, password or query, for it is written into the run; "
                    "put a key into an environment variable (key_variable)"
                )
        elif self.model is not None or self.api != "auto" or self.price is not None:
            raise ValueError(
                f"model, api and price are for endpoints, but source "
                f"{self.source!r} is no address (http://HOST/v1#MODEL)"
            )
        return self

    @model_validator(mode="after")
    def _contexts_have_one_slot(self) -> Self:
        own = (
            *(self.fact_contexts, self.sentence_contexts),
            *(self.choice_contexts, self.answer_contexts),
        )
        for text in (text for texts in own for text in texts or ()):
            if text.count("{}") != 1:
                raise ValueError(f"context {text!r} needs exactly one {{}}")
        return self


def is_endpoint(source: str) -> bool:
    """A model's source is the address of a server."""
    return source.lower().startswith(("http://", "https://"))


def label_models(settings: dict[str, Any]) -> None:
    """Turn plain names into entries and give every entry a label."""
    if "base" in settings:
        settings["base"] = _entry(settings["base"])
    if isinstance(settings.get("tuned"), (list, tuple)):
        settings["tuned"] = [_entry(item) for item in settings["tuned"]]


def _entry(item: Any) -> Any:
    entry = {"source": item} if isinstance(item, str) else item
    if not isinstance(entry, Mapping):
        return entry
    source = entry.get("source")
    if not entry.get("label") and isinstance(source, str) and source:
        named = entry.get("peft") or source.rpartition("+diff:")[2]
        if is_endpoint(source):
            parts = urlsplit(source)
            host = parts.netloc.rpartition("@")[2]
            named = entry.get("model") or parts.fragment or host
        return {**entry, "label": _label_of(str(named))}
    return entry


def _label_of(source: str) -> str:
    last = source.rstrip("/").rpartition("/")[2].removeprefix("embedded:")
    return "".join(
        letter if letter.isalnum() or letter in "-_." else "-" for letter in last
    ).lstrip(".")
