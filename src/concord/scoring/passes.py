"""What one pass over the model needs: the model, jobs, and tokens run beforehand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from concord.models.architecture import Architecture, without_adapter_wrapper
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

    @cached_property
    def tokens(self) -> Int[np.ndarray, " token"]:
        """The prompt as an array."""
        return np.array(self.prompt, dtype=np.int64)


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


@dataclass(eq=False)
class KeptPrompts:
    """Keys and values of prompts that go on: later rounds feed their nodes alone.

    As many as there is room for; the others are run again. Bounded, so that memory does
    not grow with the number of prompts.
    """

    room: int
    """Bytes left."""
    positions_per_seen: float
    """Memory of a kept position, in positions that are fed."""
    pieces: list[tuple[tuple[Tensor, Tensor], ...]] = field(default_factory=list)
    """One for each batch: keys and values [row, head, position, channel] by layer."""
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Piece and row of each job."""

    def keep(self, cache: DynamicCache, rows: Mapping[int, int], *, skip: int) -> None:
        """Keep some rows of a batch.

        Args:
            cache: What the batch left behind.
            rows: The batch's row of each job to be kept.
            skip: Positions in front that a shared prefix holds.
        """
        layers = [keys_and_values(layer) for layer in cache.layers]
        per_row = sum(
            own.shape[1] * (own.shape[2] - skip) * own.shape[3] * own.dtype.itemsize
            for pair in layers
            for own in pair
        )
        jobs = list(rows)[: self.room // max(1, per_row)]
        if not jobs:
            return
        index = torch.tensor([rows[job] for job in jobs], device=layers[0][0].device)
        self.pieces.append(
            tuple((k[index, :, skip:], v[index, :, skip:]) for k, v in layers)
        )
        self.room -= per_row * len(jobs)
        piece = len(self.pieces) - 1
        self.places |= {job: (piece, row) for row, job in enumerate(jobs)}

    def length_of(self, job: int) -> int:
        """Kept positions of a job, padding included."""
        return self.pieces[self.places[job][0]][0][0].shape[2]

    def gathered(self, jobs: Sequence[int]) -> DynamicCache:
        """A fresh cache for a batch of jobs, all kept at the same length."""
        pieces, rows = np.array([self.places[job] for job in jobs]).T
        order = np.argsort(pieces, kind="stable")
        used, starts = np.unique(pieces[order], return_index=True)
        device = self.pieces[used[0]][0][0].device
        parts = [torch.from_numpy(p) for p in np.split(rows[order], starts[1:])]
        parts = [part.to(device) for part in parts]
        back = torch.from_numpy(np.argsort(order)).to(device)
        cache = DynamicCache()
        for layer in range(len(self.pieces[used[0]])):
            sides = [
                [
                    self.pieces[p][layer][side][own]
                    for p, own in zip(used, parts, strict=True)
                ]
                for side in (0, 1)
            ]
            keys, values = (
                own[0] if len(own) == 1 else torch.cat(own)[back] for own in sides
            )
            if len(parts) == 1:
                keys, values = keys[back], values[back]
            cache.update(keys, values, layer)
        return cache


@dataclass(frozen=True)
class Pass:
    """How the rows of one call are laid out and read."""

    model: ScoringModel
    jobs: Sequence[Job]
    layout: Layout
    head_dtype: HeadDtype
    prefix: SharedPrefix | None = None
    kept: KeptPrompts | None = None

    @property
    def skipped(self) -> int:
        """Prompt tokens not fed because the shared prefix holds them."""
        return 0 if self.prefix is None else self.prefix.length

    def is_kept(self, row: Row) -> bool:
        """Whether the row's nodes alone are fed."""
        return self.kept is not None and bool(
            len(row.nodes) and row.job in self.kept.places
        )

    def start_of(self, row: Row) -> Int[np.ndarray, " token"]:
        """Tokens in front of the nodes of a row, as fed."""
        if self.model.is_encoder_decoder:
            return self.decoder_start
        if self.is_kept(row):
            return self.decoder_start[:0]
        return self.jobs[row.job].tokens[self.skipped :]

    @cached_property
    def decoder_start(self) -> Int[np.ndarray, " token"]:
        """Tokens in front of every candidate in an encoder-decoder model."""
        return np.array(self.model.decoder_start, dtype=np.int64)

    def shape_of(self, row: Row) -> Shape:
        """Real tokens of a row."""
        if self.kept is not None and self.is_kept(row):
            seen = self.kept.length_of(row.job)
            held = math.ceil(seen * self.kept.positions_per_seen)
            return Shape(decoder=len(row.nodes), seen=seen, held=held)
        source = self.model.is_encoder_decoder
        return Shape(
            decoder=len(self.start_of(row)) + len(row.nodes),
            encoder=len(self.jobs[row.job].prompt) if source else 0,
        )


def room_for_kept(model: ScoringModel) -> KeptPrompts:
    """Room for keys and values of prompts: 256 MiB, on a GPU a tenth of what is free.

    What they take is compared with a position that is fed, which is taken to need 20
    numbers of the model's width (`batching.budget_for`).
    """
    room = 1 << 28
    if model.device.type == "cuda":
        room = max(room, torch.cuda.mem_get_info(model.device)[0] // 10)
    config = without_adapter_wrapper(model.network).config
    layers = getattr(config, "num_hidden_layers", 1)
    heads = getattr(config, "num_attention_heads", 1)
    groups = getattr(config, "num_key_value_heads", None) or heads
    return KeptPrompts(room, positions_per_seen=2 * layers * groups / heads / 20)


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
    layers = tuple(keys_and_values(layer) for layer in cache.layers)
    return SharedPrefix(length=len(prefix), layers=layers)


def keys_and_values(layer: object) -> tuple[Tensor, Tensor]:
    """Of one layer of a cache: [row, head, position, channel] each."""
    keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
    assert isinstance(keys, Tensor) and isinstance(values, Tensor)
    return keys, values
