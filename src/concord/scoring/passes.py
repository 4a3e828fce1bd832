"""What one pass over the model needs: the model, jobs, and tokens run beforehand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from concord.models.architecture import Architecture, without_adapter_wrapper
from concord.models.network import Network
from concord.models.padding import GRID
from concord.models.readout import HeadDtype, final_states
from concord.scoring.batching import Row, Shape
from concord.scoring.tree import Layout
from concord.scoring.trie import CandidateTrie, Tokens


@dataclass(frozen=True)
class ScoringModel:
    """What scoring needs of a loaded model."""

    network: Network
    architecture: Architecture
    device: torch.device
    max_length: int | None = None
    """Longest sequence in tokens; None where the model sets no limit."""
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
        return _cache_of(
            [
                (k.expand(rows, *k.shape[1:]), v.expand(rows, *v.shape[1:]))
                for k, v in self.layers
            ]
        )


@dataclass(eq=False)
class KeptPrompts:
    """Keys and values of prompts that go on: later rounds feed their nodes alone.

    As many as there is room for; the others are run again. Bounded, so that memory does
    not grow with the number of prompts. A prompt that is run again takes other kernels,
    so once the room is full a score also depends, by rounding, on the other prompts of
    the call: by 1e-6 at most in 40 random prompts of a tiny model.
    """

    room: int
    """Bytes left."""
    positions_per_seen: float
    """Memory of a kept position, in positions that are fed."""
    pieces: list[Float[Tensor, "_row side head _position channel"]] = field(
        default_factory=list
    )
    """One for each batch; keys and values of layer i are the sides 2i and 2i + 1."""
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Piece and row of each job."""

    def keep(self, cache: DynamicCache, rows: Mapping[int, int], *, skip: int) -> None:
        """Keep some rows of a batch.

        Args:
            cache: What the batch left behind.
            rows: The batch's row of each job to be kept.
            skip: Positions in front that a shared prefix holds.
        """
        sides = [side for layer in cache.layers for side in keys_and_values(layer)]
        fed = sides[0].shape[2] - skip
        length = -(-fed // GRID) * GRID
        per_row = sum(s.shape[1] * length * s.shape[3] * s.itemsize for s in sides)
        jobs = list(rows)[: self.room // max(1, per_row)]
        if not jobs or len({side.shape for side in sides}) > 1:
            return
        index = torch.tensor([rows[job] for job in jobs], device=sides[0].device)
        kept = torch.stack([side[index, :, skip:] for side in sides], dim=1)
        self.pieces.append(pad(kept, (0, 0, 0, length - fed)))
        self.room -= per_row * len(jobs)
        piece = len(self.pieces) - 1
        self.places |= {job: (piece, row) for row, job in enumerate(jobs)}

    def length_of(self, job: int) -> int:
        """Kept positions of a job, padding included."""
        return self.pieces[self.places[job][0]].shape[3]

    def gathered(self, jobs: Sequence[int]) -> DynamicCache:
        """A fresh cache for a batch of jobs, all kept at the same length."""
        pieces, rows = np.array([self.places[job] for job in jobs]).T
        sides = self.pieces[pieces[0]].new_empty(
            (len(jobs), *self.pieces[pieces[0]].shape[1:])
        )
        for piece in np.unique(pieces):
            into = torch.from_numpy(np.flatnonzero(pieces == piece)).to(sides.device)
            taken = torch.from_numpy(rows[pieces == piece]).to(sides.device)
            sides[into] = self.pieces[piece][taken]
        count = sides.shape[1]
        return _cache_of([(sides[:, i], sides[:, i + 1]) for i in range(0, count, 2)])


def _cache_of(layers: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    """A cache that holds these keys and values without another copy of them."""
    cache = DynamicCache()
    for keys, values in layers:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
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
        if self.kept is None or not len(row.nodes):
            return False
        return row.job in self.kept.places

    def front_length(self, job: int) -> int:
        """Tokens fed in front of a job's nodes when nothing of it is kept."""
        if self.model.is_encoder_decoder:
            return len(self.model.decoder_start)
        return len(self.jobs[job].prompt) - self.skipped

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
            decoder=self.front_length(row.job) + len(row.nodes),
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
