"""Predictions of the analysis against a plain loop over the definitions."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from small_study import write_model
from tiny_passes import rows_fed
from tokenizers import normalizers
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from concord.analyses import ANALYSES, facts, noise
from concord.analyses.facts import fact_contexts
from concord.analyses.part import OtherRows, Task
from concord.analyses.representation import dataset_contexts
from concord.data.collection import read_collection
from concord.errors import DataError, ModelError, StudyError
from concord.metrics.agreement import pairwise_agreement
from concord.models.contexts import SENTINEL
from concord.models.load import LoadedModel, load_model
from concord.plan import plan_study
from concord.scoring import rounds
from concord.study import resolve_study


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(settings, {"analyses": ["facts"]}, changes)
    model = load_model(study, study.models[place])
    return Task(model, read_collection(study), study)


def rows_of(task: Task) -> list[dict[str, Any]]:
    return pa.concat_tables([part.rows for part in facts.run(task)]).to_pylist()


def only_facts(table: pa.Table) -> OtherRows:
    """A run in which nothing but these rows of facts was measured."""

    def read(analysis, /, *, columns=None, filter=None):
        assert analysis == "facts" and filter is not None
        return table.filter(filter).select(columns)

    return read


def slow_score(model: LoadedModel, prompt: str, candidate: str) -> float:
    """Sum of log-probabilities of a candidate's tokens, one text at a time."""
    front = model.tokenizer(prompt).input_ids
    ids = model.tokenizer(f"{prompt} {candidate}").input_ids
    assert ids[: len(front)] == front
    with torch.inference_mode():
        logits = model.network(torch.tensor([ids])).logits[0].double()
    log_probabilities = logits.log_softmax(dim=-1)
    return sum(
        float(log_probabilities[i - 1, ids[i]]) for i in range(len(front), len(ids))
    )


@pytest.mark.parametrize("scoring", ["top", "full"])
@pytest.mark.parametrize("place", [0, 1])
def test_predictions_equal_a_plain_loop(settings: dict[str, Any], scoring, place):
    task = task_of(settings, place, facts={"scoring": scoring})
    rows = rows_of(task)
    relations = {r.id: r for r in task.data.facts.relations}
    assert len(rows) == len(fact_contexts(task)) * 30
    for row in rows:
        candidates = relations[row["relation"]].candidates
        scores = [slow_score(task.model, row["prompt"], c) for c in candidates]
        best, second = np.argsort(scores)[::-1][:2]
        assert row["prediction"] == candidates[best]
        assert row["runner_up"] == candidates[second]
        assert row["score"] == pytest.approx(scores[best], abs=1e-4)
        assert row["margin"] == pytest.approx(scores[best] - scores[second], abs=1e-4)
        assert row["margin_is_exact"]
        assert row["is_correct"] == (row["prediction"] == row["object"])
        if scoring == "full":
            assert row["scores"] == pytest.approx(scores, abs=1e-4)


def test_agreement_and_accuracy_equal_their_definitions(settings: dict[str, Any]):
    """Counted pair by pair in plain Python from the analysis' rows."""
    rows = [r for r in rows_of(task_of(settings)) if r["context"] == 0]
    by_fact: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_fact.setdefault(row["fact"], []).append(row)
    for own in by_fact.values():
        equal = [a["prediction"] == b["prediction"] for a, b in combinations(own, 2)]
        indices = np.array([[row["prediction_index"]] for row in own])
        assert pairwise_agreement(indices)[0] == pytest.approx(np.mean(equal))


