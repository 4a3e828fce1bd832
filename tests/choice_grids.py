"""Arrays of choices made by hand, without a model or a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from concord.data.choices import order_of
from concord.metrics.agreement import NOT_ASKED
from concord.metrics.group_agreement import NO_GROUP
from concord.summary.choice_rows import Choices, Items


def items_of(right: Sequence[int], option_count: int) -> Items:
    """Questions with as many options each, the right one given."""
    names = [f"q{number}" for number in range(len(right))]
    return Items(
        item=names,
        topic=np.full(len(right), "t"),
        cluster=np.array(names),
        option_count=np.full(len(right), option_count),
        right_option=np.array(right),
        speaks_of_others=np.zeros(len(right), bool),
        group=np.full(len(right), NO_GROUP),
        has_fixed_options=True,
        left_out=0,
    )


def choices_of(
    letters: Int[np.ndarray, "wording order item"],
    items: Items,
    orders: Sequence[str],
    *,
    scores: Float[np.ndarray, "wording order item option"] | None = None,
    **changes: Any,
) -> Choices:
    """What stands in the rows of a model that chose these letters."""
    count = int(items.option_count[0])
    places = np.array([order_of(name, count) for name in orders])
    contents = np.take_along_axis(
        np.broadcast_to(places[None, :, :], (len(letters), *places.shape)),
        letters,
        axis=2,
    )
    first = [tuple(place) for place in places.tolist()]
    repeats = np.array([one in first[:at] for at, one in enumerate(first)])
    is_repeat = np.broadcast_to(repeats[None, :, None], letters.shape)
    right = np.argsort(places, axis=1)[:, items.right_option]
    fields: dict[str, Any] = {
        "contents": np.where(is_repeat, NOT_ASKED, contents),
        "texts": np.where(is_repeat, NOT_ASKED, contents),
        "letters": letters,
        "right_letters": np.broadcast_to(right[None], letters.shape),
        "is_right": contents == items.right_option,
        "is_repeat": is_repeat,
        "has_answer": np.ones(letters.shape, bool),
        "scores": np.zeros((*letters.shape, count)) if scores is None else scores,
        "margin": np.ones(letters.shape),
        "noise": {},
        "letters_are_whole": True,
        "plain_count": len(letters),
        "is_first_token_told": True,
        "orders": tuple(orders),
    }
    return Choices(**fields | changes)
