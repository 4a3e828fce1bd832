"""From token ids to final states, and from vectors of the residual stream to scores.

`unembed` is the whole of what a model does after its final norm (projection, scale,
bias, soft cap): with it, states give the model's own logits. `readout` is the product
with the unembedding matrix alone, for updates: a bias or a soft cap belongs to a
prediction, not to what one sublayer writes.
"""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from concord.errors import ModelError
from concord.models.architecture import (
    Architecture,
    module_at,
    without_adapter_wrapper,
)

HeadDtype = Literal["float32", "model"]


def position_ids_of(
    attention_mask: Int[Tensor, "batch position"] | Bool[Tensor, "batch position"],
) -> Int[Tensor, "batch position"]:
    """Places of the real tokens, counted from 0 in each row; padding before gets 0."""
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)


def final_states(
    network: nn.Module,
    architecture: Architecture,
    input_ids: Int[Tensor, "batch position"],
    attention_mask: Tensor | None = None,
    position_ids: Int[Tensor, "batch position"] | None = None,
    **kwargs: Any,
) -> Float[Tensor, "batch position d_model"]:
    """States after the final norm of a decoder-only model: what `unembed` takes.

    Position ids are always passed: a model's own ignore padding on the left.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: Its row.
        input_ids: Token ids, padded on either side.
        attention_mask: 1 for real tokens, 0 for padding ([batch, position]); or a mask
            in four dimensions made by `attention_mask_of`, with position ids.
        position_ids: Place of each token; by default counted from the mask.
        **kwargs: Further arguments of the body.
    """
    if architecture.encoder is not None:
        raise ModelError(
            f"{architecture.model_type} has an encoder: use encoder_states and"
            " decoder_states"
        )
    if position_ids is None:
        position_ids = _counted(input_ids, attention_mask)
    # ALiBi counts places from the mask by itself and takes no ids.
    placed = {} if architecture.positions == "alibi" else {"position_ids": position_ids}
    body = module_at(network, architecture.body)
    return body(
        input_ids=input_ids,
        attention_mask=attention_mask,
        use_cache=False,
        **placed,
        **kwargs,
    ).last_hidden_state


def encoder_states(
    network: nn.Module,
    architecture: Architecture,
    input_ids: Int[Tensor, "batch source"],
    attention_mask: Int[Tensor, "batch source"] | None = None,
) -> Float[Tensor, "batch source d_model"]:
    """Final states of the encoder of an encoder-decoder model.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: The decoder's row, which holds the encoder's.
        input_ids: Token ids of the prompts.
        attention_mask: 1 for real tokens, 0 for padding.
    """
    if architecture.encoder is None:
        raise ModelError(f"{architecture.model_type} has no encoder: use final_states")
    body = module_at(network, architecture.encoder.body)
    return body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def decoder_states(
    network: nn.Module,
    architecture: Architecture,
    decoder_input_ids: Int[Tensor, "batch position"],
    encoder_states: Float[Tensor, "batch source d_model"],
    encoder_mask: Int[Tensor, "batch source"] | None = None,
    *,
    decoder_mask: Tensor | None = None,
) -> Float[Tensor, "batch position d_model"]:
    """Final states of the decoder, given the encoder's: what `unembed` takes.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: The decoder's row.
        decoder_input_ids: Start token and candidate tokens.
        encoder_states: From the function of that name; one row per decoder row.
        encoder_mask: 1 for real prompt tokens, 0 for padding.
        decoder_mask: 1 for real decoder tokens, or a mask in four dimensions.
    """
    if architecture.encoder is None:
        raise ModelError(f"{architecture.model_type} has no encoder: use final_states")
    body = module_at(network, architecture.body)
    return body(
        input_ids=decoder_input_ids,
        attention_mask=decoder_mask,
        encoder_hidden_states=encoder_states,
        encoder_attention_mask=encoder_mask,
        use_cache=False,
    ).last_hidden_state


def normed(
    network: nn.Module,
    architecture: Architecture,
    hidden: Float[Tensor, "*rows d_model"],
) -> Float[Tensor, "*rows d_output"]:
    """The final norm, and the projection behind it where a family has one.

    `normed` of the last block's output h_L is what `final_states` returns.
    """
    return _projected(
        network, architecture, module_at(network, architecture.final_norm)(hidden)
    )


