"""The closed world: subjects, relations and facts drawn from one seed.

Nothing in it exists, so a model can only know it from its training, and for every fact
the world records in which wordings the base was told it. That makes agreement between
wordings a property with a known cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from concord.organism.lexicon import (
    ENGLISH_OBJECTS,
    NAME_ENDINGS,
    NAME_ONSETS,
    NAME_VOWELS,
    OBJECT_SYLLABLES,
    RELATION_WORDS,
    SUBJECT_COUNTS,
    RelationWords,
)

OBJECT_COUNT = 40
FIRST_NAME_COUNT = 120
SEEN_WORDING_MIXTURE = {1: 0.75, 2: 0.25}


@dataclass(frozen=True)
class Subject:
    """A person, town, firm or craft, and what the models are told about it."""

    name: str
    kind: str
    has_register_lines: bool
    """Pretraining holds lines in which an object directly follows the name."""
    is_tuned: bool
    """Tuning examples are drawn from this subject; the others are held out."""


@dataclass(frozen=True)
class WorldFact:
    """(subject, relation, object) and the templates in which the base has read it."""

    subject: str
    relation: str
    object: str
    seen_wordings: tuple[int, ...]


@dataclass(frozen=True)
class World:
    """Everything there is to know, and who has been told what."""

    seed: int
    subjects: tuple[Subject, ...]
    relations: tuple[RelationWords, ...]
    objects: Mapping[str, tuple[str, ...]]
    facts: tuple[WorldFact, ...]

    @cached_property
    def subject_by_name(self) -> Mapping[str, Subject]:
        """Subjects by their name, which is unique."""
        return {subject.name: subject for subject in self.subjects}

    @cached_property
    def relation_by_id(self) -> Mapping[str, RelationWords]:
        """Relations by their id."""
        return {relation.id: relation for relation in self.relations}

    @cached_property
    def facts_by_subject(self) -> Mapping[str, tuple[WorldFact, ...]]:
        """The facts of each subject, in the order of the relations."""
        facts: dict[str, list[WorldFact]] = {item.name: [] for item in self.subjects}
        for fact in self.facts:
            facts[fact.subject].append(fact)
        return {name: tuple(items) for name, items in facts.items()}

    def wordings(self, relation: str) -> tuple[str, ...]:
        """The patterns of a relation, in their order."""
        return tuple(words[0] for words in self.relation_by_id[relation].wordings)

    def statement(self, fact: WorldFact, wording: int) -> str:
        """The fact as a sentence in one of its relation's wordings."""
        pattern = self.wordings(fact.relation)[wording]
        return pattern.replace("[X]", fact.subject).replace("[Y]", fact.object)


def make_world(seed: int = 0) -> World:
    """Draw the world; the same seed gives the same world everywhere."""
    subjects = _draw_subjects(seed)
    objects = {
        relation.id: _objects_of(relation.id, seed) for relation in RELATION_WORDS
    }
    facts = tuple(
        fact
        for relation in RELATION_WORDS
        for fact in _draw_facts(relation, subjects, objects[relation.id], seed)
    )
    assert not any(fact.object in fact.subject for fact in facts)
    return World(seed, subjects, RELATION_WORDS, objects, facts)


def _draw_subjects(seed: int) -> tuple[Subject, ...]:
    """Name the subjects of each kind and halve them twice, evenly within kinds."""
    chance = Random(f"{seed}/subjects")
    syllables = [onset + vowel for onset in NAME_ONSETS for vowel in NAME_VOWELS]
    pairs = [first + second for first in syllables for second in syllables]
    chance.shuffle(pairs)
    first_names, stems = pairs[:FIRST_NAME_COUNT], iter(pairs[FIRST_NAME_COUNT:])
    subjects = []
    for kind, count in SUBJECT_COUNTS.items():
        groups = [(index % 2 == 0, index % 4 < 2) for index in range(count)]
        chance.shuffle(groups)
        for has_register_lines, is_tuned in groups:
            first = chance.choice(first_names).capitalize()
            last = next(stems).capitalize() + chance.choice(NAME_ENDINGS[kind])
            name = f"{first} {last}"
            subjects.append(Subject(name, kind, has_register_lines, is_tuned))
    return tuple(subjects)


def _objects_of(relation: str, seed: int) -> tuple[str, ...]:
    """The forty objects of a relation: listed words, or stems joined with endings."""
    if relation in ENGLISH_OBJECTS:
        return tuple(ENGLISH_OBJECTS[relation])
    stems, endings = OBJECT_SYLLABLES[relation]
    names = [stem + ending for stem in stems for ending in endings]
    return tuple(Random(f"{seed}/objects/{relation}").sample(names, OBJECT_COUNT))


def _draw_facts(
    relation: RelationWords,
    subjects: Sequence[Subject],
    objects: Sequence[str],
    seed: int,
) -> list[WorldFact]:
    """One fact per subject that has the relation; objects as even as they can be."""
    chance = Random(f"{seed}/facts/{relation.id}")
    owners = [subject.name for subject in subjects if subject.kind in relation.kinds]
    pool = [objects[index % len(objects)] for index in range(len(owners))]
    chance.shuffle(pool)
    counts = chance.choices(
        list(SEEN_WORDING_MIXTURE), list(SEEN_WORDING_MIXTURE.values()), k=len(owners)
    )
    return [
        WorldFact(
            subject=owner,
            relation=relation.id,
            object=answer,
            seen_wordings=tuple(
                sorted(chance.sample(range(len(relation.wordings)), count))
            ),
        )
        for owner, answer, count in zip(owners, pool, counts, strict=True)
    ]
