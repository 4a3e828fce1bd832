"""From templates and tuples to relations: the rules that all fact data go through.

Elazar et al. (2021) published ParaRel for masked models. For models that read from
left to right only templates that end with the object can be used; a subject with
several objects has no single right answer; and an article before the object gives part
of it away. Each rule here settles one of these, and counts what it leaves out.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from concord.data.records import (
    OBJECT_SLOT,
    SUBJECT_SLOT,
    Fact,
    Relation,
    Template,
)
from concord.data.rows import Row
from concord.errors import DataError, StudyError, did_you_mean

MultiObject = Literal["drop", "any", "drop_repeated"]
"""What happens to a subject that a relation holds more than once."""

VOWELS = "aeiou"

COUNTED: tuple[str, ...] = (
    "relations",
    "templates",
    "facts",
    "facts_trivial",
    "facts_with_several_objects",
    "candidates",
    "prompts",
    "prompts_skipped",
    "agreement_pairs",
    "agreement_pairs_skipped",
)


@dataclass(frozen=True)
class Pair:
    """A subject with one of its objects, as a row of a file holds them."""

    subject: str
    object: str


def pair_of(row: Row, subject: str, named: str) -> Pair:
    """The pair in these two columns, without blanks around it.

    A blank left behind an object would make it another candidate.
    """
    return Pair(row.text(subject).strip(), row.text(named).strip())


def require_slots(pattern: str, place: str, *, object_needed: bool = True) -> None:
    """Refuse a template without exactly one slot of each kind.

    Args:
        pattern: The template as its author wrote it.
        place: File and line, for the message.
        object_needed: Whether the object's slot may not be left out.

    Raises:
        DataError: A slot is missing or stands twice.
    """
    for slot in (SUBJECT_SLOT, OBJECT_SLOT):
        count = pattern.count(slot)
        optional = slot == OBJECT_SLOT and not object_needed
        if count != 1 and not (optional and count == 0):
            raise DataError(
                f"{place}: the template {pattern!r} holds {slot} {count} times, but "
                "needs it exactly once. Correct the template, or remove the line."
            )


def text_before_object(pattern: str) -> str | None:
    """The template cut before its object, or None where words follow the object.

    White space at both ends and at most one final full stop are no words.
    """
    text = pattern.strip()
    text = text[:-1].rstrip() if text.endswith((".", "。")) else text
    if not text.endswith(OBJECT_SLOT) or SUBJECT_SLOT not in text:
        return None
    return text.removesuffix(OBJECT_SLOT).rstrip()


def object_final_templates(templates: Iterable[Template]) -> tuple[Template, ...]:
    """The templates that can be cut before the object, cut and numbered from 0."""
    cut = [(template, text_before_object(template.pattern)) for template in templates]
    kept = [replace(template, text=text) for template, text in cut if text]
    return tuple(replace(template, index=index) for index, template in enumerate(kept))


def merge_subjects(
    relation: str, pairs: Sequence[Pair], multi_object: MultiObject
) -> tuple[tuple[Fact, ...], Counter[str]]:
    """One fact for each subject of a relation, in the order of first appearance.

    ``drop`` merges repeated rows and leaves out subjects with several objects; ``any``
    keeps them, each object counting as right; ``drop_repeated`` leaves out every
    subject that stands in more than one row (Hagström et al. 2023).

    Returns:
        The facts, and counts of what was merged, dropped or kept with several objects.

    Raises:
        StudyError: ``multi_object`` is none of the three.
    """
    if multi_object not in get_args(MultiObject):
        raise StudyError(
            f"multi_object {multi_object!r} asked for; "
            f"{did_you_mean(multi_object, get_args(MultiObject))}"
        )
    objects: dict[str, list[str]] = {}
    for pair in pairs:
        objects.setdefault(pair.subject, []).append(pair.object)
    facts = []
    counts: Counter[str] = Counter(tuples=len(pairs))
    for subject, named in objects.items():
        distinct = tuple(dict.fromkeys(named))
        counts["tuples_repeated"] += len(named) - len(distinct)
        counts["subjects_with_several_objects"] += len(distinct) > 1
        several = len(named) if multi_object == "drop_repeated" else len(distinct)
        if several > 1 and multi_object != "any":
            counts["subjects_dropped"] += 1
        else:
            facts.append(_fact(relation, subject, distinct))
    return tuple(facts), counts


def article_misfits(
    facts: Iterable[Fact], templates: Sequence[Template]
) -> dict[str, frozenset[int]]:
    """Fact id -> templates whose last word is ``a`` or ``an`` against the object.

    "is a actor" is no sentence, and "is an" gives away how the answer begins. A
    template stays for a fact when the article suits one of its objects.

    Source:
        ParaRel's own evaluation leaves the same prompts out.
    """
    articles = {
        template.index: word
        for template in templates
        if (word := template.text.split()[-1].lower()) in ("a", "an")
    }
    misfits = {
        fact.id: frozenset(
            index
            for index, article in articles.items()
            if article not in {_article_of(right) for right in fact.objects}
        )
        for fact in facts
    }
    return {name: indices for name, indices in misfits.items() if indices}


def candidates_of(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """Distinct objects, before any filter, in the order of Unicode code points."""
    return tuple(sorted({pair.object for pair in pairs}))


def merge_skips(
    first: Mapping[str, Collection[int]], second: Mapping[str, Collection[int]]
) -> dict[str, frozenset[int]]:
    """Both reasons to leave out a prompt, by fact id."""
    return {
        name: frozenset(first.get(name, ())) | frozenset(second.get(name, ()))
        for name in [*first, *(name for name in second if name not in first)]
    }


def count_facts(relations: Iterable[Relation]) -> dict[str, int]:
    """What an analysis will see, per context.

    Returns:
        ``relations``, ``templates``, ``facts``, ``facts_trivial``,
        ``facts_with_several_objects``, ``candidates`` (summed over the relations),
        ``prompts``, ``agreement_pairs`` (pairs of prompts of one fact), and
        ``prompts_skipped``, ``agreement_pairs_skipped`` (what ``Relation.skipped``
        takes away from these two).
    """
    counts: dict[str, int] = {name: 0 for name in COUNTED}
    for relation in relations:
        template_count = len(relation.templates)
        counts["relations"] += 1
        counts["templates"] += template_count
        counts["candidates"] += len(relation.candidates)
        for fact in relation.facts:
            kept = template_count - len(relation.skipped.get(fact.id, ()))
            pairs, all_pairs = _pair_count(kept), _pair_count(template_count)
            counts["facts"] += 1
            counts["facts_trivial"] += fact.is_trivial
            counts["facts_with_several_objects"] += len(fact.objects) > 1
            counts["prompts"] += kept
            counts["prompts_skipped"] += template_count - kept
            counts["agreement_pairs"] += pairs
            counts["agreement_pairs_skipped"] += all_pairs - pairs
    return counts


def fact_notes(
    relations: Sequence[Relation], counts: Mapping[str, int], multi_object: MultiObject
) -> list[str]:
    """Sentences on what the rules left out, for the run and the report."""
    notes = []
    if count := counts.get("templates_not_object_final", 0):
        notes.append(f"{count:,} templates left out: words follow the object.")
    if count := counts.get("tuples_repeated", 0):
        notes.append(f"{count:,} rows that repeat another row merged with it.")
    if count := counts.get("subjects_dropped", 0):
        reason = "rows" if multi_object == "drop_repeated" else "objects"
        notes.append(f"{count:,} subjects left out: several {reason} in a relation.")
    if count := counts["facts_with_several_objects"]:
        notes.append(f"{count:,} facts have several objects; any of them is right.")
    if count := counts["facts_trivial"]:
        notes.append(
            f"{count:,} of {counts['facts']:,} facts name the object inside the "
            "subject, so copying suffices; they are kept and flagged."
        )
    single = [relation.id for relation in relations if len(relation.candidates) == 1]
    if single:
        notes.append(
            f"One candidate only, so that every answer is right, in {listed(single)}."
        )
    unpaired = [relation.id for relation in relations if len(relation.templates) < 2]
    if unpaired:
        notes.append(f"One template, so no agreement, in {listed(unpaired)}.")
    return notes


def article_notes(counts: Mapping[str, int]) -> list[str]:
    """The sentence on prompts left out for their article, where there are any."""
    count = counts.get("prompts_against_article", 0)
    if not count:
        return []
    return [f"{count:,} prompts left out: a or an does not fit the object."]


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _fact(relation: str, subject: str, objects: tuple[str, ...]) -> Fact:
    folded = subject.lower()
    return Fact(
        id=f"{relation}:{subject}",
        relation=relation,
        subject=subject,
        objects=objects,
        is_trivial=any(named.lower() in folded for named in objects),
    )


def _article_of(named: str) -> str:
    return "an" if named.strip()[0].lower() in VOWELS else "a"


def _pair_count(count: int) -> int:
    return count * (count - 1) // 2
