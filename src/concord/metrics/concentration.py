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
    shares = _answer_shares(predictions)
    answered = ~np.isnan(shares[:, 0])
    if not answered.any():
        empty = np.full(predictions.shape[1], np.nan)
        return Concentration(float("nan"), float("nan"), empty, empty)
    mean_shares = shares[answered].mean(axis=0)
    top = int(mean_shares.argmax())
    if candidate_count > 1:
        given = mean_shares > 0
        surprise = -np.log(mean_shares[given]) / np.log(candidate_count)
        entropy_per_fact = shares[:, given] @ surprise
        entropy = float(mean_shares[given] @ surprise)
    else:
        entropy, entropy_per_fact = float("nan"), np.full(len(shares), np.nan)
    return Concentration(
        float(mean_shares[top]), entropy, shares[:, top], entropy_per_fact
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


def _answer_shares(
    predictions: Int[np.ndarray, "template fact"],
) -> Float[np.ndarray, "fact answer"]:
    fact_count = predictions.shape[1]
    answer_count = max(int(predictions.max(initial=0)) + 1, 1)
    fact = np.broadcast_to(np.arange(fact_count), predictions.shape)
    answered = predictions >= 0
    codes = fact[answered] * answer_count + predictions[answered]
    counts = np.bincount(codes, minlength=fact_count * answer_count)
    counts = counts.reshape(fact_count, answer_count)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), np.nan)
