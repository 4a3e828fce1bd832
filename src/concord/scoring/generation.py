"""Greedy continuations of prompts, the same whatever stands beside a prompt.

Prompts of one length go together, so nothing is padded, and a batch is filled up with
copies: both padding and a few rows move numbers enough to change an answer. Only where
memory has run out, or the caller sets a limit, are there fewer rows. At a tie the
lowest id wins. Prompts with equal ids are run once.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from concord.errors import ModelError
from concord.models.memory import TokenBudget, run_or_halve
from concord.models.readout import (
    HeadDtype,
    decoder_states,
    encoder_states,
    final_states,
    unembed,
)
from concord.scoring.passes import ScoringModel
from concord.scoring.trie import Tokens

_LEAST_ROWS = 8
"""Rows of a batch at least, copies included: fewer go through other kernels. They may
be more than a guessed budget has room for, never more than a known one."""


@dataclass(frozen=True)
class Continuation:
    """What a model wrote after a prompt."""

    tokens: Tokens
    """Without the token that ended it."""
    log_probability: float
    """Sum over its tokens, the ending one included; nats."""
    is_cut: bool
    """It did not end by itself, nor at a stop: the longest answer was reached."""


def continue_greedily(
    model: ScoringModel,
    prompts: Sequence[Tokens],
    *,
    max_tokens: int,
    end_ids: Collection[int],
    forbidden: Collection[int] = (),
    is_over: Callable[[Tokens], bool] = lambda tokens: False,
    head_dtype: HeadDtype = "float32",
    budget: TokenBudget | None = None,
    row_limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Continuation]:
    """The most likely next token, again and again, for every prompt.

    Args:
        model: The model, in eval mode.
        prompts: Token ids, special tokens included.
        max_tokens: Of one continuation.
        end_ids: Tokens that end one.
        forbidden: Tokens that are never written, as padding.
        is_over: Whether the tokens so far hold a stop, asked after each token.
        head_dtype: See `unembed`.
        budget: Positions per batch, copies included, halved when memory runs out.
        row_limit: Most rows of one batch, copies included.
        progress: Told how many prompts have just been finished.

    Raises:
        ModelError: A prompt leaves no room for an answer, or does not fit in memory.
    """
    _refuse_long(model, prompts, max_tokens)
    budget = budget or TokenBudget()
    members = Counter(tuple(prompt) for prompt in prompts)
    found: dict[Tokens, Continuation] = {}

    def write(batch: list[Tokens], rows: int) -> list[Continuation]:
        steps = _Steps(model, batch, rows, head_dtype, tuple(forbidden))
        return _write(steps, max_tokens, frozenset(end_ids), is_over)

    while waiting := [prompt for prompt in members if prompt not in found]:
        for batch, rows in _batches(waiting, max_tokens, budget, row_limit):
            written = run_or_halve(
                *(partial(write, batch, rows), budget),
                rows=rows,
                width=len(batch[0]) + max_tokens,
                who=f"an answer to a prompt of {len(batch[0])} tokens",
            )
            if written is None:
                break
            found |= dict(zip(batch, written[0], strict=True))
            if progress is not None:
                progress(sum(members[prompt] for prompt in batch))
    return [found[tuple(prompt)] for prompt in prompts]


class _Steps:
    """A batch under way: each call reads the next token of all rows."""

    @torch.inference_mode()
    def __init__(
        self,
        model: ScoringModel,
        prompts: Sequence[Tokens],
        rows: int,
        head_dtype: HeadDtype,
        forbidden: Tokens,
    ) -> None:
        filled = [prompts[index % len(prompts)] for index in range(rows)]
        self.count = len(prompts)
        self._model = model
        self._head_dtype: HeadDtype = head_dtype
        self._forbidden = torch.tensor(forbidden, dtype=torch.long)
        self._ids = torch.tensor(filled, device=model.device)
        self._cache = (
            DynamicCache()
            if model.architecture.tree == "mask" and not model.is_encoder_decoder
            else None
        )
        self._fed = 0
        self._source: Tensor | None = None
        if model.is_encoder_decoder:
            self._source = encoder_states(
                model.network, model.architecture, self._ids, self._ones(self._ids)
            )
            self._mask = self._ones(self._ids)
            start = torch.tensor([model.decoder_start], device=model.device)
            self._ids = start.expand(rows, -1)

    def read(self) -> Float[Tensor, "row vocabulary"]:
        """Log-probabilities of the next token."""
        logits = unembed(
            self._model.network,
            self._model.architecture,
            self._last_states(),
            head_dtype=self._head_dtype,
        ).float()
        logits[:, self._forbidden.to(logits.device)] = -torch.inf
        return logits.log_softmax(dim=-1)

    def add(self, tokens: Int[Tensor, " row"]) -> None:
        """Go on with a token for each row."""
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)

    def _last_states(self) -> Float[Tensor, "row d_model"]:
        network, architecture = self._model.network, self._model.architecture
        if self._source is not None:
            states = decoder_states(
                network, architecture, self._ids, self._source, self._mask
            )
        elif self._cache is None:
            states = final_states(
                network, architecture, self._ids, self._ones(self._ids)
            )
        else:
            fresh = self._ids[:, self._fed :]
            places = torch.arange(self._fed, self._ids.shape[1], device=fresh.device)
            states = final_states(
                network,
                architecture,
                fresh,
                self._ones(self._ids),
                places.expand(len(fresh), -1),
                past_key_values=self._cache,
            )
            self._fed = self._ids.shape[1]
        return states[:, -1]

    def _ones(self, ids: Int[Tensor, "row position"]) -> Int[Tensor, "row position"]:
        return torch.ones_like(ids)


@torch.inference_mode()
def _write(
    steps: _Steps,
    max_tokens: int,
    end_ids: frozenset[int],
    is_over: Callable[[Tokens], bool],
) -> list[Continuation]:
    """Token after token until every row of a batch has ended."""
    tokens: list[list[int]] = [[] for _ in range(steps.count)]
    totals = [0.0] * steps.count
    is_open = [True] * steps.count
    for _ in range(max_tokens):
        best = steps.read().max(dim=-1)
        if bool(best.values.isnan().any()):
            raise ModelError(
                "the model gave log-probabilities that are not numbers; load it in "
                "float32 or bfloat16 and check that its weights are whole"
            )
        chosen, scores = best.indices.tolist(), best.values.tolist()
        for row in range(steps.count):
            if not is_open[row]:
                continue
            totals[row] += scores[row]
            if chosen[row] in end_ids:
                is_open[row] = False
            else:
                tokens[row].append(chosen[row])
                is_open[row] = not is_over(tuple(tokens[row]))
        if not any(is_open):
            break
        steps.add(best.indices)
    return [
        Continuation(tuple(own), total, cut)
        for own, total, cut in zip(tokens, totals, is_open, strict=True)
    ]


def _batches(
    prompts: Sequence[Tokens],
    max_tokens: int,
    budget: TokenBudget,
    row_limit: int | None,
) -> Iterator[tuple[list[Tokens], int]]:
    """Prompts of one length together, the longest first; read lazily.

    Yields:
        Prompts, and how many rows copies of them fill: a power of two.
    """
    by_length: dict[int, list[Tokens]] = defaultdict(list)
    for prompt in prompts:
        by_length[len(prompt)].append(prompt)
    for length in sorted(by_length, reverse=True):
        own, start = sorted(by_length[length]), 0
        while start < len(own):
            fitting = max(1, budget.positions // (length + max_tokens))
            most = _power_within(min(fitting, row_limit or fitting))
            taken = own[start : start + most]
            least = _power_within(min(_LEAST_ROWS, row_limit or _LEAST_ROWS))
            least = min(least, most) if budget.is_known else least
            yield taken, max(least, 1 << (len(taken) - 1).bit_length())
            start += len(taken)


def _power_within(most: int) -> int:
    """The largest power of two that is not above it."""
    return 1 << (most.bit_length() - 1)


def _refuse_long(
    model: ScoringModel, prompts: Sequence[Tokens], max_tokens: int
) -> None:
    longest = max(map(len, prompts), default=0)
    needed = max_tokens if model.is_encoder_decoder else longest + max_tokens
    if model.max_length is not None and needed > model.max_length:
        raise ModelError(
            f"a prompt of {longest} tokens and an answer of {max_tokens} need {needed} "
            f"positions, but the model ends at {model.max_length}; shorten the prompt "
            "or max_tokens (nothing is truncated)"
        )
