"""Tests of the normalisations, by hand."""

from typing import Any

import numpy as np
import pytest

from concord.errors import StudyError
from concord.scoring.normalisation import normalisation_of, predictions_under_all
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
    assert int(normalise(SCORES).argmax()) == winner


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_name_gets_a_near_match() -> None:
    name: Any = "acc_nrom"
    with pytest.raises(StudyError, match="did you mean 'acc_norm'"):
        normalisation_of(TRIE, name)


def test_every_normalisation_names_its_own_winner() -> None:
    # sums -2, -3, -4; tokens 1, 2, 2; characters 1, 4, 2 and bytes 1, 4, 6
    trie = build_trie([(1,), (2, 3), (4, 5)], texts=["a", "bcde", "\u4e2d\u6587"])
    vectors = [np.array([-2.0, -3.0, -4.0], dtype=np.float32)] * 2
    empty = [np.array([-1.0, -1.0, -4.5], dtype=np.float32)]
    found = predictions_under_all(vectors, [trie], [0, 0], empty_scores=empty)
    assert {name: own.tolist() for name, own in found.items()} == {
        "acc": [0, 0],
        # -2, -0.75, -2; -2, -0.75, -0.667; -2, -1.5, -2; -1, -2, 0.5
        "acc_norm": [1, 1],
        "acc_bytes": [2, 2],
        "acc_tokens": [1, 1],
        "acc_mutual_info": [2, 2],
    }
    assert "acc_mutual_info" not in predictions_under_all(vectors, [trie], [0, 0])
