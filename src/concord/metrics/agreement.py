"""Do the templates of a fact give the same answer, and the right one?

A prediction is the index of a candidate object of the fact's relation. Two negative
codes stand beside them: `NOT_ASKED`, a template that the fact has no prompt for, takes
part in no pair and no share; `NO_ANSWER`, a prompt whose answer could not be read,
takes part in every pair and agrees with nothing, not even another `NO_ANSWER`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

NOT_ASKED = -1
NO_ANSWER = -2
ONE_ANSWER = "one answer to everything: agreement by chance is 1"
NO_PAIR = "one wording or one fact: there is no agreement by chance to compare with"
"""Why agreement is not corrected for chance."""


def pairwise_agreement(
    predictions: Int[np.ndarray, "template fact"],
) -> Float[np.ndarray, " fact"]:
    """Share of template pairs that predict the same object, per fact.

    a(f) = sum_v n_v (n_v - 1) / (T (T - 1)), n_v templates of the T asked predicting v.
    Agreement ignores whether the object is right; `accuracy` measures that.

    Args:
        predictions: Index of the top-1 candidate object, one row per template, or
            `NOT_ASKED`, or `NO_ANSWER`.

    Returns:
        Values in [0, 1]; 1 means every paraphrase gives the same object, 0 that no two
        do; NaN for a fact with fewer than two templates asked: it has no pair.

    Source:
        Elazar et al. (2021), ParaRel: definition of consistency; Fierro et al. (2024),
        section 3.
    """
    pairs = pair_count(predictions)
    with np.errstate(invalid="ignore"):
        return equal_pair_count(predictions) / np.where(pairs > 0, pairs, np.nan)


def equal_pair_count(
    predictions: Int[np.ndarray, "template fact"],
) -> Int[np.ndarray, " fact"]:
    """Template pairs that predict the same object, per fact.

    Returns:
        From 0 to T (T - 1) / 2.
    """
    count = np.zeros(predictions.shape[1], dtype=np.int64)
    for place, own in enumerate(predictions):
        count += ((predictions[place + 1 :] == own) & (own >= 0)).sum(axis=0)
    return count


def pair_count(
    predictions: Int[np.ndarray, "template fact"],
) -> Int[np.ndarray, " fact"]:
    """Template pairs of which both were asked, per fact: T (T - 1) / 2."""
    asked = (predictions != NOT_ASKED).sum(axis=0)
    return asked * (asked - 1) // 2


def agreeing_partner_share(
    predictions: Int[np.ndarray, "template fact"],
) -> Float[np.ndarray, "template fact"]:
    """For each template of a fact, the share of the other templates that agree with it.

    Its mean over the templates of a fact is the fact's `pairwise_agreement`.

    Returns:
        Values in [0, 1]; NaN where the template was not asked or has no partner.
    """
    asked = predictions != NOT_ASKED
    partners = np.empty(predictions.shape)
    for place, equal in enumerate(_equals(predictions)):
        partners[place] = np.maximum(equal.sum(axis=0), 1) - 1
    others = asked.sum(axis=0) - 1
    return np.where(asked & (others > 0), partners / np.maximum(others, 1), np.nan)


def accuracy(
    is_right: Bool[np.ndarray, "template fact"],
    is_asked: Bool[np.ndarray, "template fact"],
) -> Float[np.ndarray, " fact"]:
    """Share of a fact's templates whose prediction is a right object.

    Returns:
        Values in [0, 1]; 1 means right under every wording; NaN where none was asked.

    Source:
        Fierro et al. (2024), section 3: mean over templates, where ParaRel's own
        accuracy looks at the first template alone.
    """
    asked = is_asked.sum(axis=0)
    right = (is_right & is_asked).sum(axis=0)
    return np.where(asked > 0, right / np.maximum(asked, 1), np.nan)


def all_agree(
    agreement: Float[np.ndarray, "*shape fact"],
) -> Float[np.ndarray, "*shape fact"]:
    """1 where all templates of a fact give one answer, else 0; NaN without a pair.

    Args:
        agreement: `pairwise_agreement` of the facts.
    """
    return np.where(np.isnan(agreement), np.nan, (agreement == 1).astype(float))


def consistent_and_correct(
    is_right: Bool[np.ndarray, "template fact"],
    is_asked: Bool[np.ndarray, "template fact"],
) -> Float[np.ndarray, " fact"]:
    """1 where every template of a fact gives a right object, else 0; NaN without one.

    Source:
        Elazar et al. (2021): consistent accuracy (`lama_group_acc` in their code).
    """
    share = accuracy(is_right, is_asked)
    return np.where(np.isnan(share), np.nan, (share == 1).astype(float))


def context_agreement(
    predictions: Int[np.ndarray, "context template fact"],
) -> Float[np.ndarray, " fact"]:
    """Share of context pairs that give the same answer to one template, per fact.

    `pairwise_agreement` with contexts in the place of templates, for each template
    alone; then the mean over the fact's templates.

    Returns:
        Values in [0, 1]; 1 means the text around the prompt never changes an answer;
        NaN with one context.
    """
    context_count, template_count, fact_count = predictions.shape
    flat = predictions.reshape(context_count, template_count * fact_count)
    values = pairwise_agreement(flat).reshape(template_count, fact_count)
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, eq=False)
class ChanceAgreement:
    """Agreement expected if templates answered at random from their own marginals."""

    value: float
    """A_e in [0, 1]; NaN where no two facts can be compared."""
    per_fact: Float[np.ndarray, " fact"]
    """Values whose mean is A_e and whose variation is that of A_e over samples of facts
    (the linear term of A_e); not shares, and NaN for facts without a pair."""

    @property
    def reason(self) -> str:
        """Why agreement cannot be corrected by it; empty where it can."""
        if np.isnan(self.value):
            return NO_PAIR
        return ONE_ANSWER if self.value == 1 else ""


def chance_agreement(
    predictions: Int[np.ndarray, "template fact"],
) -> ChanceAgreement:
    """Agreement that the answers' frequencies alone would give, within one relation.

    For two templates it is the share of equal answers among all pairs of different
    facts, one asked with the first template and one with the second. A fact's own two
    answers are left out: they agree by more than chance, and in small relations would
    shrink what is left by some 1 / facts. A fact expects the mean over its template
    pairs; A_e is the mean over facts. Agreement is corrected to (A - A_e) / (1 - A_e):
    1 means full agreement, 0 what chance gives. A model that always gives one answer
    has A_e = 1, and nothing is left to correct.

    Source:
        Our extension of chance-corrected agreement (Cohen 1960) to template pairs; as a
        U-statistic, with its linear term (Hoeffding 1948).
    """
    template_count, fact_count = predictions.shape
    if template_count == 0:
        return ChanceAgreement(np.nan, np.full(fact_count, np.nan))
    asked = (predictions != NOT_ASKED).astype(float)
    counts, sizes = _answer_counts(predictions), asked.sum(axis=1)
    equals = np.stack(list(_equals(predictions)))
    own = np.count_nonzero(equals, axis=2)
    compared = np.outer(sizes, sizes) - asked @ asked.T
    np.fill_diagonal(compared, 0)
    is_comparable = compared > 0
    # Divided, not multiplied by an inverse: equal counts must give exactly 1.
    compared[~is_comparable] = 1
    chance = is_comparable * (counts @ counts.T - own) / compared
    pairs = _over_pairs(is_comparable.astype(float), asked)
    if not pairs.any():
        return ChanceAgreement(np.nan, np.full(len(pairs), np.nan))
    expected = _over_pairs(chance, asked) / np.where(pairs > 0, pairs, np.nan)
    share = np.divide(asked, pairs, out=np.zeros_like(asked), where=pairs > 0)
    weight = is_comparable * (share @ asked.T) / compared
    met = np.take_along_axis(weight @ counts, np.maximum(predictions, 0), axis=1)
    moved = np.where(predictions >= 0, met, 0.0).sum(axis=0)
    moved -= weight.ravel() @ equals.reshape(weight.size, -1)
    moved -= asked.T @ (weight * chance @ sizes) - _over_pairs(weight * chance, asked)
    per_fact = expected + 2 * moved
    value = float(np.nanmean(expected))
    return ChanceAgreement(value, per_fact + value - float(np.nanmean(per_fact)))


def _over_pairs(
    values: Float[np.ndarray, "template template"],
    asked: Float[np.ndarray, "template fact"],
) -> Float[np.ndarray, " fact"]:
    """Sum over the ordered pairs of templates that a fact was asked with."""
    return ((asked.T @ values) * asked.T).sum(axis=1)


def _equals(
    predictions: Int[np.ndarray, "template fact"],
) -> Iterator[Bool[np.ndarray, "template fact"]]:
    """For each template, where the others give a fact the answer that it gives."""
    for own in predictions:
        yield (predictions == own) & (own >= 0)


def _answer_counts(
    predictions: Int[np.ndarray, "template fact"],
) -> Float[np.ndarray, "template answer"]:
    """How many facts each template gives each answer."""
    template_count = len(predictions)
    answer_count = max(int(predictions.max(initial=0)) + 1, 1)
    template = np.broadcast_to(np.arange(template_count)[:, None], predictions.shape)
    answered = predictions >= 0
    codes = template[answered] * answer_count + predictions[answered]
    counts = np.bincount(codes, minlength=template_count * answer_count)
    return counts.reshape(template_count, answer_count).astype(float)
