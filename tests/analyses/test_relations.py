"""Pairs of relations and of predictions against plain loops over the definitions."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from concord.analyses import facts, relations
from concord.analyses.part import Task
from concord.data.collection import read_collection
from concord.models.load import load_model
from concord.study import resolve_study


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(
        settings, {"analyses": ["relations"], "relations": {"pairs": 30}}, changes
    )
    return Task(load_model(study, study.models[place]), read_collection(study), study)


def tables_of(task: Task) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    parts = {part.name: part.rows.to_pylist() for part in relations.run(task)}
    pairs = [row for name, own in parts.items() if "pairs" in name for row in own]
    return pairs, [row for name, own in parts.items() if "split" in name for row in own]


def slow_states(task: Task) -> dict[tuple[Any, ...], tuple[np.ndarray, int, str]]:
    """Unit states, last token and prediction of every prompt, one at a time."""
    found = {}
    for row in pa.concat_tables([p.rows for p in facts.run(task)]).to_pylist():
        ids = task.model.tokenizer(row["prompt"]).input_ids
        kept: list[torch.Tensor] = []
        last = task.model.network.model.layers[-1]
        hook = last.register_forward_hook(
            lambda _, __, out, kept=kept: kept.append(out)
        )
        with torch.inference_mode():
            out = task.model.network(torch.tensor([ids]), output_hidden_states=True)
        hook.remove()
        raw = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
        states = [*out.hidden_states[:-1], raw, out.hidden_states[-1]]
        own = np.stack([state[0, -1].numpy() for state in states])
        key = (row["contexts"], row["context"], row["fact"], row["template"])
        unit = own / np.linalg.norm(own, axis=1, keepdims=True)
        found[key] = unit, ids[-1], row["prediction"]
    return found


def test_pairs_and_splits_equal_a_plain_loop(settings: dict[str, Any]):
    task = task_of(settings, 1)
    slow = slow_states(task)
    pairs, split = tables_of(task)
    subjects = {fact.id: fact for fact in task.data.facts.facts}
    assert {row["kind"] for row in pairs} == {"same", "different"}
    for row in pairs:
        place = row["contexts"], row["context"]
        one, token, _ = slow[(*place, row["fact"], row["template"])]
        other, last, _ = slow[(*place, row["other_fact"], row["other_template"])]
        np.testing.assert_allclose(row["cosines"], (one * other).sum(1), atol=1e-5)
        assert row["last_token"] == "any" or token != last
        first, second = subjects[row["fact"]], subjects[row["other_fact"]]
        assert first.subject != second.subject and first.object != second.object
        assert (row["relation"] == row["other_relation"]) == (row["kind"] == "same")
        if row["kind"] == "same":
            assert row["template"] != row["other_template"]
    by_fact: dict[tuple[Any, ...], list[tuple[np.ndarray, int, str]]] = {}
    for (*place, _), own in slow.items():
        by_fact.setdefault(tuple(place), []).append(own)
    for row in split:
        place = row["contexts"], row["context"]
        if row["kind"] not in ("agreeing", "disagreeing"):
            continue
        wanted = [
            (a[0] * b[0]).sum(1)
            for a, b in combinations(by_fact[(*place, row["fact"])], 2)
            if (a[2] == b[2]) == (row["kind"] == "agreeing")
        ]
        assert row["pair_count"] == len(wanted) > 0
        np.testing.assert_allclose(row["cosines"], np.mean(wanted, axis=0), atol=1e-5)
    seen = sum(row["pair_count"] for row in split if row["kind"].endswith("agreeing"))
    # Six contexts of 6 facts with 3 templates and 6 with 2.
    assert seen == 6 * (6 * 3 + 6 * 1)


def test_the_cosine_across_facts_is_the_mean_over_all_pairs_of_two_sets(
    settings: dict[str, Any],
):
    task = task_of(settings)
    slow = slow_states(task)
    _, split = tables_of(task)
    row = next(r for r in split if r["kind"] == "nonparaphrase" and r["context"] == 0)
    sets: dict[str, list[np.ndarray]] = {}
    for (_, context, fact, _), own in slow.items():
        if context == 0:
            sets.setdefault(fact, []).append(own[0])
    means = [np.mean(own, axis=0) for own in sets.values()]
    wanted = [(a * b).sum(1) for a, b in combinations(means, 2)]
    np.testing.assert_allclose(row["cosines"], np.mean(wanted, axis=0), atol=1e-5)


def test_every_pair_of_some_facts_stands_by_itself(settings: dict[str, Any]):
    task = task_of(settings, relations={"single_facts": 5})
    slow = slow_states(task)
    _, split = tables_of(task)
    single = [row for row in split if row["kind"].endswith("_pair")]
    assert len({row["fact"] for row in single}) == 5
    for row in single:
        place = row["contexts"], row["context"], row["fact"]
        one, _, answer = slow[(*place, row["template"])]
        other, _, second = slow[(*place, row["other_template"])]
        np.testing.assert_allclose(row["cosines"], (one * other).sum(1), atol=1e-5)
        assert (row["kind"] == "agreeing_pair") == (answer == second)
    for row in split:
        if row["kind"] in ("agreeing", "disagreeing") and row["fact"] in {
            one["fact"] for one in single
        }:
            own = [
                one["cosines"]
                for one in single
                if one["kind"] == f"{row['kind']}_pair"
                and all(one[n] == row[n] for n in ("contexts", "context", "fact"))
            ]
            np.testing.assert_allclose(row["cosines"], np.mean(own, axis=0), atol=1e-6)
    other = tables_of(task_of(settings, 1, relations={"single_facts": 5}))[1]
    drawn = {row["fact"] for row in other if row["kind"].endswith("_pair")}
    assert drawn == {row["fact"] for row in single}


def test_a_fact_of_one_template_is_left_out_across_facts(settings: dict[str, Any]):
    task = task_of(settings)
    relation, *others = task.data.facts.relations
    alone = replace(relation, templates=relation.templates[:1], skipped={})
    data = replace(task.data.facts, relations=(alone, *others))
    without = replace(task.data.facts, relations=tuple(others))
    found = []
    for facts_asked in (data, without):
        asked = replace(task, data=replace(task.data, facts=facts_asked))
        _, split = tables_of(asked)
        found.append([r for r in split if r["kind"] == "nonparaphrase"])
    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found, strict=True):
        assert one["pair_count"] == other["pair_count"]
        np.testing.assert_allclose(one["cosines"], other["cosines"], atol=1e-6)


def test_base_and_tuned_get_the_same_pairs(settings: dict[str, Any]):
    def drawn(place: int) -> set[tuple[Any, ...]]:
        names = ("fact", "template", "other_fact", "other_template", "last_token")
        pairs, _ = tables_of(task_of(settings, place))
        return {
            tuple(row[name] for name in names)
            for row in pairs
            if row["contexts"] == "study"
        }

    assert drawn(0) == drawn(1)


def test_one_relation_has_no_pairs_of_two(settings: dict[str, Any]):
    task = task_of(settings)
    one = replace(task.data.facts, relations=task.data.facts.relations[:1])
    pairs, _ = tables_of(replace(task, data=replace(task.data, facts=one)))
    assert {row["kind"] for row in pairs} == {"same"}


@pytest.mark.parametrize("finished", ["pairs", "split"])
def test_a_part_that_is_finished_is_not_given_again(settings: dict[str, Any], finished):
    task = task_of(settings)
    whole = {part.name: part.rows for part in relations.run(task)}
    name = f"study-0-{finished}"
    left = relations.run(replace(task, finished=frozenset({name})))
    again = {part.name: part.rows for part in left}
    assert again.keys() == whole.keys() - {name}
    assert all(again[key].equals(whole[key]) for key in again)
