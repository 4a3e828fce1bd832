"""Tests of the search, on random log-probabilities: no model is involved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scoring_worlds import random_trie, summed

from concord.scoring.best_first import (
    OPEN_NODES_PER_ROUND,
    Best,
    Searches,
    learn,
    open_nodes,
    outcomes,
    start_searches,
)
from concord.scoring.normalisation import (
    NORMALISATIONS,
    Affine,
    Normalisation,
    normalisation_of,
)
from concord.scoring.trie import CandidateTrie, build_trie

WORLDS = settings(max_examples=60, deadline=None)


ONE = np.array([0])


def expand(search: Searches, nodes: np.ndarray, edge_scores: np.ndarray) -> None:
    edges, _ = search.trie.edges_of(nodes)
    learn(search, np.zeros_like(nodes), nodes, edge_scores[edges])


def opened(search: Searches) -> np.ndarray:
    return open_nodes(search, ONE)[0]


def outcome(search: Searches) -> Best:
    return outcomes(search)[0]


def run_search(
    trie: CandidateTrie, normalise: Affine, edge_scores: np.ndarray, top_count: int = 2
) -> tuple[Searches, int]:
    search = start_searches(trie, normalise, top_count=top_count)
    rounds = 0
    while len(nodes := opened(search)):
        expand(search, nodes, edge_scores)
        rounds += 1
    return search, rounds


def world(
    seed: int, normalisation: Normalisation, *, has_ties: bool = False
) -> tuple[CandidateTrie, Affine, np.ndarray]:
    generator = np.random.default_rng(seed)
    trie = random_trie(
        generator,
        count=int(generator.integers(1, 30)),
        vocabulary=int(generator.integers(5, 30)),
        longest=int(generator.integers(2, 6)),
    )
    scores = -generator.exponential(2.0, len(trie.edge_tokens)).astype(np.float32)
    if has_ties:
        scores = np.round(scores)
    empty = -generator.exponential(3.0, trie.candidate_count).astype(np.float32)
    return trie, normalisation_of(trie, normalisation, empty_scores=empty), scores


def best_of(values: np.ndarray) -> Best:
    """The outcome by sorting the scores of all candidates."""
    order = np.argsort(-values, kind="stable").tolist()
    if len(order) == 1:
        return Best(0, float(values[0]), -1, np.nan, True)
    first, second = order[:2]
    best, next_best = float(values[first]), float(values[second])
    return Best(first, best, second, best - next_best, True)


@WORLDS
@given(
    seed=st.integers(0, 10_000),
    normalisation=st.sampled_from(NORMALISATIONS),
    has_ties=st.booleans(),
    top_count=st.sampled_from([1, 2, 3]),
)
def test_search_finds_what_all_scores_give(
    seed: int, normalisation: Normalisation, has_ties: bool, top_count: int
) -> None:
    trie, normalise, scores = world(seed, normalisation, has_ties=has_ties)
    found = outcome(run_search(trie, normalise, scores, top_count)[0])
    wanted = best_of(normalise(summed(trie, scores)))
    assert (found.prediction, found.score) == (wanted.prediction, wanted.score)
    if top_count >= 2:
        assert found == wanted or trie.candidate_count == 1
    else:
        assert not found.margin > wanted.margin


@WORLDS
@given(seed=st.integers(0, 10_000), normalisation=st.sampled_from(NORMALISATIONS))
def test_bound_is_never_below_the_score(
    seed: int, normalisation: Normalisation
) -> None:
    trie, normalise, scores = world(seed, normalisation)
    truth = normalise(summed(trie, scores))
    search = start_searches(trie, normalise)
    generator = np.random.default_rng(seed)
    expand(search, np.array([0]), scores)
    while not search.is_finished.all():
        step = np.minimum(search.known[0], trie.lengths - 1)
        next_nodes = trie.candidate_nodes[np.arange(trie.candidate_count), step]
        frontier = np.unique(next_nodes[~search.is_finished[0]])
        expand(search, frontier[[generator.integers(len(frontier))]], scores)
        assert (search.bounds >= truth).all()
    np.testing.assert_array_equal(search.bounds[0], truth)


def test_three_candidates_by_hand() -> None:
    # log p: a -1, d -2.5; after a: b -0.5, c -2. Scores: ab -1.5, ac -3, d -2.5
    trie = build_trie([(1, 2), (1, 3), (4,)], texts=["ab", "ac", "d"])
    scores = np.array([-1, -2.5, -0.5, -2], dtype=np.float32)
    search, rounds = run_search(trie, normalisation_of(trie), scores)
    best = outcome(search)
    assert (best.prediction, best.score) == (0, -1.5)
    assert best.runner_up == 2
    assert best.margin == 1.0
    assert best.margin_is_exact
    assert rounds == 2


def test_a_proven_candidate_ends_the_search_after_one_round() -> None:
    # d -0.5 and e -1 are finished and above a, which can only lose: nothing is open
    trie = build_trie([(1, 2), (4,), (5,)], texts=["ab", "d", "e"])
    scores = np.array([-3, -0.5, -1, -0.1], dtype=np.float32)
    search, rounds = run_search(trie, normalisation_of(trie), scores)
    assert rounds == 1
    assert outcome(search).margin == 0.5
    assert search.is_expanded.tolist() == [[True, False]]


def test_margin_of_the_best_one_alone_is_a_lower_bound() -> None:
    # d -1 is proven best; a at -2 is not followed: its candidate may be far below
    trie = build_trie([(1, 2), (4,)], texts=["ab", "d"])
    scores = np.array([-2, -1, -5], dtype=np.float32)
    best = outcome(run_search(trie, normalisation_of(trie), scores, 1)[0])
    assert (best.prediction, best.margin, best.margin_is_exact) == (1, 1.0, False)
    assert best.runner_up == -1
    assert not best.is_tie


@pytest.mark.parametrize("order", [[(1, 2), (4,)], [(4,), (1, 2)]])
def test_lowest_index_wins_a_tie(order: list) -> None:
    # "a b": -1 and -0; "d": -1. Both score -1, whichever is finished first
    trie = build_trie(order, texts=["one", "two"])
    scores = np.array([-1, -1, 0], dtype=np.float32)
    for top_count in (1, 2):
        best = outcome(run_search(trie, normalisation_of(trie), scores, top_count)[0])
        assert best.prediction == 0
    assert best.is_tie
    assert best.runner_up == 1


def test_duplicates_tie_and_the_first_wins() -> None:
    trie = build_trie([(4,), (1, 2), (1, 2)], texts=["d", "ab", "AB"])
    scores = np.array([-1, -3, -0.5], dtype=np.float32)
    best = outcome(run_search(trie, normalisation_of(trie), scores)[0])
    assert (best.prediction, best.runner_up, best.is_tie) == (1, 2, True)


def test_one_candidate_has_no_margin() -> None:
    trie = build_trie([(1, 2)], texts=["ab"])
    scores = np.array([-1, -1], dtype=np.float32)
    best = outcome(run_search(trie, normalisation_of(trie), scores)[0])
    assert (best.prediction, best.score, best.runner_up) == (0, -2.0, -1)
    assert np.isnan(best.margin)
    assert not best.is_tie


def test_more_than_half_open_opens_the_whole_trie() -> None:
    # 8 internal nodes; two finished candidates at -1 close what lies below
    trie = build_trie(
        [(token, 99) for token in range(8)] + [(50,), (51,)], texts=["x"] * 10
    )
    for open_count, expected in [(4, [1, 2, 3, 4]), (5, list(range(1, 9)))]:
        search = start_searches(trie, normalisation_of(trie))
        roots = [-0.5 if token < open_count else -9.0 for token in range(8)]
        learn(search, ONE, ONE, np.array([*roots, -1, -1], dtype=np.float32))
        assert opened(search).tolist() == expected


def test_a_round_opens_the_best_sixty_four_at_most() -> None:
    count = 3 * OPEN_NODES_PER_ROUND
    trie = build_trie(
        [(token, 999) for token in range(count)] + [(1000,), (1001,)],
        texts=["x"] * (count + 2),
    )
    search = start_searches(trie, normalisation_of(trie))
    open_count = OPEN_NODES_PER_ROUND + 10
    roots = np.full(count + 2, -9.0, dtype=np.float32)
    roots[:open_count] = -0.5 - np.arange(open_count) / 1000
    roots[-2:] = -2.0
    learn(search, ONE, ONE, roots)
    # the highest bounds first: the lowest tokens, at nodes 1, 2, 3, ...
    assert opened(search).tolist() == list(range(1, OPEN_NODES_PER_ROUND + 1))


@WORLDS
@given(seed=st.integers(0, 10_000), normalisation=st.sampled_from(NORMALISATIONS))
def test_searches_together_go_as_each_goes_alone(
    seed: int, normalisation: Normalisation
) -> None:
    trie, normalise, _ = world(seed, normalisation)
    generator = np.random.default_rng(seed + 1)
    all_scores = np.round(-generator.exponential(2.0, (5, len(trie.edge_tokens))), 1)
    all_scores = all_scores.astype(np.float32)
    together = start_searches(trie, normalise, count=5)
    waiting = dict.fromkeys(range(5), ONE)
    while waiting:
        prompts = np.repeat(list(waiting), [len(own) for own in waiting.values()])
        nodes = np.concatenate(list(waiting.values()))
        edges, owner = trie.edges_of(nodes)
        learn(together, prompts, nodes, all_scores[prompts[owner], edges])
        following = open_nodes(together, np.array(list(waiting)))
        pairs = zip(list(waiting), following, strict=True)
        waiting = {prompt: own for prompt, own in pairs if len(own)}
    alone = [run_search(trie, normalise, scores)[0] for scores in all_scores]
    for row, search in enumerate(alone):
        np.testing.assert_array_equal(together.is_expanded[row], search.is_expanded[0])
        np.testing.assert_array_equal(together.partial[row], search.partial[0])
        np.testing.assert_equal(vars(outcomes(together)[row]), vars(outcome(search)))
