"""Are paraphrases closer than non-paraphrases? The definitions, all states in memory.

Similarity is the cosine u.v of unit vectors. The streaming computation over a model's
states (`concord.analyses.geometry`) and the linear terms that are resampled
(`concord.metrics.distance`) are held against these. Formulas of the paper are corrected
where printed wrongly: equation 4 divides by the wrong count, equation 8 draws both
sentences from one set.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from concord.metrics.distance import linearised_difference, placements


@dataclass(frozen=True, eq=False)
class GapTerms:
    """The two terms of the gap for each paraphrase set; NaN for sets of one."""

    cos_para: Float[np.ndarray, " set"]
    """Mean cosine over the set's pairs, in [-1, 1]."""
    cos_nonpara: Float[np.ndarray, " set"]
    """Mean cosine of its sentences with those of the other sets, all weighing alike."""

    @property
    def gap(self) -> float:
        """Mean of the first minus mean of the second, in [-2, 2]; NaN without sets.

        0 means that paraphrases are no closer than others.
        """
        if np.isnan(self.cos_para).all() or np.isnan(self.cos_nonpara).all():
            return float("nan")
        return float(np.nanmean(self.cos_para) - np.nanmean(self.cos_nonpara))

    @property
    def linearised(self) -> Float[np.ndarray, " set"]:
        """Values per set whose mean is the gap, for resampling sets.

        The second term compares pairs of sets (a U-statistic of order two), so a set
        enters it twice: g_p = cos_para_p - 2 cos_nonpara_p + mean(cos_nonpara).
        """
        return linearised_difference(
            self.cos_para, self.cos_nonpara, second_is_of_pairs=True
        )


def unit_rows(
    states: Float[np.ndarray, "sentence d_model"],
) -> Float[np.ndarray, "sentence d_model"]:
    """States scaled to length one, in double precision; NaN for a state of zeros."""
    states = states.astype(np.float64)
    length = np.linalg.norm(states, axis=1, keepdims=True)
    return states / np.where(length > 0, length, np.nan)


def gap_terms(
    states: Float[np.ndarray, "sentence d_model"],
    sets: Int[np.ndarray, " sentence"],
) -> GapTerms:
    """Both terms of the gap for paraphrase sets, exactly, from one pass.

    With u the unit states and m_p their mean in set p of M sentences, N sets:
    cos_para_p = (|sum u|^2 - M) / (M (M - 1)), and
    cos_nonpara_p = m_p . (sum_q m_q - m_p) / (N - 1). No random pairs are needed.
    Sets of one sentence are left out of both terms.

    Args:
        states: One row per sentence.
        sets: Index of each sentence's paraphrase set.

    Source:
        Fierro et al. (2024), equations 4, 5 and 8, corrected.
    """
    set_count = int(sets.max(initial=-1)) + 1
    sizes = np.bincount(sets, minlength=set_count).astype(float)
    sums = np.zeros((set_count, states.shape[1]))
    np.add.at(sums, sets, unit_rows(states))
    kept = sizes > 1
    cos_para, cos_nonpara = np.full(set_count, np.nan), np.full(set_count, np.nan)
    size, total = sizes[kept], sums[kept]
    cos_para[kept] = ((total**2).sum(axis=1) - size) / (size * (size - 1))
    if kept.sum() > 1:
        means = total / size[:, None]
        others = means.sum(axis=0) - means
        cos_nonpara[kept] = (means * others).sum(axis=1) / (kept.sum() - 1)
    return GapTerms(cos_para, cos_nonpara)


def labelled_gap(
    paraphrases: Float[np.ndarray, " pair"],
    non_paraphrases: Float[np.ndarray, " other_pair"],
) -> float:
    """Gap of labelled pairs: mean cosine of paraphrases minus that of the others.

    Returns:
        In [-2, 2]; NaN when either kind is missing.

    Source:
        Fierro et al. (2024), section 2, as used for MRPC.
    """
    if len(paraphrases) == 0 or len(non_paraphrases) == 0:
        return float("nan")
    return float(paraphrases.mean() - non_paraphrases.mean())


def lexical_gap(
    last_tokens: Shaped[np.ndarray, " sentence"], sets: Int[np.ndarray, " sentence"]
) -> GapTerms:
    """The gap with the one-hot of each sentence's last token in place of its state.

    What shared last tokens alone would give; needs no model.

    Args:
        last_tokens: Id or text of the last token.
        sets: Index of each sentence's paraphrase set.
    """
    _, token = np.unique(last_tokens, return_inverse=True)
    set_count = int(sets.max(initial=-1)) + 1
    sizes = np.bincount(sets, minlength=set_count).astype(float)
    kept = sizes > 1
    cells = np.unique(np.stack([sets, token]), axis=1, return_counts=True)
    (cell_set, cell_token), counts = cells
    used = kept[cell_set]
    cell_set, cell_token, counts = cell_set[used], cell_token[used], counts[used]
    share = counts / sizes[cell_set]
    set_total = np.bincount(
        cell_token, weights=share, minlength=token.max(initial=0) + 1
    )
    same = np.bincount(cell_set, weights=counts * (counts - 1.0), minlength=set_count)
    meets = share * (set_total[cell_token] - share)
    outside = np.bincount(cell_set, weights=meets, minlength=set_count)
    pairs = np.where(kept, sizes * (sizes - 1), np.nan)
    others = kept.sum() - 1.0 if kept.sum() > 1 else np.nan
    return GapTerms(same / pairs, np.where(kept, outside / others, np.nan))


def centred(
    states: Float[np.ndarray, "sentence d_model"],
) -> Float[np.ndarray, "sentence d_model"]:
    """States minus their mean: takes away the direction all sentences share.

    The scale of cosines differs between families of models; that of centred states
    differs less.
    """
    return states - states.mean(axis=0, keepdims=True)


def auc(
    paraphrases: Float[np.ndarray, " pair"],
    non_paraphrases: Float[np.ndarray, " other_pair"],
) -> float:
    """Chance that a paraphrase pair is more similar than a non-paraphrase pair.

    Unlike the gap it does not depend on the scale of cosines. Ties count half.

    Returns:
        In [0, 1]; .5 means no difference, 1 that every paraphrase pair is closer; NaN
        when either kind is missing.
    """
    if len(paraphrases) == 0:
        return float("nan")
    return float(placements(paraphrases, non_paraphrases)[0].mean())
