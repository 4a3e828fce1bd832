"""Attributes rates by hand, on the planted circuit, and against a slow reference."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from planted_circuit import planted_task, planted_tokenizer

from concord import organism
from concord.analyses import enrichment
from concord.analyses.enrichment import Reading, best_words, scores_of_words
from concord.analyses.facts import questions_of
from concord.analyses.part import Task
from concord.analyses.vocabulary import vocabulary_of
from concord.data.attributes import AttributeTexts
from concord.data.collection import read_collection
from concord.errors import ModelError
from concord.models.load import load_model
from concord.study import resolve_study


def rows_of(task: Task) -> list[dict[str, Any]]:
    return pa.concat_tables([p.rows for p in enrichment.run(task)]).to_pylist()


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
        before = np.array([row["attribute_hits"][:2] for row in rows])
        assert before.mean() <= 1 / 8


def test_rates_on_a_ten_word_vocabulary_worked_out_by_hand():
    # ids:     0     1      2       3        4       5      6     7     8      9
    words = ("<s>", "Oslo", "oslo", "fjord", "the", "1905", "ab", "Cod", "?!?", "<unk>")
    vocabulary = vocabulary_of(planted_tokenizer(words), size=12)
    # Ids 10 and 11 lie beyond the tokenizer; special, stop, number, short and
    # punctuation tokens are no words; two spellings of Oslo are one.
    assert vocabulary.words == ("oslo", "fjord", "cod")
    assert vocabulary.class_of_id.tolist() == [
        -1, 0, 0, 1, -1, -1, -1, 2, -1, -1, -1, -1
    ]  # fmt: skip
    assert vocabulary.classes_of([1, 2, 4, 7]).tolist() == [0, 2]
    assert vocabulary.kept([1, 2, 4, 7]).tolist() == [1, 2, 7]


def test_the_best_words_are_those_of_a_full_sort_in_both_forms(
    settings: dict[str, Any],
):
    generator = torch.Generator().manual_seed(0)
    for top in ("classes", "raw"):
        task = task_of(settings, enrichment={"top_k": 7, "top": top})
        assert task.data.facts is not None
        reading = Reading(task, questions_of(task.data.facts))
        states = torch.randn((5, 4, 32), generator=generator)
        found = best_words(reading, states)
        weight = task.model.network.get_output_embeddings().weight.detach()
        class_of_id = reading.vocabulary.class_of_id
        for prompt, layer in np.ndindex(5, 4):
            scores = (states[prompt, layer] @ weight.T).tolist()
            wanted: list[int] = []
            for number in sorted(range(len(scores)), key=lambda i: -scores[i]):
                if top == "raw" and number != task.model.tokenizer.pad_token_id:
                    wanted.append(number)
                elif top == "classes" and class_of_id[number] >= 0:
                    wanted.append(int(class_of_id[number]))
            distinct = list(dict.fromkeys(wanted))[:7]
            assert found[prompt, layer].tolist() == distinct


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(settings, {"analyses": ["enrichment"]}, changes)
    return Task(load_model(study, study.models[place]), read_collection(study), study)


def with_texts(task: Task, texts: dict[str, tuple[str, ...]]) -> Task:
    from dataclasses import replace

    return replace(task, data=replace(task.data, attributes=AttributeTexts(texts)))


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
    from concord.analyses.facts import fact_contexts

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


@pytest.mark.slow
@pytest.mark.parametrize("member", ["base", "wordings"])
def test_the_rate_tells_subjects_with_register_lines_from_those_without(
    member, tmp_path: Path
):
    world = organism.shipped_world()
    organism.write_world_data(world, tmp_path)
    study = resolve_study(
        {
            "base": "embedded:base",
            "tuned": ["embedded:wordings"],
            "analyses": ["enrichment"],
            "contexts": ["study"],
            "data_dir": tmp_path,
            "limit": 120,
        }
    )
    entry = next(e for e in study.models if e.label == member)
    rows = rows_of(Task(load_model(study, entry), read_collection(study), study))
    recall: dict[tuple[bool, str], list[float]] = {}
    for row in rows:
        has_lines = world.subject_by_name[row["subject"]].has_register_lines
        for name in ("object_hits", "object_hits_shuffled"):
            if row[name] is not None:
                size = "object_count" if name == "object_hits" else "other_object_count"
                share = row[name][4] / row[size]
                recall.setdefault((has_lines, name), []).append(share)
    found = {key: float(np.mean(values)) for key, values in recall.items()}
    assert found[True, "object_hits"] > found[False, "object_hits"] + 0.3
    assert found[True, "object_hits"] > found[True, "object_hits_shuffled"] + 0.5
    assert all(row["attribute_count"] for row in rows)
