"""Tests of scoring: every way gives the scores of one row per prompt and candidate."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scoring_worlds import (
    as_scoring_model,
    bigram_model,
    random_prompts,
    random_trie,
    scoring_model,
)
from tiny_models import EAGER_ONLY_FAMILIES, FAMILIES, tiny_model

from concord.errors import ModelError, StudyError
from concord.models.memory import TokenBudget
from concord.scoring import planning, rounds, tree
from concord.scoring.engine import (
    PromptScores,
    ScoringConfig,
    ScoringModel,
    WorkCounts,
    score_prompts,
)
from concord.scoring.normalisation import NORMALISATIONS, normalisation_of
from concord.scoring.passes import prefill
from concord.scoring.trie import Tokens, build_trie

GENERATOR = np.random.default_rng(7)
TRIES = [random_trie(GENERATOR, count=count) for count in (25, 6, 1)] + [
    random_trie(GENERATOR, count=9, longest=1)
]
PROMPTS = random_prompts(GENERATOR, count=14)
INDICES = [index % len(TRIES) for index in range(len(PROMPTS))]
FULL, TOP = ScoringConfig(mode="full"), ScoringConfig(mode="top")
ROWS = ScoringConfig(mode="full", layout="chains", deterministic=False, token_budget=1)
CASES = [(family, None) for family in FAMILIES] + [
    (family, "eager")
    for family in FAMILIES
    if family not in (*EAGER_ONLY_FAMILIES, "falcon_alibi")
]


def run(
    model: ScoringModel, config: ScoringConfig, **options: Any
) -> tuple[PromptScores, WorkCounts]:
    return score_prompts(model, PROMPTS, TRIES, INDICES, config=config, **options)


def largest_difference(first: PromptScores, second: PromptScores) -> float:
    assert first.vectors is not None
    assert second.vectors is not None
    pairs = zip(first.vectors, second.vectors, strict=True)
    return max(float(np.abs(own - other).max()) for own, other in pairs)


def naive_score(network: Any, prompt: Tokens, candidate: Tokens) -> float:
    """One pair by the model's own forward pass."""
    whole = torch.tensor([[*prompt, *candidate]])
    with torch.no_grad():
        logs = network(input_ids=whole).logits[0].log_softmax(dim=1)
    steps = range(len(prompt) - 1, len(prompt) + len(candidate) - 1)
    return sum(float(logs[at, whole[0, at + 1]]) for at in steps)


@pytest.mark.parametrize(("family", "implementation"), CASES)
def test_all_ways_agree_in_every_family(
    family: str, implementation: str | None
) -> None:
    model = scoring_model(family, implementation=implementation)
    rows, _ = run(model, ROWS)
    full, _ = run(model, FULL)
    top, _ = run(model, TOP)
    assert largest_difference(full, rows) < 1e-4
    np.testing.assert_array_equal(full.prediction, rows.prediction)
    np.testing.assert_array_equal(top.prediction, full.prediction)
    np.testing.assert_array_equal(top.runner_up, full.runner_up)
    np.testing.assert_allclose(top.score, full.score, atol=1e-4)
    np.testing.assert_allclose(top.margin, full.margin, atol=1e-4)
    np.testing.assert_array_equal(top.free_prediction, full.free_prediction)
    assert top.margin_is_exact.all()


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon_alibi", "bloom"])
def test_rows_are_the_models_own_scores(family: str) -> None:
    model = scoring_model(family)
    rows, _ = run(model, ROWS)
    assert rows.vectors is not None
    for prompt, index, vector in zip(PROMPTS, INDICES, rows.vectors, strict=True):
        wanted = [
            naive_score(model.network, prompt, own) for own in TRIES[index].candidates
        ]
        np.testing.assert_allclose(vector, wanted, atol=1e-4)


