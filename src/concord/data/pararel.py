"""ParaRel (Elazar et al. 2021): templates and facts of 38 relations.

A folder holds ``graphs_json/<relation>.jsonl``, one template per line, and
``trex_lms_vocab/<relation>.jsonl``, one (subject, object) tuple per line. Users may
bring relations of their own in the same form.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from concord.data.draw import draw_facts
from concord.data.facts import (
    MultiObject,
    article_misfits,
    article_notes,
    candidates_of,
    count_facts,
    fact_notes,
    listed,
    merge_subjects,
    object_final_templates,
    pair_of,
    require_slots,
)
from concord.data.records import FactData, Relation, Template
from concord.data.rows import Row, read_rows
from concord.errors import DataError, StudyError, did_you_mean

__all__ = ["N1_RELATIONS", "RelationChoice", "draw_facts", "read_pararel"]

RelationChoice = Literal["paired", "n1", "all"]

N1_RELATIONS = frozenset(
    "P17 P19 P20 P27 P30 P36 P37 P101 P103 P106 P127 P131 P136 P138 P140 P159 P176 "
    "P178 P264 P276 P279 P361 P364 P407 P413 P449 P495 P740 P937 P1376 P1412".split()
)
"""The 31 relations that ParaRel calls N-1 and takes its headline from."""

TEMPLATE_FOLDER = "graphs_json"
TUPLE_FOLDER = "trex_lms_vocab"


@dataclass(frozen=True)
class _RelationTemplates:
    relation: str
    found: int
    object_final: tuple[Template, ...]


def read_pararel(
    folder: Path,
    *,
    relations: RelationChoice | Sequence[str] = "paired",
    multi_object: MultiObject = "drop",
    article_rule: bool = True,
) -> FactData:
    """Facts of the relations whose templates a left-to-right model can complete.

    A template is kept when the object ends it; its prompt is the text before. The
    candidates of a relation are all its distinct objects before any filter.

    Args:
        folder: Holds ``graphs_json`` and ``trex_lms_vocab``.
        relations: ``paired``: two or more such templates, so that agreement exists
            (35 relations); ``n1``: those of them that ParaRel calls N-1 (29); ``all``:
            one such template suffices, out of two or more of any kind (38); or names.
        multi_object: See :func:`concord.data.facts.merge_subjects`.
        article_rule: Leave out prompts whose "a" or "an" does not fit the object.

    Returns:
        Relations in natural order (P17 before P101), with counts and notes of
        everything left out.

    Raises:
        DataError: A file is missing or faulty, or nothing is left.
        StudyError: An unknown choice or relation.

    Source:
        Elazar et al. (2021); multi-object rules after Hagström et al. (2023).
    """
    names = _relation_names(folder)
    templates = [
        _read_templates(folder, name) for name in _named(names, relations, folder)
    ]
    chosen = [found for found in templates if _is_chosen(found, relations)]
    if not chosen:
        raise DataError(
            f"{folder}: none of the {len(names)} relations found fits "
            f"relations: {relations!r}, which needs templates that end with [Y]. "
            "Choose other relations, or add templates."
        )
    counts: Counter[str] = Counter(
        relations_left_out=len(names) - len(chosen),
        relations_without_templates=len(_stems(folder / TUPLE_FOLDER) - set(names)),
        templates_not_object_final=sum(
            found.found - len(found.object_final) for found in chosen
        ),
    )
    built = []
    for found in chosen:
        relation, left_out = _build(folder, found, multi_object, article_rule)
        built.append(relation)
        counts.update(left_out)
    return _fact_data(tuple(built), counts, names, multi_object)


def _fact_data(
    relations: tuple[Relation, ...],
    left_out: Counter[str],
    names: Sequence[str],
    multi_object: MultiObject,
) -> FactData:
    counts = {**left_out, **count_facts(relations)}
    if not counts["facts"]:
        raise DataError(
            f"no facts are left of {counts['tuples']:,} tuples with multi_object: "
            f"{multi_object}. Choose multi_object: any, or other relations."
        )
    notes = []
    missing = [n for n in names if n not in {relation.id for relation in relations}]
    if missing:
        notes.append(
            f"Relations left out by choice or for want of templates that "
            f"end with the object: {listed(missing)}."
        )
    if count := counts["relations_without_templates"]:
        notes.append(f"{count} relations have tuples but no templates.")
    notes += fact_notes(relations, counts, multi_object) + article_notes(counts)
    return FactData(relations, counts, tuple(notes))


def _relation_names(folder: Path) -> list[str]:
    for part in (TEMPLATE_FOLDER, TUPLE_FOLDER):
        if not (folder / part).is_dir():
            raise DataError(
                f"{folder}: no folder {part} in it, but ParaRel needs "
                f"{TEMPLATE_FOLDER} and {TUPLE_FOLDER}. Name the folder that holds "
                "both, or run: concord data get pararel"
            )
    names = sorted(_stems(folder / TEMPLATE_FOLDER), key=_natural)
    if not names:
        raise DataError(
            f"{folder / TEMPLATE_FOLDER}: no .jsonl file in it, but one for each "
            "relation is needed. Run: concord data get pararel"
        )
    return names


def _stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.jsonl")}


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _named(
    names: list[str], relations: RelationChoice | Sequence[str], folder: Path
) -> list[str]:
    """The relations whose files are read: all, or those the user names."""
    if isinstance(relations, str):
        if relations not in ("paired", "n1", "all"):
            raise StudyError(
                f"relations: {relations!r} found, but a list of relations or one of "
                f"these is needed; {did_you_mean(relations, ('paired', 'n1', 'all'))}"
            )
        return names
    for relation in relations:
        if relation not in names:
            raise StudyError(
                f"relation {relation!r} has no templates in {folder}; "
                f"{did_you_mean(relation, names)}"
            )
    return [name for name in names if name in set(relations)]


def _is_chosen(
    found: _RelationTemplates, relations: RelationChoice | Sequence[str]
) -> bool:
    count = len(found.object_final)
    if relations == "paired":
        return count >= 2
    if relations == "n1":
        return count >= 2 and found.relation in N1_RELATIONS
    if relations == "all":
        return count >= 1 and found.found >= 2
    return count >= 1


def _read_templates(folder: Path, relation: str) -> _RelationTemplates:
    rows = read_rows(folder / TEMPLATE_FOLDER / f"{relation}.jsonl")
    templates = [_template(relation, row, line) for line, row in enumerate(rows)]
    return _RelationTemplates(
        relation, len(templates), object_final_templates(templates)
    )


def _template(relation: str, row: Row, line: int) -> Template:
    pattern = row.text("pattern")
    require_slots(pattern, row.place)
    return Template(
        relation=relation,
        index=0,
        text=pattern,
        pattern=pattern,
        lemma=row.optional_text("lemma"),
        tense=row.optional_text("tense"),
        line=line,
    )


def _build(
    folder: Path,
    found: _RelationTemplates,
    multi_object: MultiObject,
    article_rule: bool,
) -> tuple[Relation, Counter[str]]:
    rows = read_rows(folder / TUPLE_FOLDER / f"{found.relation}.jsonl")
    pairs = [pair_of(row, "sub_label", "obj_label") for row in rows]
    facts, counts = merge_subjects(found.relation, pairs, multi_object)
    skipped = article_misfits(facts, found.object_final) if article_rule else {}
    counts["prompts_against_article"] = sum(map(len, skipped.values()))
    relation = Relation(
        found.relation, found.object_final, facts, candidates_of(pairs), skipped
    )
    return relation, counts
