"""How far scores move when nothing but the batching changes.

The same prompt gets slightly other numbers in another batch or under another kernel. A
sample is scored again one row at a time, without padding and without shared rows; what
moves then is noise, and a prediction that hangs on less than it is a near tie.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from concord.models.encoder import prompt_hash
from concord.models.memory import TokenBudget
from concord.scoring.engine import score_prompts
from concord.scoring.passes import ScoringModel
from concord.scoring.records import PromptScores, ScoringConfig
from concord.scoring.trie import CandidateTrie, Tokens


@dataclass(frozen=True)
class NoiseFloor:
    """What scoring a sample again showed."""

    prompt_count: int
    delta: float
    """Largest change of a score; NaN where no prompt was scored again."""
    self_agreement: float
    """Share of prompts with the same prediction, in [0, 1]; 1 means none changed. A
    change in agreement smaller than one minus this is noise."""


def noise_floor(
    model: ScoringModel,
    prompts: Sequence[Tokens],
    tries: Sequence[CandidateTrie],
    trie_index: Sequence[int],
    scores: PromptScores,
    *,
    config: ScoringConfig,
    sample_size: int = 512,
) -> NoiseFloor:
    """Score a sample of prompts again, one row at a time, and compare.

    Args:
        model: The same model.
        prompts: Those that were scored.
        tries: Their candidates.
        trie_index: Which of them belongs to each prompt.
        scores: What `score_prompts` gave for them.
        config: How they were scored.
        sample_size: Prompts to score again: those whose ids have the lowest hash, so
            that every run on these prompts takes the same ones.
    """
    sample = noise_sample(prompts, sample_size)
    if not len(sample):
        return NoiseFloor(0, np.nan, np.nan)
    again, _ = score_prompts(
        model,
        [prompts[index] for index in sample],
        tries,
        [trie_index[index] for index in sample],
        config=one_by_one(config),
        budget=TokenBudget(1),
    )
    same = again.prediction == scores.prediction[sample]
    return NoiseFloor(
        prompt_count=len(sample),
        delta=max(
            _largest_change(scores, index, again, place)
            for place, index in enumerate(sample.tolist())
        ),
        self_agreement=float(same.mean()),
    )


def one_by_one(config: ScoringConfig) -> ScoringConfig:
    """The plain way to the same scores: one path per row, no padding."""
    return replace(
        config,
        deterministic=False,
        share_prefix=False,
        keep_prompts=False,
        layout="chains",
    )


def noise_sample(prompts: Sequence[Tokens], size: int) -> Int[np.ndarray, " sample"]:
    """Indices of the distinct prompts with the lowest hashes, in ascending order."""
    first = {tuple(ids): index for index, ids in reversed(list(enumerate(prompts)))}
    chosen = sorted(first, key=prompt_hash)[:size]
    return np.array(sorted(first[ids] for ids in chosen), dtype=np.int64)


def near_ties(scores: PromptScores, delta: float) -> Bool[np.ndarray, " prompt"]:
    """Prompts whose margin is below twice the noise: their prediction may flip.

    A prompt with a single candidate has no margin and is none.
    """
    return scores.margin < 2 * delta


def _largest_change(
    scores: PromptScores, index: int, again: PromptScores, place: int
) -> float:
    """Over all candidates in mode `full`; else over those both runs know."""
    if scores.vectors is not None and again.vectors is not None:
        return float(np.abs(scores.vectors[index] - again.vectors[place]).max())
    before, after = _known(scores, index), _known(again, place)
    changes = [abs(before[name] - after[name]) for name in before.keys() & after.keys()]
    return max(changes, default=0.0)


def _known(scores: PromptScores, index: int) -> dict[int, float]:
    pairs = (
        (int(scores.prediction[index]), float(scores.score[index])),
        (int(scores.runner_up[index]), float(scores.runner_up_score[index])),
    )
    return {candidate: score for candidate, score in pairs if candidate >= 0}
