"""A LLaMA of 7B or tiny shape with random weights, and the device it is timed on."""

import sys
import time
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPE_7B: dict[str, Any] = dict(
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
    vocab_size=32000,
)
SHAPE_TINY: dict[str, Any] = dict(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    vocab_size=6400,
)


def random_network(
    shape: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> LlamaForCausalLM:
    """A LLaMA of that shape whose weights are drawn by one seed, in that dtype."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlamaForCausalLM(LlamaConfig(**shape)).eval()
    finally:
        torch.set_default_dtype(before)


def chosen_device(*, is_tiny: bool, weights: str) -> torch.device | None:
    """The processor for a tiny shape, else a CUDA device; without one None, and told.

    Args:
        is_tiny: Whether the shape is tiny.
        weights: The dtype and size of the 7B weights, for the message.
    """
    if is_tiny:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    print(
        f"found no CUDA device; needed one with room for 7B weights in {weights}; "
        "give --tiny to try the code on this processor",
        file=sys.stderr,
    )
    return None


def device_name(device: torch.device) -> str:
    """The card's name, or ``processor``."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "processor"


def now(device: torch.device) -> float:
    """The time in seconds once all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
