"""Knockout: windows by hand, the planted circuit, the tree against separate passes."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from planted_circuit import planted_task
from tiny_models import DECODER_FAMILIES, tiny_model, tiny_tokenizer

from concord.analyses import knockout, knockout_passes
from concord.analyses.facts import fact_contexts, questions_of
from concord.analyses.knockout import knock_out
from concord.analyses.knockout_passes import (
    HALF_PRECISION_TOLERANCE,
    TOLERANCE,
    layout_of,
    states_of,
)
from concord.analyses.knockout_runs import (
    Runs,
    cut_positions,
    default_width,
    window_of,
)
from concord.analyses.part import Task
from concord.analyses.probing import probes_of
from concord.models import growing
from concord.models.architecture import architecture_of
from concord.models.hooks import Edges, intervene
from concord.models.load import LoadedModel


def rows_of(task: Task) -> list[dict[str, Any]]:
    return pa.concat_tables([p.rows for p in knockout.run(task)]).to_pylist()


@pytest.mark.parametrize(
    ("layers", "width", "expected"),
    [
        (
            32,
            9,
            {0: (0, 4), 3: (0, 7), 4: (0, 8), 5: (1, 9), 28: (24, 31), 31: (27, 31)},
        ),
        (32, 10, {0: (0, 4), 4: (0, 8), 5: (0, 9), 27: (22, 31), 31: (26, 31)}),
        (6, 3, {0: (0, 1), 1: (0, 2), 2: (1, 3), 3: (2, 4), 4: (3, 5), 5: (4, 5)}),
        (6, 1, {0: (0, 0), 5: (5, 5)}),
        (6, 2, {0: (0, 0), 1: (0, 1), 5: (4, 5)}),
        (6, 12, {0: (0, 5), 5: (0, 5)}),
    ],
)
def test_windows_have_the_listed_ends(layers, width, expected):
    for centre, ends in expected.items():
        window = window_of(centre, width, layers)
        assert (window[0], window[-1]) == ends


def test_the_default_window_is_nine_or_an_odd_quarter():
    assert [default_width(n) for n in (1, 6, 12, 16, 23, 24, 32)] == [
        1,
        1,
        3,
        5,
        5,
        9,
        9,
    ]


def test_the_planted_circuit_loses_its_prediction_without_the_subject():
    rows = rows_of(planted_task(knockout={"window": 3}))
    assert len(rows) == 48
    for row in rows:
        effect = 100 * np.expm1(np.array(row["free_change"]))
        moved = row["is_top_changed"]
        assert row["layout"] == "growing" and row["window"] == 3
        if row["set"] == "subject":
            assert effect[:3].tolist() == [0, 0, 0] and moved[:3] == [False] * 3
            # The probability falls to that of 27 equal tokens.
            left = np.exp(row["free_log_probability"] + np.array(row["free_change"]))
            np.testing.assert_allclose(left[3:], 1 / 27, rtol=1e-4)
            np.testing.assert_allclose(effect[3:], -96.3, atol=0.1)
        else:
            assert effect.tolist() == [0] * 6 and not any(moved)


def test_the_twin_without_extraction_is_flat():
    for row in rows_of(planted_task(has_extraction=False, knockout={"window": 3})):
        assert row["object_change"] == [0] * 6 and not any(row["is_top_changed"])


GROWING = tuple(
    name for name in DECODER_FAMILIES if name not in ("bloom", "falcon_alibi")
)


def tiny_task(
    settings: dict[str, Any],
    family: str,
    *,
    dtype: torch.dtype = torch.float64,
    **config: Any,
) -> Task:
    from concord.data.collection import read_collection
    from concord.study import resolve_study

    study = resolve_study(settings, {"analyses": ["knockout"], "contexts": ["study"]})
    entry = study.base.model_copy(update={"bos": "never"})
    tokenizer = tiny_tokenizer(bos=False)
    network = tiny_model(family, vocabulary=len(tokenizer), dtype=dtype, **config)
    model = LoadedModel(
        entry,
        "base",
        network,
        tokenizer,
        architecture_of(network),
        {"fingerprint": family},
    )
    return Task(model, read_collection(study), study)


def prepared(task: Task, sets=("subject", "non_subject", "last"), width=3):
    assert task.data.facts is not None
    questions = questions_of(task.data.facts)[::9]
    context = fact_contexts(task)[1]
    probes = probes_of(task, context, questions)
    runs = Runs(tuple(sets), task.model.layer_count, width)
    cuts = [cut_positions(probe, sets, None) for probe in probes]
    answers = np.full((len(probes), 2), 9)
    return probes, answers, {"runs": runs, "cuts": cuts}


@pytest.mark.parametrize("family", [*GROWING, "bloom"])
def test_both_trees_equal_separate_passes(
    settings: dict[str, Any], family, monkeypatch: pytest.MonkeyPatch
):
    task = tiny_task(settings, family)
    probes, answers, design = prepared(task)
    best = layout_of(task.model, probes[0].prompt.ids)
    assert best == ("tree" if family == "bloom" else "growing")
    rows = knock_out(task, probes, answers, layout="rows", **design)
    changes = rows.log_probability[:, 1:] - rows.log_probability[:, :1]
    assert np.abs(changes).max() > 0.01
    # These compute attention in float32 in every dtype.
    close = 2e-5 if family in ("bloom", "gemma2") else 1e-10
    batches = batches_seen(monkeypatch)
    for layout in {"tree", best}:
        tree = knock_out(task, probes, answers, layout=layout, **design)
        np.testing.assert_allclose(
            tree.log_probability, rows.log_probability, atol=close
        )
        assert (tree.top == rows.top).all()
    # Three lengths, padded to one width in one batch.
    assert [len(set(lengths)) for lengths in batches] == [3] * len({"tree", best})


def batches_seen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Lengths of the prompts of each batch from now on."""
    seen: list[list[int]] = []

    def noted(model, prompts, *given):
        seen.append([len(prompt) for prompt in prompts])
        return states_of(model, prompts, *given)

    monkeypatch.setattr(knockout, "states_of", noted)
    return seen


