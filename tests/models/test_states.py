from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import write_model

from concord.errors import ModelError
from concord.models import states as states_module
from concord.models.load import LoadedModel, load_model
from concord.models.memory import TokenBudget
from concord.models.states import prompt_states
from concord.study import resolve_study

PROMPTS = [(1, 5, 9), (1, 7), (1, 5, 9, 30, 31), (1, 8, 8, 8)]


@pytest.fixture(scope="module")
def model(base_folder: Path, tuned_folder: Path) -> LoadedModel:
    study = resolve_study({"base": str(base_folder), "tuned": [str(tuned_folder)]})
    return load_model(study, study.base)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory, tuned_folder: Path) -> LoadedModel:
    folder = write_model(tmp_path_factory.mktemp("t5") / "t5", family="t5")
    study = resolve_study({"base": str(folder), "tuned": [str(tuned_folder)]})
    return load_model(study, study.base)


def collected(model: LoadedModel, prompts, **options: Any):
    hidden: dict[int, torch.Tensor] = {}
    final: dict[int, torch.Tensor] = {}
    for batch in prompt_states(model, prompts, **options):
        for row, index in enumerate(batch.indices):
            hidden[index], final[index] = batch.hidden[row], batch.final[row]
    assert sorted(hidden) == list(range(len(prompts)))
    return hidden, final


def test_states_equal_transformers_own_prompt_by_prompt(model: LoadedModel):
    hidden, final = collected(model, PROMPTS)
    for index, prompt in enumerate(PROMPTS):
        with torch.inference_mode():
            own = model.network(torch.tensor([prompt]), output_hidden_states=True)
        expected = [layer[0, -1] for layer in own.hidden_states]
        torch.testing.assert_close(
            hidden[index][:-1], torch.stack(expected[:-1]), atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(final[index], expected[-1], atol=1e-5, rtol=1e-5)


def test_the_last_hidden_state_is_before_the_norm(model: LoadedModel):
    hidden, final = collected(model, PROMPTS)
    norm = model.network.get_submodule("model.norm")
    torch.testing.assert_close(norm(hidden[0][-1]), final[0])
    assert not torch.allclose(hidden[0][-1], final[0])


@pytest.mark.parametrize("row_limit", [1, 2, 3, None])
def test_numbers_do_not_hang_on_the_batch(model: LoadedModel, row_limit):
    whole, _ = collected(model, PROMPTS)
    parts, _ = collected(model, PROMPTS, row_limit=row_limit)
    for index in whole:
        assert torch.equal(whole[index], parts[index])


@pytest.mark.parametrize(
    ("representation", "place"),
    [("decoder_first", None), ("encoder_last", -2), ("encoder_eos", -1)],
)
def test_encoder_decoder_states_are_those_named(t5: LoadedModel, representation, place):
    prompts = [(5, 9, 11, 1), (7, 1)]
    _, final = collected(t5, prompts, representation=representation)
    for index, prompt in enumerate(prompts):
        start = t5.network.config.decoder_start_token_id
        with torch.inference_mode():
            own = t5.network(
                input_ids=torch.tensor([prompt]),
                decoder_input_ids=torch.tensor([[start]]),
                output_hidden_states=True,
            )
        expected = (
            own.decoder_hidden_states[-1][0, 0]
            if place is None
            else own.encoder_last_hidden_state[0, place]
        )
        torch.testing.assert_close(final[index], expected, atol=1e-5, rtol=1e-5)


def test_a_prompt_beyond_the_limit_is_never_cut(model: LoadedModel):
    long = tuple([1] + [5] * 5000)
    with pytest.raises(ModelError, match=r"5001 tokens"):
        collected(model, [long])


def test_an_empty_prompt_is_refused(model: LoadedModel):
    with pytest.raises(ModelError, match="no tokens"):
        collected(model, [()])


def test_out_of_memory_halves_the_batch_and_changes_nothing(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
):
    expected, _ = collected(model, PROMPTS)
    real = states_module._batch_states

    def scarce(model, prompts, *given):
        if len(set(prompts)) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(model, prompts, *given)

    monkeypatch.setattr(states_module, "_batch_states", scarce)
    budget = TokenBudget()
    found, _ = collected(model, [*PROMPTS, (1, 9)], budget=budget)
    assert budget.positions < 4
    for index in expected:
        assert torch.equal(expected[index], found[index])


def test_one_prompt_too_large_is_a_users_error(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
):
    def never(*arguments: object):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(states_module, "_batch_states", never)
    with pytest.raises(ModelError, match="out of memory on a single row of 3"):
        collected(replace(model), PROMPTS[:1])
