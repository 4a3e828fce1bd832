"""Models that always say one token, and a folder of questions to ask them."""

import csv
from pathlib import Path
from typing import Any

import torch
from small_study import write_tuned
from tiny_models import tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer


def write_pair(folder: Path) -> tuple[Path, Path]:
    """A random LLaMA that takes prompts of 512 tokens, and one near it."""
    tokenizer = tiny_tokenizer()
    network = tiny_model(
        "llama", vocabulary=len(tokenizer), max_position_embeddings=512
    )
    network.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    return folder / "base", write_tuned(folder / "base", folder / "tuned")


def write_questions(folder: Path, topics: dict[str, list[list[str]]]) -> Path:
    """MMLU's layout: a CSV of question, four options and letter for each topic."""
    for topic, rows in topics.items():
        path = folder / "mmlu" / "test" / f"{topic}_test.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def some_questions(count: int = 8) -> list[list[str]]:
    """Questions whose right letters are equally often A, B, C and D."""
    return [
        [f"Which town is number {i}?", "Avon", "Brill", f"Corby {i}", "Dover", letter]
        for i, letter in zip(range(count), "ABCD" * count, strict=False)
    ]


def write_single_minded(base: Path, folder: Path, text: str) -> Path:
    """The base made to say the last token of a text, whatever it is asked.

    Blocks add nothing and every token has one embedding, so all final states are equal.
    """
    network: Any = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    token = tokenizer(text, add_special_tokens=False).input_ids[-1]
    with torch.no_grad():
        for block in network.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        network.model.embed_tokens.weight.fill_(1.0)
        network.model.norm.weight.fill_(1.0)
        network.lm_head.weight.zero_()
        network.lm_head.weight[token] = 1.0
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
