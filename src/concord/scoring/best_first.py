"""Exact best-first search for the best candidates of one prompt.

Log-probabilities are never above 0, so the sum along a path is an upper bound for
every candidate below it, before and after normalisation. A node stays open while a
candidate below it could still enter the best `top_count`; the search ends when none
is. Nothing here knows a model: the caller says what was learnt at which nodes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.scoring.normalisation import Affine
from concord.scoring.trie import CandidateTrie

OPEN_NODES_PER_ROUND = 64


@dataclass(frozen=True, eq=False)
class Search:
    """What is known of one prompt's candidates; its arrays grow more certain."""

    trie: CandidateTrie
    normalise: Affine
    top_count: int
    partial: Float[np.ndarray, " candidate"]
    """Sum over the known edges: the score when finished, else an upper bound."""
    known: Int[np.ndarray, " candidate"]
    """Known edges of each candidate."""
    is_expanded: Bool[np.ndarray, " node"]
    edge_scores: Float[np.ndarray, " edge"]

    @property
    def is_finished(self) -> Bool[np.ndarray, " candidate"]:
        """Candidates whose score is known to the end."""
        return self.known == self.trie.lengths

    @property
    def frontier(self) -> Int[np.ndarray, " candidate"]:
        """The node to expand next for each candidate; meaningless when finished."""
        step = np.minimum(self.known, self.trie.lengths - 1)
        return self.trie.candidate_nodes[np.arange(len(step)), step]

    @property
    def bounds(self) -> Float[np.ndarray, " candidate"]:
        """Normalised score of finished candidates, upper bound of the others."""
        return self.normalise(self.partial)


@dataclass(frozen=True)
class Best:
    """The outcome for one prompt; -1 and NaN where it is not known."""

    prediction: int
    score: float
    runner_up: int
    runner_up_score: float
    margin: float
    margin_is_exact: bool
    """Else the margin is a lower bound."""

    @property
    def is_tie(self) -> bool:
        """Prediction and runner-up have the same score."""
        return self.margin_is_exact and self.margin == 0.0


def start_search(
    trie: CandidateTrie,
    normalise: Affine,
    *,
    top_count: int = 2,
    dtype: type[np.floating] = np.float32,
) -> Search:
    """A search that knows nothing yet: only the root is open.

    Args:
        trie: The candidates.
        normalise: What decides between them.
        top_count: How many of the best are to be proven.
        dtype: Of log-probabilities and their sums.
    """
    return Search(
        trie=trie,
        normalise=normalise,
        top_count=top_count,
        partial=np.zeros(trie.candidate_count, dtype=dtype),
        known=np.zeros(trie.candidate_count, dtype=np.int64),
        is_expanded=np.zeros(trie.internal_count + 1, dtype=bool),
        edge_scores=np.full(len(trie.edge_tokens), np.nan, dtype=dtype),
    )


def learn(
    search: Search,
    nodes: Int[np.ndarray, " expanded"],
    log_probabilities: Float[np.ndarray, " edge"],
) -> None:
    """Take in the log-probabilities of all edges of some nodes (`edges_of` order).

    Sums run from the root in single precision, whatever the order of expansion, so
    a score does not depend on how it was reached.
    """
    edges, _ = search.trie.edges_of(nodes)
    search.edge_scores[edges] = log_probabilities
    search.is_expanded[nodes] = True
    while True:
        moves = ~search.is_finished & search.is_expanded[search.frontier]
        if not moves.any():
            return
        steps = search.known[moves]
        taken = search.trie.candidate_edges[moves, steps]
        search.partial[moves] += search.edge_scores[taken]
        search.known[moves] += 1


def open_candidates(search: Search) -> Bool[np.ndarray, " candidate"]:
    """Unfinished candidates that could still be among the best `top_count`.

    At equality with the last of the best finished ones the lower index counts as
    better, which keeps the rule for ties exact.
    """
    finished, bounds = search.is_finished, search.bounds
    best = _ranked(bounds, finished)
    if len(best) < search.top_count:
        return ~finished
    last = best[search.top_count - 1]
    is_lower_index = np.arange(len(bounds)) < last
    return ~finished & (
        (bounds > bounds[last]) | ((bounds == bounds[last]) & is_lower_index)
    )


def open_nodes(search: Search) -> Int[np.ndarray, " node"]:
    """Nodes to expand in the next round; none when the search has ended.

    All open nodes, the best 64 at most. When more than half of the trie's internal
    nodes are open, all that are left: fewer rounds then cost less than they save.
    """
    is_open = open_candidates(search)
    nodes, member = np.unique(search.frontier[is_open], return_inverse=True)
    if len(nodes) * 2 > search.trie.internal_count and 0 not in nodes:
        return np.flatnonzero(~search.is_expanded)
    if len(nodes) <= OPEN_NODES_PER_ROUND:
        return nodes
    bounds = np.full(len(nodes), -np.inf)
    np.maximum.at(bounds, member, search.bounds[is_open])
    return np.sort(nodes[np.argsort(-bounds, kind="stable")[:OPEN_NODES_PER_ROUND]])


def outcome(search: Search) -> Best:
    """Prediction, runner-up and margin, as far as they are proven.

    The margin is exact when the runner-up is proven as well; otherwise it is the
    distance from the best score to the highest score any other candidate can have.
    """
    bounds = search.bounds
    order = _ranked(bounds, np.ones(len(bounds), dtype=bool))
    proven = int(np.cumprod(search.is_finished[order[:2]]).sum())
    if not proven:
        return Best(-1, np.nan, -1, np.nan, np.nan, False)
    first = int(order[0])
    score = float(bounds[first])
    if len(order) == 1:
        return Best(first, score, -1, np.nan, np.nan, True)
    margin = _distance(score, float(bounds[order[1]]))
    if proven < 2:
        return Best(first, score, -1, np.nan, margin, False)
    second = int(order[1])
    return Best(first, score, second, float(bounds[second]), margin, True)


def best_of(scores: Float[np.ndarray, " candidate"], normalise: Affine) -> Best:
    """The outcome from a full score vector, under any normalisation."""
    values = normalise(scores)
    order: list[int] = _ranked(values, np.ones(len(values), dtype=bool)).tolist()
    top = [float(values[index]) for index in order[:2]]
    if len(order) == 1:
        return Best(order[0], top[0], -1, np.nan, np.nan, True)
    return Best(order[0], top[0], order[1], top[1], _distance(*top), True)


def _ranked(
    values: Float[np.ndarray, " candidate"], chosen: Bool[np.ndarray, " candidate"]
) -> Int[np.ndarray, " chosen"]:
    """Chosen candidates, highest value first, lower index first at a tie."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(-values[indices], kind="stable")]


def _distance(best: float, other: float) -> float:
    """Their difference; undefined when even the best is impossible (-inf)."""
    return best - other if np.isfinite(best) else np.nan
