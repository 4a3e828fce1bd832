"""Attributes rates by hand, on the planted circuit, and against a slow reference."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from planted_circuit import planted_task, planted_tokenizer
from small_study import write_model
from tokenizers import decoders
from transformers import LlamaConfig, LlamaForCausalLM

from concord import organism
from concord.analyses import enrichment, knockout
from concord.analyses.enrichment import (
    NO_WORD,
    Reading,
    best_words,
    scores_of_words,
)
from concord.analyses.facts import questions_of
from concord.analyses.part import Task
from concord.analyses.vocabulary import vocabulary_of
from concord.data.attributes import AttributeTexts
from concord.data.collection import Collection, read_collection
from concord.data.records import Fact, FactData, Relation, Template
from concord.errors import ModelError
from concord.models.architecture import architecture_of
from concord.models.load import LoadedModel, load_model
from concord.study import ModelEntry, Study, resolve_study
from concord.summary.mechanism_recipes import RECIPES


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
            # Nothing is written yet: all words score alike, so none is the best.
            for name in ("attribute_hits", "attribute_hits_shuffled", "object_hits"):
                assert row[name][:2] == [0, 0]


TEN_WORDS = tuple("<s> ▁Oslo oslo fjord the 1905 ab Cod ?!? <unk>".split())
TEN_WORD_SCORES = {
    # Subject -> scores of the ten words, </s>, <pad>, and two rows without a token.
    "Cod": (6, 9, 8, 3, 7, 5, 4, 2, 1, 0, -1, 18, 20, 19),
    "fjord": (0, 5, 5, 4, 9, 0, 0, 4, 0, 0, 0, 0, 0, 0),
    "ab": (0,) * 14,
}


def ten_word_task(**enrichment: Any) -> Task:
    """A network whose state at a subject's last token is the scores of all tokens."""
    tokenizer = planted_tokenizer(TEN_WORDS)
    tokenizer.backend_tokenizer.decoder = decoders.Metaspace()
    config = LlamaConfig(
        vocab_size=14,
        hidden_size=14,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    network = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.0)
        network.lm_head.weight.copy_(torch.eye(14))
        for word, scores in TEN_WORD_SCORES.items():
            network.model.embed_tokens.weight[TEN_WORDS.index(word)] = torch.tensor(
                scores, dtype=torch.float32
            )
    entry = ModelEntry(source="ten", label="ten", fact_contexts=("{}",))
    tuned = entry.model_copy(update={"label": "tuned"})
    template = Template("near", 0, "the [X] ab", "the [X] ab [Y]")
    facts = tuple(
        Fact(f"near:{subject}", "near", subject, (found,), is_trivial=False)
        for subject, found in (("Cod", "oslo"), ("fjord", "Cod"), ("ab", "fjord"))
    )
    relation = Relation("near", (template,), facts, ("Cod", "fjord", "oslo"))
    texts = {"Cod": ("oslo the 1905 ab Cod ?!?",), "fjord": ("fjord Cod", "Cod the")}
    return Task(
        LoadedModel(
            entry,
            "base",
            network,
            tokenizer,
            architecture_of(network),
            {"fingerprint": "ten"},
        ),
        Collection(FactData((relation,), {}), (), attributes=AttributeTexts(texts)),
        Study.model_validate(
            {"base": entry, "tuned": (tuned,), "enrichment": enrichment}
        ),
    )


def test_the_classes_of_a_ten_word_vocabulary_worked_out_by_hand():
    tokenizer = ten_word_task().model.tokenizer
    vocabulary = vocabulary_of(tokenizer, size=14)
    # The tokenizer adds </s> and <pad> as 10 and 11; 12 and 13 lie beyond it. Special,
    # stop, number, short and punctuation tokens are no words; two spellings of Oslo,
    # by space and by case, are one.
    assert len(tokenizer) == 12
    assert vocabulary.words == ("oslo", "fjord", "cod")
    assert vocabulary.class_of_id.tolist() == [
        -1, 0, 0, 1, -1, -1, -1, 2, -1, -1, -1, -1, -1, -1
    ]  # fmt: skip
    assert vocabulary.classes_of([1, 2, 4, 7]).tolist() == [0, 2]
    assert vocabulary.kept([1, 2, 4, 7]).tolist() == [1, 2, 7]


