"""A classifier made of a language model: its final state, or its next word, as class.

``classification``: a linear layer, zero at the start, over the final state of the last
token; in an encoder-decoder model over the decoder's first. ``label_words``: the
logits of one word for each class, behind the text; tokens that all words begin with
are put behind the text too, and the first token in which they differ is the class.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from concord.analyses.working_copy import method_of, working_copy
from concord.data.training_sets import TrainingSet
from concord.errors import ModelError
from concord.models.load import LoadedModel
from concord.models.padding import padded
from concord.models.prompts import encoder_of
from concord.models.tokens import Tokens, candidate_ids, decoder_start_ids
from concord.study import FinetunedConfig


@dataclass(frozen=True, eq=False)
class Batch:
    """Texts as ids, padded on the right, where attention never looks."""

    ids: Int[Tensor, "row token"]
    mask: Int[Tensor, "row token"]

    @property
    def last(self) -> Int[Tensor, " row"]:
        """Place of each row's last token."""
        return self.mask.sum(dim=1) - 1


def as_batch(texts: Sequence[Tokens], device: torch.device) -> Batch:
    """Texts of any lengths side by side."""
    return Batch(*padded(texts, max(map(len, texts)), device))


@dataclass(frozen=True)
class Words:
    """The classes as words of the model's own vocabulary."""

    front: Tokens
    """What all of them begin with."""
    tokens: Tokens
    """The token behind it, one for each class."""


class Classifier(nn.Module):
    """A network in training with a head; `trained` are the weights that change."""

    def __init__(
        self,
        network: nn.Module,
        *,
        body: str,
        decoder_start: Tokens,
        words: "Words | None",
        classes: int,
    ):
        super().__init__()
        self.network: Any = network
        self._body = body
        self._words = words
        front = words.front if words else ()
        self._start = (*decoder_start, *front) if decoder_start else ()
        self._behind = () if decoder_start else front
        self.head: nn.Linear | None = None
        if words is None:
            self.head = nn.Linear(self._width(), classes).to(self.device)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
            self._freeze_unembedding()

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return next(self.network.parameters()).device

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The weights that change, by name."""
        named = self.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad}

    def forward(self, batch: Batch) -> Float[Tensor, "row class"]:
        """Logit of every class."""
        if self.head is not None:
            return self.head(self._states(batch).float())
        assert self._words is not None
        return self._network_logits(batch)[:, list(self._words.tokens)].float()

    def batch(self, texts: Sequence[Tokens]) -> Batch:
        """Texts as they are put into the network."""
        return as_batch([(*text, *self._behind) for text in texts], self.device)

    def _states(self, batch: Batch) -> Float[Tensor, "row width"]:
        given = {"attention_mask": batch.mask}
        if not self._start:
            body = self.network.get_submodule(self._body)
            states = body(batch.ids, use_cache=False, **given).last_hidden_state
            return states[torch.arange(len(states)), batch.last]
        encoded = self.network.get_encoder()(batch.ids, **given).last_hidden_state
        decoded = self.network.get_decoder()(
            self._started(batch),
            encoder_hidden_states=encoded,
            encoder_attention_mask=batch.mask,
            use_cache=False,
        )
        return decoded.last_hidden_state[:, -1]

    def _network_logits(self, batch: Batch) -> Float[Tensor, "row piece"]:
        given = {"attention_mask": batch.mask, "use_cache": False}
        if self._start:
            given["decoder_input_ids"] = self._started(batch)
            return self.network(batch.ids, **given).logits[:, -1]
        logits = self.network(batch.ids, **given).logits
        return logits[torch.arange(len(logits)), batch.last]

    def _started(self, batch: Batch) -> Int[Tensor, "row token"]:
        start = torch.tensor([self._start], device=batch.ids.device)
        return start.expand(len(batch.ids), -1)

    @torch.no_grad()
    def _width(self) -> int:
        """Of the final state, which some families project to another width."""
        return self._states(as_batch([(1,)], self.device)).shape[-1]

    def _freeze_unembedding(self) -> None:
        """Leave out of training what no gradient reaches."""
        unembedding = self.network.get_output_embeddings()
        tied = self.network.get_input_embeddings().weight
        if unembedding is not None and unembedding.weight is not tied:
            unembedding.requires_grad_(False)


def new_classifier(
    model: LoadedModel, data: TrainingSet, config: FinetunedConfig
) -> Classifier:
    """A classifier at the start of its training; adapters from torch's generator.

    Raises:
        ModelError: The model's weights cannot be trained as asked, or two label words
            begin with the same token.
    """
    encoder = encoder_of(model.entry, model.tokenizer, model.network.config)
    start: Tokens = ()
    if model.is_encoder_decoder:
        start = decoder_start_ids(encoder, model.network.config.decoder_start_token_id)
    words = words_of(model, data) if config.head == "label_words" else None
    return Classifier(
        working_copy(model, method_of(model, config), rank=config.rank),
        body=model.architecture.body,
        decoder_start=start,
        words=words,
        classes=len(data.layout.labels),
    )


def words_of(model: LoadedModel, data: TrainingSet) -> Words:
    """The word of each class as tokens behind the task's text.

    Raises:
        ModelError: There are not as many words as classes, or two cannot be told apart
            by a single token.
    """
    words, labels = data.layout.label_words, data.layout.labels
    if len(words) != len(labels):
        raise ModelError(
            f"{data.name}: head label_words needs a word for each of "
            f"{', '.join(labels)}, found {', '.join(words) or 'none'}; name them in "
            "the task's task.yaml (label_words), or use head classification"
        )
    encoder = encoder_of(model.entry, model.tokenizer, model.network.config)
    ids = candidate_ids(encoder, data.texts[0], words)
    front = tuple(os.path.commonprefix(list(ids)))
    tokens = tuple(own[len(front)] for own in ids if len(own) > len(front))
    if len(set(tokens)) < len(words):
        named = ", ".join(f"{w}: {list(t)}" for w, t in zip(words, ids, strict=True))
        raise ModelError(
            f"{model.label}: no single token tells the label words of {data.name} "
            f"apart ({named}); name other words in task.yaml (label_words), or use "
            "head classification"
        )
    return Words(front, tokens)
