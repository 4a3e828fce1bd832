"""What one pass over the model needs: the model, jobs, and tokens run beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from concord.models.architecture import Architecture
from concord.models.readout import HeadDtype, final_states
from concord.scoring.batching import Row, Shape
from concord.scoring.tree import Layout
from concord.scoring.trie import CandidateTrie, Tokens


@dataclass(frozen=True)
class ScoringModel:
    """What scoring needs of a loaded model."""

    network: PreTrainedModel
    architecture: Architecture
    device: torch.device
    max_length: int | None = None
    """Longest sequence in tokens; None where the model sets no limit."""
    pad_id: int = 0
    """Any id of the vocabulary: padding is never seen."""
    decoder_start: Tokens = ()
    """Decoder tokens in front of every candidate; empty for decoder-only models."""
    empty_prompt: Tokens | None = None
    """Ids of the prompt without text, for `acc_mutual_info`: BOS, or T5's `</s>`."""

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether prompts go to an encoder."""
        return self.architecture.encoder is not None


@dataclass(frozen=True)
class Job:
    """One distinct prompt with its candidates."""

    prompt: Tokens
    trie: CandidateTrie
    trie_index: int


@dataclass(frozen=True, eq=False)
class SharedPrefix:
    """Keys and values of tokens that all prompts begin with, for a batch of one."""

    length: int
    layers: tuple[tuple[Tensor, Tensor], ...]

    def expanded(self, rows: int) -> DynamicCache:
        """A fresh cache for a batch; the stored one never grows."""
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self.layers):
            shape = (rows, *keys.shape[1:])
            cache.update(keys.expand(shape), values.expand(shape), index)
        return cache


@dataclass(frozen=True)
class Pass:
    """How the rows of one call are laid out and read."""

    model: ScoringModel
    jobs: Sequence[Job]
    layout: Layout
    head_dtype: HeadDtype
    prefix: SharedPrefix | None = None

    @property
    def skipped(self) -> int:
        """Prompt tokens not fed because the shared prefix holds them."""
        return 0 if self.prefix is None else self.prefix.length

    def start_of(self, row: Row) -> Tokens:
        """Tokens in front of the nodes of a row, as fed."""
        if self.model.is_encoder_decoder:
            return self.model.decoder_start
        return self.jobs[row.job].prompt[self.skipped :]

    def shape_of(self, row: Row) -> Shape:
        """Real tokens of a row."""
        source = self.model.is_encoder_decoder
        return Shape(
            decoder=len(self.start_of(row)) + len(row.nodes),
            encoder=len(self.jobs[row.job].prompt) if source else 0,
        )


@torch.inference_mode()
def prefill(model: ScoringModel, prefix: Tokens) -> SharedPrefix:
    """Run the tokens all prompts begin with once."""
    ids = torch.tensor([prefix], device=model.device)
    cache = DynamicCache()
    final_states(
        model.network,
        model.architecture,
        ids,
        torch.ones_like(ids),
        past_key_values=cache,
    )
    layers = tuple(_keys_and_values(layer) for layer in cache.layers)
    return SharedPrefix(length=len(prefix), layers=layers)


def _keys_and_values(layer: object) -> tuple[Tensor, Tensor]:
    keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
    assert isinstance(keys, Tensor) and isinstance(values, Tensor)
    return keys, values
