"""How much work exact scoring takes, beside lm-eval on the same prompts.

A random LLaMA of 58 million parameters answers 21 prompts of ParaRel's P19 (3 subjects
x 7 templates, 229 candidates) in five ways, interleaved in one process on one thread:
lm-eval's Hugging Face backend with its logits cache, all scores (`full`), the exact
best one and two (`top`), and one pass (`first`). Positions are counted, seconds are
process time, best of the rounds. Weights are random, which is the hard case for
best-first search: nothing is ruled out early. Where lm-eval is not installed, the
same grouping of pairs in plain PyTorch takes its place, and the table says so.

    python benchmarks/scoring.py --data-dir DATA     # DATA/pararel/graphs_json/...
"""

import argparse
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import transformers
from machine import processor_name
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from concord.data.pararel import read_pararel
from concord.data.records import FactData, Relation
from concord.models.architecture import architecture_of
from concord.models.tokens import Encoder, candidate_ids, encode_prompts
from concord.scoring.engine import (
    PromptScores,
    ScoringConfig,
    ScoringModel,
    WorkCounts,
    score_prompts,
)
from concord.scoring.trie import CandidateTrie, Tokens, build_trie

T = TypeVar("T")

HAS_LM_EVAL = find_spec("lm_eval") is not None
REFERENCE = "lm-eval" if HAS_LM_EVAL else "pairs in PyTorch"
"""What the other ways are compared with."""

RELATION = "P19"
CONFIGS = {
    "full": ScoringConfig(mode="full"),
    "top, k = 1": ScoringConfig(mode="top", k=1),
    "top, k = 2": ScoringConfig(mode="top", k=2),
    "first": ScoringConfig(mode="first"),
}
LEAST_POSITION_RATIO = {"full": 5.0, "top, k = 1": 30.0, "top, k = 2": 25.0}
LEAST_TIME_RATIO = {"full": 4.0, "top, k = 1": 20.0, "top, k = 2": 20.0}


@dataclass(frozen=True)
class Task:
    """Prompts of one relation with their candidates, as text and as ids."""

    prompts: tuple[str, ...]
    candidates: tuple[str, ...]
    ids: tuple[Tokens, ...]
    trie: CandidateTrie


@dataclass(frozen=True)
class Measurement:
    """One way to answer, measured."""

    name: str
    seconds: float
    positions: int
    rows: int
    rounds: int
    expansions: int
    predictions: np.ndarray
    largest_difference: float | None
    """From lm-eval's scores, over all pairs; None where not all are known."""


