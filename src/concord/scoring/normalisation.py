"""Scores of candidates under the usual normalisations.

Each is s times a positive factor plus a constant, both depending on the candidate
alone. An upper bound of s is therefore an upper bound after normalisation too, which
is what keeps the best-first search exact under all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from concord.errors import StudyError, did_you_mean
from concord.scoring.trie import CandidateTrie

Normalisation = Literal["acc", "acc_norm", "acc_bytes", "acc_tokens", "acc_mutual_info"]
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)


@dataclass(frozen=True, eq=False)
class Affine:
    """Normalised score = scale * s + offset, per candidate; every scale > 0."""

    scale: Float[np.ndarray, " candidate"]
    offset: Float[np.ndarray, " candidate"]

    def __call__(
        self, scores: Float[np.ndarray, "*batch candidate"]
    ) -> Float[np.ndarray, "*batch candidate"]:
        """Normalised scores in double precision."""
        return self.scale * scores.astype(np.float64) + self.offset


def normalisation_of(
    trie: CandidateTrie,
    name: Normalisation = "acc",
    *,
    empty_scores: Float[np.ndarray, " candidate"] | None = None,
) -> Affine:
    """The affine map of a normalisation for the candidates of one trie.

    ``acc`` is the plain sum s; ``acc_norm``, ``acc_bytes`` and ``acc_tokens`` divide
    it by the candidate's characters, UTF-8 bytes and tokens; ``acc_mutual_info``
    takes away the score after an empty prompt.

    Args:
        trie: The candidates.
        name: The normalisation.
        empty_scores: Scores after the empty prompt, for ``acc_mutual_info``.

    Raises:
        StudyError: The name is unknown.
    """
    count = trie.candidate_count
    scale, offset = np.ones(count), np.zeros(count)
    if name == "acc_norm":
        scale = 1 / np.array([len(text) for text in trie.texts])
    elif name == "acc_bytes":
        scale = 1 / np.array([len(text.encode()) for text in trie.texts])
    elif name == "acc_tokens":
        scale = 1 / trie.lengths
    elif name == "acc_mutual_info":
        if empty_scores is None:
            raise ValueError("acc_mutual_info needs the scores after an empty prompt")
        offset = -empty_scores.astype(np.float64)
    elif name != "acc":
        known = did_you_mean(name, NORMALISATIONS)
        raise StudyError(f"unknown normalisation {name!r}: {known}")
    return Affine(scale=scale, offset=offset)


def predictions_under_all(
    vectors: Sequence[Float[np.ndarray, " _candidate"]],
    tries: Sequence[CandidateTrie],
    trie_index: Sequence[int],
    *,
    empty_scores: Sequence[Float[np.ndarray, " _candidate"]] | None = None,
) -> Mapping[str, Int[np.ndarray, " prompt"]]:
    """The best candidate of every prompt under each normalisation, from full scores.

    The lowest index wins a tie, as everywhere.

    Args:
        vectors: Mode `full`: the sum of every candidate, one vector for each prompt.
        tries: The candidates.
        trie_index: Which of them belongs to each prompt.
        empty_scores: Of each trie after the empty prompt; None where there is no such
            prompt.

    Returns:
        Indices by name of the normalisation; `acc_mutual_info` is left out without
        `empty_scores`.
    """
    names = list(get_args(Normalisation))
    if empty_scores is None:
        names.remove("acc_mutual_info")
    owners = np.asarray(trie_index)
    found = {name: np.full(len(vectors), -1) for name in names}
    for index in np.unique(owners).tolist():
        places = np.flatnonzero(owners == index)
        scores = np.stack([vectors[place] for place in places.tolist()])
        empty = None if empty_scores is None else empty_scores[index]
        for name in names:
            normalise = normalisation_of(tries[index], name, empty_scores=empty)
            found[name][places] = normalise(scores).argmax(axis=1)
    return found
