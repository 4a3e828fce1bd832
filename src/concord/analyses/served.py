"""What the analyses of served models share: their type, and blocks of questions."""

from collections.abc import Callable, Iterator

from concord.analyses.part import Part, Task
from concord.endpoints.connection import Connection
from concord.endpoints.echo import Ending
from concord.errors import ModelError
from concord.models.tokens import split_delimiter

ServedAnalysis = Callable[[Task[Connection]], Iterator[Part]]

PART_PROMPTS = 64
"""Prompts asked together and lost together in a kill; each may be many requests."""


def echoed_endings(
    connection: Connection, prompt: str, endings: list[str]
) -> tuple[list[Ending], tuple[str, ...], str | None, float | None]:
    """Exact scores of what may follow a prompt, and the likeliest token behind it.

    Returns:
        The endings; the prompt's tokens; the likeliest token, and its log-probability.

    Raises:
        ModelError: A prompt's tokens change when something follows it.
    """
    kept, delimiter = split_delimiter(prompt)
    alone = connection.continue_prompt(kept)
    texts = [f"{kept}{delimiter}{ending}" for ending in endings]
    found = connection.endings(texts, len(kept))
    for ending, text in zip(found, texts, strict=True):
        if ending.front != alone.tokens:
            raise ModelError(
                f"{connection.label}: the tokens of {kept[-60:]!r} change when "
                f"{text[len(kept) :]!r} follows: the server's tokenizer merges across "
                "the border, so that candidates cannot be scored behind this prompt; "
                "change the end of the template"
            )
    return found, alone.tokens, alone.next_token, alone.log_probability
