import csv
import json
from collections import Counter, defaultdict

import pytest

from concord.data.draw import draw_facts
from concord.data.pararel import N1_RELATIONS, read_pararel
from concord.errors import DataError, StudyError


@pytest.fixture(scope="module")
def published(shared):
    return read_pararel(shared / "data" / "pararel")


@pytest.fixture
def folder(tmp_path):
    """Two relations of a user's own; R10 has one template that ends with the object."""
    add_relation(
        tmp_path,
        "R2",
        ["[X] lives in [Y].", "[Y] is home to [X].", "the home of [X] is [Y]"],
        [("Anna", "Rome"), ("Bob", "Oslo"), ("Anna", "Rome"), ("Rome Inn", "Rome")],
    )
    add_relation(
        tmp_path,
        "R10",
        ["[X] works as [Y].", "[X], a [Y] by training"],
        [("Anna", "poet"), ("Bob", "actor")],
    )
    return tmp_path


def add_relation(folder, name, patterns, pairs):
    lines = [{"pattern": pattern, "lemma": "x"} for pattern in patterns]
    write_lines(folder / "graphs_json" / f"{name}.jsonl", lines)
    lines = [{"sub_label": subject, "obj_label": named} for subject, named in pairs]
    write_lines(folder / "trex_lms_vocab" / f"{name}.jsonl", lines)


def write_lines(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def lexical_gap(data):
    """Gap of one-hot vectors of the last word of each prompt, written as a plain sum.

    The sum over words of (sum over sets of the word's share)^2, less the same within
    each set, is what all pairs of different sets share.
    """
    within, squares, sets = 0.0, 0.0, 0
    shares: dict[str, float] = defaultdict(float)
    for relation in data.relations:
        for fact in relation.facts:
            words = Counter(
                template.fill(fact.subject).split()[-1]
                for template in relation.templates
            )
            size = words.total()
            within += sum(n * (n - 1) for n in words.values()) / (size * (size - 1))
            for word, n in words.items():
                shares[word] += n / size
                squares += (n / size) ** 2
            sets += 1
    across = (sum(share**2 for share in shares.values()) - squares) / (
        sets * (sets - 1)
    )
    return within / sets, across


def test_the_default_set_has_the_published_counts(published):
    counts = published.counts
    assert counts["relations"] == len(published.relations) == 35
    assert counts["templates"] == 210
    assert counts["facts"] == len(published.facts) == 23_309
    assert (counts["prompts"], counts["agreement_pairs"]) == (133_397, 499_772)
    assert counts["prompts"] + counts["prompts_skipped"] == 134_218
    assert counts["agreement_pairs"] + counts["agreement_pairs_skipped"] == 504_698


def test_prompts_are_as_many_as_counted(published):
    prompts = [
        prompt
        for relation in published.relations
        for fact in relation.facts
        for _, prompt in relation.prompts_of(fact)
    ]
    assert len(prompts) == 133_397
    assert not any("[X]" in text or "[Y]" in text for text in prompts)
    assert all(text == text.strip() for text in prompts)


def test_every_relation_has_the_published_counts(published, shared):
    path = shared / "spec" / "published" / "pararel_relations.csv"
    with path.open(newline="") as file:
        rows = {row["relation"]: row for row in csv.DictReader(file)}
    expected = {name for name, row in rows.items() if int(row["template_pairs"])}
    assert {relation.id for relation in published.relations} == expected
    for relation in published.relations:
        row = {key: rows[relation.id][key] for key in rows[relation.id]}
        assert len(relation.templates) == int(row["object_final_templates"])
        assert len(relation.facts) == int(row["single_object_subjects"])
        assert len(relation.candidates) == int(row["candidate_objects"])
        assert (relation.id in N1_RELATIONS) == (row["in_n1_set"] == "1")
        articles = [t for t in relation.templates if t.text.endswith((" a", " an"))]
        assert len(articles) == int(row["a_an_templates"])
        prompts = len(relation.templates) * len(relation.facts)
        assert prompts == int(row["prompts_per_context"])


def test_the_lexical_gap_is_the_published_one(published):
    within, across = lexical_gap(published)
    assert within == pytest.approx(0.6632, abs=5e-5)
    assert across == pytest.approx(0.1702, abs=5e-5)
    assert within - across == pytest.approx(0.4929, abs=1e-4)


def test_each_occupation_keeps_six_of_seven_templates(published):
    (occupations,) = [r for r in published.relations if r.id == "P106"]
    kept = {len(occupations.prompts_of(fact)) for fact in occupations.facts}
    assert kept == {6}
    for fact in occupations.facts:
        for _, prompt in occupations.prompts_of(fact):
            if prompt.endswith((" a", " an")):
                assert prompt.endswith(" an") == (fact.object[0] in "aeiou")


def test_candidates_are_sorted_and_hold_every_object(published):
    for relation in published.relations:
        assert list(relation.candidates) == sorted(set(relation.candidates))
        assert {fact.object for fact in relation.facts} <= set(relation.candidates)


def test_ids_are_unique_and_relations_in_natural_order(published):
    assert len({fact.id for fact in published.facts}) == 23_309
    numbers = [int(relation.id[1:]) for relation in published.relations]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("choice", "relations", "templates", "candidates"),
    [("n1", 29, 186, 3_588), ("all", 38, 213, 4_217), (["P37", "P19"], 2, 8, 276)],
)
def test_other_choices_of_relations(shared, choice, relations, templates, candidates):
    counts = read_pararel(shared / "data" / "pararel", relations=choice).counts
    assert counts["relations"] == relations
    assert counts["templates"] == templates
    assert counts["candidates"] == candidates


