"""Scores of candidates under the usual normalisations.

Each is s times a positive factor plus a constant, both depending on the candidate
alone. An upper bound of s is therefore an upper bound after normalisation too, which
is what keeps the best-first search exact under all of them.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

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
