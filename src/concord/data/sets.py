"""From (set, sentence) rows to sets joined into clusters, and counts of sentences.

Sets that share a sentence are not independent, and two sentences of such sets may well
be paraphrases. So resampling is by cluster, and non-paraphrases come from two clusters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from concord.data.records import ParaphraseSet, SentencePair


def gather_sets(
    rows: Iterable[tuple[str, str]],
) -> tuple[tuple[ParaphraseSet, ...], dict[str, int]]:
    """Sets of two sentences or more, in the order of first appearance.

    Repeats of a sentence inside its set are merged, and sets of one left out.

    Args:
        rows: Pairs (set id, sentence); the rows of a set need not stand together.

    Returns:
        The sets, each with its cluster (the id of the first set in it), and the counts
        ``rows``, ``sentences_repeated``, ``sets_of_one``, ``sets``, ``sentences``,
        ``sentences_distinct``, ``sentences_in_several_sets``, ``clusters``.
    """
    members: dict[str, dict[str, None]] = {}
    row_count = 0
    for name, sentence in rows:
        members.setdefault(name, {})[sentence] = None
        row_count += 1
    kept = {name: tuple(found) for name, found in members.items() if len(found) > 1}
    clusters = join_overlapping(kept)
    sets = tuple(
        ParaphraseSet(name, sentences, clusters[name])
        for name, sentences in kept.items()
    )
    merged = row_count - sum(map(len, members.values()))
    counts = {
        "rows": row_count,
        "sentences_repeated": merged,
        "sets_of_one": len(members) - len(kept),
        **count_sets(sets),
    }
    return sets, counts


def count_sets(sets: Sequence[ParaphraseSet]) -> dict[str, int]:
    """Sets, sentences, sentences in more than one set, and clusters."""
    uses = Counter(sentence for found in sets for sentence in found.sentences)
    return {
        "sets": len(sets),
        "sentences": uses.total(),
        "sentences_distinct": len(uses),
        "sentences_in_several_sets": sum(count > 1 for count in uses.values()),
        "clusters": len({found.cluster for found in sets}),
    }


def count_pairs(pairs: Sequence[SentencePair]) -> dict[str, int]:
    """Pairs by label, pairs of one sentence, and pairs that repeat another."""
    distinct = {(pair.first, pair.second, pair.is_paraphrase) for pair in pairs}
    return {
        "pairs": len(pairs),
        "paraphrases": sum(pair.is_paraphrase for pair in pairs),
        "non_paraphrases": sum(not pair.is_paraphrase for pair in pairs),
        "pairs_identical": sum(pair.first == pair.second for pair in pairs),
        "pairs_repeated": len(pairs) - len(distinct),
    }


def join_overlapping(sets: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Set id -> id of the first set it is linked to by shared sentences.

    Args:
        sets: Set id -> its sentences.
    """
    parent = {name: name for name in sets}

    def first_of(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    position = {name: index for index, name in enumerate(sets)}
    seen: dict[str, str] = {}
    for name, sentences in sets.items():
        for sentence in sentences:
            mine, other = first_of(name), first_of(seen.setdefault(sentence, name))
            first, second = sorted((mine, other), key=position.__getitem__)
            parent[second] = first
    return {name: first_of(name) for name in sets}


def set_notes(counts: Mapping[str, int]) -> list[str]:
    """Sentences on what was merged, left out or joined."""
    notes = []
    if count := counts["sentences_repeated"]:
        notes.append(f"{count:,} repeats of a sentence inside its set merged.")
    if count := counts["sets_of_one"]:
        notes.append(f"{count:,} sets of one sentence left out.")
    if count := counts["sentences_in_several_sets"]:
        notes.append(
            f"{count:,} sentences are in several sets; {counts['sets']:,} sets are "
            f"{counts['clusters']:,} clusters, the unit of resampling."
        )
    return notes
