"""What a server was found to return, and which measures that allows."""

from dataclasses import dataclass, field
from typing import Any, Literal

from concord.endpoints.usage import Usage
from concord.models.contexts import Kind
from concord.results import fingerprint
from concord.study import ModelEntry

Route = Literal["completions", "chat", "decisions"]
Level = Literal["echo", "top", "text", "decisions"]
ENDPOINT_VERSION = 1
"""Raised whenever the answers read from the same replies may change."""

LEVELS: dict[Level, str] = {
    "echo": "log-probabilities of every token of a prompt: exact scores of all "
    "candidates",
    "top": "log-probabilities of what it writes, and of the likeliest tokens beside "
    "it: written answers, options by their letters",
    "text": "text only: the answer is the candidate that the text names",
    "decisions": "a probability for every option of a typed question, in a prompt of "
    "its own",
}
_CANNOT: dict[Level, tuple[str, ...]] = {
    "echo": (),
    "top": (
        "An answer is the candidate named by the text it writes, which need not be the "
        "likeliest of all candidates; where none is named there is no answer.",
        "Margins between candidates, near ties and the noise of scores are not known; "
        "an option whose letter is not among the likeliest tokens has no score.",
    ),
    "text": (
        "An answer is the candidate named by the text it writes, which need not be the "
        "likeliest of all candidates; where none is named there is no answer.",
        "No score, margin, near tie, free prediction or noise floor is known.",
    ),
    "decisions": (
        "Probabilities are shared among the options only, so that how often the model "
        "would rather say something else is not known.",
        "The question stands in the server's own prompt, not in the study's.",
    ),
}
_ALWAYS = (
    "Its weights are out of sight: that they stayed the same, or are those of the "
    "name, cannot be told.",
)


@dataclass(frozen=True)
class Offer:
    """How a server is asked, as found by asking it."""

    route: Route
    level: Level
    model: str
    """The id it is asked for."""
    echo_tokens: int = 1
    """Tokens written behind an echoed prompt; 0 where the server writes none."""
    batch: int = 1
    """Prompts that it takes in one request."""
    top_count: int = 0
    """Likeliest tokens that it tells."""
    reported: tuple[tuple[str, Any], ...] = ()
    """What it says of itself."""
    tried: tuple[str, ...] = ()
    """What else was asked for, and what came."""

    @property
    def cannot(self) -> tuple[str, ...]:
        """What numbers from this endpoint cannot tell, a sentence each."""
        return (*_CANNOT[self.level], *_ALWAYS)


@dataclass(frozen=True)
class ServedModel:
    """A model of the study behind an endpoint, found to answer."""

    entry: ModelEntry
    kind: Kind
    url: str
    offer: Offer
    repeats_base: bool = True
    """The base's very prompts can be given to it: both continue a text, or both are
    asked in a chat."""
    probed: Usage = field(default_factory=Usage, compare=False)
    """What finding this out has taken."""

    @property
    def label(self) -> str:
        """Name in tables and folders."""
        return self.entry.label

    @property
    def info(self) -> dict[str, Any]:
        """What the run records of the model: no key, and nothing that moves by itself.

        The fingerprint is of the address and of what the server says of itself. It
        keeps rows of two endpoints apart; of the weights it says nothing.
        """
        offer = self.offer
        identity = {
            "url": self.url,
            "model": offer.model,
            "api": offer.route,
            "returns": offer.level,
            "reported": dict(offer.reported),
            "version": ENDPOINT_VERSION,
        }
        return {
            "source": f"{self.url}#{offer.model}",
            "revision": None,
            "fingerprint": fingerprint(identity),
            "family": None,
            "dtype": None,
            "parameters": None,
            "layers": None,
            "vocabulary_size": None,
            "endpoint": identity,
            "endpoint_notes": {
                "means": LEVELS[offer.level],
                "cannot": list(offer.cannot),
                "tried": list(offer.tried),
            },
        }
