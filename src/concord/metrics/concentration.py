"""Is it consistency or collapse: how concentrated the answers of a relation are.

A model that gives one answer to everything agrees with itself perfectly. All values
are for the facts of one relation; a fact's answers count with weight one in total, so
facts with fewer prompts weigh the same.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Concentration:
    """Share of the most common answer and entropy of answers, with values per fact.

    The mean of a per-fact array is the value of the same name; NaN for a fact without
    an answer.
    """

    top_share: float
    """In (0, 1]; 1 means one answer to everything. NaN without an answer."""
    entropy: float
    """H / log(candidates) in [0, 1]; 0 means one answer to everything, 1 all equally
    often. NaN without an answer or with one candidate."""
    top_share_per_fact: Float[np.ndarray, " fact"]
    entropy_per_fact: Float[np.ndarray, " fact"]


def answer_concentration(
    predictions: Int[np.ndarray, "template fact"], candidate_count: int
) -> Concentration:
    """How much the answers to a relation's prompts gather on few objects.

    p(o) = mean over facts of the share of the fact's answers that are o; top share =
    max p(o); entropy = - sum p(o) log p(o) / log(candidates). Negative codes are no
    answers and are left out.

    Args:
        predictions: Index of the answer, one row per template.
        candidate_count: Candidate objects of the relation.
    """
    answered = predictions >= 0
    count = answered.sum(axis=0)
    if not answered.any():
        empty = np.full(predictions.shape[1], np.nan)
        return Concentration(float("nan"), float("nan"), empty, empty)
    share = _mean_shares(predictions, count)
    top = int(share.argmax())
    entropy, surprise = float("nan"), np.full(len(share), np.nan)
    if candidate_count > 1:
        given = share > 0
        surprise[given] = -np.log(share[given]) / np.log(candidate_count)
        entropy = float(share[given] @ surprise[given])
    surprises = np.where(answered, surprise[predictions * answered], 0.0).sum(axis=0)
    among = np.where(count > 0, count, np.nan)
    return Concentration(
        float(share[top]),
        entropy,
        (predictions == top).sum(axis=0) / among,
        surprises / among,
    )


def majority_baseline(objects: Int[np.ndarray, " fact"]) -> float:
    """Accuracy of always answering a relation's most frequent right object.

    Returns:
        In (0, 1]; NaN without facts.
    """
    return float(np.bincount(objects).max() / len(objects)) if len(objects) else np.nan


def uniform_baseline(candidate_count: int) -> float:
    """Accuracy, and expected agreement, of answers drawn uniformly: 1 / candidates."""
    return 1 / candidate_count if candidate_count > 0 else float("nan")


def _mean_shares(
    predictions: Int[np.ndarray, "template fact"], count: Int[np.ndarray, " fact"]
) -> Float[np.ndarray, " answer"]:
    """The share of a fact's answers that are each answer, mean over facts with one.

    Facts with as many answers are counted together: whole numbers add up exactly.
    """
    size = int(predictions.max()) + 1
    total = np.zeros(size)
    for answers in np.unique(count[count > 0]):
        own = predictions[:, count == answers]
        total += np.bincount(own[own >= 0], minlength=size) / answers
    return total / (count > 0).sum()
