"""How fast ParaRel is answered on an accelerator, beside what its matrices could do.

A random LLaMA of 7B shape in bfloat16 answers the prompts of ParaRel in three contexts.
Random weights are the hard case for best-first search: nothing is ruled out early. The
card's rate is timed in the same run, on one large product of matrices.

    python benchmarks/scoring_gpu.py --data-dir DATA --limit 20000
    python benchmarks/scoring_gpu.py --data-dir DATA --limit 20 --tiny   # on a CPU
"""

import argparse
from itertools import groupby
from pathlib import Path

import torch
from random_llama import (
    SHAPE_7B,
    SHAPE_TINY,
    chosen_device,
    device_name,
    now,
    random_network,
)
from scoring import stand_in_tokenizer

from concord.data.pararel import read_pararel
from concord.models.architecture import architecture_of
from concord.models.tokens import Encoder, candidate_ids, encode_prompts
from concord.scoring.engine import (
    ScoringConfig,
    ScoringModel,
    WorkCounts,
    score_prompts,
)
from concord.scoring.trie import build_trie

PART = 2048
CONTEXTS = ("", "Everyone knows that ", "It is widely known that ")


def main() -> int:
    """Measure and print."""
    options = _options()
    device = chosen_device(is_tiny=options.tiny, weights="bfloat16 (about 13 GiB)")
    if device is None:
        return 2
    shape = SHAPE_TINY if options.tiny else SHAPE_7B
    network = random_network(shape, device, torch.bfloat16)
    model = ScoringModel(network, architecture_of(network), device)
    print(report(model, options.data_dir, options.limit, device))
    return 0


def matrix_rate(device: torch.device, size: int) -> float:
    """Operations per second of a product of two large square matrices in bfloat16."""
    first = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(5):
        start = now(device)
        torch.matmul(first, first)
        best = min(best, now(device) - start)
    return 2 * size**3 / best


def report(
    model: ScoringModel, data_dir: Path, limit: int | None, device: torch.device
) -> str:
    """Prompts per second, the share of the card's rate, and seconds by context."""
    data = read_pararel(data_dir / "pararel")
    encoder = Encoder(stand_in_tokenizer(data), family="llama")
    asked = [
        (relation, text)
        for relation in data.relations
        for fact in relation.facts
        for _, text in relation.prompts_of(fact)
    ]
    step = max(1, len(asked) // limit) if limit else 1
    asked = asked[::step][:limit]
    rate = matrix_rate(device, 8192 if device.type == "cuda" else 256)
    parameters = sum(p.numel() for p in model.network.parameters())
    lines = [
        f"{parameters / 1e9:.2f} B parameters, bfloat16, {device_name(device)}; "
        f"{len(asked):,} prompts; one product of matrices: {rate / 1e12:.1f} TFLOP/s",
        "",
        "| context | seconds | prompts/s | positions | share of the matrix rate |",
        "|---|---:|---:|---:|---:|",
    ]
    total = 0.0
    for context in CONTEXTS:
        pairs = [(relation, context + text) for relation, text in asked]
        spent, work = _score(model, encoder, pairs, device)
        operations = 2 * parameters * work.token_positions
        lines.append(
            f"| {context.strip() or 'none'} | {spent:.1f} | {len(asked) / spent:,.0f} "
            f"| {work.token_positions:,} | {operations / spent / rate:.1%} |"
        )
        total += spent
    return "\n".join([*lines, "", f"Three contexts: {total:.1f} s"])


def _score(
    model: ScoringModel, encoder: Encoder, pairs: list, device: torch.device
) -> tuple[float, WorkCounts]:
    """Wall-clock time of all parts; encoding is left out."""
    tries, trie_index = [], []
    for relation, group in groupby(pairs, key=lambda own: own[0]):
        own = [text for _, text in group]
        ids = candidate_ids(encoder, own[0], relation.candidates)
        trie_index += [len(tries)] * len(own)
        tries.append(build_trie(ids, texts=relation.candidates))
    prompts = [p.ids for p in encode_prompts(encoder, [text for _, text in pairs])]
    work, start = WorkCounts(), now(device)
    for first in range(0, len(prompts), PART):
        block = slice(first, first + PART)
        _, done = score_prompts(
            model, prompts[block], tries, trie_index[block], config=ScoringConfig()
        )
        work += done
    return now(device) - start, work


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Exact scoring on an accelerator")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
