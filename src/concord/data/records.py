"""The field's vocabulary as frozen data: facts, templates, paraphrase sets and pairs.

Readers make these; analyses take them. Nothing here knows a file format.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SUBJECT_SLOT = "[X]"
OBJECT_SLOT = "[Y]"


@dataclass(frozen=True)
class Template:
    """One wording of a relation, cut before the object: ``[X] was born in``."""

    relation: str
    index: int
    text: str
    pattern: str
    lemma: str | None = None
    tense: str | None = None
    line: int = 0
    """Place among all templates of the relation, usable or not; 0 is the first, in
    ParaRel the one LAMA began with."""

    def fill(self, subject: str) -> str:
        """The prompt: subject in its slot, nothing of the object."""
        return self.text.replace(SUBJECT_SLOT, subject)


@dataclass(frozen=True)
class Fact:
    """(subject, relation, object); more than one object may count as right."""

    id: str
    relation: str
    subject: str
    objects: tuple[str, ...]
    is_trivial: bool
    """An object stands inside the subject (ignoring case): copying suffices."""

    @property
    def object(self) -> str:
        """The object, or the first of several right ones."""
        return self.objects[0]


@dataclass(frozen=True)
class Relation:
    """A relation with its templates, facts and the candidates for an answer."""

    id: str
    templates: tuple[Template, ...]
    facts: tuple[Fact, ...]
    candidates: tuple[str, ...]
    """Distinct objects before any filter, in the order of Unicode code points."""
    skipped: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Fact id -> indices of templates left out for it (the a/an rule)."""

    def prompts_of(self, fact: Fact) -> list[tuple[Template, str]]:
        """The fact's templates, less those skipped for it, each with its prompt."""
        skipped = self.skipped.get(fact.id, frozenset())
        return [
            (template, template.fill(fact.subject))
            for template in self.templates
            if template.index not in skipped
        ]


@dataclass(frozen=True)
class FactData:
    """All relations of a data set, and what was counted or left out on the way."""

    relations: tuple[Relation, ...]
    counts: Mapping[str, int]
    """Counts by name: relations, templates, facts, prompts, agreement_pairs, ..."""
    notes: tuple[str, ...] = ()
    """What was left out and why, one sentence each, for the run and the report."""
    undrawn: tuple[Relation, ...] = ()
    """The relations before a draw, where there was one."""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, in the order of the relations."""
        return tuple(fact for relation in self.relations for fact in relation.facts)

    def objects_by_subject(self) -> dict[str, tuple[str, ...]]:
        """Distinct objects of all of each subject's facts, drawn or not.

        A draw says which facts are asked; it does not change what is known of a
        subject.
        """
        found: dict[str, dict[str, None]] = {}
        for relation in self.undrawn or self.relations:
            for fact in relation.facts:
                own = found.setdefault(fact.subject, {})
                own.update(dict.fromkeys(fact.objects))
        return {subject: tuple(own) for subject, own in found.items()}


@dataclass(frozen=True)
class ParaphraseSet:
    """Sentences of one meaning."""

    id: str
    sentences: tuple[str, ...]
    cluster: str = ""
    """Sets that share a sentence share a cluster: the unit of resampling."""
    relation: str | None = None
    """The relation whose templates these are, for sets made from facts."""


@dataclass(frozen=True)
class SentencePair:
    """Two sentences, labelled as paraphrases of each other or not."""

    id: str
    first: str
    second: str
    is_paraphrase: bool


@dataclass(frozen=True)
class SentenceData:
    """Paraphrase sets, or labelled pairs, of one data set; one of the two is empty."""

    name: str
    sets: tuple[ParaphraseSet, ...] = ()
    pairs: tuple[SentencePair, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_of_facts(self) -> bool:
        """Its sets are the filled templates of facts."""
        return bool(self.sets) and all(group.relation for group in self.sets)

    @property
    def sentences(self) -> tuple[str, ...]:
        """All sentences, in order, repeats included."""
        grouped = [text for group in self.sets for text in group.sentences]
        paired = [text for pair in self.pairs for text in (pair.first, pair.second)]
        return (*grouped, *paired)
