"""Attributes rates on the planted circuit, of whole prompts, of a trained family."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from enriched_rows import rows_of, task_of, with_texts
from planted_circuit import planted_task
from small_study import write_model

from concord import organism
from concord.analyses import enrichment, knockout
from concord.analyses.enrichment import Reading, scores_of_words
from concord.analyses.facts import fact_contexts, questions_of
from concord.analyses.part import Task
from concord.data.collection import read_collection
from concord.errors import ModelError
from concord.models.load import load_model
from concord.study import resolve_study
from concord.summary.mechanism_recipes import RECIPES


def test_the_planted_circuit_recalls_its_attribute_from_h_2_on():
    task = planted_task(enrichment={"top_k": 1})
    for twin in (task, planted_task(has_extraction=False, enrichment={"top_k": 1})):
        rows = rows_of(twin)
        assert len(rows) == 16
        for row in rows:
            assert row["attribute_count"] == 1
            assert row["attribute_hits"][2:] == [1] * 5
            assert row["object_hits"] == row["attribute_hits"]
            assert row["attribute_hits_shuffled"][2:] == [0] * 5
            # Its only attribute is the object: nothing is left to look for.
            assert row["attribute_hits_object_free"] is None
            assert row["position"] == 3 and not row["covers_more"]
            # Nothing is written yet: all words score alike, so none is the best.
            for name in ("attribute_hits", "attribute_hits_shuffled", "object_hits"):
                assert row[name][:2] == [0, 0]


def test_a_subjects_objects_are_those_of_all_its_facts_drawn_or_not(
    settings: dict[str, Any],
):
    rows = {}
    for limit in (None, 4):
        task = task_of(settings, enrichment={"top_k": 5}, limit=limit)
        for row in rows_of(with_texts(task, TEXTS)):
            rows.setdefault(prompt_of(task, row), []).append(row)
    both = [found for found in rows.values() if len(found) == 2]
    assert len(both) == 4 * 3 * 3 - 6
    names = ("object_count", "object_hits", "attribute_hits_object_free")
    for whole, drawn in both:
        assert [whole[name] for name in names] == [drawn[name] for name in names]


TEXTS = {
    "Ada Stone": ("Barack Obama was born in Honolulu.",),
    "Ben Hill": ("The capital of France is Paris; Avon lies in Africa.",),
    "Cara Wood": ("physics and the violin in Switzerland", "Corby borders Niger"),
}


@pytest.mark.parametrize("norm", ["none", "final"])
def test_rows_equal_a_pass_over_every_whole_prompt(settings: dict[str, Any], norm):
    task = with_texts(
        task_of(settings, 1, enrichment={"top_k": 5, "norm": norm}), TEXTS
    )
    network, tokenizer = task.model.network, task.model.tokenizer
    assert task.data.facts is not None
    reading = Reading(task, questions_of(task.data.facts))
    vocabulary = reading.vocabulary
    rows = rows_of(task)
    assert len(rows) == 180
    for row in rows[::5]:
        prompt = prompt_of(task, row)
        encoded = tokenizer(prompt, return_offsets_mapping=True)
        end = prompt.index(row["subject"]) + len(row["subject"])
        inside = [i for i, (a, b) in enumerate(encoded.offset_mapping) if a < end <= b]
        assert row["position"] == inside[0]
        ids = torch.tensor([encoded.input_ids])
        with torch.inference_mode():
            states = list(network(ids, output_hidden_states=True).hidden_states[:-1])
        own = tokenizer(list(TEXTS.get(row["subject"], ())) or [""])["input_ids"]
        attributes = set(vocabulary.classes_of(n for one in own for n in one).tolist())
        if row["subject"] not in TEXTS:
            assert row["attribute_hits"] is None and row["attribute_count"] is None
            continue
        for layer, hidden in enumerate(states):
            state = hidden[0, inside[0]]
            if norm == "final":
                state = network.model.norm(state)
            scores = scores_of_words(reading, network.lm_head(state)[None])[0]
            top = set(scores.argsort(descending=True)[:5].tolist())
            assert row["attribute_hits"][layer] == len(top & attributes)


def prompt_of(task: Task, row: dict[str, Any]) -> str:
    assert task.data.facts is not None
    context = next(
        c
        for c in fact_contexts(task)
        if (c.contexts, c.index) == (row["contexts"], row["context"])
    )
    template = next(
        t
        for relation in task.data.facts.relations
        if relation.id == row["relation"]
        for t in relation.templates
        if t.index == row["template"]
    )
    return context.wrap(template.fill(row["subject"]))


def test_every_distinct_prefix_is_run_once(settings: dict[str, Any], monkeypatch):
    task = task_of(settings, enrichment={"top_k": 5})
    lengths: list[int] = []
    original = enrichment.final_states

    def counted(network, architecture, ids, mask):
        lengths.extend(mask.sum(dim=1).tolist())
        return original(network, architecture, ids, mask)

    monkeypatch.setattr(enrichment, "final_states", counted)
    rows = rows_of(task)
    assert len(rows) == 90
    prefixes = set()
    for row in rows:
        prompt = prompt_of(task, row)
        ids = task.model.tokenizer(prompt).input_ids
        prefixes.add(tuple(ids[: row["position"] + 1]))
    # Of 90 prompts 72 start with the subject, in every context alike.
    assert len(lengths) == len(prefixes) < 45


def test_another_subjects_words_stand_in_for_each_subject():
    task = planted_task(enrichment={"top_k": 3})
    assert task.data.facts is not None
    reading = Reading(task, questions_of(task.data.facts))
    partners = reading.partners["born", True]
    assert sorted(partners) == sorted(partners.values())
    assert all(one != other for one, other in partners.items())
    again = Reading(task, questions_of(task.data.facts)).partners["born", True]
    assert partners == again


def test_more_words_than_the_tokenizer_has_are_refused():
    with pytest.raises(ModelError, match="give a smaller enrichment.top_k"):
        rows_of(planted_task(enrichment={"top_k": 50}))


@pytest.mark.parametrize("analysis", [enrichment, knockout])
def test_without_bos_the_subject_becomes_position_0_and_the_reader_is_told(
    analysis, settings: dict[str, Any], tmp_path: Path
):
    changes = {"enrichment": {"top_k": 5}, "knockout": {"sets": ["subject"]}}
    with_bos = task_of(settings, **changes)
    settings["base"] = str(write_model(tmp_path / "gpt2", family="gpt2"))
    without = task_of(settings, **changes)
    # In one of three contexts nothing stands in front of the prompt, and there 4 of 5
    # templates begin with the subject: 24 of 90 prompts.
    for task, count in ((with_bos, 0), (without, 24)):
        rows = pa.concat_tables([part.rows for part in analysis.run(task)])
        assert rows["first_position"].to_pylist().count(0) == count
        told = [
            text
            for recipe in RECIPES
            if recipe.analysis == analysis.__name__.rpartition(".")[2]
            for remark in recipe.remarks
            if "position 0" in (text := remark(rows, {}) or "")
        ]
        assert [text[:36] for text in told] == (
            ["the subject of 26.7% of the prompts "] if count else []
        )


def rows_of_the_family(
    member: str, folder: Path
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows of 120 facts of the embedded family; which subjects have register lines."""
    world = organism.shipped_world()
    organism.write_world_data(world, folder)
    study = resolve_study(
        {
            "base": "embedded:base",
            "tuned": ["embedded:wordings"],
            "analyses": ["enrichment"],
            "contexts": ["study"],
            "data_dir": folder,
            "limit": 120,
        }
    )
    entry = next(e for e in study.models if e.label == member)
    rows = rows_of(Task(load_model(study, entry), read_collection(study), study))
    subjects = [world.subject_by_name[row["subject"]] for row in rows]
    return rows, np.array([subject.has_register_lines for subject in subjects])


