"""Where an endpoint is, which model is meant there, and the key that opens it."""

import json
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from concord.errors import ModelError
from concord.study import ModelEntry

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Address:
    """An endpoint as a run may record it: nothing here is secret."""

    label: str
    url: str
    """Up to and with the version, as ``http://localhost:8000/v1``; no ``/`` at the
    end."""
    model: str | None
    """The id that the server knows the model by, if it was given."""
    key_variable: str

    @property
    def is_local(self) -> bool:
        """The server runs on this machine: no proxy stands between."""
        return urlsplit(self.url).hostname in LOOPBACK


@dataclass(frozen=True)
class Key:
    """A secret: it goes into one header and nowhere else."""

    value: str | None = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What a request carries."""
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}

    def hide(self, text: str) -> str:
        """A server's words, with the key blotted out should it repeat it.

        To be called before a text is cut: a piece of the key is not found.
        """
        for spelling in self._spellings():
            text = text.replace(spelling, "***")
        return text

    def _spellings(self) -> tuple[str, ...]:
        """The key as it is, and as JSON may write it."""
        if not self.value:
            return ()
        quoted = json.dumps(self.value)[1:-1]
        return self.value, quoted, quoted.replace("/", r"\/")


def address_of(entry: ModelEntry) -> Address:
    """The address in a model's entry."""
    parts = urlsplit(entry.source)
    return Address(
        label=entry.label,
        url=urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")),
        model=entry.model or parts.fragment or None,
        key_variable=entry.key_variable,
    )


def key_of(address: Address) -> Key:
    """The key from the environment; none where the variable is not set.

    Raises:
        ModelError: It cannot stand in a header; it is not shown.
    """
    value = os.environ.get(address.key_variable, "").strip()
    if not all("!" <= character <= "~" for character in value):
        raise ModelError(
            f"{address.label}: the key in {address.key_variable} holds white space or "
            "a character that is not plain ASCII; needed one word of letters, digits "
            "and signs, as the server's owner gave it; set the variable anew"
        )
    return Key(value or None)
