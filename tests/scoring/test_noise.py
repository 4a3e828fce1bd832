"""Tests of the noise floor."""

import numpy as np
import pytest
import torch
from scoring_worlds import (
    as_scoring_model,
    bigram_model,
    random_prompts,
    random_trie,
    scoring_model,
)

from concord.scoring.engine import ScoringConfig, score_prompts
from concord.scoring.noise import near_ties, noise_floor, noise_sample
from concord.scoring.records import Mode
from concord.scoring.trie import build_trie


@pytest.mark.parametrize("mode", ["top", "full"])
def test_noise_is_small_and_predictions_stay(mode: Mode) -> None:
    generator = np.random.default_rng(1)
    tries = [random_trie(generator, count=20)]
    prompts = random_prompts(generator, count=10)
    model, config = scoring_model("llama"), ScoringConfig(mode=mode)
    indices = [0] * len(prompts)
    scores, _ = score_prompts(model, prompts, tries, indices, config=config)
    floor = noise_floor(
        model, prompts, tries, indices, scores, config=config, sample_size=6
    )
    assert floor.prompt_count == 6
    assert 0 <= floor.delta < 1e-4
    assert floor.self_agreement == 1.0


def test_a_changed_score_is_seen() -> None:
    generator = np.random.default_rng(2)
    tries, prompts = (
        [random_trie(generator, count=8)],
        random_prompts(generator, count=3),
    )
    model, config = scoring_model("llama"), ScoringConfig()
    scores, _ = score_prompts(model, prompts, tries, [0, 0, 0], config=config)
    scores.score[1] += 0.5
    scores.prediction[2] = (scores.prediction[2] + 1) % 8
    floor = noise_floor(model, prompts, tries, [0, 0, 0], scores, config=config)
    assert floor.delta > 0.4
    assert floor.self_agreement == pytest.approx(2 / 3)


def test_a_planted_near_tie_is_flagged_and_a_clear_case_is_not() -> None:
    # after token 0 two candidates differ by 1e-6, after token 1 by a factor of four
    table = torch.full((8, 8), 1 / 8)
    table[0, 2:4] = torch.tensor([0.2, 0.2 * (1 + 1e-6)])
    table[1, 2:4] = torch.tensor([0.1, 0.4])
    model = as_scoring_model(bigram_model(table))
    trie = build_trie([(2,), (3,)], texts=["one", "two"])
    scores, _ = score_prompts(
        model, [(0,), (1,)], [trie], [0, 0], config=ScoringConfig()
    )
    assert near_ties(scores, 1e-5).tolist() == [True, False]
    assert near_ties(scores, 1.0).tolist() == [True, True]


def test_the_sample_follows_the_ids_and_not_their_order() -> None:
    prompts = [(index, index + 1) for index in range(40)]
    chosen = {prompts[index] for index in noise_sample(prompts, 7)}
    other = prompts[::-1] + prompts[:5]
    assert {other[index] for index in noise_sample(other, 7)} == chosen
    assert len(noise_sample(prompts, 100)) == 40
