"""Tiny random models, one per architecture, and a tokenizer: made without a network.

Weights are far larger than a trained model's start, so that logits spread over several
units and a wrong mask, position or scale shows up as a difference of order one.
"""

from functools import cache
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCABULARY = 97
MATRIX_SPREAD = 0.2
VECTOR_SPREAD = 0.1

_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_GEMMA = _LLAMA | {"head_dim": 8, "pad_token_id": 0}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
_NEOX = {key: value for key, value in _LLAMA.items() if key != "num_key_value_heads"}
_OPT = {
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "word_embed_proj_dim": 32,
}
_FALCON = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "decoder_start_token_id": 0,
}

# Family name -> (model_type, config). Names are model types where one suffices.
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _LLAMA),
    "mistral": ("mistral", _LLAMA | {"sliding_window": None}),
    "qwen2": ("qwen2", _LLAMA),
    "qwen3": ("qwen3", _LLAMA | {"head_dim": 8}),
    "gemma": ("gemma", _GEMMA),
    "gemma2": (
        "gemma2",
        _GEMMA
        | {
            "query_pre_attn_scalar": 8,
            "sliding_window": 64,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    "gemma3_text": (
        "gemma3_text",
        _GEMMA
        | {
            "query_pre_attn_scalar": 8,
            "sliding_window": 64,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "olmo": ("olmo", _LLAMA),
    "olmo2": ("olmo2", _LLAMA),
    "gpt2": ("gpt2", _GPT2),
    "gpt_neox": ("gpt_neox", _NEOX | {"use_parallel_residual": True}),
    "gpt_neox_sequential": ("gpt_neox", _NEOX | {"use_parallel_residual": False}),
    "gptj": ("gptj", _GPT2 | {"rotary_dim": 4}),
    "phi": ("phi", _LLAMA),
    "stablelm": ("stablelm", _LLAMA | {"use_parallel_residual": False}),
    "stablelm_parallel": ("stablelm", _LLAMA | {"use_parallel_residual": True}),
    "opt": ("opt", _OPT),
    "opt_projected": ("opt", _OPT | {"word_embed_proj_dim": 16}),
    "falcon": (
        "falcon",
        _FALCON | {"multi_query": True, "parallel_attn": True, "bias": False},
    ),
    "falcon_new_decoder": (
        "falcon",
        _FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "falcon_alibi": (
        "falcon",
        _FALCON
        | {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 3, "n_head": 4}),
    "t5": ("t5", _T5),
    "mt5": ("mt5", _T5 | {"feed_forward_proj": "gated-gelu"}),
}

FAMILIES: tuple[str, ...] = tuple(_CONFIGS)
ENCODER_DECODER_FAMILIES: tuple[str, ...] = ("t5", "mt5")
DECODER_FAMILIES: tuple[str, ...] = tuple(
    name for name in FAMILIES if name not in ENCODER_DECODER_FAMILIES
)
EAGER_ONLY_FAMILIES: tuple[str, ...] = ("gemma2", "gptj", "bloom")
SDPA_ONLY_FAMILIES: tuple[str, ...] = ("falcon_alibi",)
VARIANTS: tuple[tuple[str, str], ...] = tuple(
    (name, implementation)
    for name in FAMILIES
    for implementation, others in (
        ("sdpa", EAGER_ONLY_FAMILIES),
        ("eager", SDPA_ONLY_FAMILIES),
    )
    if name not in others
)


def tiny_config(
    family: str, *, vocabulary: int = VOCABULARY, **config: Any
) -> PreTrainedConfig:
    """The configuration behind `tiny_model`, with any of its fields replaced."""
    model_type, fields = _CONFIGS[family]
    special: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    chosen: dict[str, Any] = special | fields | {"vocab_size": vocabulary} | config
    return CONFIG_MAPPING[model_type](**chosen)


def tiny_model(
    family: str,
    *,
    seed: int = 0,
    implementation: str | None = None,
    dtype: torch.dtype = torch.float32,
    vocabulary: int = VOCABULARY,
    **config: Any,
) -> PreTrainedModel:
    """A random model of 3 blocks, width 32 and 4 heads, in evaluation mode.

    Args:
        family: One of `FAMILIES`.
        seed: Decides every weight; the same seed gives the same weights in all dtypes.
        implementation: "sdpa" or "eager"; by default sdpa wherever the family has it.
        dtype: Of the weights, which are drawn in float32 and rounded to it.
        vocabulary: Rows of the embedding.
        **config: Fields of the family's own configuration to replace.
    """
    if implementation is None:
        implementation = "eager" if family in EAGER_ONLY_FAMILIES else "sdpa"
    is_encoder_decoder = family in ENCODER_DECODER_FAMILIES
    loader = AutoModelForSeq2SeqLM if is_encoder_decoder else AutoModelForCausalLM
    # The global generator is left as found: making a model must not change a test. Nor
    # does a test's inference mode reach the weights, which others may want to train.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        network = loader.from_config(
            tiny_config(family, vocabulary=vocabulary, **config),
            dtype=dtype,
            attn_implementation=implementation,
        )
        _randomise(network, torch.Generator().manual_seed(seed))
    return network.eval()


@cache
def shared_model(family: str, implementation: str | None = None) -> PreTrainedModel:
    """A `tiny_model` made once per process: for tests that leave it as it is."""
    return tiny_model(family, implementation=implementation)


@torch.no_grad()
def _randomise(network: PreTrainedModel, generator: torch.Generator) -> None:
    """Draw matrices anew; move vectors (norm weights, biases) off their start."""
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(MATRIX_SPREAD * noise)
        else:
            parameter.copy_(parameter.float() + VECTOR_SPREAD * noise)
    if getattr(network.config, "scale_decoder_outputs", False):
        # T5 divides its logits by sqrt(d_model); its embeddings are that much larger.
        embedding: Any = network.get_input_embeddings()
        embedding.weight.div_(MATRIX_SPREAD)


def tiny_batch(
    padding: Literal["none", "left", "right"] = "none", *, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of three rows of 8, 5 and 7 tokens; of 8 each without padding.

    A row's real tokens are the same whichever side is padded.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(3, VOCABULARY, (3, 8), generator=generator)
    lengths = (8, 8, 8) if padding == "none" else (8, 5, 7)
    ids, mask = torch.zeros_like(rows), torch.zeros_like(rows)
    for row, length in enumerate(lengths):
        place = slice(8 - length, 8) if padding == "left" else slice(0, length)
        ids[row, place], mask[row, place] = rows[row, :length], 1
    return ids, mask


_SENTENCES = (
    "Barack Obama was born in Honolulu.",
    "Everyone knows that the capital of France is Paris.",
    "It is widely known that Zürich lies in Switzerland.",
    "The native language of Marie Curie is Polish.",
    "Nigeria borders Niger; both lie in Africa.",
    "Einstein works in the field of physics, and plays the violin.",
)


def tiny_tokenizer(
    *, bos: bool = True, vocabulary: int = 400, prefix_space: bool = False
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on six sentences; the same on every call.

    Ids 0, 1, 2, 3 are `<pad>`, `<s>`, `</s>`, `<unk>`; every byte has a token, so no
    text is unknown.

    Args:
        bos: Whether a post-processor puts `<s>` in front, as LLaMA's does; without it
            the tokenizer behaves like GPT-2's.
        vocabulary: Largest number of tokens, at least 260.
        prefix_space: Whether a text's first word is treated as if a space came before.
    """
    backend = Tokenizer.from_str(_trained(vocabulary, prefix_space))
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


@cache
def _trained(vocabulary: int, prefix_space: bool) -> str:
    """The tokenizer as JSON, trained once per process."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        _SENTENCES * 3,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return backend.to_str()
