"""How candidates are scored, and what comes out: one entry per prompt."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from concord.models.readout import HeadDtype
from concord.scoring.normalisation import Normalisation
from concord.scoring.tree import Layout

SCORING_VERSION = 4
"""Raised whenever scores may change; the padding grid is part of it."""

Mode = Literal["top", "full", "first"]


@dataclass(frozen=True)
class ScoringConfig:
    """How candidates are scored. Defaults: the exact best two, plain sums."""

    mode: Mode = "top"
    k: int = 2
    """Candidates proven in `top`; with 1 the margin is a lower bound."""
    normalisation: Normalisation = "acc"
    head_dtype: HeadDtype = "float32"
    token_budget: int | None = None
    """Positions per batch; None: by device."""
    row_limit: int | None = None
    """Most rows of one batch, copies included."""
    deterministic: bool = True
    """Fixed shapes: pad to a grid, fill batches with copies."""
    share_prefix: bool = False
    """Run tokens that all prompts of a call begin with once."""
    keep_prompts: bool = True
    """Keep keys and values of prompts between the rounds of `top`, where the family
    allows it and as far as there is room: see `KeptPrompts`."""
    layout: Literal["auto", Layout] = "auto"
    """Tree rows where the family allows them; or chain rows always."""


def one_by_one(config: ScoringConfig) -> ScoringConfig:
    """The plain way to the same scores: a row at a time, of one path, without padding.

    Scores that move from the one to the other show the noise of the arithmetic.
    """
    return replace(
        config,
        token_budget=1,
        deterministic=False,
        share_prefix=False,
        keep_prompts=False,
        layout="chains",
    )


@dataclass(frozen=True, eq=False)
class PromptScores:
    """One entry per prompt; -1 and NaN where a value is not known."""

    prediction: Int[np.ndarray, " prompt"]
    """Index of the best candidate; -1 only in mode `first`, where not yet proven."""
    runner_up: Int[np.ndarray, " prompt"]
    score: Float[np.ndarray, " prompt"]
    """Normalised score of the prediction."""
    margin: Float[np.ndarray, " prompt"]
    """Score less runner-up's score, or a lower bound of it; NaN for one candidate."""
    margin_is_exact: Bool[np.ndarray, " prompt"]
    is_tie: Bool[np.ndarray, " prompt"]
    free_prediction: Int[np.ndarray, " prompt"]
    """Best token of the whole vocabulary."""
    free_log_probability: Float[np.ndarray, " prompt"]
    first_token: tuple[Float[np.ndarray, " _candidate"], ...]
    """Log-probability of each candidate's first token."""
    vectors: tuple[Float[np.ndarray, " _candidate"], ...] | None = None
    """Mode `full`: the sum of log-probabilities of every candidate, float32."""