def test_full_rows_hold_the_outcome_under_every_normalisation(
    settings: dict[str, Any],
):
    """Divided by characters, bytes and tokens by hand; without a prompt by one row."""
    task = task_of(settings, facts={"scoring": "full"})
    relations = {r.id: r for r in task.data.facts.relations}
    tokenizer = task.model.tokenizer
    bare: dict[str, float] = {}
    for row in rows_of(task):
        candidates = relations[row["relation"]].candidates
        scores = np.array(row["scores"])
        ids = [tokenizer(f"{row['prompt']} {c}").input_ids for c in candidates]
        front = len(tokenizer(row["prompt"]).input_ids)
        for own, whole in zip(candidates, ids, strict=True):
            if own not in bare:
                start = torch.tensor([[tokenizer.bos_token_id, *whole[front:]]])
                with torch.inference_mode():
                    logs = task.model.network(start).logits[0].log_softmax(dim=-1)
                steps = range(len(whole) - front)
                bare[own] = sum(float(logs[i, start[0, i + 1]]) for i in steps)
        wanted = {
            "acc": scores,
            "acc_norm": scores / [len(c) for c in candidates],
            "acc_bytes": scores / [len(c.encode()) for c in candidates],
            "acc_tokens": scores / [len(i) - front for i in ids],
            "acc_mutual_info": scores - [bare[c] for c in candidates],
        }
        for name, values in wanted.items():
            found = row[f"prediction_index_{name}"]
            assert values[found] == pytest.approx(values.max(), abs=1e-4)
            right = candidates[found] == row["object"]
            assert row[f"is_correct_{name}"] == right
        assert row["prediction_index_acc"] == row["prediction_index"]