@pytest.mark.slow
@pytest.mark.parametrize("member", ["base", "wordings"])
def test_the_rate_tells_subjects_with_register_lines_from_those_without(
    member, tmp_path: Path
):
    """From h_1 to h_3 the rate finds the attributes of the subjects with lines alone.

    The last blocks read the answer out at the subject too, lines or not: there the
    other half is above the shuffled control as well, though by much less.
    """
    rows, has_lines = rows_of_the_family(member, tmp_path)
    assert all(row["attribute_count"] for row in rows)
    own, other = (
        np.array([row[name] for row in rows]) / rows[0]["k"]
        for name in ("attribute_hits", "attribute_hits_shuffled")
    )
    gain_with = own[has_lines].mean(axis=0) - other[has_lines].mean(axis=0)
    gain_without = own[~has_lines].mean(axis=0) - other[~has_lines].mean(axis=0)
    assert (gain_with[1:4] > 0.08).all()
    assert (np.abs(gain_without[1:4]) < 0.03).all()
    assert (own[has_lines].mean(axis=0)[1:4] > 3 * other[has_lines].mean(0)[1:4]).all()
    assert (gain_with[4:] > gain_without[4:] + 0.02).all()
    assert gain_without[5] > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("member", ["base", "wordings"])
def test_recall_of_the_objects_tells_the_two_halves_apart(member, tmp_path: Path):
    rows, has_lines = rows_of_the_family(member, tmp_path)
    recall: dict[tuple[bool, str], list[float]] = {}
    for row, has in zip(rows, has_lines.tolist(), strict=True):
        for name in ("object_hits", "object_hits_shuffled"):
            if row[name] is not None:
                size = "object_count" if name == "object_hits" else "other_object_count"
                share = row[name][4] / row[size]
                recall.setdefault((has, name), []).append(share)
    found = {key: float(np.mean(values)) for key, values in recall.items()}
    assert found[True, "object_hits"] > found[False, "object_hits"] + 0.3
    assert found[True, "object_hits"] > found[True, "object_hits_shuffled"] + 0.5
    assert all(row["attribute_count"] for row in rows)
