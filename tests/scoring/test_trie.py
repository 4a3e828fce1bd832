"""Tests of the candidates' trie."""

import numpy as np
import pytest

from concord.errors import DataError
from concord.scoring.trie import build_trie

# a=1 b=2 c=3 d=4: {"a b", "a c", "d", "a", "a b" again}
CANDIDATES = [(1, 2), (1, 3), (4,), (1,), (1, 2)]
TEXTS = ["ab", "ac", "d", "a", "AB"]


def test_internal_nodes_are_the_proper_prefixes() -> None:
    trie = build_trie(CANDIDATES, texts=TEXTS)
    # the root and "a"; "a b", "a c" and "d" are leaves
    assert trie.internal_count == 1
    assert trie.node_tokens.tolist() == [-1, 1]
    assert trie.node_parents.tolist() == [-1, 0]
    assert trie.max_depth == 1


def test_edges_stand_under_their_nodes() -> None:
    trie = build_trie(CANDIDATES, texts=TEXTS)
    edges, owners = trie.edges_of(np.array([1, 0]))
    # node "a" goes on with b and c, the root with a and d
    assert trie.edge_tokens[edges].tolist() == [2, 3, 1, 4]
    assert owners.tolist() == [0, 0, 1, 1]


def test_duplicates_are_kept_apart() -> None:
    trie = build_trie(CANDIDATES, texts=TEXTS)
    assert trie.candidate_count == 5
    assert trie.candidates[0] == trie.candidates[4]
    np.testing.assert_array_equal(trie.candidate_edges[0], trie.candidate_edges[4])


def test_shadowing_pairs_are_listed() -> None:
    trie = build_trie(CANDIDATES, texts=TEXTS)
    assert trie.shadowing == ((3, 0), (3, 1), (3, 4))


def test_nodes_are_in_depth_first_order_with_the_end_of_each_subtree() -> None:
    trie = build_trie([(1, 2, 3, 9), (1, 4, 9), (5, 9)], texts=["one", "two", "three"])
    # root, 1, 1 2, 1 2 3, 1 4, 5
    assert trie.node_tokens.tolist() == [-1, 1, 2, 3, 4, 5]
    assert trie.node_depths.tolist() == [0, 1, 2, 3, 2, 1]
    assert trie.node_ends.tolist() == [5, 4, 3, 3, 4, 5]


def test_ancestors_close_a_set_of_nodes() -> None:
    trie = build_trie([(1, 2, 3, 9), (1, 4, 9), (5, 9)], texts=["a", "b", "c"])
    assert trie.with_ancestors(np.array([3, 5])).tolist() == [1, 2, 3, 5]
    assert trie.with_ancestors(np.array([0])).tolist() == []


@pytest.mark.parametrize(
    ("candidates", "texts"),
    [([], []), ([(1,), ()], ["a", "nothing"]), ([(1,)], [""])],
)
def test_empty_candidates_are_refused(candidates: list, texts: list) -> None:
    with pytest.raises(DataError, match="candidate"):
        build_trie(candidates, texts=texts)