def test_encoder_decoder_rows_are_the_models_own_scores() -> None:
    model = scoring_model("t5")
    rows, _ = run(model, FULL)
    assert rows.vectors is not None
    for prompt, index, vector in zip(PROMPTS[:4], INDICES, rows.vectors, strict=False):
        for candidate, score in zip(TRIES[index].candidates, vector, strict=True):
            decoder_ids = torch.tensor([[0, *candidate[:-1]]])
            with torch.no_grad():
                logits = model.network(
                    input_ids=torch.tensor([prompt]), decoder_input_ids=decoder_ids
                ).logits
            logs = logits[0].log_softmax(dim=1)
            wanted = logs[range(len(candidate)), list(candidate)].sum()
            assert float(wanted) == pytest.approx(float(score), abs=1e-4)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_agrees_with_full_under_every_normalisation(
    normalisation: Any, k: int
) -> None:
    model = scoring_model("llama", seed=3)
    full, _ = run(model, replace(FULL, normalisation=normalisation))
    top, _ = run(model, replace(TOP, normalisation=normalisation, k=k))
    np.testing.assert_array_equal(top.prediction, full.prediction)
    np.testing.assert_allclose(top.score, full.score, atol=1e-4)
    if k >= 2:
        np.testing.assert_array_equal(top.runner_up, full.runner_up)
    else:
        assert not (top.margin > full.margin + 1e-4).any()


def test_full_vectors_give_the_outcome_under_any_normalisation() -> None:
    model = scoring_model("llama")
    plain, _ = run(model, FULL)
    wanted, _ = run(model, replace(FULL, normalisation="acc_bytes"))
    assert plain.vectors is not None
    found = [
        int(normalisation_of(TRIES[index], "acc_bytes")(vector).argmax())
        for vector, index in zip(plain.vectors, INDICES, strict=True)
    ]
    assert found == wanted.prediction.tolist()


def test_double_precision_agrees_to_ten_digits() -> None:
    model = scoring_model("llama", dtype=torch.float64)
    assert largest_difference(run(model, FULL)[0], run(model, ROWS)[0]) < 1e-10


# Tokens: 0 prompt, 1 a, 2 b, 3 c, 4 d; after any other token all are equally likely.
TABLE = torch.full((8, 8), 1 / 8)
TABLE[0] = torch.tensor([0.05, 0.4, 0.05, 0.05, 0.3, 0.05, 0.05, 0.05])
TABLE[1] = torch.tensor([0.06, 0.06, 0.5, 0.2, 0.06, 0.06, 0.03, 0.03])
BY_HAND = build_trie([(1, 2), (1, 3), (4,)], texts=["a b", "a c", "d"])


def score_by_hand(mode: Any, **fields: Any) -> tuple[PromptScores, WorkCounts]:
    config = ScoringConfig(mode=mode, **fields)
    model = as_scoring_model(bigram_model(TABLE))
    return score_prompts(model, [(5, 0)], [BY_HAND], [0], config=config)


def test_three_candidates_by_hand() -> None:
    # a b: .4 x .5 = .2; a c: .4 x .2 = .08; d: .3, so d wins and a b follows
    scores, work = score_by_hand("full")
    assert scores.vectors is not None
    np.testing.assert_allclose(scores.vectors[0], np.log([0.2, 0.08, 0.3]), atol=1e-6)
    assert (scores.prediction[0], scores.runner_up[0]) == (2, 0)
    assert scores.margin[0] == pytest.approx(np.log(1.5), abs=1e-6)
    assert scores.free_prediction[0] == 1
    assert scores.free_log_probability[0] == pytest.approx(np.log(0.4), abs=1e-6)
    # the prompt's two tokens and the node a
    assert (work.token_positions, work.rows, work.rounds) == (3, 1, 1)
    # row "prompt a" for the first two, row "prompt" for d
    assert work.pairwise_positions == 3 + 2


def test_counters_by_hand() -> None:
    # the root, then a: d alone does not close a's bound of .4
    for keeps, positions in [(True, 2 + 1), (False, 2 + 3)]:
        _, work = score_by_hand("top", keep_prompts=keeps)
        assert (work.rows, work.projected_rows) == (2, 2)
        assert work.token_positions == positions
    assert (work.rounds, work.expansions, work.pairs) == (2, 2, 3)


