"""Greedy answers against a plain loop; batches and single prompts give the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import write_model

from concord.analyses.facts import scoring_model
from concord.errors import ModelError
from concord.models.load import load_model
from concord.models.memory import TokenBudget
from concord.scoring import generation
from concord.scoring.generation import continue_greedily
from concord.scoring.passes import ScoringModel
from concord.study import resolve_study

PROMPTS = [(1, 5, 9, 20), (1, 30, 31), (1, 5, 9, 21), (1, 7, 8), (1, 40, 41, 42, 43)]


def loaded(folder: Path, family: str) -> ScoringModel:
    write_model(folder, family=family)
    study = resolve_study({"base": str(folder), "tuned": [str(folder / "x")]})
    return scoring_model(load_model(study, study.base))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: Any) -> ScoringModel:
    return loaded(tmp_path_factory.mktemp("llama"), "llama")


def plain_loop(
    model: ScoringModel, prompt: tuple[int, ...], steps: int
) -> tuple[list[int], float]:
    """Token after token through the whole network, no cache and no batch."""
    network: Any = model.network
    ids, total = list(prompt), 0.0
    for _ in range(steps):
        with torch.inference_mode():
            logits = network(torch.tensor([ids])).logits[0, -1].double()
        best = int(logits.argmax())
        total += float(logits.log_softmax(dim=-1)[best])
        ids.append(best)
    return ids[len(prompt) :], total


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_answers_equal_a_plain_loop(tmp_path: Path, family: str):
    model = loaded(tmp_path, family)
    found = continue_greedily(model, PROMPTS, max_tokens=6, end_ids=())
    for prompt, one in zip(PROMPTS, found, strict=True):
        tokens, total = plain_loop(model, prompt, 6)
        assert list(one.tokens) == tokens
        assert one.log_probability == pytest.approx(total, abs=1e-4)
        assert one.is_cut


def test_an_encoder_decoder_model_writes_what_a_plain_loop_does(tmp_path: Path):
    model = loaded(tmp_path, "t5")
    network: Any = model.network
    found = continue_greedily(model, PROMPTS[:2], max_tokens=4, end_ids=())
    for prompt, one in zip(PROMPTS, found, strict=False):
        ids = list(model.decoder_start)
        for _ in range(4):
            with torch.inference_mode():
                logits = network(
                    input_ids=torch.tensor([prompt]),
                    decoder_input_ids=torch.tensor([ids]),
                ).logits
            ids.append(int(logits[0, -1].argmax()))
        assert list(one.tokens) == ids[len(model.decoder_start) :]


def test_a_prompt_gets_the_same_answer_alone_and_in_a_batch(llama: ScoringModel):
    together = continue_greedily(llama, PROMPTS, max_tokens=5, end_ids=())
    for prompt, one in zip(PROMPTS, together, strict=True):
        alone = continue_greedily(llama, [prompt], max_tokens=5, end_ids=())[0]
        assert alone == one
    small = TokenBudget(1)
    in_small_batches = continue_greedily(
        llama, PROMPTS, max_tokens=5, end_ids=(), budget=small
    )
    assert in_small_batches == together


def test_an_answer_ends_at_its_end_token_and_at_a_stop(llama: ScoringModel):
    tokens, _ = plain_loop(llama, PROMPTS[0], 4)
    ended = continue_greedily(llama, PROMPTS[:1], max_tokens=4, end_ids={tokens[2]})[0]
    first = tokens.index(tokens[2])
    assert (list(ended.tokens), ended.is_cut) == (tokens[:first], False)
    stopped = continue_greedily(
        llama, PROMPTS[:1], max_tokens=4, end_ids=(), is_over=lambda own: len(own) == 2
    )[0]
    assert (list(stopped.tokens), stopped.is_cut) == (tokens[:2], False)


def test_forbidden_tokens_are_never_written(llama: ScoringModel):
    tokens, _ = plain_loop(llama, PROMPTS[0], 1)
    found = continue_greedily(
        llama, PROMPTS[:1], max_tokens=3, end_ids=(), forbidden=tokens
    )[0]
    assert tokens[0] not in found.tokens


def test_equal_prompts_are_run_once_and_counted_each(llama: ScoringModel):
    done: list[int] = []
    twice = [PROMPTS[0], PROMPTS[1], PROMPTS[0]]
    found = continue_greedily(
        llama, twice, max_tokens=2, end_ids=(), progress=done.append
    )
    assert found[0] == found[2]
    assert sum(done) == 3


def fits(monkeypatch: pytest.MonkeyPatch, most: int) -> list[tuple[int, int]]:
    """Memory for so many rows; noted are prompts and rows of every step tried."""
    read, tried = generation._Steps.read, []

    def greedy(steps: Any) -> Any:
        found = read(steps)
        tried.append((steps.count, len(found)))
        if len(found) > most:
            raise torch.OutOfMemoryError("no room")
        return found

    monkeypatch.setattr(generation._Steps, "read", greedy)
    return tried


def test_memory_that_runs_out_halves_the_batch(llama: ScoringModel, monkeypatch):
    prompts = [*PROMPTS, *((1, 5 + place, 7) for place in range(20))]
    expected = continue_greedily(llama, prompts, max_tokens=2, end_ids=())
    tried = fits(monkeypatch, 8)
    budget = TokenBudget(160)
    found = continue_greedily(llama, prompts, max_tokens=2, end_ids=(), budget=budget)
    assert found == expected
    assert budget.positions < 160 and max(rows for _, rows in tried) == 32
    assert {rows for _, rows in tried if rows <= 8} == {8}


@pytest.mark.parametrize("most", [1, 2, 4])
def test_fewer_copies_are_made_where_memory_holds_few_rows(
    llama: ScoringModel, monkeypatch, most: int
):
    expected = continue_greedily(llama, PROMPTS, max_tokens=2, end_ids=())
    tried = fits(monkeypatch, most)
    budget = TokenBudget()
    found = continue_greedily(llama, PROMPTS, max_tokens=2, end_ids=(), budget=budget)
    for one, other in zip(found, expected, strict=True):
        assert one.tokens == other.tokens
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)
    tried.clear()
    continue_greedily(llama, PROMPTS, max_tokens=2, end_ids=(), budget=budget)
    assert max(rows for _, rows in tried) == most


def test_copies_count_among_the_positions_of_a_batch(llama: ScoringModel, monkeypatch):
    tried = fits(monkeypatch, 64)
    prompts = [(1, 5 + place, 7) for place in range(20)]
    budget = TokenBudget(15 * 4)
    continue_greedily(llama, prompts, max_tokens=1, end_ids=(), budget=budget)
    assert tried == [(8, 8), (8, 8), (4, 8)]


def test_an_answer_that_never_fits_is_a_users_error(llama: ScoringModel, monkeypatch):
    tried = fits(monkeypatch, 0)
    with pytest.raises(ModelError, match="prompt of 5 tokens: out of memory on a sing"):
        continue_greedily(llama, PROMPTS, max_tokens=2, end_ids=())
    assert [rows for _, rows in tried] == [8, 4, 2, 1]


def test_a_prompt_without_room_for_its_answer_is_refused(llama: ScoringModel):
    assert llama.max_length is not None
    with pytest.raises(ModelError, match=r"an answer of 2 need \d+ positions"):
        continue_greedily(
            llama, [(5,) * (llama.max_length - 1)], max_tokens=2, end_ids=()
        )