def test_all_tuples_of_the_38_relations_are_accounted_for(shared):
    data = read_pararel(
        shared / "data" / "pararel", relations="all", multi_object="any"
    )
    assert data.counts["tuples"] == 26_946
    assert data.counts["tuples_repeated"] == 17
    assert data.counts["facts_with_several_objects"] == 670
    # every distinct (subject, object) is some fact's right object
    assert sum(len(fact.objects) for fact in data.facts) == 26_946 - 17


def test_limited_facts_spread_over_all_relations(published):
    drawn = draw_facts(published, 350, seed=7)
    assert drawn.counts["facts"] == 350
    assert {len(relation.facts) for relation in drawn.relations} == {10}


def test_own_relations_are_read_by_the_same_rules(folder):
    data = read_pararel(folder)
    (relation,) = data.relations
    assert relation.id == "R2"
    assert [t.text for t in relation.templates] == [
        "[X] lives in",
        "the home of [X] is",
    ]
    assert [(f.id, f.object, f.is_trivial) for f in relation.facts] == [
        ("R2:Anna", "Rome", False),
        ("R2:Bob", "Oslo", False),
        ("R2:Rome Inn", "Rome", True),
    ]
    assert relation.candidates == ("Oslo", "Rome")
    assert data.counts["tuples_repeated"] == 1
    assert data.counts["templates_not_object_final"] == 1
    assert data.counts["relations_left_out"] == 1
    assert any("R10" in note for note in data.notes)


def test_a_relation_with_one_template_is_read_when_asked_for(folder):
    data = read_pararel(folder, relations=["R10", "R2"])
    assert [relation.id for relation in data.relations] == ["R2", "R10"]
    assert any("no agreement, in R10" in note for note in data.notes)


def test_the_article_rule_can_be_switched_off(folder):
    add_relation(
        folder, "R3", ["[X] is a [Y].", "[X]: [Y]"], [("Ann", "actor"), ("B", "poet")]
    )
    ruled = read_pararel(folder, relations=["R3"])
    assert ruled.counts["prompts"] == 3
    assert ruled.relations[0].skipped == {"R3:Ann": {0}}
    free = read_pararel(folder, relations=["R3"], article_rule=False)
    assert free.counts["prompts"] == 4


def test_unknown_choices_are_refused_with_the_near_one(folder):
    with pytest.raises(StudyError, match="did you mean 'paired'"):
        read_pararel(folder, relations="pared")  # pyright: ignore[reportArgumentType]
    with pytest.raises(StudyError, match=r"'R22'.*did you mean 'R2'"):
        read_pararel(folder, relations=["R22"])


def test_nothing_left_is_an_error_and_no_empty_data(folder):
    with pytest.raises(DataError, match="none of the 2 relations"):
        read_pararel(folder, relations="n1")
    add_relation(folder, "R4", ["[X] [Y]", "[X]: [Y]"], [("a", "b"), ("a", "c")])
    with pytest.raises(DataError, match="multi_object: any"):
        read_pararel(folder, relations=["R4"])


@pytest.mark.parametrize(
    "pattern", ["lives in [Y].", "[X] and [X] in [Y].", "[X] [Y] [Y]", "[X] lives"]
)
def test_a_template_with_wrong_slots_is_refused_by_line(folder, pattern):
    add_relation(folder, "R2", ["[X] lives in [Y].", pattern], [("Anna", "Rome")])
    with pytest.raises(DataError, match=r"graphs_json.R2\.jsonl, line 2: .*exactly"):
        read_pararel(folder)


def test_a_template_that_is_not_object_final_is_counted_not_refused(folder):
    add_relation(
        folder, "R2", ["[Y] player [X] ", "[X] a [Y]", "[X], [Y]"], [("A", "b")]
    )
    assert read_pararel(folder).counts["templates_not_object_final"] == 1


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("trex_lms_vocab", b'{"sub_label": "A", "obj_label": ""}', "line 1.*empty"),
        ("trex_lms_vocab", b'{"sub_label": "A"}', "line 1.*'obj_label'"),
        ("trex_lms_vocab", b"", "no rows"),
        ("trex_lms_vocab", b'{"sub_label": "\xe9"}', "line 1.*UTF-8"),
        ("trex_lms_vocab", b"{oops}", "line 1.*not JSON"),
        ("graphs_json", b'{"patern": "[X] [Y]"}', "line 1.*did you mean 'patern'"),
        ("graphs_json", b"", "no rows"),
    ],
)
def test_a_faulty_file_is_refused_by_file_and_line(folder, part, content, message):
    path = folder / part / "R2.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        read_pararel(folder)
    assert str(path) in str(refused.value)


def test_missing_folders_and_files_say_what_to_do(folder, tmp_path):
    with pytest.raises(DataError, match="concord data get pararel"):
        read_pararel(tmp_path / "nowhere")
    (folder / "trex_lms_vocab" / "R2.jsonl").unlink()
    with pytest.raises(DataError, match=r"R2\.jsonl: no such file"):
        read_pararel(folder)
    for path in (folder / "graphs_json").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no .jsonl file in it"):
        read_pararel(folder)