@pytest.mark.parametrize("layout", ["growing", "tree", "rows"])
def test_prompts_in_one_batch_give_what_each_gives_by_itself(
    settings: dict[str, Any], layout, monkeypatch: pytest.MonkeyPatch
):
    task = tiny_task(settings, "llama", dtype=torch.float32)
    probes, answers, design = prepared(task)
    batches = batches_seen(monkeypatch)
    together = knock_out(task, probes, answers, layout=layout, **design)
    one_row = task.study.model_copy(update={"batch_size": 1})
    alone = replace(task, study=one_row)
    single = knock_out(alone, probes, answers, layout=layout, **design)
    # A single prompt goes in twice.
    assert [len(lengths) for lengths in batches] == [len(probes)] + [2] * len(probes)
    np.testing.assert_allclose(
        together.log_probability, single.log_probability, atol=1e-4
    )
    assert (together.top == single.top).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_cut_changes_nothing_at_all_in_rows_and_rounding_alone_in_trees(
    settings: dict[str, Any], dtype
):
    """A copy's own key stands in a column of its own: sums run in another order."""
    task = tiny_task(settings, "llama", dtype=dtype)
    probes, answers, design = prepared(task)
    design["cuts"] = [dict.fromkeys(cuts, ()) for cuts in design["cuts"]]
    half = dtype is torch.bfloat16
    within = HALF_PRECISION_TOLERANCE if half else TOLERANCE
    for layout, most in (("rows", 0.0), ("growing", within), ("tree", within)):
        found = knock_out(task, probes, answers, layout=layout, **design)
        log = found.log_probability
        changes = log - log[:, :1]
        assert np.abs(changes).max() <= most * log.std()
        assert (found.top == found.top[:, :1]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_base_of_every_change_is_the_uncut_copy_of_the_same_pass(
    settings: dict[str, Any], dtype, monkeypatch: pytest.MonkeyPatch
):
    """A pass of the prompt alone takes another kernel: .002 off in bfloat16."""
    task = tiny_task(settings, "llama", dtype=dtype)
    monkeypatch.setattr(
        knockout,
        "states_of",
        lambda *given: states_of(*given)[:, :1].expand(-1, given[3].count, -1),
    )
    rows = rows_of(task)
    assert {row["layout"] for row in rows} == {"growing"}
    for row in rows:
        for target in ("free", "prediction", "object"):
            assert row[f"{target}_change"] == [0.0] * 3
        assert row["is_top_changed"] == [False] * 3


def test_a_growing_tree_runs_fewer_positions_than_a_tree(settings: dict[str, Any]):
    task = tiny_task(settings, "llama")
    probes, _, design = prepared(task, width=1)
    runs, cuts = design["runs"], design["cuts"]
    prompts = [probe.prompt.ids for probe in probes]
    seen: list[int] = []
    handles = [
        block.register_forward_hook(lambda _, args, out: seen.append(out.shape[1]))
        for block in task.model.network.model.layers
    ]
    with torch.inference_mode():
        grown = states_of(task.model, prompts, cuts, runs, "growing")
        whole = states_of(task.model, prompts, cuts, runs, "tree")
    for handle in handles:
        handle.remove()
    # Window 1 of 3 blocks: a copy of each of 3 sets enters at its own block.
    assert seen[3:] == [seen[2]] * 3
    assert [seen[2] - one for one in seen[:3]] == [6, 3, 0]
    assert torch.allclose(grown, whole, atol=1e-10)


def test_a_layout_that_gives_other_numbers_is_not_used(
    settings: dict[str, Any], monkeypatch, caplog
):
    task = tiny_task(settings, "llama")
    ids = prepared(task)[0][0].prompt.ids
    right = knockout_passes._tree_states

    def wrong(model, prompts, cuts, runs, *, grows):
        states = right(model, prompts, cuts, runs, grows=grows)
        return states + grows

    monkeypatch.setattr(knockout_passes, "_tree_states", wrong)
    assert layout_of(task.model, ids) == "tree"
    assert "as a growing layout differs from separate rows" in caplog.text


def test_a_family_whose_blocks_cannot_grow_falls_back_to_the_tree(
    settings: dict[str, Any], monkeypatch, caplog
):
    task = tiny_task(settings, "llama")
    monkeypatch.setattr(growing, "_narrowed", lambda value, width, active: value)
    assert layout_of(task.model, prepared(task)[0][0].prompt.ids) == "tree"
    assert "a growing layout cannot be run" in caplog.text


def test_every_run_equals_a_pass_of_its_own_by_the_definition(
    settings: dict[str, Any],
):
    task = tiny_task(settings, "llama")
    network, architecture = task.model.network, task.model.architecture
    probes, answers, design = prepared(task)
    found = knock_out(task, probes, answers, layout="growing", **design)
    for index, probe in enumerate(probes[:3]):
        ids, last = torch.tensor([probe.prompt.ids]), len(probe.prompt.ids) - 1
        assert probe.subject is not None
        subject = set(probe.subject.positions)
        sets = [subject, set(range(last)) - subject, {last}]
        run = 0
        for keys in [set(), *(own for own in sets for _ in range(3))]:
            centre = (run - 1) % 3
            blocks = window_of(centre, 3, 3) if keys else range(0)
            edges = Edges(
                rows=torch.zeros(len(keys), dtype=torch.long),
                queries=torch.full((len(keys),), last),
                keys=torch.tensor(sorted(keys), dtype=torch.long),
            )
            cut = {("mhsa", block): edges for block in blocks}
            with torch.inference_mode(), intervene(network, architecture, cut=cut):
                logs = network(ids).logits[0, -1].log_softmax(-1)
            np.testing.assert_allclose(
                found.log_probability[index, run, 1], logs[9], atol=1e-10
            )
            run += 1


def test_families_without_trees_and_windows_that_end_take_rows(
    settings: dict[str, Any],
):
    task = tiny_task(settings, "falcon_alibi")
    probes, answers, design = prepared(task)
    assert layout_of(task.model, probes[0].prompt.ids) == "rows"
    found = knock_out(task, probes, answers, layout="rows", **design)
    assert np.isfinite(found.log_probability).all()
    short = tiny_task(settings, "mistral", sliding_window=4)
    assert layout_of(short.model, prepared(short)[0][0].prompt.ids) == "rows"


def test_sets_without_a_position_are_null_and_nothing_is_cut_completely():
    task = planted_task(
        knockout={"sets": ["subject", "template", "context", "bos", "non_subject"]}
    )
    rows = rows_of(task)
    counts = {row["set"]: row["position_count"] for row in rows if row["template"] == 0}
    # <s> the Ada Avery was born in
    assert counts == {
        "subject": 2, "template": 3, "context": None, "bos": 1, "non_subject": 4
    }  # fmt: skip
    for row in rows:
        assert (row["free_change"] is None) == (row["set"] == "context")


def test_a_model_of_one_block_is_measured(settings: dict[str, Any]):
    task = tiny_task(settings, "llama", num_hidden_layers=1)
    probes, answers, design = prepared(task, width=default_width(1))
    found = knock_out(task, probes, answers, layout="tree", **design)
    assert found.log_probability.shape == (len(probes), 4, 3)


def in_half(task: Task) -> Task:
    network = copy.deepcopy(task.model.network).to(torch.bfloat16)
    return replace(task, model=replace(task.model, network=network))


def test_the_planted_circuit_gives_the_same_figures_in_half_precision():
    whole = planted_task(knockout={"window": 3})
    rows = rows_of(whole)
    assert {row["precision"] for row in rows} == {"float32"}
    assert {row["rounding_largest"] for row in rows} == {None}
    rows = rows_of(in_half(whole))
    assert {row["precision"] for row in rows} == {"bfloat16"}
    for row in rows:
        effect = 100 * np.expm1(np.array(row["free_change"]))
        if row["set"] == "subject":
            np.testing.assert_allclose(effect[3:], -96.3, atol=1)


@pytest.mark.parametrize("family", ["llama", "falcon_alibi"])
def test_rounding_is_the_distance_to_the_same_weights_in_float32(
    settings: dict[str, Any], family: str
):
    """Also where rows are all there is, as for Falcon with ALiBi."""
    task = tiny_task(settings, family, num_hidden_layers=3)
    half = in_half(task)
    probes, _, design = prepared(half, width=1)
    some = {name: own for name, own in design.items() if name != "cuts"}
    cuts = design["cuts"][:4]
    found = knockout.rounding_of(half, probes[:4], cuts=cuts, **some)
    assert found is not None

    layout = layout_of(half.model, probes[0].prompt.ids)
    assert layout == ("rows" if family == "falcon_alibi" else "growing")

    def changes(own: Task, tokens: np.ndarray) -> np.ndarray:
        answers = np.stack([tokens, tokens], axis=1)
        effects = knock_out(own, probes[:4], answers, cuts=cuts, layout=layout, **some)
        log = effects.log_probability[:, :, 1]
        return np.expm1(log - log[:, :1])

    nothing = np.zeros((4, 2), dtype=np.int64)
    own = knock_out(half, probes[:4], nothing, cuts=cuts, layout=layout, **some)
    promoted = copy.deepcopy(half.model.network).to(torch.float32)
    exact = replace(half, model=replace(half.model, network=promoted))
    tokens = own.tokens[:, 0]
    apart = np.abs(changes(half, tokens) - changes(exact, tokens))[:, 1:]
    assert apart.max() > 0
    assert found.largest == pytest.approx(apart.max(), rel=1e-6)
    assert found.mean == pytest.approx(apart.mean(), rel=1e-6)


def test_rounding_without_room_for_a_copy_is_unknown_and_said(
    monkeypatch: pytest.MonkeyPatch,
):
    def no_room(_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    task = in_half(planted_task(knockout={"window": 3}))
    monkeypatch.setattr(knockout.copy, "deepcopy", no_room)
    rows = rows_of(task)
    assert {row["precision"] for row in rows} == {"bfloat16"}
    assert {row["rounding_largest"] for row in rows} == {None}
