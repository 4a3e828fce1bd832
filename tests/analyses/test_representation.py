import tracemalloc
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from small_study import SUBJECTS, TOWNS, write_lines

from concord.analyses import geometry, representation
from concord.analyses.geometry import BLOCK_SETS, SetCosines, codes, on_disk
from concord.analyses.part import Task
from concord.analyses.representation import dataset_contexts
from concord.data.collection import read_collection
from concord.models.load import LoadedModel, load_model
from concord.study import resolve_study


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(settings, {"analyses": ["representation"]}, changes)
    model = load_model(study, study.models[place])
    return Task(model, read_collection(study), study)


def rows_of(task: Task) -> list[dict[str, Any]]:
    tables = [part.rows for part in representation.run(task)]
    return pa.concat_tables(tables).to_pylist()


def slow_states(model: LoadedModel, text: str) -> list[np.ndarray]:
    """Every layer's state at the last token, one prompt at a time, no padding."""
    ids = model.tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        states = model.network(ids, output_hidden_states=True).hidden_states
    return [state[0, -1].double().numpy() for state in states]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def task(base_folder: Path, tuned_folder: Path, data_dir: Path) -> Task:
    settings = {
        "base": str(base_folder),
        "tuned": [str(tuned_folder)],
        "data_dir": str(data_dir),
    }
    return task_of(settings)


@pytest.fixture(scope="module")
def rows(task: Task) -> list[dict[str, Any]]:
    return rows_of(task)


def chosen(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, dict[str, Any]]:
    found = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return {row["unit"]: row for row in found}


@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("name", ["tapaco", "pararel"])
def test_sets_equal_the_definition_pair_by_pair(task: Task, rows, name: str, context):
    dataset = next(d for d in task.data.sentences if d.name == name)
    text = dataset_contexts(task, dataset)[context].text
    states = {
        group.id: [
            slow_states(task.model, text.replace("{}", s)) for s in group.sentences
        ]
        for group in dataset.sets
    }
    last = len(next(iter(states.values()))[0]) - 1
    for layer, state in [(0, "hidden"), (1, "hidden"), (last, "final")]:
        found = chosen(rows, dataset=name, context=context, state=state, layer=layer)
        assert set(found) == set(states)
        for unit, own in states.items():
            within = [cosine(a[layer], b[layer]) for a, b in combinations(own, 2)]
            across = [
                np.mean([cosine(a[layer], b[layer]) for a in own for b in other])
                for other_unit, other in states.items()
                if other_unit != unit
            ]
            assert found[unit]["cos_para"] == pytest.approx(np.mean(within), abs=1e-5)
            assert found[unit]["cos_nonpara"] == pytest.approx(
                np.mean(across), abs=1e-5
            )


def test_labelled_pairs_equal_the_definition(task: Task, rows):
    dataset = next(d for d in task.data.sentences if d.name == "mrpc")
    found = chosen(rows, dataset="mrpc", context=0, state="final")
    for pair in dataset.pairs:
        first, second = (
            slow_states(task.model, s)[-1] for s in (pair.first, pair.second)
        )
        filled, empty = ("cos_para", "cos_nonpara")[:: 1 if pair.is_paraphrase else -1]
        assert found[pair.id][filled] == pytest.approx(cosine(first, second), abs=1e-5)
        assert found[pair.id][empty] is None
        assert found[pair.id]["kind"] == (
            "paraphrase" if pair.is_paraphrase else "non_paraphrase"
        )


def test_centred_cosines_equal_the_definition(task: Task, rows):
    dataset = next(d for d in task.data.sentences if d.name == "tapaco")
    states = {s: slow_states(task.model, s)[-1] for s in dataset.sentences}
    mean = np.mean(list(states.values()), axis=0)
    found = chosen(rows, dataset="tapaco", context=0, state="centred")
    for group in dataset.sets:
        own = [states[s] - mean for s in group.sentences]
        expected = np.mean([cosine(a, b) for a, b in combinations(own, 2)])
        assert found[group.id]["cos_para"] == pytest.approx(expected, abs=1e-4)


