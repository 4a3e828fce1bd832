"""The candidates of a relation as a trie of their tokens.

An *internal node* is a proper prefix of some candidate: the model is asked for the
next-token distribution there and nowhere else. Node 0 is the root, the prompt itself.
An *edge* is a token that follows a node on the way to some candidate, so the score of
a candidate is the sum of the log-probabilities of its edges.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from concord.errors import DataError

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CandidateTrie:
    """Candidates in their own order; internal nodes in depth-first order."""

    candidates: tuple[Tokens, ...]
    texts: tuple[str, ...]
    node_tokens: Int[np.ndarray, " node"]
    """Token that leads to each node; -1 for the root."""
    node_parents: Int[np.ndarray, " node"]
    node_depths: Int[np.ndarray, " node"]
    """Tokens between the prompt and the node; 0 for the root."""
    node_ends: Int[np.ndarray, " node"]
    """Last node of the subtree: i is at or below j iff j <= i <= node_ends[j]."""
    edge_offsets: Int[np.ndarray, " node_plus_one"]
    """The edges of node i are those from edge_offsets[i] to edge_offsets[i + 1]."""
    edge_tokens: Int[np.ndarray, " edge"]
    lengths: Int[np.ndarray, " candidate"]
    candidate_nodes: Int[np.ndarray, "candidate length"]
    """Nodes passed by each candidate, from the root; -1 beyond its end."""
    candidate_edges: Int[np.ndarray, "candidate length"]
    """The edge each candidate takes at each of those nodes; -1 beyond its end."""
    shadowing: tuple[tuple[int, int], ...]
    """(shorter, longer): the shorter begins the longer and never scores below it."""

    @property
    def candidate_count(self) -> int:
        """Number of candidates, duplicates included."""
        return len(self.candidates)

    @property
    def internal_count(self) -> int:
        """Number of internal nodes, the root left out."""
        return len(self.node_tokens) - 1

    @cached_property
    def max_depth(self) -> int:
        """Depth of the deepest internal node: tokens fed after a prompt at most."""
        return int(self.node_depths.max())

    @cached_property
    def pairwise_depths(self) -> Int[np.ndarray, " node"]:
        """Depths of the nodes from which some candidate's last token is read."""
        last = self.candidate_nodes[np.arange(self.candidate_count), self.lengths - 1]
        return self.node_depths[np.unique(last)]

    @cached_property
    def _edge_counts(self) -> Int[np.ndarray, " node"]:
        return np.diff(self.edge_offsets)

    def edges_of(
        self, nodes: Int[np.ndarray, " wanted"]
    ) -> tuple[Int[np.ndarray, " edge"], Int[np.ndarray, " edge"]]:
        """All edges of some nodes, and for each edge the place of its node in them."""
        counts = self._edge_counts[nodes]
        owner = np.repeat(np.arange(len(nodes)), counts)
        starts = self.edge_offsets[nodes] - (np.cumsum(counts) - counts)
        return np.arange(len(owner)) + starts[owner], owner

    def with_ancestors(
        self, nodes: Int[np.ndarray, " wanted"]
    ) -> Int[np.ndarray, " closed"]:
        """The nodes and all above them, root left out, in depth-first order."""
        is_found = np.zeros(len(self.node_tokens), dtype=bool)
        above = nodes[nodes > 0]
        while len(above):
            is_found[above] = True
            above = self.node_parents[above]
            above = above[above > 0]
        return np.flatnonzero(is_found)


def build_trie(candidates: Sequence[Tokens], *, texts: Sequence[str]) -> CandidateTrie:
    """The trie of the candidates' tokens.

    Args:
        candidates: Token ids of each candidate, delimiter and end mark included.
        texts: The candidates as written, without delimiter; for normalisations
            and messages.

    Raises:
        DataError: There is no candidate, or one of them has no token or no text.
    """
    ids = tuple(tuple(candidate) for candidate in candidates)
    _refuse_empty(ids, texts)
    prefixes = sorted({own[:end] for own in ids for end in range(len(own))})
    nodes = {prefix: index for index, prefix in enumerate(prefixes)}
    grown = {own[: end + 1] for own in ids for end in range(len(own))}
    edges = sorted(grown, key=lambda path: (nodes[path[:-1]], path[-1]))
    parents = np.array([nodes[p[:-1]] if p else -1 for p in prefixes])
    owners = np.array([nodes[path[:-1]] for path in edges])
    return CandidateTrie(
        candidates=ids,
        texts=tuple(texts),
        node_tokens=np.array([p[-1] if p else -1 for p in prefixes]),
        node_parents=parents,
        node_depths=np.array([len(p) for p in prefixes]),
        node_ends=_subtree_ends(parents),
        edge_offsets=np.searchsorted(owners, np.arange(len(prefixes) + 1)),
        edge_tokens=np.array([path[-1] for path in edges]),
        lengths=np.array([len(own) for own in ids]),
        candidate_nodes=_paths(ids, nodes, first=0),
        candidate_edges=_paths(
            ids, {path: index for index, path in enumerate(edges)}, first=1
        ),
        shadowing=_shadowing(ids),
    )


def _refuse_empty(candidates: Sequence[Tokens], texts: Sequence[str]) -> None:
    if not candidates:
        raise DataError("no candidate to choose from; give at least one object")
    if len(texts) != len(candidates):
        raise ValueError(f"{len(candidates)} candidates but {len(texts)} texts")
    for ids, text in zip(candidates, texts, strict=True):
        if not ids or not text:
            raise DataError(
                f"candidate {text!r} has {len(ids)} tokens and {len(text)} characters;"
                " both must be at least 1: remove it or correct its text"
            )


def _subtree_ends(parents: Int[np.ndarray, " node"]) -> Int[np.ndarray, " node"]:
    ends = np.arange(len(parents))
    for node in range(len(parents) - 1, 0, -1):
        ends[parents[node]] = max(ends[parents[node]], ends[node])
    return ends


def _paths(
    candidates: Sequence[Tokens], index: dict[Tokens, int], *, first: int
) -> Int[np.ndarray, "candidate length"]:
    """Index of every prefix of each candidate, from `first` tokens on."""
    paths = np.full((len(candidates), max(map(len, candidates))), -1)
    for row, own in enumerate(candidates):
        paths[row, : len(own)] = [
            index[own[: step + first]] for step in range(len(own))
        ]
    return paths


def _shadowing(candidates: Sequence[Tokens]) -> tuple[tuple[int, int], ...]:
    owners = defaultdict(list)
    for index, own in enumerate(candidates):
        owners[own].append(index)
    return tuple(
        (shorter, longer)
        for longer, own in enumerate(candidates)
        for end in range(1, len(own))
        for shorter in owners.get(own[:end], ())
    )
