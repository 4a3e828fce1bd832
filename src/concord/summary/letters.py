"""Which letters a model chooses, and whether it follows them rather than the content.

When options change places a model that knows the answer keeps the content and changes
the letter. One that keeps the letter more often than the content follows the position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from concord.summary.estimates import number

LETTERS = "ABCDEFGHIJ"
MUCH = 0.5
"""Share of prompts without an answer from which a warning is given."""


@dataclass(frozen=True)
class LetterUse:
    """A row for the summary, and what has to be said about it."""

    row: dict[str, Any]
    warnings: list[str]


def letter_use(
    place: Mapping[str, str],
    *,
    chosen: Float[np.ndarray, " letter"],
    right: Float[np.ndarray, " letter"],
    letter_agreement: float,
    content_agreement: float,
    no_answer: float,
    accuracy: float,
) -> LetterUse:
    """Shares of the letters, and warnings.

    Args:
        place: ``dataset``, ``model`` and ``contexts``.
        chosen: Share of each letter among the choices.
        right: Share of each letter among the right ones.
        letter_agreement: Share of pairs of orders that keep the letter.
        content_agreement: Share of pairs of orders that keep the content.
        no_answer: Share of prompts whose most likely token is none of the letters.
        accuracy: Share of right choices.
    """
    letters = LETTERS[: len(chosen)]
    follows = bool(letter_agreement > content_agreement)
    row = {
        **place,
        "chosen": dict(zip(letters, map(number, chosen), strict=True)),
        "right": dict(zip(letters, map(number, right), strict=True)),
        "letter_agreement": number(letter_agreement),
        "content_agreement": number(content_agreement),
        "no_answer": number(no_answer),
        "follows_letters": follows,
    }
    who = f"{place['model']} on {place['dataset']} ({place['contexts']})"
    warnings = []
    if follows:
        top = int(np.nanargmax(chosen))
        warnings.append(
            f"Position bias: when options change places, {who} keeps the letter in "
            f"{letter_agreement:.0%} of pairs and the content in "
            f"{content_agreement:.0%}; its most common letter, {letters[top]}, takes "
            f"{chosen[top]:.0%} of choices where it is right in {right[top]:.0%}. Its "
            f"accuracy ({accuracy:.1%}) and a small spread say little about "
            "consistency."
        )
    if no_answer > MUCH:
        warnings.append(
            f"No answer: in {no_answer:.0%} of prompts the most likely next token of "
            f"{who} is none of the letters, so its choice is one it would not make "
            "freely."
        )
    return LetterUse(row, warnings)