def test_a_fact_of_one_prompt_moves_no_mean(settings: dict[str, Any], tmp_path: Path):
    """It is never run, so nothing of it is subtracted."""
    wordings = ("[X] was born in [Y].", "[X] comes from [Y].")
    paired = [(subject, wording) for subject in SUBJECTS for wording in wordings]
    alone = [(f"{subject} the Younger", wordings[0]) for subject in SUBJECTS]
    few, more = (
        task_of(
            settings,
            facts={"source": write_facts(tmp_path / f"{len(asked)}.jsonl", asked)},
            representation={"datasets": ["pararel"]},
        )
        for asked in (paired, paired + alone)
    )
    assert rows_of(more) == rows_of(few)
    assert more.data.sentences[0].counts["sets_of_one"] == len(SUBJECTS)


def write_facts(path: Path, asked: list[tuple[str, str]]) -> str:
    rows = [
        {
            "relation": "R",
            "subject": name,
            "template": text,
            "object": TOWNS[len(name) % 4],
        }
        for name, text in asked
    ]
    write_lines(path, rows)
    return str(path)


def test_the_lexical_rows_are_the_share_of_equal_last_tokens(task: Task, rows):
    dataset = next(d for d in task.data.sentences if d.name == "pararel")
    found = chosen(rows, dataset="pararel", context=0, state="lexical", layer=-1)
    last = {s: task.model.tokenizer(s).input_ids[-1] for s in dataset.sentences}
    for group in dataset.sets:
        pairs = [last[a] == last[b] for a, b in combinations(group.sentences, 2)]
        assert found[group.id]["cos_para"] == pytest.approx(np.mean(pairs))


def test_auc_equals_the_definition_on_labelled_pairs(task: Task, rows):
    found = chosen(rows, dataset="mrpc", context=0, state="final").values()
    unlike = [row["cos_nonpara"] for row in found if row["kind"] == "non_paraphrase"]
    for row in found:
        if row["kind"] == "paraphrase":
            less = [
                1.0
                if row["cos_para"] > x + 1e-6
                else 0.5 * (row["cos_para"] > x - 1e-6)
                for x in unlike
            ]
            assert row["auc"] == pytest.approx(np.mean(less), abs=0.02)


def test_every_context_and_layer_has_its_rows(task: Task, rows):
    layers = task.model.layer_count
    names = {(r["dataset"], r["context"], r["state"], r["layer"]) for r in rows}
    states = [("hidden", i) for i in range(layers + 1)]
    states += [("final", layers), ("centred", layers), ("lexical", -1)]
    assert names == {
        (d, c, s, i)
        for d in ("mrpc", "tapaco", "pararel")
        for c in range(3)
        for s, i in states
    }


def test_each_distinct_prompt_is_run_once(task: Task, monkeypatch):
    passed: list[tuple[int, ...]] = []
    real = representation.prompt_states

    def counted(model, prompts, **options):
        passed.extend(prompts)
        return real(model, prompts, **options)

    monkeypatch.setattr(representation, "prompt_states", counted)
    monkeypatch.setattr(representation, "CHUNK_PROMPTS", 4)
    small = rows_of(task)
    per_context = sum(
        len({tuple(task.model.tokenizer(c.wrap(s)).input_ids) for s in d.sentences})
        for d in task.data.sentences
        for c in dataset_contexts(task, d)
    )
    assert len(passed) == per_context
    assert small


def test_chunks_do_not_change_the_rows(task: Task, rows, monkeypatch):
    monkeypatch.setattr(representation, "CHUNK_PROMPTS", 4)
    small = rows_of(task)
    assert len(small) == len(rows)
    for one, other in zip(small, rows, strict=True):
        for name in ("cos_para", "cos_nonpara", "auc"):
            assert one[name] == pytest.approx(other[name], abs=1e-6)


def test_finished_parts_are_left_out(task: Task):
    names = [part.name for part in representation.run(task)]
    rest = Task(task.model, task.data, task.study, frozenset(names[:-1]))
    assert [part.name for part in representation.run(rest)] == names[-1:]


def test_tuned_contexts_end_alike_so_layer_0_has_no_gap(settings: dict[str, Any]):
    """The last token is always the newline: its embedding is the same everywhere."""
    settings["tuned"] = [{"source": settings["tuned"][0], "prompt_format": "role_tags"}]
    rows = rows_of(task_of(settings, 1, contexts=["study"]))
    for row in rows:
        if row["dataset"] == "tapaco" and row["layer"] == 0:
            assert row["cos_para"] == pytest.approx(1, abs=1e-5)
            assert row["cos_nonpara"] == pytest.approx(1, abs=1e-5)


