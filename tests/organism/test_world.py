"""The closed world: the same for a seed, whole, and halved evenly."""

from collections import Counter

import pytest

from concord.organism.corpus import pretraining_documents
from concord.organism.examples import tuning_facts
from concord.organism.lexicon import PRETRAINING_PREFIXES
from concord.organism.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(0)


def test_one_seed_gives_one_world_and_another_seed_another(world: World):
    assert make_world(0) == world
    assert make_world(1).subjects != world.subjects


def test_the_world_has_the_promised_counts(world: World):
    # 240 people x 8 relations + 160 towns, firms and crafts x 5 shared ones = 2,720
    assert len(world.subjects) == 400
    assert len(world.relations) == 8
    assert sum(len(relation.wordings) for relation in world.relations) == 80
    assert len(world.facts) == 2_720
    assert all(len(set(objects)) == 40 for objects in world.objects.values())


def test_names_have_two_parts_and_are_unique(world: World):
    names = [subject.name for subject in world.subjects]
    assert len(set(names)) == len(names)
    assert {len(name.split()) for name in names} == {2}


def test_no_object_can_be_copied_from_the_subject(world: World):
    assert not [
        fact for fact in world.facts if fact.object.lower() in fact.subject.lower()
    ]


def test_every_template_ends_with_the_object(world: World):
    patterns = [text for item in world.relations for text in world.wordings(item.id)]
    assert len(set(patterns)) == 80
    assert all(text.endswith(" [Y].") and text.count("[X]") == 1 for text in patterns)


def test_objects_of_a_relation_are_used_evenly(world: World):
    for relation in world.relations:
        used = Counter(
            fact.object for fact in world.facts if fact.relation == relation.id
        )
        assert max(used.values()) - min(used.values()) <= 1


def test_register_and_tuned_halves_cross_evenly_in_every_kind(world: World):
    for kind in ("person", "town", "firm", "craft"):
        cells = Counter(
            (subject.has_register_lines, subject.is_tuned)
            for subject in world.subjects
            if subject.kind == kind
        )
        assert len(cells) == 4
        assert len(set(cells.values())) == 1


def test_tuning_never_speaks_of_a_held_out_subject(world: World):
    assert all(
        world.subject_by_name[fact.subject].is_tuned for fact in tuning_facts(world)
    )


def test_pretraining_states_a_fact_in_its_granted_wordings_only(world: World):
    text = "\n".join(pretraining_documents(world, 0))
    for prefix in PRETRAINING_PREFIXES:
        text = text.replace(prefix.replace("{}", ""), "")
    lines = set(text.split("\n"))
    for fact in world.facts[::50]:
        stated = {
            wording for wording in range(10) if world.statement(fact, wording) in lines
        }
        assert stated == set(fact.seen_wordings)


def test_register_lines_are_there_for_one_half_of_the_subjects(world: World):
    lines = set("\n".join(pretraining_documents(world, 0)).split("\n"))
    for fact in world.facts[::50]:
        subject = world.subject_by_name[fact.subject]
        is_there = f"{fact.subject} {fact.object}" in lines
        assert is_there == subject.has_register_lines


def test_pretraining_documents_repeat_for_a_pass_and_differ_between_passes(
    world: World,
):
    assert pretraining_documents(world, 3) == pretraining_documents(make_world(0), 3)
    assert pretraining_documents(world, 3) != pretraining_documents(world, 4)