def main() -> int:
    """Measure, print the table, write it, and fail when a target is missed."""
    options = _options()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    data = read_pararel(options.data_dir / "pararel")
    tokenizer = stand_in_tokenizer(data)
    task = make_task(data, tokenizer, subject_count=options.subjects)
    network = random_llama(layers=options.layers, width=options.width)
    measurements = measure(network, tokenizer, task, repeats=options.repeats)
    text = report(network, task, measurements)
    if options.facts_per_relation:
        text += sampled_report(
            network, data, tokenizer, fact_count=options.facts_per_relation
        )
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")
    failures = missed_targets(measurements, with_time=not options.positions_only)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def random_llama(*, layers: int = 8, width: int = 512) -> LlamaForCausalLM:
    """A LLaMA with every matrix drawn from N(0, 0.08 squared); 58.07 M by default."""
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=width * 1376 // 512,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=32_000,
        initializer_range=0.08,
    )
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def stand_in_tokenizer(data: FactData) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 6,000 pieces, trained on one filled template per fact.

    Close to LLaMA's on these data in what matters here: how many candidates are single
    tokens and how many tokens a prompt has.
    """
    texts = [
        relation.templates[index % len(relation.templates)].fill(fact.subject)
        for relation in data.relations
        for index, fact in enumerate(relation.facts)
    ]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=6000,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def make_task(
    data: FactData, tokenizer: PreTrainedTokenizerFast, *, subject_count: int
) -> Task:
    """The first subjects of the relation, with all its templates."""
    relation = next(own for own in data.relations if own.id == RELATION)
    prompts = tuple(
        template.fill(fact.subject)
        for fact in relation.facts[:subject_count]
        for template in relation.templates
    )
    return _task(relation, tokenizer, prompts)


def measure(
    network: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    task: Task,
    *,
    repeats: int,
) -> list[Measurement]:
    """All ways in turn, as many rounds as asked; the fastest of each counts."""
    model = ScoringModel(network, architecture_of(network), torch.device("cpu"))
    seconds: dict[str, list[float]] = {name: [] for name in (REFERENCE, *CONFIGS)}
    results: dict[str, tuple[PromptScores, WorkCounts]] = {}
    reference = np.zeros(0)
    for _ in range(repeats):
        reference, spent = _timed(lambda: reference_scores(network, tokenizer, task))
        seconds[REFERENCE].append(spent)
        for name, config in CONFIGS.items():
            results[name], spent = _timed(lambda c=config: _ours(model, task, c))
            seconds[name].append(spent)
    pairwise = results["full"][1].pairwise_positions
    measurements = [_of_lm_eval(task, reference, min(seconds[REFERENCE]), pairwise)]
    for name, (scores, work) in results.items():
        measurements.append(
            Measurement(
                name=name,
                seconds=min(seconds[name]),
                positions=work.token_positions,
                rows=work.rows,
                rounds=work.rounds,
                expansions=work.expansions,
                predictions=scores.prediction,
                largest_difference=_largest_difference(scores, reference),
            )
        )
    return measurements


def reference_scores(
    network: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, task: Task
) -> np.ndarray:
    """Scores of all pairs by lm-eval, or by plain PyTorch where it is missing."""
    if HAS_LM_EVAL:
        return lm_eval_scores(network, tokenizer, task)
    return pairwise_scores(network, task)


@torch.inference_mode()
def pairwise_scores(
    network: LlamaForCausalLM, task: Task, *, batch_size: int = 64
) -> np.ndarray:
    """Scores of all pairs, [prompt, candidate], as lm-eval groups them.

    A row is a prompt and a candidate less its last token; pairs that differ in their
    last token alone share one. The vocabulary is read out at every position.
    """
    scores = np.zeros((len(task.ids), task.trie.candidate_count))
    sharing: dict[Tokens, list[tuple[int, int]]] = {}
    for at, prompt in enumerate(task.ids):
        for index, own in enumerate(task.trie.candidates):
            sharing.setdefault((*prompt, *own[:-1]), []).append((at, index))
    waiting = sorted(sharing, key=len, reverse=True)
    for first in range(0, len(waiting), batch_size):
        rows = waiting[first : first + batch_size]
        ids = torch.zeros((len(rows), len(rows[0])), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
        logs = network(input_ids=ids).logits.log_softmax(dim=-1)
        for place, row in enumerate(rows):
            for at, index in sharing[row]:
                own = task.trie.candidates[index]
                steps = range(len(row) - len(own), len(row))
                scores[at, index] = logs[place, list(steps), list(own)].sum()
    return scores


def lm_eval_scores(
    network: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, task: Task
) -> np.ndarray:
    """Scores of all pairs by lm-eval, [prompt, candidate]."""
    from lm_eval.api.instance import Instance
    from lm_eval.models import huggingface

    build: Any = huggingface.HFLM
    harness = build(
        pretrained=network,
        tokenizer=tokenizer,
        batch_size=64,
        logits_cache=True,
        device="cpu",
    )
    requests = [
        Instance(
            request_type="loglikelihood",
            doc={},
            arguments=(prompt, f" {candidate}"),
            idx=index,
        )
        for prompt in task.prompts
        for index, candidate in enumerate(task.candidates)
    ]
    answers = harness.loglikelihood(requests, disable_tqdm=True)
    scores = np.array([score for score, _ in answers])
    return scores.reshape(len(task.prompts), len(task.candidates))


def missed_targets(
    measurements: Sequence[Measurement], *, with_time: bool
) -> list[str]:
    """One sentence per target that was not reached."""
    harness, *ours = measurements
    missed = []
    for own in ours:
        gained = harness.positions / own.positions
        if gained < LEAST_POSITION_RATIO.get(own.name, 0):
            missed.append(f"{own.name}: only {gained:.1f} times fewer positions")
        faster = harness.seconds / own.seconds
        if with_time and faster < LEAST_TIME_RATIO.get(own.name, 0):
            missed.append(f"{own.name}: only {faster:.1f} times faster")
        if own.name != "first" and (own.predictions != harness.predictions).any():
            missed.append(f"{own.name}: other predictions than {REFERENCE}")
        if (own.largest_difference or 0) >= 1e-4:
            missed.append(f"{own.name}: scores differ by {own.largest_difference}")
    return missed


def report(
    network: LlamaForCausalLM, task: Task, measurements: Sequence[Measurement]
) -> str:
    """The table as Markdown, with what it was measured on."""
    harness = measurements[0]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        "# Scoring benchmark",
        "",
        f"Random LLaMA of {parameters / 1e6:.2f} M parameters; ParaRel {RELATION}, "
        f"{len(task.prompts)} prompts x {len(task.candidates)} candidates "
        f"({task.trie.internal_count} internal nodes), stand-in tokenizer, empty "
        "context, float32, sdpa. All rows from one process and one run, interleaved; "
        "process time, the fastest round of each. One thread of "
        f"{processor_name()} ({os.cpu_count()} cores). torch {torch.__version__}, "
        f"transformers {transformers.__version__}, Python {platform.python_version()}. "
        "Made by `python benchmarks/scoring.py --data-dir DATA`.",
        "",
        "| way | rows | positions | fewer | rounds | expansions per prompt | seconds "
        "| faster | pairs/s | same prediction | largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    pairs = len(task.prompts) * len(task.candidates)
    for own in measurements:
        same = (own.predictions == harness.predictions).mean()
        proven = (own.predictions >= 0).mean()
        difference = own.largest_difference
        lines.append(
            f"| {own.name} | {own.rows:,} | {own.positions:,} "
            f"| {harness.positions / own.positions:.1f} x "
            f"| {own.rounds} | {own.expansions / len(task.prompts):.1f} "
            f"| {own.seconds:.2f} | {harness.seconds / own.seconds:.1f} x "
            f"| {pairs / own.seconds:,.0f} "
            f"| {same:.0%}{'' if proven == 1 else f' ({proven:.0%} proven)'} "
            f"| {'-' if difference is None else f'{difference:.1e}'} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"*Positions* are real tokens fed to the model, padding left out; for "
            f"{REFERENCE} they are counted from its grouping of requests (same prompt, "
            "candidates that differ in their last token alone). *Same prediction* "
            f"and *largest difference* (of scores of all pairs) are against "
            f"{REFERENCE}. `first` knows a prediction only where one pass proves it.",
            "",
        ]
    )


def sampled_report(
    network: LlamaForCausalLM,
    data: FactData,
    tokenizer: PreTrainedTokenizerFast,
    *,
    fact_count: int,
) -> str:
    """Positions per prompt over all relations, each weighted by its prompts."""
    model = ScoringModel(network, architecture_of(network), torch.device("cpu"))
    per_prompt: dict[str, float] = dict.fromkeys([REFERENCE, *CONFIGS], 0.0)
    total = 0
    for relation in data.relations:
        weight = sum(len(relation.prompts_of(fact)) for fact in relation.facts)
        task = _sample(relation, tokenizer, fact_count)
        works = {name: _ours(model, task, c)[1] for name, c in CONFIGS.items()}
        share = weight / len(task.prompts)
        per_prompt[REFERENCE] += share * works["full"].pairwise_positions
        for name, work in works.items():
            per_prompt[name] += share * work.token_positions
        total += weight
    lines = [
        f"All {len(data.relations)} relations, the first {fact_count} facts of each, "
        f"every relation weighted by its prompts ({total:,} in all):",
        "",
        "| way | positions per prompt | fewer |",
        "|---|---:|---:|",
    ]
    for name, positions in per_prompt.items():
        fewer = per_prompt[REFERENCE] / positions
        lines.append(f"| {name} | {positions / total:.1f} | {fewer:.1f} x |")
    return "\n".join(["", *lines, ""])


def _sample(
    relation: Relation, tokenizer: PreTrainedTokenizerFast, fact_count: int
) -> Task:
    prompts = tuple(
        prompt
        for fact in relation.facts[:fact_count]
        for _, prompt in relation.prompts_of(fact)
    )
    return _task(relation, tokenizer, prompts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Exact scoring beside lm-eval, in one run"
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--facts-per-relation", type=int, default=2)
    parser.add_argument("--positions-only", action="store_true")
    return parser.parse_args()


def _task(
    relation: Relation, tokenizer: PreTrainedTokenizerFast, prompts: tuple[str, ...]
) -> Task:
    encoder = Encoder(tokenizer, family="llama")
    ids = candidate_ids(encoder, prompts[0], relation.candidates)
    return Task(
        prompts=prompts,
        candidates=relation.candidates,
        ids=tuple(prompt.ids for prompt in encode_prompts(encoder, prompts)),
        trie=build_trie(ids, texts=relation.candidates),
    )


def _ours(
    model: ScoringModel, task: Task, config: ScoringConfig
) -> tuple[PromptScores, WorkCounts]:
    indices = [0] * len(task.ids)
    return score_prompts(model, task.ids, [task.trie], indices, config=config)


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    return action(), time.process_time() - start


def _of_lm_eval(
    task: Task, scores: np.ndarray, seconds: float, positions: int
) -> Measurement:
    trie = task.trie
    last = trie.candidate_nodes[np.arange(trie.candidate_count), trie.lengths - 1]
    return Measurement(
        name=REFERENCE,
        seconds=seconds,
        positions=positions,
        rows=len(task.prompts) * len(np.unique(last)),
        rounds=1,
        expansions=len(task.prompts) * len(np.unique(last)),
        predictions=scores.argmax(axis=1),
        largest_difference=0.0,
    )


def _largest_difference(scores: PromptScores, reference: np.ndarray) -> float | None:
    """Over all pairs in full mode; over the predictions' scores in top mode."""
    if scores.vectors is not None:
        return float(np.abs(np.stack(scores.vectors) - reference).max())
    if (scores.prediction < 0).any():
        return None
    own = reference[np.arange(len(reference)), scores.prediction]
    return float(np.abs(scores.score - own).max())


if __name__ == "__main__":
    raise SystemExit(main())