def test_kinds_of_pairs_equal_the_definition():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(6, 1, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    relations, subjects = codes(list("aabbab")), codes(list("xyxyzz"))
    means = vectors[:, 0].astype(float)
    collected = _collected(vectors, [[i] for i in range(6)])
    parts = collected.across_parts(relations, subjects, state=-1)
    for i in range(6):
        for name, kept in {
            "same_relation": (relations == relations[i]),
            "same_subject": (subjects == subjects[i]),
            "neither": (relations != relations[i]) & (subjects != subjects[i]),
        }.items():
            others = [j for j in range(6) if kept[j] and j != i]
            expected = np.mean([means[i] @ means[j] for j in others])
            assert parts[name][i] == pytest.approx(expected, abs=1e-6)


def test_kinds_of_pairs_take_less_memory_than_a_sum_for_each_subject():
    count, states, width = 16 * BLOCK_SETS, 4, 64
    vectors = np.ones((1, states, width), np.float32)
    collected = _collected(vectors, [[0]] * count)
    relations, subjects = np.arange(count) % 35, np.arange(count) * 9 // 10
    tracemalloc.start()
    try:
        collected.across_parts(relations, subjects, state=-1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sums = np.empty((subjects.max() + 1, width))
    assert peak < sums.nbytes


def test_sets_of_one_group_are_not_compared():
    vectors = np.eye(3, dtype=np.float32)[:, None]
    vectors[1] = vectors[0]
    collected = _collected(vectors, [[0], [1], [2]])
    alone = collected.across()
    assert alone[:, 0] == pytest.approx([0.5, 0.5, 0.0])
    grouped = collected.across(np.array([0, 0, 1]))
    assert grouped[:, 0] == pytest.approx([0.0, 0.0, 0.0])


def test_equal_states_have_no_gap_and_one_set_has_no_others():
    vectors = np.ones((4, 1, 2), np.float32) / np.sqrt(2).astype(np.float32)
    two = _collected(vectors, [[0, 1], [2, 3]])
    assert two.within()[:, 0] == pytest.approx([1, 1])
    assert two.across()[:, 0] == pytest.approx([1, 1])
    one = _collected(vectors, [[0, 1]])
    assert np.isnan(one.across()).all()


def test_what_is_kept_on_disk_leaves_no_file_to_a_killed_process(tmp_path: Path):
    kept = on_disk((2, 3), tmp_path)
    kept[1] = 5
    assert kept.tolist() == [[0, 0, 0], [5, 5, 5]]
    assert not list(tmp_path.iterdir())


def test_states_are_kept_where_the_rows_go(task: Task, tmp_path: Path, monkeypatch):
    """The system's own place for temporary files may be small."""
    folders: list[Path | None] = []
    real = geometry.on_disk

    def noted(shape: tuple[int, ...], folder: Path | None) -> np.memmap:
        folders.append(folder)
        return real(shape, folder)

    monkeypatch.setattr(geometry, "on_disk", noted)
    monkeypatch.setattr(representation, "on_disk", noted)
    assert rows_of(replace(task, workspace=tmp_path))
    assert set(folders) == {tmp_path}


def _collected(vectors: np.ndarray, members: list[list[int]]) -> SetCosines:
    collected = SetCosines(len(members), *vectors.shape[1:], folder=None)
    collected.add(0, [np.array(rows) for rows in members], vectors)
    return collected


def test_filled_templates_stand_in_the_contexts_of_facts(settings: dict[str, Any]):
    """Table 3: behind the assistant's tag, not in front of it."""
    settings["tuned"] = [{"source": settings["tuned"][0], "prompt_format": "role_tags"}]
    task = task_of(settings, 1)
    texts = {
        dataset.name: dataset_contexts(task, dataset)[0].text
        for dataset in task.data.sentences
    }
    assert texts["pararel"].endswith("<|assistant|>\n{}")
    assert texts["mrpc"].endswith("{}\n<|assistant|>\n")
    assert texts["tapaco"] == texts["mrpc"]