def test_mode_first_says_only_what_one_pass_proves() -> None:
    scores, work = score_by_hand("first")
    assert (scores.prediction[0], work.rounds) == (-1, 1)
    assert np.isnan(scores.score[0])
    np.testing.assert_allclose(
        scores.first_token[0], np.log([0.4, 0.4, 0.3]), atol=1e-6
    )
    singles = build_trie([(4,), (1,)], texts=["d", "a"])
    model = as_scoring_model(bigram_model(TABLE))
    config = ScoringConfig(mode="first")
    proven, _ = score_prompts(model, [(0,)], [singles], [0], config=config)
    assert proven.prediction[0] == 1


def test_planted_ties_go_to_the_lowest_index() -> None:
    table = TABLE.clone()
    table[0, 1], table[0, 4] = 0.35, 0.35
    table[1] = 1e-30
    table[1, 2] = 1.0
    model = as_scoring_model(bigram_model(table))
    for candidates, winner in [([(4,), (1, 2)], 0), ([(1, 2), (4,)], 0)]:
        trie = build_trie(candidates, texts=["one", "two"])
        for mode in ("top", "full"):
            config = ScoringConfig(mode=mode)
            scores, _ = score_prompts(model, [(0,)], [trie], [0], config=config)
            assert scores.prediction[0] == winner
            assert scores.is_tie[0]
            assert scores.margin[0] == 0.0


def test_mutual_information_takes_away_the_score_without_prompt() -> None:
    model = replace(as_scoring_model(bigram_model(TABLE)), empty_prompt=(5,))
    config = ScoringConfig(mode="full", normalisation="acc_mutual_info")
    scores, _ = score_prompts(model, [(0,)], [BY_HAND], [0], config=config)
    # a b: .2 / (1/8 x .5) = 3.2; a c: .08 / (1/8 x .2) = 3.2; d: .3 / (1/8) = 2.4
    assert scores.prediction[0] in (0, 1)
    assert scores.score[0] == pytest.approx(np.log(3.2), abs=1e-5)
    assert scores.margin[0] == pytest.approx(0, abs=1e-5)
    with pytest.raises(StudyError, match="empty prompt"):
        score_prompts(
            replace(model, empty_prompt=None), [(0,)], [BY_HAND], [0], config=config
        )


def test_equal_prompts_are_run_once_and_get_equal_rows() -> None:
    model = scoring_model("llama")
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]]
    scores, work = score_prompts(model, prompts, TRIES, [0, 0, 0, 1], config=FULL)
    assert (work.prompts, work.distinct_prompts, work.rows) == (4, 3, 3)
    assert scores.vectors is not None
    np.testing.assert_array_equal(scores.vectors[0], scores.vectors[2])
    assert len(scores.vectors[3]) == TRIES[1].candidate_count


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("mode", ["top", "full"])
def test_order_and_batch_size_change_no_bit(family: str, mode: Any) -> None:
    model = scoring_model(family)
    config = ScoringConfig(mode=mode, token_budget=512)
    whole, _ = run(model, config)
    halved, _ = run(model, replace(config, token_budget=256))
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    shuffled, _ = score_prompts(
        model,
        [PROMPTS[i] for i in order],
        TRIES,
        [INDICES[i] for i in order],
        config=config,
    )
    np.testing.assert_array_equal(whole.score, halved.score)
    np.testing.assert_array_equal(whole.score[order], shuffled.score)
    np.testing.assert_array_equal(whole.margin[order], shuffled.margin)


def test_splitting_by_first_tokens_changes_nothing() -> None:
    model = scoring_model("llama")
    whole, work = run(model, FULL)
    split, more = run(model, replace(FULL, token_budget=24))
    assert more.rows > work.rows
    assert largest_difference(whole, split) < 1e-4


def test_running_out_of_memory_halves_the_budget_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = scoring_model("llama")
    prompts = random_prompts(np.random.default_rng(1), count=120)
    indices = [0] * len(prompts)

    def run_all(**options: Any) -> PromptScores:
        return score_prompts(model, prompts, TRIES, indices, config=FULL, **options)[0]

    wanted = run_all()
    read_batch, refused = rounds.read_batch, []

    def small_memory(batch: Any, plan: Any) -> Any:
        if batch.row_count * batch.shape.positions > 300:
            refused.append(batch)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read_batch(batch, plan)

    monkeypatch.setattr(rounds, "read_batch", small_memory)
    budget = TokenBudget(1024)
    found = run_all(budget=budget)
    np.testing.assert_array_equal(found.score, wanted.score)
    assert budget.positions <= 512
    assert refused
    remembered = budget.positions
    refused.clear()
    run_all(budget=budget)
    assert not refused
    assert budget.positions == remembered


