"""Which facts changed with tuning, and how far noise alone changes predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from concord.metrics.agreement import all_agree, consistent_and_correct
from concord.metrics.rates import mean_present
from concord.metrics.significance import adjust_p, mcnemar_p
from concord.results import Run, read_rows
from concord.summary.answers import Answers, per_context
from concord.summary.columns import integers_of, numbers_of
from concord.summary.estimates import Settings, number


def flips_between(
    base: Answers, tuned: Answers, deltas: tuple[float, float]
) -> dict[str, Any]:
    """Facts whose templates come to agree, or to be right, after tuning.

    A fact agrees (is right) when all its templates do in more than half of the
    contexts. Flips that are gone without near ties lie inside the noise.
    """
    agree = [_mostly(all_agree(one.agreement)) for one in (base, tuned)]
    right = [
        _mostly(per_context(consistent_and_correct, one.is_right, one.asked))
        for one in (base, tuned)
    ]
    firm = [
        _mostly(all_agree(one.without_near_ties(delta).agreement))
        for one, delta in zip((base, tuned), deltas, strict=True)
    ]
    gained, lost = _changes(*agree)
    firm_gained, firm_lost = _changes(*firm)
    gained_right, lost_right = _changes(*right)
    counted = ~np.isnan(agree[0]) & ~np.isnan(agree[1])
    right_counted = ~np.isnan(right[0]) & ~np.isnan(right[1])
    return {
        "to_agree": int(gained.sum()),
        "to_disagree": int(lost.sum()),
        "mcnemar_p": number(_mcnemar(agree, counted)),
        "gained_right": int(gained_right.sum()),
        "lost_right": int(lost_right.sum()),
        "right_mcnemar_p": number(_mcnemar(right, right_counted)),
        "to_agree_inside_noise": int((gained & ~firm_gained).sum()),
        "to_disagree_inside_noise": int((lost & ~firm_lost).sum()),
        "n": int(counted.sum()),
    }


def with_adjusted_p(
    flips: Mapping[str, Mapping[str, Any]], settings: Settings
) -> dict[str, dict[str, Any]]:
    """Flips of all models, each McNemar test adjusted for the models it is made of."""
    found = {model: dict(own) for model, own in flips.items()}
    for name in ("mcnemar_p", "right_mcnemar_p"):
        p_values = np.array([own[name] for own in found.values()], dtype=float)
        adjusted = adjust_p(p_values, settings.adjustment)
        for own, p in zip(found.values(), adjusted, strict=True):
            own[f"{name}_adjusted"] = number(float(p))
    return found


def noise_of(run: Run, model: str) -> dict[str, Any]:
    """How far scores move when prompts are scored alone instead of in a batch."""
    table = read_rows(run, "noise", model)
    if table is None or table.num_rows == 0:
        return {}
    moved = np.abs(numbers_of(table["score"]) - numbers_of(table["score_alone"]))
    same = integers_of(table["prediction_index"]) == integers_of(
        table["prediction_index_alone"]
    )
    return {
        "delta": float(moved.max()),
        "self_agreement": float(same.mean()),
        "n": table.num_rows,
        "near_ties": None,
    }


def near_tie_share(answers: Answers, delta: float) -> float | None:
    """Share of the prompts whose margin is under twice the noise; None without any."""
    asked = answers.asked.sum()
    near = (answers.margin < 2 * delta) & answers.asked
    return float(near.sum() / asked) if asked else None


def _mcnemar(sides: list[np.ndarray], counted: np.ndarray) -> float:
    if not counted.any():
        return float("nan")
    return mcnemar_p(sides[0][counted] == 1, sides[1][counted] == 1)


def _changes(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (before == 0) & (after == 1), (before == 1) & (after == 0)


def _mostly(values: Float[np.ndarray, "context fact"]) -> Float[np.ndarray, " fact"]:
    mean = mean_present(values)
    return np.where(np.isnan(mean), np.nan, (mean > 0.5).astype(float))
