"""The states that stand for a prompt: every layer's, at the position that predicts.

Decoder-only models: the last token of the whole prompt. Encoder-decoder models: the
decoder's first position, where the prediction is made, or a token of the encoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from concord.errors import ModelError
from concord.models.hooks import Site, record
from concord.models.load import LoadedModel
from concord.models.memory import TokenBudget, first_positions, in_batches
from concord.models.padding import padded
from concord.models.readout import decoder_states, encoder_states, final_states
from concord.study import SentenceRepresentation

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PromptStates:
    """States of some prompts, in float32 on the CPU."""

    indices: tuple[int, ...]
    """Which of the prompts asked for."""
    hidden: Float[Tensor, "prompt state d_model"]
    """h_0 (embeddings) to h_L (last block's output, before the final norm)."""
    final: Float[Tensor, "prompt d_output"]
    """After the final norm."""


def prompt_states(
    model: LoadedModel,
    prompts: Sequence[Tokens],
    *,
    representation: SentenceRepresentation = "decoder_first",
    row_limit: int | None = None,
    budget: TokenBudget | None = None,
) -> Iterator[PromptStates]:
    """States of every prompt, batch by batch, longest first; one pass for each prompt.

    Args:
        model: The model.
        prompts: Token ids, special tokens included.
        representation: Which state stands for the prompt in an encoder-decoder model.
        row_limit: Most rows of one batch.
        budget: Positions per batch, halved when memory runs out; by default a new one.

    Raises:
        ModelError: A prompt is empty, longer than the model's limit, or does not fit in
            memory alone.
    """
    _require_lengths(model, prompts)
    batches = in_batches(
        [len(prompt) for prompt in prompts],
        lambda chosen, width: _batch_states(
            model, [prompts[index] for index in chosen], width, representation
        ),
        budget=budget or TokenBudget(first_positions(model.device)),
        who=model.label,
        is_plain=True,
        row_limit=row_limit,
    )
    for chosen, (hidden, final) in batches:
        count = len(chosen)
        yield PromptStates(tuple(chosen), hidden[:count], final[:count])


def _require_lengths(model: LoadedModel, prompts: Sequence[Tokens]) -> None:
    limit = model.max_length
    for prompt in prompts:
        if not prompt:
            raise ModelError(
                f"{model.label}: a prompt has no tokens; remove the empty sentence"
            )
        if limit is not None and len(prompt) > limit:
            raise ModelError(
                f"{model.label}: a prompt has {len(prompt)} tokens, the model takes "
                f"{limit}; prompts are never cut: leave that sentence out"
            )


def _batch_states(
    model: LoadedModel,
    prompts: list[Tokens],
    width: int,
    representation: SentenceRepresentation,
) -> tuple[Tensor, Tensor]:
    """States of one batch."""
    ids, mask = padded(prompts, width, model.device)
    if not model.is_encoder_decoder:
        hidden, final = _decoder_only(model, ids, mask)
    elif representation == "decoder_first":
        hidden, final = _decoder_first(model, ids, mask)
    else:
        hidden, final = _encoder(model, ids, mask, representation)
    return hidden.float().cpu(), final.float().cpu()


def _sites(layer_count: int) -> list[Site]:
    return [("hidden", layer) for layer in range(layer_count + 1)]


def _decoder_only(
    model: LoadedModel, ids: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    last = mask.sum(dim=1, keepdim=True) - 1
    sites = _sites(model.layer_count)
    with record(model.network, model.architecture, sites, last) as kept:
        final = final_states(model.network, model.architecture, ids, mask)
    return _stacked(kept, sites), _at(final, last)


def _decoder_first(
    model: LoadedModel, ids: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    start = model.network.config.decoder_start_token_id
    if start is None:
        raise ModelError(
            f"{model.label}: its config names no decoder_start_token_id; add it"
        )
    first = torch.zeros((len(ids), 1), dtype=torch.long, device=ids.device)
    sites = _sites(model.layer_count)
    encoded = encoder_states(model.network, model.architecture, ids, mask)
    with record(model.network, model.architecture, sites, first) as kept:
        final = decoder_states(
            model.network, model.architecture, first + start, encoded, mask
        )
    return _stacked(kept, sites), final[:, 0]


def _encoder(
    model: LoadedModel,
    ids: Tensor,
    mask: Tensor,
    representation: SentenceRepresentation,
) -> tuple[Tensor, Tensor]:
    """A token of the encoder: its end mark, or the last of the text before it."""
    assert model.architecture.encoder is not None
    back = 1 if representation == "encoder_eos" else 2
    place = (mask.sum(dim=1, keepdim=True) - back).clamp(min=0)
    sites = _sites(model.network.config.num_layers)
    with record(model.network, model.architecture.encoder, sites, place) as kept:
        final = encoder_states(model.network, model.architecture, ids, mask)
    return _stacked(kept, sites), _at(final, place)


def _stacked(kept: dict[Site, Tensor], sites: list[Site]) -> Tensor:
    return torch.stack([kept[site][:, 0] for site in sites], dim=1)


def _at(states: Tensor, places: Tensor) -> Tensor:
    rows = torch.arange(len(states), device=states.device)
    return states[rows, places[:, 0]]


def as_unit(
    states: Float[Tensor, "*rows d_model"],
) -> Float[np.ndarray, "*rows d_model"]:
    """States scaled to length 1; a state of zeros stays zero (its cosines are 0)."""
    return torch.nn.functional.normalize(states, dim=-1).numpy()
