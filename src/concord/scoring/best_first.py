"""Exact best-first search for the best candidates of many prompts at once.

Log-probabilities are never above 0, so the sum along a path is an upper bound for
every candidate below it, before and after normalisation. A node stays open while a
candidate below it could still enter the best `top_count`; the search ends when none
is. Nothing here knows a model: the caller says what was learnt at which nodes.

Prompts that share a trie are searched together, one row of every array for each: the
work of a step is then done by a few calls, whatever the number of prompts.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.scoring.normalisation import Affine
from concord.scoring.trie import CandidateTrie

OPEN_NODES_PER_ROUND = 64


@dataclass(frozen=True, eq=False)
class Searches:
    """What is known of the candidates of some prompts; its arrays grow more certain."""

    trie: CandidateTrie
    normalise: Affine
    top_count: int
    partial: Float[np.ndarray, "prompt candidate"]
    """Sum over the known edges: the score when finished, else an upper bound."""
    known: Int[np.ndarray, "prompt candidate"]
    """Known edges of each candidate."""
    is_expanded: Bool[np.ndarray, "prompt node"]
    edge_scores: Float[np.ndarray, "prompt edge"]

    @property
    def is_finished(self) -> Bool[np.ndarray, "prompt candidate"]:
        """Candidates whose score is known to the end."""
        return self.known == self.trie.lengths

    @property
    def bounds(self) -> Float[np.ndarray, "prompt candidate"]:
        """Normalised score of finished candidates, upper bound of the others."""
        return self.normalise(self.partial)


@dataclass(frozen=True)
class Best:
    """The outcome for one prompt; -1 and NaN where it is not known."""

    prediction: int
    score: float
    runner_up: int
    margin: float
    margin_is_exact: bool
    """Else the margin is a lower bound."""

    @property
    def is_tie(self) -> bool:
        """Prediction and runner-up have the same score."""
        return self.margin_is_exact and self.margin == 0.0


def start_searches(
    trie: CandidateTrie,
    normalise: Affine,
    *,
    count: int = 1,
    top_count: int = 2,
    dtype: type[np.floating] = np.float32,
) -> Searches:
    """Searches that know nothing yet: only the root is open.

    Args:
        trie: The candidates.
        normalise: What decides between them.
        count: Prompts that are asked for them.
        top_count: How many of the best are to be proven.
        dtype: Of log-probabilities and their sums.
    """
    return Searches(
        trie=trie,
        normalise=normalise,
        top_count=top_count,
        partial=np.zeros((count, trie.candidate_count), dtype=dtype),
        known=np.zeros((count, trie.candidate_count), dtype=np.int16),
        is_expanded=np.zeros((count, trie.internal_count + 1), dtype=bool),
        edge_scores=np.full((count, len(trie.edge_tokens)), np.nan, dtype=dtype),
    )


def learn(
    searches: Searches,
    prompts: Int[np.ndarray, " expanded"],
    nodes: Int[np.ndarray, " expanded"],
    log_probabilities: Float[np.ndarray, " edge"],
) -> None:
    """Take in the log-probabilities of all edges of some nodes (`edges_of` order).

    Sums run from the root in single precision, whatever the order of expansion, so
    a score does not depend on how it was reached.

    Args:
        searches: What grows.
        prompts: The row of each node.
        nodes: Nodes whose distribution is now known.
        log_probabilities: Of all their edges.
    """
    edges, owner = searches.trie.edges_of(nodes)
    searches.edge_scores[prompts[owner], edges] = log_probabilities
    searches.is_expanded[prompts, nodes] = True
    rows = np.flatnonzero(np.bincount(prompts, minlength=1))
    partial, known = searches.partial[rows], searches.known[rows]
    while True:
        frontier = _frontier(searches.trie, known)
        moves = searches.is_expanded[rows[:, None], frontier]
        moves &= known < searches.trie.lengths
        at, candidates = np.nonzero(moves)
        if not len(at):
            break
        taken = searches.trie.candidate_edges[candidates, known[at, candidates]]
        partial[at, candidates] += searches.edge_scores[rows[at], taken]
        known[at, candidates] += 1
    searches.partial[rows], searches.known[rows] = partial, known


def open_candidates(
    searches: Searches, prompts: Int[np.ndarray, " prompt"]
) -> Bool[np.ndarray, "prompt candidate"]:
    """Unfinished candidates that could still be among the best `top_count`.

    At equality with the last of the best finished ones the lower index counts as
    better, which keeps the rule for ties exact.
    """
    finished = searches.known[prompts] == searches.trie.lengths
    if searches.top_count > finished.shape[1]:
        return ~finished
    bounds = searches.normalise(searches.partial[prompts])
    # The finished ones first, the highest of them first, lower index first at a tie.
    order = np.lexsort((-bounds, ~finished), axis=-1)
    last = order[:, searches.top_count - 1, None]
    lowest = np.take_along_axis(bounds, last, axis=1)
    is_lower_index = np.arange(bounds.shape[1]) < last
    is_open = (bounds > lowest) | ((bounds == lowest) & is_lower_index)
    too_few = finished.sum(axis=1, keepdims=True) < searches.top_count
    return ~finished & (is_open | too_few)


def open_nodes(
    searches: Searches, prompts: Int[np.ndarray, " prompt"]
) -> list[Int[np.ndarray, " _node"]]:
    """Nodes of each prompt to expand in the next round; none when its search has ended.

    All open nodes, the best 64 at most. When more than half of the trie's internal
    nodes are open, all that are left: fewer rounds then cost less than they save.
    """
    is_open = open_candidates(searches, prompts)
    frontier = _frontier(searches.trie, searches.known[prompts])
    at, candidates = np.nonzero(is_open)
    wanted = np.zeros((len(prompts), searches.trie.internal_count + 1), dtype=bool)
    wanted[at, frontier[at, candidates]] = True
    counts = wanted.sum(axis=1)
    for row in np.flatnonzero(counts > OPEN_NODES_PER_ROUND):
        wanted[row] = _best_nodes(searches, int(prompts[row]), is_open[row])
    is_half = (counts * 2 > searches.trie.internal_count) & ~wanted[:, 0]
    wanted[is_half] = ~searches.is_expanded[prompts[is_half]]
    row, node = np.nonzero(wanted)
    return np.split(node, np.searchsorted(row, np.arange(1, len(prompts))))


def _best_nodes(
    searches: Searches, prompt: int, is_open: Bool[np.ndarray, " candidate"]
) -> Bool[np.ndarray, " node"]:
    """The nodes with the highest bounds, as many as a round takes."""
    bounds = searches.normalise(searches.partial[prompt])
    frontier = _frontier(searches.trie, searches.known[prompt])
    nodes, member = np.unique(frontier[is_open], return_inverse=True)
    best = np.full(len(nodes), -np.inf)
    np.maximum.at(best, member, bounds[is_open])
    wanted = np.zeros(searches.trie.internal_count + 1, dtype=bool)
    wanted[nodes[np.argsort(-best, kind="stable")[:OPEN_NODES_PER_ROUND]]] = True
    return wanted


def outcomes(searches: Searches) -> list[Best]:
    """Prediction, runner-up and margin of every prompt, as far as they are proven.

    The margin is exact when the runner-up is proven as well; otherwise it is the
    distance from the best score to the highest score any other candidate can have.
    """
    bounds = searches.bounds
    order = np.argsort(-bounds, axis=1, kind="stable")[:, :2]
    values = np.take_along_axis(bounds, order, axis=1).tolist()
    proven = np.take_along_axis(searches.is_finished, order, axis=1).tolist()
    return [
        _outcome(*found) for found in zip(order.tolist(), values, proven, strict=True)
    ]


def _outcome(order: list[int], values: list[float], proven: list[bool]) -> Best:
    """From the best two, or the only one, and whether their scores are known."""
    if not proven[0]:
        return Best(-1, np.nan, -1, np.nan, False)
    if len(order) == 1:
        return Best(order[0], values[0], -1, np.nan, True)
    margin = _distance(values[0], values[1])
    if not proven[1]:
        return Best(order[0], values[0], -1, margin, False)
    return Best(order[0], values[0], order[1], margin, True)


def _frontier(
    trie: CandidateTrie, known: Int[np.ndarray, "*prompt candidate"]
) -> Int[np.ndarray, "*prompt candidate"]:
    """The node to expand next for each candidate; meaningless when finished."""
    step = np.minimum(known, trie.lengths - 1)
    return trie.candidate_nodes[np.arange(trie.candidate_count), step]


def _distance(best: float, other: float) -> float:
    """Their difference; undefined when even the best is impossible (-inf)."""
    return best - other if np.isfinite(best) else np.nan
