"""Random candidates and prompts, and scores worked out the slow way."""

from typing import Any

import numpy as np
import torch
from tiny_models import tiny_model
from torch import Tensor

from concord.models.architecture import architecture_of
from concord.scoring.engine import ScoringModel
from concord.scoring.trie import CandidateTrie, Tokens, build_trie


def random_candidates(
    generator: np.random.Generator,
    *,
    count: int,
    vocabulary: int = 97,
    longest: int = 5,
) -> list[Tokens]:
    """Distinct candidates of 1 to `longest` tokens; half of them extend another.

    Fewer than asked where a small vocabulary keeps giving the same ones.
    """
    found: list[Tokens] = []
    for _ in range(10 * count):
        if len(found) == count:
            break
        tail = generator.integers(3, vocabulary, generator.integers(1, longest + 1))
        is_longer = found and generator.random() < 0.5
        front = found[generator.integers(len(found))] if is_longer else ()
        own = (*front, *map(int, tail))[:longest]
        if own not in found:
            found.append(own)
    return found


def random_trie(
    generator: np.random.Generator,
    *,
    count: int,
    vocabulary: int = 97,
    longest: int = 5,
) -> CandidateTrie:
    """The trie of such candidates, with texts of unlike lengths."""
    candidates = random_candidates(
        generator, count=count, vocabulary=vocabulary, longest=longest
    )
    texts = ["é" * (1 + i % 3) + "n" * (1 + i % 5) for i in range(len(candidates))]
    return build_trie(candidates, texts=texts)


def random_prompts(
    generator: np.random.Generator, *, count: int, shortest: int = 1, longest: int = 21
) -> list[Tokens]:
    """Prompts of mixed lengths."""
    return [
        tuple(
            map(
                int,
                generator.integers(3, 97, generator.integers(shortest, longest + 1)),
            )
        )
        for _ in range(count)
    ]


def summed(trie: CandidateTrie, edge_scores: np.ndarray) -> np.ndarray:
    """Scores of all candidates from the log-probability of every edge."""
    totals = []
    for edges, length in zip(trie.candidate_edges, trie.lengths, strict=True):
        total = edge_scores.dtype.type(0)
        for edge in edges[:length]:
            total = total + edge_scores[edge]
        totals.append(total)
    return np.array(totals)


def scoring_model(family: str, **fields: Any) -> ScoringModel:
    """A tiny random model, ready to be scored with."""
    return as_scoring_model(tiny_model(family, **fields))


def as_scoring_model(network: Any, **fields: Any) -> ScoringModel:
    """Any network; encoder-decoder models start with token 0."""
    architecture = architecture_of(network)
    defaults: dict[str, Any] = {
        "decoder_start": (0,) if architecture.encoder else (),
        "empty_prompt": (1,),
    }
    return ScoringModel(
        network, architecture, torch.device("cpu"), **(defaults | fields)
    )


def bigram_model(probabilities: Tensor, dtype: torch.dtype = torch.float32) -> Any:
    """A LLaMA whose next token depends on the last one alone, as the table says.

    Its blocks add nothing; each token's state is its own axis, so that the rows of
    [token, next token] are the distributions.
    """
    size = len(probabilities)
    network = tiny_model(
        "llama",
        vocabulary=size,
        hidden_size=size,
        intermediate_size=size,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        rms_norm_eps=0.0,
        dtype=dtype,
    )
    block = network.model.layers[0]
    with torch.no_grad():
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
        network.model.embed_tokens.weight.copy_(torch.eye(size))
        network.model.norm.weight.fill_(size**-0.5)
        network.lm_head.weight.copy_(probabilities.log().T)
    return network