def test_a_halved_budget_is_remembered_for_later_calls(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    read_batch, refused = rounds.read_batch, []

    def small_memory(batch: Any, plan: Any) -> Any:
        if batch.row_count * batch.shape.positions > 100:
            refused.append(batch)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read_batch(batch, plan)

    task = task_of(settings)
    wanted = rows_of(task)
    assert task.budgets == {}
    monkeypatch.setattr(rounds, "read_batch", small_memory)
    scarce = rows_of(task)
    assert [r["prediction"] for r in scarce] == [r["prediction"] for r in wanted]
    ((key, positions),) = task.budgets.items()
    assert refused
    assert positions <= 1024
    refused.clear()
    again = Task(task.model, task.data, task.study, budgets={key: positions})
    assert rows_of(again) == scarce
    assert not refused


def test_tokens_that_all_prompts_begin_with_are_run_once(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    task = task_of(settings, 1)
    shared = rows_of(task)
    monkeypatch.setattr(facts, "LEAST_SHARED", 10**6)
    apart = rows_of(task)
    rounded = {"score", "margin", "free_log_probability"}
    for one, other in zip(shared, apart, strict=True):
        for name, value in other.items():
            if name in rounded:
                assert one[name] == pytest.approx(value, abs=1e-4)
            else:
                assert one[name] == value
    assert [r["score"] for r in shared] != [r["score"] for r in apart]


def test_the_free_prediction_is_the_models_own_top_token(settings: dict[str, Any]):
    task = task_of(settings)
    for row in rows_of(task)[:10]:
        ids = task.model.tokenizer(row["prompt"], return_tensors="pt").input_ids
        with torch.inference_mode():
            logits = task.model.network(ids).logits[0, -1]
        token = task.model.tokenizer.convert_ids_to_tokens(int(logits.argmax()))
        assert row["free_prediction"] == token
        expected = float(logits.log_softmax(dim=-1).max())
        assert row["free_log_probability"] == pytest.approx(expected, abs=1e-4)


def test_rows_are_the_same_whatever_the_batch_size(settings: dict[str, Any]):
    """To the last digit of predictions; scores to float32's rounding."""
    whole = rows_of(task_of(settings))
    rounded = {"score", "margin", "free_log_probability"}
    for rows in (1, 2, 5):
        task = task_of(settings, batch_size=rows)
        with rows_fed(task.model.network) as fed:
            again = rows_of(task)
        assert max(fed) == rows
        for one, other in zip(again, whole, strict=True):
            for name, value in other.items():
                if name in rounded:
                    assert one[name] == pytest.approx(value, abs=1e-5)
                else:
                    assert one[name] == value


def test_tuned_models_are_asked_in_their_contexts_and_in_the_bases(
    settings: dict[str, Any],
):
    rows = rows_of(task_of(settings, 1))
    prompts = {(r["contexts"], r["context"]): r["prompt"] for r in rows}
    assert prompts["study", 2].startswith("Please finish the sentence.\n")
    assert prompts["same", 1].startswith("Everyone knows that ")
    assert len(prompts) == 6


def test_finished_parts_are_left_out(settings: dict[str, Any], monkeypatch):
    monkeypatch.setattr(facts, "PART_PROMPTS", 8)
    task = task_of(settings)
    parts = list(facts.run(task))
    assert len(parts) == 3 * 4
    names = [part.name for part in parts]
    rest = Task(task.model, task.data, task.study, frozenset(names[::2]))
    again = list(facts.run(rest))
    assert [part.name for part in again] == names[1::2]
    for part in again:
        assert part.rows.equals(parts[names.index(part.name)].rows)


def test_noise_scores_a_seeded_sample_of_the_run_again(settings: dict[str, Any]):
    task = task_of(settings, facts={"noise_prompts": 20})
    table = pa.concat_tables([part.rows for part in facts.run(task)])
    done: list[int] = []
    task = replace(task, measured=only_facts(table), advance=done.append)
    rows = pa.concat_tables([part.rows for part in noise.run(task)]).to_pylist()
    assert len(rows) == sum(done) == 20
    assert rows == pa.concat_tables([p.rows for p in noise.run(task)]).to_pylist()
    known = {(r["fact"], r["template"], r["context"]): r for r in table.to_pylist()}
    for row in rows:
        twin = known[row["fact"], row["template"], row["context"]]
        assert twin["prediction_index"] == row["prediction_index"]
        assert twin["score"] == row["score"]
        assert row["score_alone"] == pytest.approx(row["score"], abs=1e-4)
        assert row["prediction_index"] == row["prediction_index_alone"]


def test_noise_is_the_distance_from_the_runs_own_scores(settings: dict[str, Any]):
    task = task_of(settings, facts={"noise_prompts": 10**6})
    table = pa.concat_tables([part.rows for part in facts.run(task)])
    moved = pc.add(table["score"].combine_chunks(), pa.scalar(0.5, pa.float32()))
    place = table.column_names.index("score")
    task = replace(task, measured=only_facts(table.set_column(place, "score", moved)))
    for part in noise.run(task):
        for row in part.rows.to_pylist():
            assert row["score"] - row["score_alone"] == pytest.approx(0.5, abs=1e-4)


def test_a_prompt_of_the_noise_sample_stands_alone(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    task = task_of(settings, facts={"noise_prompts": 6})
    table = pa.concat_tables([part.rows for part in facts.run(task)])
    task = replace(task, measured=only_facts(table))
    read_batch, batches, paths = rounds.read_batch, [], []

    def seen(batch: Any, plan: Any) -> Any:
        batches.append(batch)
        paths.extend((row, plan.jobs[row.job].trie) for row in batch.rows)
        return read_batch(batch, plan)

    monkeypatch.setattr(rounds, "read_batch", seen)
    list(noise.run(task))
    assert all(batch.row_count == len(batch.rows) == 1 for batch in batches)
    assert all(batch.shape == batch.shapes[0] for batch in batches)
    for row, trie in paths:
        assert np.array_equal(trie.node_parents[row.nodes[1:]], row.nodes[:-1])
    assert any(len(row.nodes) > 1 for row, _ in paths)


def test_noise_without_facts_says_what_it_needs(settings: dict[str, Any]):
    with pytest.raises(StudyError, match="name facts before noise"):
        list(noise.run(task_of(settings)))


def test_an_object_without_tokens_is_named(settings: dict[str, Any], tmp_path: Path):
    file = tmp_path / "facts.csv"
    file.write_text(
        "relation,subject,object,template\n"
        "R,Ada,Rome,[X] lives in [Y]\nR,Ada,Rome,[X] is from [Y]\n"
        "R,Ben,\u200b,[X] lives in [Y]\nR,Ben,\u200b,[X] is from [Y]\n",
        encoding="utf-8",
    )
    settings["base"] = {"source": settings["base"], "fact_contexts": ["{}\n"]}
    task = task_of(settings, facts={"source": str(file)})
    backend = task.model.tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Replace("\u200b", "")
    with pytest.raises(DataError, match="relation R: candidate .* has no token"):
        rows_of(task)


@pytest.mark.parametrize("analysis", ["facts", "representation"])
def test_a_tokenizer_of_a_larger_model_is_refused(
    settings: dict[str, Any], tmp_path: Path, analysis: str
):
    """Its ids have no embedding: a lookup would fail, or read other memory."""
    tokenizer = AutoTokenizer.from_pretrained(settings["base"])
    tokenizer.add_tokens(["Ada", "I like"])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    settings["base"] = {
        "source": settings["base"],
        "tokenizer": str(tmp_path / "tokenizer"),
    }
    task = task_of(settings, analyses=["facts", "representation"])
    with pytest.raises(ModelError, match="embedding ends at"):
        list(ANALYSES[analysis](task))


def write_gap_filler(folder: Path) -> Path:
    """A T5 of random weights whose tokenizer knows the first gap."""
    write_model(folder, family="t5")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": [SENTINEL]})
    tokenizer.save_pretrained(folder)
    network = AutoModelForSeq2SeqLM.from_pretrained(folder)
    network.resize_token_embeddings(len(tokenizer))
    network.save_pretrained(folder)
    return folder


def score_in_gap(model: LoadedModel, prompt: str, candidate: str) -> float:
    """A candidate behind start and gap in the decoder, one text at a time."""
    assert prompt.endswith(SENTINEL)
    tokenizer, network = model.tokenizer, model.network
    ids = tokenizer(candidate, add_special_tokens=False).input_ids
    start = network.config.decoder_start_token_id
    front = [start, tokenizer.convert_tokens_to_ids(SENTINEL)]
    with torch.inference_mode():
        logits = network(
            input_ids=torch.tensor([tokenizer(prompt).input_ids]),
            decoder_input_ids=torch.tensor([[*front, *ids]]),
        ).logits[0]
    log_probabilities = logits.double().log_softmax(dim=-1)
    return sum(float(log_probabilities[1 + i, one]) for i, one in enumerate(ids))


def test_a_model_that_fills_gaps_is_scored_in_the_gap(
    settings: dict[str, Any], tmp_path: Path
):
    source = str(write_gap_filler(tmp_path / "t5"))
    settings |= {
        "base": {"source": source, "label": "gaps", "sentinel": True},
        "tuned": [{"source": source, "label": "plain"}],
    }
    task = task_of(settings, facts={"scoring": "full"}, limit=4)
    relations = {r.id: r for r in task.data.facts.relations}
    rows = rows_of(task)
    plain = rows_of(task_of(settings, 1, facts={"scoring": "full"}, limit=4))
    for row in rows:
        candidates = relations[row["relation"]].candidates
        scores = [score_in_gap(task.model, row["prompt"], c) for c in candidates]
        assert row["scores"] == pytest.approx(scores, abs=1e-4)
    own = {row["prompt"] for row in plain if row["contexts"] == "study"}
    assert not any(prompt.endswith(SENTINEL) for prompt in own)
    # Asked as the base is, the same weights give the same scores.
    same = [row for row in plain if row["contexts"] == "same"]
    for one, other in zip(rows, same, strict=True):
        assert one["prompt"] == other["prompt"]
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
    assert fact_contexts(task)[0].ends_in_gap
    for dataset in task.data.sentences:
        assert not dataset_contexts(task, dataset)[0].ends_in_gap


@pytest.mark.parametrize(
    ("family", "told"), [("llama", "decoder-only model"), ("t5", "has no <extra_id_0>")]
)
def test_a_gap_that_cannot_be_filled_is_refused_before_anything_is_loaded(
    settings: dict[str, Any], tmp_path: Path, family: str, told: str
):
    source = str(write_model(tmp_path / "model", family=family))
    study = resolve_study(
        settings,
        {
            "base": {"source": source, "label": "gaps", "sentinel": True},
            "analyses": ["facts"],
        },
    )
    with pytest.raises(ModelError, match=told):
        plan_study(study)
