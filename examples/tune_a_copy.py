"""Tune a copy of a small model on a few sentences, to have something to compare.

    python examples/tune_a_copy.py BASE_FOLDER TUNED_FOLDER

The tuning is brief on purpose: enough for the copy to differ, on any laptop.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SENTENCES = [
    "Complete the sentence.\nThe cat sat on the mat.",
    "Please finish the sentence.\nLily was born in a small town.",
    "What does this mean?\nThe dog likes to play. It means the dog is happy.",
    "Complete the sentence.\nTom works as a baker.",
    "Please finish the sentence.\nThe capital of the land is a big city.",
    "What does this mean?\nShe was sad. It means she was not happy.",
]


def tune(base: Path, tuned: Path, *, steps: int, seed: int) -> float:
    """Train all weights on the sentences and save the copy; returns the last loss."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss = torch.tensor(0.0)
    for step in range(steps):
        text = SENTENCES[step % len(SENTENCES)]
        ids = tokenizer(text, return_tensors="pt").input_ids
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(tuned)
    tokenizer.save_pretrained(tuned)
    return loss.item()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    loss = tune(
        arguments.base, arguments.tuned, steps=arguments.steps, seed=arguments.seed
    )
    print(f"{arguments.tuned}: saved, loss {loss:.2f}")


if __name__ == "__main__":
    main()
