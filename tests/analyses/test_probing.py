"""What the analyses of the mechanism refuse, count, and draw."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from planted_circuit import planted_task
from small_study import write_model
from tiny_models import tiny_model, tiny_tokenizer

from concord.analyses import (
    ANALYSES,
    Task,
    enrichment,
    extraction,
    knockout,
    relations,
)
from concord.analyses.facts import fact_contexts
from concord.analyses.probing import TARGETS, lists, probes_of, sampled_questions
from concord.data.attributes import AttributeTexts
from concord.data.collection import read_collection
from concord.data.records import Fact
from concord.errors import ModelError
from concord.models import memory
from concord.models.load import load_model
from concord.plan import plan_study
from concord.study import MECHANISM, resolve_study

RUNS = {
    "enrichment": enrichment.run,
    "relations": relations.run,
    "extraction": extraction.run,
    "knockout": knockout.run,
}


def rows_of(name: str, task: Task) -> list[dict[str, Any]]:
    tables = [part.rows for part in RUNS[name](task)]
    return pa.concat_tables(tables).to_pylist()


def task_of(settings: dict[str, Any], **changes: Any) -> Task:
    study = resolve_study(
        settings, {"analyses": list(MECHANISM), "enrichment": {"top_k": 5}}, changes
    )
    return Task(load_model(study, study.base), read_collection(study), study)


def with_subject(task: Task, subject: str) -> Task:
    """The first fact of the first relation about somebody else."""
    facts = task.data.facts
    assert facts is not None
    first = facts.relations[0]
    changed: tuple[Fact, ...] = (
        replace(first.facts[0], subject=subject),
        *first.facts[1:],
    )
    relations_ = (replace(first, facts=changed), *facts.relations[1:])
    return replace(
        task, data=replace(task.data, facts=replace(facts, relations=relations_))
    )


@pytest.mark.parametrize("name", MECHANISM)
def test_a_quantised_model_is_refused_before_it_is_loaded(
    settings: dict[str, Any], tmp_path, name
):
    folder = write_model(tmp_path / "small")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    # A plan reads configurations and tokenizers; it loads no weights.
    study = resolve_study(settings | {"tuned": [str(folder)]}, {"analyses": [name]})
    with pytest.raises(ModelError, match="small: found quantised weights \\(gptq"):
        plan_study(study)


@pytest.mark.parametrize("name", MECHANISM)
def test_a_network_that_fails_its_check_is_refused_by_every_analysis(
    settings: dict[str, Any], name
):
    task = task_of(settings)
    wrong = replace(task.model.architecture, mlp_update="self_attn")
    broken = replace(task, model=replace(task.model, architecture=wrong))
    with pytest.raises(ModelError, match="base: self-check of llama failed, block 0"):
        next(iter(ANALYSES[name](broken)))


@pytest.mark.parametrize("found", ["flash_attention_2", "flex_attention"])
def test_attention_without_a_mask_per_edge_is_refused(
    settings: dict[str, Any], tmp_path, monkeypatch, found
):
    # A configuration can ask for it, here as if transformers had taken it from there.
    from concord.models import load

    folder = write_model(tmp_path / "fast")
    read = load.read_config

    def asking(*args: Any, **kwargs: Any) -> Any:
        config = read(*args, **kwargs)
        config._attn_implementation_internal = found
        return config

    monkeypatch.setattr(load, "read_config", asking)
    study = resolve_study(settings | {"base": str(folder)}, {"analyses": ["knockout"]})
    with pytest.raises(ModelError, match=f"'{found}' cannot be read and cut"):
        load_model(study, study.base)


@pytest.mark.parametrize("name", MECHANISM)
def test_a_model_of_one_block_is_measured_by_every_analysis(
    settings: dict[str, Any], name
):
    task = task_of(settings)
    size = len(task.model.tokenizer)
    network = tiny_model("llama", vocabulary=size, num_hidden_layers=1)
    assert task.data.facts is not None
    named = {fact.subject: ("Paris, France",) for fact in task.data.facts.facts}
    data = replace(task.data, attributes=AttributeTexts(named))
    model = replace(task.model, network=network)
    rows = rows_of(name, replace(task, model=model, data=data))
    lengths = {
        len(value) for row in rows for value in row.values() if isinstance(value, list)
    }
    # One block: one update, h_0 and h_1, and the final state behind them.
    expected = {"enrichment": {2}, "relations": {3}}
    assert lengths == expected.get(name, {1})


def test_a_subject_that_no_token_stands_for_is_null_and_never_a_number(
    settings: dict[str, Any],
):
    # A blank subject has no token of its own in any prompt.
    task = with_subject(task_of(settings, contexts=["study"]), " ")
    enriched = [row for row in rows_of("enrichment", task) if row["subject"] == " "]
    assert enriched and all(row["position"] is None for row in enriched)
    assert all(row["object_hits"] is None for row in enriched)
    cut = [row for row in rows_of("knockout", task) if row["subject"] == " "]
    assert cut
    for row in cut:
        is_missing = row["set"] in ("subject", "non_subject")
        assert (row["free_change"] is None) == is_missing
        assert (row["position_count"] is None) == is_missing
    events = [row for row in rows_of("extraction", task) if row["subject"] == " "]
    assert events and all(row["mhsa_rank_free"] is not None for row in events)


def test_subjects_without_texts_are_null_and_others_are_not():
    task = planted_task(enrichment={"top_k": 1})
    texts = task.data.attributes
    assert texts is not None
    left = dict(list(texts.texts.items())[2:])
    fewer = replace(task, data=replace(task.data, attributes=AttributeTexts(left)))
    rows = rows_of("enrichment", fewer)
    for row in rows:
        has_texts = row["subject"] in left
        for name in ("attribute_count", "attribute_hits", "attribute_hits_shuffled"):
            assert (row[name] is not None) == has_texts
        assert row["object_hits"] is not None
    none = replace(task, data=replace(task.data, attributes=None))
    rows = rows_of("enrichment", none)
    assert all(row["attribute_hits"] is None for row in rows)


@pytest.mark.parametrize("name", MECHANISM)
def test_a_sample_of_the_facts_is_the_same_for_every_model(
    settings: dict[str, Any], name
):
    study = resolve_study(
        settings, {"analyses": [name], "contexts": ["study"], name: {"facts": 4}}
    )
    data = read_collection(study)
    found = []
    for entry in study.models:
        task = Task(load_model(study, entry), data, study)
        questions = sampled_questions(task, 4)
        found.append([(q.fact.id, q.template.index) for q in questions])
    assert found[0] == found[1]
    # Two relations of six facts: two of each.
    facts = {fact for fact, _ in found[0]}
    assert len(facts) == 4
    (row, _) = plan_study(study).workload
    assert row["prompts"] == 3 * len(found[0])


def test_lists_have_one_row_each_and_null_where_nothing_was_measured():
    values = np.array([[1, 2], [3, 4], [5, 6]])
    array = lists(values, pa.int16(), [True, False, True])
    assert array.type == pa.list_(pa.int16())
    assert array.to_pylist() == [[1, 2], None, [5, 6]]
    assert lists(values.astype(float), pa.float32()).to_pylist()[1] == [3.0, 4.0]
    assert lists(values > 3, pa.bool_()).to_pylist()[1] == [False, True]


TOKENS, UNEMBEDDING_ROWS = 490, 500


@torch.no_grad()
def task_with_and_without_rows_beyond_the_tokenizer(
    settings: dict[str, Any], **changes: Any
) -> tuple[Task, Task]:
    """One model whose last ten rows of the unembedding are huge, and without them."""
    task = task_of(settings, contexts=["study"], **changes)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"more{n}" for n in range(TOKENS - len(tokenizer))])
    assert len(tokenizer) == TOKENS
    wide = tiny_model("llama", vocabulary=UNEMBEDDING_ROWS)
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        beyond = wide.get_parameter(name)[TOKENS:]
        # In both directions: whatever is read, one of them is ahead of all tokens.
        beyond[:5] *= 100
        beyond[5:] = -beyond[:5]
    narrow = tiny_model("llama", vocabulary=TOKENS)
    weights = {name: own[:TOKENS] for name, own in wide.state_dict().items()}
    narrow.load_state_dict(weights)
    assert task.data.facts is not None
    named = {fact.subject: ("Paris, France",) for fact in task.data.facts.facts}
    data = replace(task.data, attributes=AttributeTexts(named))
    model = replace(task.model, tokenizer=tokenizer, network=wide)
    without = replace(model, network=narrow)
    return replace(task, model=model, data=data), replace(
        task, model=without, data=data
    )


@pytest.mark.parametrize("top", ["classes", "raw"])
def test_rows_beyond_the_tokenizer_are_no_words_of_enrichment(
    settings: dict[str, Any], top
):
    tasks = task_with_and_without_rows_beyond_the_tokenizer(
        settings, enrichment={"top_k": 60, "top": top}
    )
    wide, narrow = (rows_of("enrichment", task) for task in tasks)
    assert wide == narrow
    assert sum(sum(row["attribute_hits"]) for row in wide) > 0


def test_rows_beyond_the_tokenizer_are_never_extracted_and_stay_in_the_softmax(
    settings: dict[str, Any],
):
    tasks = task_with_and_without_rows_beyond_the_tokenizer(settings)
    wide, narrow = (rows_of("extraction", task) for task in tasks)
    chances = [f"{target}_log_probability" for target in TARGETS]
    for row, other in zip(wide, narrow, strict=True):
        same = [name for name in row if name not in chances]
        assert [row[name] for name in same] == [other[name] for name in same]
        # Most of the probability lies on the rows that are no tokens.
        for name in chances:
            assert row[name] < other[name] - 5


def test_rows_beyond_the_tokenizer_are_never_on_top_of_a_cut_run(
    settings: dict[str, Any],
):
    tasks = task_with_and_without_rows_beyond_the_tokenizer(settings)
    wide, narrow = (rows_of("knockout", task) for task in tasks)
    network = tasks[0].model.network
    for row, other in zip(wide, narrow, strict=True):
        for name in ("free_token", "is_top_changed", "position_count", "layout"):
            assert row[name] == other[name]
        assert row["free_log_probability"] < other["free_log_probability"] - 5
    context, first = fact_contexts(tasks[0])[0], sampled_questions(tasks[0], None)[0]
    (probe,) = probes_of(tasks[0], context, [first])
    with torch.inference_mode():
        logits = network(torch.tensor([probe.prompt.ids])).logits[0, -1]
    best = int(logits[:TOKENS].argmax())
    assert wide[0]["free_token"] == tasks[0].model.tokenizer.convert_ids_to_tokens(best)
    assert wide[0]["free_log_probability"] == pytest.approx(
        float(logits.log_softmax(-1)[best]), abs=1e-4
    )


@pytest.mark.parametrize("name", sorted(RUNS))
def test_memory_that_runs_out_is_remembered_by_every_analysis(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    task = task_of(settings)
    whole = rows_of(name, task)
    assert task.budgets == {}
    sizes: list[int] = []
    run = memory.run_or_halve

    def small(batch: Any, *given: Any, rows: int, width: int, who: str) -> Any:
        def measured() -> Any:
            sizes.append(rows * width)
            if rows > 1 and rows * width > 100:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return batch()

        return run(measured, *given, rows=rows, width=width, who=who)

    monkeypatch.setattr(memory, "run_or_halve", small)
    scarce = rows_of(name, task)
    assert [list(row) for row in scarce] == [list(row) for row in whole]
    assert max(sizes) > 100
    assert task.budgets
    sizes.clear()
    again = replace(task, budgets=dict(task.budgets))
    rows_of(name, again)
    assert max(sizes) <= 100
