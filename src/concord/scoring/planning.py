"""How a call goes through the model: the layout of rows, and what is run before."""

from collections.abc import Sequence

from concord.errors import ModelError
from concord.models.architecture import refuse_beyond_window, without_adapter_wrapper
from concord.scoring.passes import (
    Job,
    Pass,
    ScoringModel,
    SharedPrefix,
    prefill,
    room_for_kept,
)
from concord.scoring.records import ScoringConfig
from concord.scoring.tree import Layout


def plan_pass(model: ScoringModel, jobs: Sequence[Job], config: ScoringConfig) -> Pass:
    """Layout and shared prefix, after checking that every prompt can be run.

    Raises:
        ModelError: A prompt is empty or too long, or the layout is not for this model.
    """
    if model.network.training:
        raise ValueError("the model is in training mode; call eval() first")
    layout: Layout = "chains" if model.architecture.tree == "none" else "tree"
    layout = layout if config.layout == "auto" else config.layout
    if layout == "tree" and model.architecture.tree == "none":
        raise ModelError(
            f"{model.architecture.model_type}: this variant cannot share a row between "
            'candidates; use layout "auto" or "chains"'
        )
    _refuse_long(model, jobs)
    shares = config.share_prefix and model.architecture.tree == "mask"
    has_own_mask = shares or (layout == "tree" and config.mode != "first")
    if has_own_mask and not model.is_encoder_decoder:
        longest = max(len(job.prompt) + job.trie.max_depth for job in jobs)
        plain = without_adapter_wrapper(model.network)
        refuse_beyond_window(plain.config, longest)
    prefix = _shared_prefix(model, jobs) if shares else None
    keeps = (
        config.keep_prompts
        and config.mode == "top"
        and layout == "tree"
        and model.architecture.tree == "mask"
        and not model.is_encoder_decoder
    )
    kept = room_for_kept(model) if keeps else None
    return Pass(model, jobs, layout, config.head_dtype, prefix, kept)


def _refuse_long(model: ScoringModel, jobs: Sequence[Job]) -> None:
    for job in jobs:
        depth = 0 if model.is_encoder_decoder else job.trie.max_depth
        needed = len(job.prompt) + depth
        if not job.prompt:
            raise ModelError("a prompt has no token; give it a BOS or some text")
        if model.max_length is not None and needed > model.max_length:
            raise ModelError(
                f"a prompt of {len(job.prompt)} tokens and {depth} of its candidates "
                f"need {needed} positions, but the model ends at {model.max_length}; "
                "shorten the prompt or its context (nothing is truncated)"
            )


def _shared_prefix(model: ScoringModel, jobs: Sequence[Job]) -> SharedPrefix | None:
    """The longest front common to all prompts, each keeping a token of its own."""
    first, last = min(job.prompt for job in jobs), max(job.prompt for job in jobs)
    most = min(len(job.prompt) for job in jobs) - 1
    common = 0
    while common < most and first[common] == last[common]:
        common += 1
    return prefill(model, first[:common]) if common else None
