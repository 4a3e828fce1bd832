"""Multiple choice as records: questions, their wordings, and orders of the options.

A question is asked in every wording (an instruction, or a perturbed text) and with its
options in every order. Letters stay where they are; the options, and with them the
right one, move.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from concord.errors import StudyError, did_you_mean
from concord.results import fingerprint

LETTERS = "ABCDEFGHIJ"
MOST_OPTIONS = len(LETTERS)
ORDERS = ("identity", "rotation", "reversal")
STUDY_INSTRUCTIONS = (
    "The following are multiple choice questions (with answers) about {}.",
    "The following are multiple choice questions with their respective answers. "
    "The questions are about {}.",
    "Below are multiple choice questions about {}, each followed by its answer.",
)
"""The study's two, back from a translation; its third is not known and this one ours.

Source: Fierro et al. (2024), appendix C.1.
"""
_OTHERS = (
    re.compile(
        r"\b(all|none|any|both|either|neither|some) (of )?(the |are )?"
        r"(above|(options|choices|answers|alternatives|statements)\b)"
    ),
    re.compile(r"^(all|none|any|both|either|neither) (of )?(these|those|them)\W*$"),
    re.compile(r"\b(listed|mentioned|given) above\b|\bthe other (options|choices)\b"),
    re.compile(r"^(both|all|neither|none)( are (true|correct|false))?\W*$"),
    re.compile(
        r"\b(one|two|three|most) of (the )?"
        r"(above|(options|choices|answers|alternatives)\b)"
    ),
)
_NUMBERS = re.compile(r"(both |only )?[1-9](, [1-9])*,? (and|or|&) [1-9]( only)?\W*")


@dataclass(frozen=True)
class Question:
    """A question with its options, as a file states it."""

    id: str
    topic: str
    question: str
    options: tuple[str, ...]
    answer: int
    """Place of the right option, from 0."""
    place: str = field(repr=False, compare=False)
    """File and line; no part of what a row depends on."""
    group: str | None = None
    """Questions of one group are wordings of one question: they should be answered
    alike, and are drawn together when intervals are made."""
    cluster: str | None = None
    """Questions of one cluster (a passage) are drawn together, no more."""

    @property
    def contents(self) -> tuple[int, ...]:
        """For each option the first one with the same text: itself, but for repeats."""
        return tuple(self.options.index(option) for option in self.options)

    @property
    def speaks_of_others(self) -> bool:
        """An option speaks of other options, so that reordering changes the question.

        Told by phrases such as "all of the above", "both A and B" and "same as B".
        Numbers ("1 and 2") are those of options only beside options without any.
        """
        own = LETTERS[: len(self.options)]
        letter = rf"\(?[{own}]\)?"
        pair = re.compile(
            rf"(?i:both|either|neither|only|options|answers)?\s*{letter}"
            rf"(, {letter})*,? (and|or|nor|&) {letter}(\W|$)"
        )
        same = re.compile(rf"(?i:(the )?same as( option| answer)?) {letter}\W*")
        return self._counts_options or any(
            pair.match(option)
            or same.fullmatch(option)
            or any(p.search(option.lower()) for p in _OTHERS)
            for option in self.options
        )

    @property
    def _counts_options(self) -> bool:
        """An option has numbers of options: those beside it have none of their own."""
        others = [o for o in self.options if not _NUMBERS.fullmatch(o.lower())]
        has_numbers = any(re.search(r"\d", option) for option in others)
        return 0 < len(others) < len(self.options) and not has_numbers


@dataclass(frozen=True)
class Wording:
    """One way to put a question: an instruction, and what is done to the text."""

    instruction: int
    perturbation: str = ""
    """Name of a perturbation; empty: the text as it is."""


@dataclass(frozen=True)
class ChoiceItem:
    """A question, and the text before and after its options in each wording."""

    question: Question
    frames: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        """How many options it has."""
        return len(self.question.options)

    def prompt(self, wording: int, order: Sequence[int]) -> str:
        """The prompt with options in an order: ``A. ...`` to ``D. ...``, a line each.

        Args:
            wording: Index into the frames.
            order: Place in the question of the option behind each letter.
        """
        before, after = self.frames[wording]
        lines = [
            f"{LETTERS[position]}. {self.question.options[place]}"
            for position, place in enumerate(order)
        ]
        return before + "\n".join(lines) + after

    def is_repeat(self, wording: int, orders: Sequence[str], place: int) -> bool:
        """An earlier setting has the very same prompt.

        With two options rotation is reversal, and a perturbation may find nothing to
        change: a pair of equal prompts says nothing about consistency.
        """
        count = len(self.question.options)
        own = order_of(orders[place], count)
        in_order = any(order_of(name, count) == own for name in orders[:place])
        return in_order or self.frames[wording] in self.frames[:wording]


@dataclass(frozen=True)
class ChoiceData:
    """All items of a data set, and the settings they are asked in."""

    name: str
    items: tuple[ChoiceItem, ...]
    wordings: tuple[Wording, ...]
    orders: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def has_fixed_options(self) -> bool:
        """All questions have the same options: these are classes."""
        return len({item.question.options for item in self.items}) == 1

    @property
    def fingerprint(self) -> str:
        """Hash of everything a row can depend on."""
        return fingerprint([repr(self.items), repr(self.wordings), self.orders])

    @property
    def prompts(self) -> list[str]:
        """Every prompt: by wording, order and item."""
        return [
            item.prompt(wording, order_of(order, len(item.question.options)))
            for wording in range(len(self.wordings))
            for order in self.orders
            for item in self.items
        ]


def order_of(name: str, count: int) -> tuple[int, ...]:
    """Place in the question of the option behind each letter.

    ``rotation`` is by one (B C D A); ``shuffle1``, ``shuffle2``, ... are random, the
    same for all questions with as many options.

    Raises:
        StudyError: No order has that name.
    """
    places = list(range(count))
    if name == "rotation":
        places = [*places[1:], places[0]]
    elif name == "reversal":
        places = places[::-1]
    elif re.fullmatch(r"shuffle\d+", name):
        Random(f"{name}/{count}").shuffle(places)
    elif name != "identity":
        known = (*ORDERS, "shuffle1")
        raise StudyError(f"choices.orders: found {name!r}; {did_you_mean(name, known)}")
    return tuple(places)


def study_frame(
    question: Question, instruction: str, text: str | None = None
) -> tuple[str, str]:
    """Instruction, blank line, question; the options; ``Answer:``.

    Args:
        question: The question.
        instruction: ``{}`` stands for the topic, with blanks for underscores.
        text: What to ask, in place of the question's own text.

    Source:
        Open-Instruct's MMLU prompt (Wang et al. 2023), with one blank before the topic.
    """
    first = instruction.replace("{}", question.topic.replace("_", " "))
    return f"{first}\n\n{text or question.question}\n", "\nAnswer:"


Perturb = Callable[[str, str], str]
"""Text and the item's id -> changed text."""


