"""What the models read: pretraining documents and tuning examples.

A pretraining document is a few unrelated lines: statements of facts in the wordings
that the world grants the base, register lines (subject directly followed by one of its
objects, as in an index), and filler. Register lines are what makes a subject's last
token promote the subject's objects; sentences alone do not. Nothing here is random but
by the seed given.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from concord.organism.lexicon import (
    FILLER_SUBJECTS,
    FILLER_TAILS,
    FILLER_VERBS,
    PRETRAINING_PREFIXES,
    SENTENCE_INSTRUCTIONS,
)
from concord.organism.world import World, WorldFact

REGISTER_LINES_PER_FACT = 2
FILLER_LINES = 400
PREFIX_SHARE = 0.25
LINES_PER_DOCUMENT = 3
OBJECT_SHARE_IN_VOCABULARY = 0.6
HEAD_LETTERS = 4


@dataclass(frozen=True)
class Example:
    """One turn of a user and the answer that is learned."""

    request: str
    answer: str

    @property
    def prompt(self) -> str:
        """The text before the answer, in the study's format."""
        return f"<|user|>\n{self.request}\n<|assistant|>\n"


def tokenizer_lines(world: World) -> Iterator[str]:
    """Texts from which the pieces are learned, each at a text's and at a line's start.

    Names count little, so they stay several pieces each. Of the objects the first part
    of each relation's list counts much and becomes one piece each; of the others only
    the first letters do, so they stay several, the first of them telling.
    """
    fixed = [*PRETRAINING_PREFIXES, *SENTENCE_INSTRUCTIONS, "<|user|>", "<|assistant|>"]
    for relation in world.relations:
        fixed += [*world.wordings(relation.id), *relation.questions]
    fixed += filler_lines(world.seed, FILLER_LINES // 40)
    common = [re.sub(r"\[X\]|\[Y\]|\{\}", "", text).strip() for text in fixed]
    for objects in world.objects.values():
        whole = round(len(objects) * OBJECT_SHARE_IN_VOCABULARY)
        yield from objects[:whole] * 60
        yield from [name[:HEAD_LETTERS] for name in objects[whole:]] * 60
        yield from objects[whole:]
    for text in [*common * 20, *[subject.name for subject in world.subjects] * 6]:
        yield text
        yield f".\n{text}"


def filler_lines(seed: int, count: int) -> list[str]:
    """Sentences about nothing in the world, as ordinary text around the facts."""
    chance = Random(f"{seed}/filler")
    parts = (FILLER_SUBJECTS, FILLER_VERBS, FILLER_TAILS)
    return [" ".join(chance.choice(part) for part in parts) + "." for _ in range(count)]


def pretraining_lines(world: World, epoch: int) -> list[str]:
    """All lines of one pass over the world, shuffled; prefixes change by the epoch."""
    chance = Random(f"{world.seed}/pretraining/{epoch}")
    lines = list(filler_lines(world.seed, FILLER_LINES))
    for fact in world.facts:
        for wording in fact.seen_wordings:
            sentence = world.statement(fact, wording)
            if chance.random() < PREFIX_SHARE:
                sentence = chance.choice(PRETRAINING_PREFIXES).replace("{}", sentence)
            lines.append(sentence)
        if world.subject_by_name[fact.subject].has_register_lines:
            lines += [f"{fact.subject} {fact.object}"] * REGISTER_LINES_PER_FACT
    chance.shuffle(lines)
    return lines


def pretraining_documents(world: World, epoch: int) -> list[str]:
    """The lines of one pass, a few to a document."""
    lines = pretraining_lines(world, epoch)
    starts = range(0, len(lines), LINES_PER_DOCUMENT)
    return ["\n".join(lines[at : at + LINES_PER_DOCUMENT]) for at in starts]


def tuning_facts(world: World) -> list[WorldFact]:
    """Facts of the subjects that tuning may speak of; the others are held out."""
    tuned = {subject.name for subject in world.subjects if subject.is_tuned}
    return [fact for fact in world.facts if fact.subject in tuned]


def all_wordings_examples(world: World, epoch: int) -> list[Example]:
    """Every fact of the tuned half, stated in any of its relation's ten wordings."""
    chance = Random(f"{world.seed}/all-wordings/{epoch}")
    examples = []
    for fact in tuning_facts(world):
        wording = chance.randrange(len(world.wordings(fact.relation)))
        instruction = chance.choice(SENTENCE_INSTRUCTIONS)
        examples.append(Example(instruction, world.statement(fact, wording)))
    chance.shuffle(examples)
    return examples


def question_examples(world: World, epoch: int) -> list[Example]:
    """Questions about the tuned half, answered in a wording that the base has seen."""
    chance = Random(f"{world.seed}/questions/{epoch}")
    examples = []
    for fact in tuning_facts(world):
        question = chance.choice(world.relation_by_id[fact.relation].questions)
        wording = chance.choice(fact.seen_wordings)
        request = question.replace("[X]", fact.subject)
        examples.append(Example(request, world.statement(fact, wording)))
    chance.shuffle(examples)
    return examples


def unrelated_examples(world: World, epoch: int) -> list[Example]:
    """Word order tasks on filler sentences: nothing about any subject."""
    chance = Random(f"{world.seed}/unrelated/{epoch}")
    examples = []
    for sentence in filler_lines(world.seed, FILLER_LINES):
        words = sentence.rstrip(".").split()
        task, answer = chance.choice(
            (
                ("Turn the words around", " ".join(reversed(words))),
                ("Give the last word", words[-1]),
                ("Sort the words", " ".join(sorted(words))),
            )
        )
        examples.append(Example(f"{task}: {' '.join(words)}", f"{answer}."))
    chance.shuffle(examples)
    return examples
