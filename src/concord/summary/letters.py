"""Which letters a model chooses, and whether it follows them rather than the content.

When options change places a model that knows the answer keeps the content and changes
the letter. One that keeps the letter more often than the content follows the position;
one that chooses a letter more often than it is right favours it, and to see that no
option needs to move.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.data.choices import order_of
from concord.metrics.agreement import NOT_ASKED
from concord.metrics.bootstrap import Clusters
from concord.metrics.choice_agreement import (
    content_agreement,
    letter_shares,
    reordering_agreement,
)
from concord.metrics.rates import mean_present
from concord.metrics.significance import holm, sign_flip_p
from concord.summary.choice_rows import LETTERS, Choices, Items
from concord.summary.estimates import Settings, number

MUCH = 0.5
"""Share of prompts without an answer from which a warning is given."""


@dataclass(frozen=True)
class LetterUse:
    """A row for the summary, and what has to be said about it."""

    row: dict[str, Any]
    warnings: list[str]


def letter_use(
    place: Mapping[str, str],
    choices: Choices,
    items: Items,
    clusters: Clusters,
    settings: Settings,
) -> LetterUse:
    """Shares of the letters, what one letter alone would give, and warnings.

    ``chosen`` and ``right`` are shares of all prompts, forced choices among them;
    ``answered_chosen`` and ``answered_right`` of those that were answered, as a mean
    over questions: ``favoured`` is found from these.

    Args:
        place: ``dataset``, ``model`` and ``contexts``.
        choices: What the model chose.
        items: The questions.
        clusters: Of the questions.
        settings: How often a model without bias is warned of: 1 - level, at most.
    """
    letters = LETTERS[: int(items.option_count.max())]
    kept = reordering_agreement(choices.answered_letters)
    same = reordering_agreement(choices.answered)
    given = [choices.letters, choices.right_letters]
    chosen, right = (
        letter_shares(np.where(choices.asked, codes, NOT_ASKED), len(letters))
        for codes in given
    )
    of_answers = [
        _item_shares(codes, choices.answered_letters >= 0, len(letters))
        for codes in given
    ]
    surplus = of_answers[0] - of_answers[1]
    silent = float((~choices.has_answer[choices.asked]).mean())
    row = {
        **place,
        "chosen": _by_letter(letters, chosen),
        "right": _by_letter(letters, right),
        "answered_chosen": _by_letter(letters, mean_present(of_answers[0])),
        "answered_right": _by_letter(letters, mean_present(of_answers[1])),
        "constant_agreement": _by_letter(letters, constant_agreement(choices, items)),
        "letter_agreement": number(_mean(kept)),
        "content_agreement": number(_mean(same)),
        "no_answer": number(silent) if choices.is_first_token_told else None,
        "accuracy": number(float(choices.is_right[choices.asked].mean())),
        "follows_letters": bool(
            _exceed_noise((kept - same)[:, None], clusters, settings)[0]
        ),
        "favoured": [letters[at] for at in _favoured(surplus, clusters, settings)],
    }
    return LetterUse(row, _warnings(row))


def constant_agreement(choices: Choices, items: Items) -> Float[np.ndarray, " letter"]:
    """Content agreement of a model that always says one letter, for each letter.

    It depends on the orders alone: a letter behind which two orders put the same option
    keeps the content there.

    Returns:
        Values in [0, 1], mean over the questions that have the letter; NaN with one
        setting.
    """
    values = np.full((int(items.option_count.max()), len(items.item)), np.nan)
    for size in np.unique(items.option_count):
        own = items.option_count == size
        places = np.array([order_of(name, int(size)) for name in choices.orders])
        for letter in range(size):
            contents = np.where(
                choices.asked[:, :, own], places[None, :, letter, None], NOT_ASKED
            )
            values[letter, own] = content_agreement(contents)
    return np.array([_mean(one) for one in values])


def _favoured(
    surplus: Float[np.ndarray, "item letter"], clusters: Clusters, settings: Settings
) -> list[int]:
    """Letters chosen more often than they are right, by more than noise; most first."""
    kept = np.flatnonzero(_exceed_noise(surplus, clusters, settings))
    total = np.nansum(surplus, axis=0)
    return sorted(kept.tolist(), key=lambda at: -total[at])


def _exceed_noise(
    surplus: Float[np.ndarray, "item column"], clusters: Clusters, settings: Settings
) -> Bool[np.ndarray, " column"]:
    """Whether means are above 0 by more than noise: sign flips, Holm over columns.

    Only one side is looked at, so false alarms take half of 1 - level.
    """
    sums = clusters.sums(np.nan_to_num(surplus))
    p_values = holm(
        sign_flip_p(sums, permutations=settings.permutations, seed=settings.seed)
    )
    return (sums.sum(axis=0) > 0) & (p_values <= 1 - settings.level)


def _item_shares(
    codes: Int[np.ndarray, "wording order item"],
    counted: Bool[np.ndarray, "wording order item"],
    letter_count: int,
) -> Float[np.ndarray, "item letter"]:
    """How often each letter stands among an item's prompts that count.

    A choice that was forced favours nothing: an item without an answer has NaN.
    """
    is_letter = (codes[..., None] == np.arange(letter_count)) & counted[..., None]
    count = counted.sum(axis=(0, 1))
    return is_letter.sum(axis=(0, 1)) / np.where(count > 0, count, np.nan)[:, None]


def _warnings(row: Mapping[str, Any]) -> list[str]:
    who = f"{row['model']} on {row['dataset']} ({row['contexts']})"
    warnings = []
    if row["follows_letters"]:
        warnings.append(
            f"Position bias: when options change places, {who} keeps the letter in "
            f"{row['letter_agreement']:.0%} of pairs and the content in "
            f"{row['content_agreement']:.0%}; {_most(row)}. Its accuracy "
            f"({row['accuracy']:.1%}) and a small spread say little about consistency."
        )
    elif row["favoured"]:
        warnings.append(f"Position bias: of {who}, {_most(row)}, more than by chance.")
    if (row["no_answer"] or 0.0) > MUCH:
        warnings.append(
            f"No answer: in {row['no_answer']:.0%} of prompts the most likely next "
            f"token of {who} is none of the letters, so its choice is one it would not "
            "make freely, and no two of these agree."
        )
    return warnings


def _most(row: Mapping[str, Any]) -> str:
    """The letter that is favoured most, or answered most, and its shares."""
    chosen, right = row["answered_chosen"], row["answered_right"]
    top = next(iter(row["favoured"]), max(chosen, key=chosen.__getitem__))
    return (
        f"letter {top} takes {chosen[top]:.0%} of answers where it is right in "
        f"{right[top]:.0%}"
    )


def _by_letter(
    letters: str, values: Float[np.ndarray, " letter"]
) -> dict[str, float | None]:
    return dict(zip(letters, map(number, values), strict=True))


def _mean(values: Float[np.ndarray, " item"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