def worded_items(
    questions: Sequence[Question],
    instructions: Sequence[str],
    perturbations: Mapping[str, Perturb],
) -> tuple[tuple[ChoiceItem, ...], tuple[Wording, ...]]:
    """Questions in every instruction; and, in the first, with every perturbation."""
    wordings = [Wording(index) for index in range(len(instructions))]
    wordings += [Wording(0, name) for name in perturbations]
    items = tuple(
        ChoiceItem(
            question,
            (
                *(study_frame(question, text) for text in instructions),
                *(
                    study_frame(
                        question,
                        instructions[0],
                        perturb(question.question, question.id),
                    )
                    for perturb in perturbations.values()
                ),
            ),
        )
        for question in questions
    )
    return items, tuple(wordings)


def count_questions(questions: Sequence[Question]) -> dict[str, int]:
    """Counts by name: questions, topics, and what deserves a note."""
    asked = Counter(identity(question) for question in questions)
    letters = Counter(LETTERS[question.answer] for question in questions)
    return {
        "questions": len(questions),
        "topics": len({question.topic for question in questions}),
        "questions_repeated": sum(count - 1 for count in asked.values()),
        "questions_with_equal_options": sum(
            len(set(question.options)) < len(question.options) for question in questions
        ),
        "questions_with_options_about_options": sum(
            question.speaks_of_others for question in questions
        ),
        **{f"right_{letter}": letters[letter] for letter in sorted(letters)},
    }


def identity(question: Question) -> str:
    """Unit of resampling: what the file says, or what makes two rows one question."""
    for given in (question.cluster, question.group):
        if given is not None:
            return given
    return fingerprint([question.question, sorted(question.options)])[:16]


def question_notes(counts: Mapping[str, int]) -> list[str]:
    """Sentences on what was found, for the run and the report."""
    notes = []
    if count := counts["questions_repeated"]:
        notes.append(
            f"{count:,} questions repeat another; they are kept and drawn together."
        )
    if count := counts["questions_with_equal_options"]:
        notes.append(
            f"{count:,} questions have two options with one text: the right one is "
            "followed by its place."
        )
    if count := counts["questions_with_options_about_options"]:
        notes.append(
            f"In {count:,} questions an option speaks of others (all of the above), so "
            "another order changes the question; numbers are given without them too."
        )
    return notes