def test_rates_on_a_ten_word_vocabulary_worked_out_by_hand():
    # Attributes of Cod: oslo, cod; of fjord: fjord, cod; ab has no text. Best words:
    #   Cod    oslo 9 (its best id), fjord 3   raw: ▁Oslo 9, oslo 8 (the is third)
    #   fjord  oslo 5, then fjord and cod tied raw: the 9, then ▁Oslo and oslo tied
    #   ab     all tied: none
    # Tied for the last place is no hit. Rows without a token and <pad> are no words.
    hits = {
        "classes": {
            "attribute_hits": {"Cod": 1, "fjord": 0, "ab": None},
            "attribute_hits_shuffled": {"Cod": 1, "fjord": 1, "ab": None},
            "attribute_hits_object_free": {"Cod": 0, "fjord": 0, "ab": None},
            "object_hits": {"Cod": 1, "fjord": 0, "ab": 0},
        },
        "raw": {
            "attribute_hits": {"Cod": 1, "fjord": 0, "ab": None},
            "attribute_hits_shuffled": {"Cod": 0, "fjord": 0, "ab": None},
            "attribute_hits_object_free": {"Cod": 0, "fjord": 0, "ab": None},
            "object_hits": {"Cod": 1, "fjord": 0, "ab": 0},
        },
    }
    for top, expected in hits.items():
        rows = rows_of(ten_word_task(top_k=2, top=top))
        assert {row["k"] for row in rows} == {2}
        for name, by_subject in expected.items():
            found = {row["subject"]: row[name] for row in rows}
            # h_0 and h_1 are the same: the block adds nothing.
            assert found == {
                subject: None if count is None else [count, count]
                for subject, count in by_subject.items()
            }, (top, name)
        sizes = {row["subject"]: row["attribute_count"] for row in rows}
        assert sizes == {"Cod": 2, "fjord": 2, "ab": None}
        others = {row["subject"]: row["other_attribute_count"] for row in rows}
        assert others == sizes


def test_fewer_attributes_than_places_bound_the_rate():
    task = ten_word_task(top_k=3)
    rows = {
        row["subject"]: row for row in rows_of(with_texts(task, {"Cod": ("oslo",)}))
    }
    # All three words there are, of which one is an attribute.
    assert rows["Cod"]["attribute_hits"] == [1, 1]
    assert rows["Cod"]["attribute_count"] == 1 < rows["Cod"]["k"]
    assert rows["Cod"]["attribute_hits_object_free"] is None


def test_only_subjects_that_count_stand_in_for_others():
    texts = {
        "Cod": ("oslo Cod",),
        "fjord": ("fjord Cod",),
        "ab": ("fjord",),
    }
    task = with_texts(ten_word_task(top_k=2, min_attributes=2), texts)
    rows = {row["subject"]: row for row in rows_of(task)}
    assert rows["Cod"]["other_attribute_count"] == 2
    assert rows["fjord"]["other_attribute_count"] == 2
    assert rows["ab"]["attribute_count"] == 1
    assert rows["ab"]["other_attribute_count"] is None
    assert rows["ab"]["attribute_hits_shuffled"] is None


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


@pytest.mark.parametrize("top", ["classes", "raw"])
def test_words_tied_with_the_next_are_not_among_the_best(settings: dict[str, Any], top):
    generator = torch.Generator().manual_seed(0)
    task = task_of(settings, enrichment={"top_k": 7, "top": top})
    assert task.data.facts is not None
    reading = Reading(task, questions_of(task.data.facts))
    weight = task.model.network.get_output_embeddings().weight.detach()
    # Whole numbers: sums are exact, and many are equal.
    weight.copy_(torch.randint(-1, 2, weight.shape, generator=generator))
    states = torch.randint(-1, 2, (5, 4, 32), generator=generator).float()
    found = best_words(reading, states)
    for prompt, layer in np.ndindex(5, 4):
        scores = scores_of_words(reading, (states[prompt, layer] @ weight.T)[None])[0]
        eighth = sorted(scores.tolist(), reverse=True)[7]
        wanted = {place for place, score in enumerate(scores) if score > eighth}
        named = [word for word in found[prompt, layer].tolist() if word != NO_WORD]
        assert len(named) == len(wanted) and set(named) == wanted
    assert (found == NO_WORD).any()


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
