"""Tests of the normalisations, by hand."""

from typing import Any

import numpy as np
import pytest

from concord.errors import StudyError
from concord.scoring.best_first import best_of
from concord.scoring.normalisation import normalisation_of
from concord.scoring.trie import build_trie

# "Zürich": 6 characters, 7 bytes, 3 tokens; "Rome": 4 characters, 4 bytes, 1 token
TRIE = build_trie([(1, 2, 3), (4,)], texts=["Zürich", "Rome"])
SCORES = np.array([-4.2, -3.0], dtype=np.float32)
EMPTY = np.array([-6.0, -2.0], dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "wanted", "winner"),
    [
        ("acc", [-4.2, -3.0], 1),
        ("acc_norm", [-0.7, -0.75], 0),
        ("acc_bytes", [-0.6, -0.75], 0),
        ("acc_tokens", [-1.4, -3.0], 0),
        ("acc_mutual_info", [1.8, -1.0], 0),
    ],
)
def test_normalised_scores_by_hand(name: Any, wanted: list, winner: int) -> None:
    normalise = normalisation_of(TRIE, name, empty_scores=EMPTY)
    np.testing.assert_allclose(normalise(SCORES), wanted, atol=1e-6)
    assert best_of(SCORES, normalise).prediction == winner


def test_an_unknown_name_gets_a_near_match() -> None:
    name: Any = "acc_nrom"
    with pytest.raises(StudyError, match="did you mean 'acc_norm'"):
        normalisation_of(TRIE, name)