def test_a_row_that_never_fits_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(batch: Any, plan: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(rounds, "read_batch", no_memory)
    with pytest.raises(ModelError, match="out of memory on a single row of"):
        run(scoring_model("llama"), FULL)


def test_other_runtime_errors_are_not_swallowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(batch: Any, plan: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(rounds, "read_batch", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run(scoring_model("llama"), FULL)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "falcon", "gemma2"])
@pytest.mark.parametrize("mode", ["top", "full"])
def test_a_shared_prefix_changes_positions_alone(family: str, mode: Any) -> None:
    model = scoring_model(family)
    prompts = [(5, 6, 7, 8, *prompt) for prompt in PROMPTS]
    config = ScoringConfig(mode=mode, keep_prompts=False)
    apart, more = score_prompts(model, prompts, TRIES, INDICES, config=config)
    config = replace(config, share_prefix=True)
    shared, less = score_prompts(model, prompts, TRIES, INDICES, config=config)
    np.testing.assert_array_equal(shared.prediction, apart.prediction)
    np.testing.assert_allclose(shared.score, apart.score, atol=1e-4)
    assert less.shared_prefix == 4
    assert less.token_positions == more.token_positions - 4 * more.rows + 4


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "falcon", "gemma2", "gptj"])
@pytest.mark.parametrize("shares", [False, True])
def test_kept_prompts_change_positions_alone(
    family: str, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = scoring_model(family)
    prompts = [(5, 6, 7, 8, *prompt) for prompt in PROMPTS]
    config = ScoringConfig(k=3, share_prefix=shares, keep_prompts=False)
    spared, read_batch = [], rounds.read_batch

    def noted(batch: Any, plan: Any) -> Any:
        fed = [row.job for row in batch.rows if len(row.nodes)]
        spared.extend(len(plan.jobs[job].prompt) - plan.skipped for job in fed)
        return read_batch(batch, plan)

    with monkeypatch.context() as patched:
        patched.setattr(rounds, "read_batch", noted)
        again, more = score_prompts(model, prompts, TRIES, INDICES, config=config)
    config = replace(config, keep_prompts=True)
    kept, less = score_prompts(model, prompts, TRIES, INDICES, config=config)
    assert more.rounds >= 2
    np.testing.assert_array_equal(kept.prediction, again.prediction)
    np.testing.assert_array_equal(kept.runner_up, again.runner_up)
    np.testing.assert_allclose(kept.score, again.score, atol=1e-4)
    # a prompt is fed once, whatever the number of its rounds
    assert spared and less.token_positions == more.token_positions - sum(spared)


def test_prompts_beyond_the_room_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = scoring_model("llama")
    wanted, least = run(model, TOP)
    _, most = run(model, replace(TOP, keep_prompts=False))
    room = planning.room_for_kept(model)
    # keys and values of 32 bytes x 2 heads, 3 layers: room for some prompts alone
    small = replace(room, room=4 * 2 * 3 * 2 * 16 * 4 * 3)
    monkeypatch.setattr(planning, "room_for_kept", lambda model: small)
    found, work = run(model, TOP)
    np.testing.assert_array_equal(found.prediction, wanted.prediction)
    np.testing.assert_allclose(found.score, wanted.score, atol=1e-4)
    assert least.token_positions < work.token_positions < most.token_positions


def test_the_stored_prefix_does_not_grow() -> None:
    model = scoring_model("llama")
    prefix = prefill(model, (5, 6, 7, 8))
    cache = prefix.expanded(3)
    keys = torch.zeros(3, *prefix.layers[0][0].shape[1:])
    cache.update(keys, keys, 0)
    assert cache.get_seq_length() == 8
    assert prefix.expanded(2).get_seq_length() == 4
    assert prefix.layers[0][0].shape[0] == 1


def test_trees_beyond_a_sliding_window_are_refused_with_numbers() -> None:
    model = scoring_model("mistral", sliding_window=12)
    with pytest.raises(ModelError, match=r"\d+ positions do not fit .* window of 12"):
        run(model, FULL)
    rows, _ = run(model, replace(FULL, layout="chains"))
    plain, _ = run(model, ROWS)
    assert largest_difference(rows, plain) < 1e-4


def test_long_prompts_are_refused_with_numbers() -> None:
    model = replace(scoring_model("llama"), max_length=12)
    with pytest.raises(ModelError, match="the model ends at 12"):
        run(model, FULL)


def test_unknown_tokens_of_candidates_are_refused() -> None:
    trie = build_trie([(97,)], texts=["beyond"])
    with pytest.raises(ModelError, match="token id 97"):
        score_prompts(scoring_model("llama"), [(5,)], [trie], [0], config=TOP)


def test_a_tree_is_refused_where_the_mask_carries_positions() -> None:
    with pytest.raises(ModelError, match="cannot share a row"):
        run(scoring_model("falcon_alibi"), replace(FULL, layout="tree"))


def test_without_the_depth_bias_t5_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards the comparison of all ways: it must be able to fail.
    from contextlib import nullcontext

    model = scoring_model("t5")
    rows, _ = run(model, ROWS)
    monkeypatch.setattr(tree, "_relative_bias", lambda *_: nullcontext())
    assert largest_difference(run(model, FULL)[0], rows) > 1e-2


def test_float32_head_removes_ties_made_by_bfloat16() -> None:
    # Every state is all ones; logits 16.03125 and 16.0625 are both 16 in bfloat16.
    network = bigram_model(torch.full((8, 8), 1 / 8), dtype=torch.bfloat16)
    with torch.no_grad():
        network.model.embed_tokens.weight.fill_(1.0)
        network.model.norm.weight.fill_(1.0)
        network.lm_head.weight.zero_()
        network.lm_head.weight[2:4, 0] = 16.0
        network.lm_head.weight[2, 1] = 0.03125
        network.lm_head.weight[3, 1] = 0.0625
    trie = build_trie([(2,), (3,)], texts=["low", "high"])
    model = as_scoring_model(network)
    half = replace(TOP, head_dtype="model")
    tied, _ = score_prompts(model, [(5,)], [trie], [0], config=half)
    exact, _ = score_prompts(model, [(5,)], [trie], [0], config=TOP)
    assert tied.is_tie[0]
    assert (exact.prediction[0], bool(exact.is_tie[0])) == (1, False)
    assert exact.margin[0] == pytest.approx(0.03125, abs=1e-5)


def test_an_adapter_scores_as_itself_and_switched_off_as_its_base() -> None:
    base, _ = run(scoring_model("llama"), FULL)
    adapter = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    network = get_peft_model(tiny_model("llama"), adapter).eval()
    model = as_scoring_model(network)
    live, _ = run(model, FULL)
    assert largest_difference(live, base) > 1e-2
    with network.disable_adapter():
        off, _ = run(model, FULL)
    assert largest_difference(off, base) == 0.0
    assert largest_difference(run(model, ROWS)[0], live) < 1e-4


def test_progress_covers_every_prompt_once() -> None:
    finished: list[int] = []
    score_prompts(
        scoring_model("llama"),
        [*PROMPTS, PROMPTS[0]],
        TRIES,
        [*INDICES, INDICES[0]],
        config=TOP,
        progress=finished.append,
    )
    assert sum(finished) == len(PROMPTS) + 1


def test_work_adds_up() -> None:
    first, second = WorkCounts(rows=2, rounds=3), WorkCounts(rows=5, rounds=1)
    assert first + second == WorkCounts(rows=7, rounds=3)


def test_training_mode_is_refused() -> None:
    network = tiny_model("llama").train()
    with pytest.raises(ValueError, match="eval"):
        run(as_scoring_model(network), TOP)


def test_a_call_without_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="no prompt"):
        score_prompts(scoring_model("llama"), [], TRIES, [], config=TOP)
