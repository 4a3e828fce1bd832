"""Draws that come out the same for every model, machine and version of a library.

Items are ranked by a hash of the seed and their id, and the first ones are taken. So a
draw does not depend on the order of the file, and a smaller draw is part of a larger.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from concord.data.facts import count_facts
from concord.data.records import Fact, FactData, Relation, SentenceData, SentencePair
from concord.data.sets import count_pairs, count_sets
from concord.errors import StudyError

Item = TypeVar("Item")


def draw(
    items: Sequence[Item], count: int, *, seed: int, key: Callable[[Item], str]
) -> list[Item]:
    """Up to ``count`` of the items by seed, in the order they came.

    Args:
        items: What is drawn from, without replacement.
        count: How many to draw; all, where there are fewer.
        seed: Another seed gives another draw.
        key: The id of an item; ids must differ.

    Raises:
        StudyError: The count is not positive.
    """
    if count < 1:
        raise StudyError(f"a draw of {count} asked for, but 1 or more is needed.")
    chosen = set(sorted(map(key, items), key=lambda name: _rank(seed, name))[:count])
    return [item for item in items if key(item) in chosen]


def draw_facts(data: FactData, limit: int, seed: int = 0) -> FactData:
    """``limit`` facts, spread evenly over the relations.

    The headline is a mean over relations, so each relation gives the same number of
    facts as long as it has them; relations with none left are dropped. Candidates,
    templates and what is known of a subject stay as they are.

    Args:
        data: Left unchanged.
        limit: How many FACTS (each with all its templates), at most.
        seed: The same seed gives the same facts, whatever model answers.

    Raises:
        StudyError: The limit is not positive.
    """
    shares = _equal_shares(data.relations, limit, seed)
    relations = tuple(
        _with_facts(relation, _draw_from(relation, shares[relation.id], seed))
        for relation in data.relations
        if shares[relation.id]
    )
    found = len(data.facts)
    counts = count_facts(relations)
    counts["facts_not_drawn"] = found - counts["facts"]
    note = (
        f"{counts['facts']:,} of {found:,} facts drawn with seed {seed}, evenly over "
        f"{len(relations)} of {len(data.relations)} relations."
    )
    return FactData(
        relations,
        {**data.counts, **counts},
        (*data.notes, note),
        undrawn=data.undrawn or data.relations,
    )


def draw_sentences(data: SentenceData, limit: int, seed: int = 0) -> SentenceData:
    """``limit`` paraphrase sets, or labelled pairs, by seed, in the order they came.

    Pairs keep their share of paraphrases, rounded.

    Args:
        data: Left unchanged.
        limit: How many sets or pairs, at most.
        seed: The same seed gives the same ones, whatever model reads them.

    Raises:
        StudyError: The limit is not positive.
    """
    sets = tuple(draw(data.sets, limit, seed=seed, key=lambda found: found.id))
    pairs = _draw_pairs(data.pairs, limit, seed)
    kept, found = len(sets) + len(pairs), len(data.sets) + len(data.pairs)
    counts = count_sets(sets) if sets else count_pairs(pairs)
    note = f"{kept:,} of {found:,} {'sets' if sets else 'pairs'} drawn, seed {seed}."
    return replace(
        data,
        sets=sets,
        pairs=pairs,
        counts={**data.counts, **counts},
        notes=(*data.notes, note),
    )


def _draw_pairs(
    pairs: Sequence[SentencePair], limit: int, seed: int
) -> tuple[SentencePair, ...]:
    if len(pairs) <= limit:
        return tuple(pairs)
    alike = [pair for pair in pairs if pair.is_paraphrase]
    unlike = [pair for pair in pairs if not pair.is_paraphrase]
    share = round(limit * len(alike) / len(pairs))
    chosen: set[str] = set()
    for group, count in ((alike, share), (unlike, limit - share)):
        if count:
            drawn = draw(group, count, seed=seed, key=lambda pair: pair.id)
            chosen.update(pair.id for pair in drawn)
    return tuple(pair for pair in pairs if pair.id in chosen)


def _draw_from(relation: Relation, count: int, seed: int) -> list[Fact]:
    return draw(relation.facts, count, seed=seed, key=lambda fact: fact.id)


def _with_facts(relation: Relation, facts: list[Fact]) -> Relation:
    kept = {fact.id for fact in facts}
    skipped = {name: gone for name, gone in relation.skipped.items() if name in kept}
    return replace(relation, facts=tuple(facts), skipped=skipped)


def _equal_shares(
    relations: Sequence[Relation], limit: int, seed: int
) -> dict[str, int]:
    if limit < 1:
        raise StudyError(
            f"a limit of {limit} facts asked for, but 1 or more is needed."
        )
    shares = {relation.id: 0 for relation in relations}
    left = min(limit, sum(len(relation.facts) for relation in relations))
    order = sorted(relations, key=lambda relation: _rank(seed, relation.id))
    while left:
        # Rounds of one fact for each relation that still has one.
        open_relations = [r for r in order if shares[r.id] < len(r.facts)]
        for relation in open_relations[:left]:
            shares[relation.id] += 1
        left -= min(left, len(open_relations))
    return shares


def _rank(seed: int, name: str) -> bytes:
    return sha256(f"{seed}\0{name}".encode()).digest()
