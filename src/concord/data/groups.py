"""A user's own data: paraphrase groups, and facts with templates.

Both come as JSON lines, CSV, tab-separated or Parquet files with named columns, and
pass through the same rules as the published data sets.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from concord.data.facts import (
    MultiObject,
    article_misfits,
    article_notes,
    candidates_of,
    count_facts,
    fact_notes,
    merge_skips,
    merge_subjects,
    object_final_templates,
    pair_of,
    require_slots,
)
from concord.data.records import (
    OBJECT_SLOT,
    Fact,
    FactData,
    Relation,
    SentenceData,
    Template,
)
from concord.data.rows import Row, read_rows, unused_columns
from concord.data.sets import gather_sets, set_notes
from concord.errors import DataError

GROUP_COLUMNS = ("group", "text")
FACT_COLUMNS = ("relation", "subject", "object", "template")


def read_groups(path: Path) -> SentenceData:
    """Paraphrase groups: one sentence per row, columns ``group`` and ``text``.

    Rows of the same group are paraphrases of each other. Groups of one sentence are
    left out and counted; groups that share a sentence are one cluster.

    Raises:
        DataError: The file is missing or faulty, or no group has two sentences.
    """
    rows = read_rows(path)
    sets, counts = gather_sets(
        (row.identifier("group"), row.text("text")) for row in rows
    )
    if not sets:
        raise DataError(
            f"{path}: no group has two different sentences among {len(rows):,} rows. "
            "Give paraphrases the same value in column 'group'."
        )
    notes = [*set_notes(counts), *_column_notes(rows, GROUP_COLUMNS)]
    return SentenceData(path.stem, sets=sets, counts=counts, notes=tuple(notes))


def read_facts(
    path: Path, *, multi_object: MultiObject = "drop", article_rule: bool = True
) -> FactData:
    """Facts: one row per fact and template, by ParaRel's rules.

    Columns: ``relation``, ``subject``, ``object`` and ``template``, a text with [X]
    for the subject and, at its end, [Y] for the object (added where it is left out).
    A fact is asked with the templates it has rows for. The candidates of a relation
    are all objects of its rows.

    Args:
        path: JSON lines, CSV, tab-separated or Parquet.
        multi_object: See :func:`concord.data.facts.merge_subjects`.
        article_rule: Leave out prompts whose "a" or "an" does not fit the object.

    Returns:
        Relations in the order of the file; those without a template that ends with
        the object are left out and noted.

    Raises:
        DataError: The file is missing or faulty, or nothing is left.
    """
    rows = read_rows(path)
    by_relation: dict[str, list[Row]] = {}
    for row in rows:
        by_relation.setdefault(_relation_of(row), []).append(row)
    counts: Counter[str] = Counter()
    relations = []
    for name, found in by_relation.items():
        relation, left_out = _build(name, found, multi_object, article_rule)
        counts.update(left_out)
        if relation.templates and relation.facts:
            relations.append(relation)
    if not relations:
        raise DataError(
            f"{path}: no fact is left of {len(rows):,} rows: a template must end with "
            f"[Y], and with multi_object: {multi_object} a subject needs one object. "
            "Reword templates, or choose multi_object: any."
        )
    counts["relations_left_out"] = len(by_relation) - len(relations)
    found_counts = {**counts, **count_facts(relations)}
    notes = [
        *fact_notes(relations, found_counts, multi_object),
        *article_notes(found_counts),
        *_left_out_notes(found_counts),
        *_column_notes(rows, FACT_COLUMNS),
    ]
    return FactData(tuple(relations), found_counts, tuple(notes))


def _build(
    name: str, rows: Sequence[Row], multi_object: MultiObject, article_rule: bool
) -> tuple[Relation, Counter[str]]:
    given = [(pair_of(row, "subject", "object"), _pattern(row)) for row in rows]
    patterns = list(dict.fromkeys(pattern for _, pattern in given))
    templates = object_final_templates(
        Template(name, index, pattern, pattern, line=index)
        for index, pattern in enumerate(patterns)
    )
    # A fact has one row per template, so repeated pairs are no repeated tuples here.
    pairs = list(dict.fromkeys(pair for pair, _ in given))
    facts, counts = merge_subjects(name, pairs, multi_object)
    missing = _missing(facts, templates, {(p.subject, text) for p, text in given})
    misfits = article_misfits(facts, templates) if article_rule else {}
    counts["templates_not_object_final"] = len(patterns) - len(templates)
    counts["prompts_not_given"] = sum(map(len, missing.values()))
    counts["prompts_against_article"] = sum(map(len, misfits.values()))
    skipped = merge_skips(missing, misfits)
    return Relation(name, templates, facts, candidates_of(pairs), skipped), counts


def _missing(
    facts: Sequence[Fact],
    templates: Sequence[Template],
    given: set[tuple[str, str]],
) -> dict[str, frozenset[int]]:
    missing = {
        fact.id: frozenset(
            template.index
            for template in templates
            if (fact.subject, template.pattern) not in given
        )
        for fact in facts
    }
    return {name: indices for name, indices in missing.items() if indices}


def _relation_of(row: Row) -> str:
    name = row.identifier("relation")
    if ":" in name:
        raise DataError(
            f"{row.place}: relation {name!r} holds a colon, which parts relation and "
            "subject in the ids of facts. Rename the relation."
        )
    return name


def _pattern(row: Row) -> str:
    pattern = row.text("template").strip()
    require_slots(pattern, row.place, object_needed=False)
    return pattern if OBJECT_SLOT in pattern else f"{pattern} {OBJECT_SLOT}"


def _left_out_notes(counts: dict[str, int]) -> list[str]:
    notes = []
    if count := counts["relations_left_out"]:
        notes.append(f"{count:,} relations left out: no template or no fact is left.")
    if count := counts["prompts_not_given"]:
        notes.append(
            f"{count:,} prompts left out: the file has no row for that fact and "
            "template."
        )
    return notes


def _column_notes(rows: Sequence[Row], used: Sequence[str]) -> list[str]:
    unused = unused_columns(rows, used)
    return [f"Columns not read: {', '.join(unused)}."] if unused else []
