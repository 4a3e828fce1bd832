import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.data.draw import draw, draw_facts, draw_sentences
from concord.data.facts import Pair, count_facts, merge_subjects
from concord.data.records import (
    FactData,
    ParaphraseSet,
    Relation,
    SentenceData,
    SentencePair,
    Template,
)
from concord.errors import StudyError


def relation(name, size):
    pairs = [Pair(f"{name} {number}", "x") for number in range(size)]
    facts, _ = merge_subjects(name, pairs, "drop")
    wordings = tuple(Template(name, i, f"[X] {i}", f"[X] {i} [Y]") for i in range(3))
    skipped = {fact.id: frozenset({0}) for fact in facts[:2]}
    return Relation(name, wordings, facts, ("x", "y"), skipped)


def data(*sizes):
    relations = tuple(relation(f"R{i}", size) for i, size in enumerate(sizes))
    return FactData(relations, {**count_facts(relations), "tuples": 99})


def ids(found):
    return [fact.id for fact in found.facts]


def test_a_draw_keeps_the_order_and_does_not_depend_on_it():
    items = [str(number) for number in range(50)]
    chosen = draw(items, 10, seed=3, key=str)
    assert len(chosen) == 10
    assert chosen == sorted(chosen, key=int)
    assert set(draw(items[::-1], 10, seed=3, key=str)) == set(chosen)
    assert set(draw(items, 10, seed=4, key=str)) != set(chosen)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_a_smaller_draw_is_part_of_a_larger(first, second, seed):
    small, large = sorted((first, second))
    everything = data(9, 1, 20)
    drawn = draw_facts(everything, small, seed=seed)
    assert set(ids(drawn)) <= set(ids(draw_facts(everything, large, seed=seed)))
    assert len(drawn.facts) == min(small, 30)


def test_a_draw_does_not_change_what_is_known_of_a_subject():
    first, second = (
        merge_subjects(name, [Pair("Ada", town), Pair("Ben", town)], "drop")[0]
        for name, town in (("R0", "Avon"), ("R1", "Brill"))
    )
    relations = tuple(
        Relation(facts[0].relation, (), tuple(facts), ("Avon", "Brill"))
        for facts in (first, second)
    )
    whole = FactData(relations, {})
    known = {"Ada": ("Avon", "Brill"), "Ben": ("Avon", "Brill")}
    assert whole.objects_by_subject() == known
    drawn = draw_facts(draw_facts(whole, 3), 1)
    assert len(drawn.facts) == 1
    assert drawn.objects_by_subject() == known


def test_relations_give_equal_shares_as_long_as_they_have_facts():
    # 12 facts: 1 from the relation that has one; the other 11 are 5 and 6
    drawn = draw_facts(data(9, 1, 20), 12, seed=0)
    assert sorted(len(r.facts) for r in drawn.relations) == [1, 5, 6]


def test_counts_are_of_what_was_drawn_and_the_source_stays_as_it_was():
    everything = data(9, 1, 20)
    drawn = draw_facts(everything, 4, seed=0)
    assert drawn.counts["facts"] == 4
    assert drawn.counts["prompts"] + drawn.counts["prompts_skipped"] == 12
    assert drawn.counts["facts_not_drawn"] == 26
    assert drawn.counts["tuples"] == 99
    assert all(r.candidates == ("x", "y") for r in drawn.relations)
    assert set().union(*(r.skipped for r in drawn.relations)) <= set(ids(drawn))
    assert "4 of 30 facts drawn with seed 0" in drawn.notes[-1]
    assert len(everything.facts) == 30


def test_the_order_of_facts_and_relations_is_kept():
    everything = data(9, 1, 20)
    drawn = ids(draw_facts(everything, 15, seed=2))
    assert drawn == [name for name in ids(everything) if name in set(drawn)]


def test_fewer_facts_than_relations_drop_relations():
    drawn = draw_facts(data(5, 5, 5), 2, seed=0)
    assert [len(r.facts) for r in drawn.relations] == [1, 1]
    assert drawn.counts["relations"] == 2


def test_more_than_there_are_gives_all():
    assert ids(draw_facts(data(3, 2), 100)) == ids(data(3, 2))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_draw_of_nothing_is_refused(limit):
    with pytest.raises(StudyError, match="1 or more"):
        draw_facts(data(3), limit)
    with pytest.raises(StudyError, match="1 or more"):
        draw(["a"], limit, seed=0, key=str)


def test_pairs_and_sets_are_drawn_with_their_counts():
    pairs = tuple(SentencePair(str(i), f"a{i}", f"b{i}", i < 5) for i in range(10))
    drawn = draw_sentences(SentenceData("own", pairs=pairs), 4, seed=1)
    assert drawn.counts["pairs"] == len(drawn.pairs) == 4
    # half of the pairs are paraphrases, so half of the draw is
    assert drawn.counts["paraphrases"] == drawn.counts["non_paraphrases"] == 2
    sets = tuple(ParaphraseSet(str(i), (f"a{i}", f"b{i}"), str(i)) for i in range(10))
    drawn = draw_sentences(SentenceData("own", sets=sets), 4, seed=1)
    assert drawn.counts["sets"] == len(drawn.sets) == 4
    assert drawn.notes == ("4 of 10 sets drawn, seed 1.",)
