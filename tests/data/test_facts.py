import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.data.facts import (
    Pair,
    article_misfits,
    candidates_of,
    count_facts,
    merge_skips,
    merge_subjects,
    object_final_templates,
    pair_of,
    require_slots,
    text_before_object,
)
from concord.data.records import Relation, Template
from concord.data.rows import Row
from concord.errors import DataError, StudyError


def templates(*patterns):
    return object_final_templates(Template("R", 0, text, text) for text in patterns)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("[X] was born in [Y].", "[X] was born in"),
        ("[X] was born in [Y] .", "[X] was born in"),
        ("[X] was born in [Y]", "[X] was born in"),
        (" [X] was born in  [Y] 。 ", "[X] was born in"),
        ("[X], a product of [Y],", None),
        ("[X] was born in [Y]..", None),
        ("[Y] player [X] ", None),
        ("[X] is a [Y]-born person.", None),
    ],
)
def test_a_template_is_cut_before_a_final_object_only(pattern, text):
    assert text_before_object(pattern) == text


def test_kept_templates_are_numbered_without_gaps():
    kept = templates("[Y] of [X]", "[X] is in [Y].", "[X] [Y] here", "in [X] [Y]")
    assert [(t.index, t.text, t.pattern) for t in kept] == [
        (0, "[X] is in", "[X] is in [Y]."),
        (1, "in [X]", "in [X] [Y]"),
    ]


@pytest.mark.parametrize(
    "pattern", ["was born in [Y]", "[X] was born", "[X] [X] [Y]", "[X] [Y] [Y]"]
)
def test_a_template_without_exactly_one_slot_of_each_kind_is_refused(pattern):
    with pytest.raises(DataError, match="file, line 3"):
        require_slots(pattern, "file, line 3")


def test_the_object_slot_can_be_optional_but_never_twice():
    require_slots("[X] was born in", "line 1", object_needed=False)
    with pytest.raises(DataError):
        require_slots("[X] [Y] [Y]", "line 1", object_needed=False)


ROWS = [
    Pair("Anna", "Rome"),
    Pair("Bob", "Oslo"),
    Pair("Anna", "Rome"),  # an exact repeat
    Pair("Carl", "Lima"),
    Pair("Carl", "Kiev"),  # a second object
]


@pytest.mark.parametrize(
    ("policy", "facts", "dropped"),
    [
        ("drop", {"Anna": ("Rome",), "Bob": ("Oslo",)}, 1),
        (
            "any",
            {"Anna": ("Rome",), "Bob": ("Oslo",), "Carl": ("Lima", "Kiev")},
            0,
        ),
        ("drop_repeated", {"Bob": ("Oslo",)}, 2),
    ],
)
def test_repeated_subjects_follow_the_policy(policy, facts, dropped):
    found, counts = merge_subjects("R", ROWS, policy)
    assert {fact.subject: fact.objects for fact in found} == facts
    assert (counts["tuples"], counts["tuples_repeated"]) == (5, 1)
    assert counts["subjects_with_several_objects"] == 1
    assert counts["subjects_dropped"] == dropped


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_policy_names_the_near_one():
    with pytest.raises(StudyError, match="did you mean 'drop'"):
        merge_subjects("R", ROWS, "drops")  # pyright: ignore[reportArgumentType]


def test_an_object_inside_the_subject_makes_the_fact_trivial():
    pairs = [Pair("FIAT Panda", "Fiat"), Pair("Panda", "Fiat")]
    facts, _ = merge_subjects("R", pairs, "drop")
    assert [fact.is_trivial for fact in facts] == [True, False]


def test_candidates_are_distinct_and_sorted_by_code_point():
    pairs = [Pair("a", "b"), Pair("b", "É"), Pair("c", "Z"), Pair("d", "b")]
    assert candidates_of(pairs) == ("Z", "b", "É")


def test_an_article_must_fit_the_object():
    facts, _ = merge_subjects("R", [Pair("Ann", "Actor"), Pair("Bo", "poet")], "drop")
    wordings = templates("[X] is a [Y]", "[X] is an [Y]", "[X] works as [Y]")
    assert article_misfits(facts, wordings) == {
        "R:Ann": frozenset({0}),
        "R:Bo": frozenset({1}),
    }


def test_an_article_that_fits_one_of_several_objects_stays():
    pairs = [Pair("Ann", "actor"), Pair("Ann", "poet")]
    facts, _ = merge_subjects("R", pairs, "any")
    assert article_misfits(facts, templates("[X] is a [Y]", "[X] is an [Y]")) == {}


def test_prompts_and_pairs_are_counted_after_what_is_skipped():
    # 3 templates, 2 facts: 6 prompts and 2 x 3 pairs; one less: 5 and 1 + 3
    facts, _ = merge_subjects("R", [Pair("Ann", "actor"), Pair("Bo", "poet")], "drop")
    wordings = templates("[X] is a [Y]", "[X]: [Y]", "[X] works as [Y]")
    relation = Relation(
        "R", wordings, facts, ("actor", "poet"), {"R:Ann": frozenset({0})}
    )
    counts = count_facts([relation])
    assert (counts["prompts"], counts["prompts_skipped"]) == (5, 1)
    assert (counts["agreement_pairs"], counts["agreement_pairs_skipped"]) == (4, 2)
    assert (counts["facts"], counts["candidates"], counts["templates"]) == (2, 2, 3)


def test_skips_of_both_reasons_are_joined():
    assert merge_skips({"a": {1}, "b": {0}}, {"a": {2}, "c": {3}}) == {
        "a": {1, 2},
        "b": {0},
        "c": {3},
    }


@given(st.lists(st.builds(Pair, st.sampled_from("abc"), st.sampled_from("xyz"))))
def test_every_row_is_a_fact_a_repeat_or_dropped(pairs):
    for policy in ("drop", "any", "drop_repeated"):
        facts, counts = merge_subjects("R", pairs, policy)
        subjects = {pair.subject for pair in pairs}
        assert len(facts) + counts["subjects_dropped"] == len(subjects)
        assert {fact.subject for fact in facts} <= subjects
        assert counts["tuples"] == len(pairs)


def test_blanks_around_an_object_make_no_other_candidate():
    rows = [
        Row("line 1", {"s": "Ann", "o": "Rome "}),
        Row("2", {"s": "B", "o": "Rome"}),
    ]
    assert candidates_of(pair_of(row, "s", "o") for row in rows) == ("Rome",)