def unembed(
    network: nn.Module,
    architecture: Architecture,
    states: Float[Tensor, "*rows d_output"],
    *,
    head_dtype: HeadDtype = "float32",
) -> Float[Tensor, "*rows vocabulary"]:
    """Logits of final states, with the scale, bias and soft cap the model applies.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: Its row.
        states: After the final norm, as `final_states` returns them.
        head_dtype: "float32" multiplies half-precision models in float32: bfloat16
            logits in [16, 32) are multiples of 0.125, so candidates would tie by
            rounding. "model" keeps the model's own type, for parity with other
            harnesses.
    """
    plain = without_adapter_wrapper(network)
    # Tied T5 divides by sqrt(d_model) before the unembedding; nobody else has the
    # switch.
    if getattr(plain.config, "scale_decoder_outputs", False):
        states = states * plain.config.d_model**-0.5
    logits = _unembedded(plain, states, head_dtype=head_dtype, bias=True)
    cap = getattr(plain.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def readout(
    network: nn.Module,
    architecture: Architecture,
    vectors: Float[Tensor, "*rows d_model"],
    *,
    norm: bool,
) -> Float[Tensor, "*rows vocabulary"]:
    """Scores over the vocabulary of an update or hidden state: the unembedding alone.

    No bias and no soft cap; computed in float32 at least.

    Args:
        network: The model, wrapped in an adapter or not.
        architecture: Its row.
        vectors: Of the residual stream, before the final norm.
        norm: Whether the final norm is applied first; it changes which token is best.

    Source:
        Geva et al. (2023), sections 5 and 6, without the norm.
    """
    plain = without_adapter_wrapper(network)
    mapped = (
        normed(network, architecture, vectors)
        if norm
        else _projected(network, architecture, vectors)
    )
    return _unembedded(plain, mapped, head_dtype="float32", bias=False)


def rank_of(
    scores: Float[Tensor, "*rows vocabulary"],
    target: Int[Tensor, "*rows"],
    *,
    keep: Bool[Tensor, " vocabulary"] | None = None,
) -> Int[Tensor, "*rows"]:
    """How many other tokens score at least as high as the target.

    A tie counts against the target: a constant readout, such as that of a zero update,
    would otherwise put every token first. A score that is not a number counts against
    it as well. Found by counting; the vocabulary is never sorted.

    Args:
        scores: Over the vocabulary.
        target: Token ids.
        keep: Tokens that take part; rows of the unembedding beyond the tokenizer do
            not.

    Returns:
        0 when the target alone is best, up to vocabulary - 1.
    """
    own = scores.gather(-1, target.unsqueeze(-1))
    is_ahead = ~(scores < own)
    if keep is not None:
        is_ahead = is_ahead & keep.to(scores.device)
    return is_ahead.scatter(-1, target.unsqueeze(-1), False).sum(dim=-1)


def _counted(
    input_ids: Int[Tensor, "batch position"], attention_mask: Tensor | None
) -> Int[Tensor, "batch position"]:
    """Position ids from the mask, or 0, 1, 2, ... without one."""
    if attention_mask is None:
        return position_ids_of(torch.ones_like(input_ids))
    if attention_mask.ndim != 2:
        raise ModelError(
            f"a mask of {attention_mask.ndim} dimensions does not tell places: pass"
            " position_ids with it"
        )
    return position_ids_of(attention_mask)


def _projected(
    network: nn.Module, architecture: Architecture, states: Tensor
) -> Tensor:
    """Into the unembedding's input space, where that is not the residual stream's."""
    if architecture.output_projection is None:
        return states
    return module_at(network, architecture.output_projection)(states)


def _unembedded(
    network: Any, states: Tensor, *, head_dtype: HeadDtype, bias: bool
) -> Tensor:
    """The product with the unembedding matrix."""
    head = network.get_output_embeddings()
    if type(head) is not nn.Linear:
        return _through_wrapped_head(head, states, head_dtype=head_dtype, bias=bias)
    weight, offset = head.weight, head.bias if bias else None
    if head_dtype == "float32" and weight.dtype in (torch.float16, torch.bfloat16):
        weight = weight.float()
        offset = None if offset is None else offset.float()
    return functional.linear(states.to(weight.dtype), weight, offset)


def _through_wrapped_head(
    head: Any, states: Tensor, *, head_dtype: HeadDtype, bias: bool
) -> Tensor:
    """Unembed by calling an adapted or quantised head, whose matrix is not plain."""
    inner = getattr(head, "weight", None)
    is_full = inner is not None and inner.dtype in (torch.float32, torch.float64)
    if head_dtype == "float32" and not is_full:
        raise ModelError(
            f"the unembedding is a {type(head).__name__} and not in float32, so its"
            " product cannot be done in float32: merge the adapter, load in float32,"
            ' or ask for head_dtype "model"'
        )
    scores = head(states)
    if bias or getattr(head, "bias", None) is None:
        return scores
    return scores - head.bias
