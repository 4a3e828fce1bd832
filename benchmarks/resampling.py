"""How long the statistics take: agreement, paired resamples, sign flips.

Run ``python benchmarks/resampling.py``; prints seconds, best of three, on one core when
``OMP_NUM_THREADS=1`` is set, and writes ``docs/benchmarks/resampling.md``. Sizes are
those of the whole study: 25,000 facts in 35 relations, 10 templates, 11 models.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import processor_name

from concord.metrics.agreement import agreeing_partner_share, pairwise_agreement
from concord.metrics.bootstrap import bootstrap, cluster_units
from concord.metrics.significance import sign_flip_p

FACTS, TEMPLATES, RELATIONS, MODELS = 25_000, 10, 35, 11
REPLICATES, PERMUTATIONS = 2_000, 10_000
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks" / "resampling.md"


def best_of_three(step: Callable[[], object]) -> float:
    """Seconds of the fastest of three calls."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def agreement_by_sorting(predictions: np.ndarray) -> np.ndarray:
    """Agreement from runs of equal answers in sorted rows, another way to count."""
    answers = np.sort(predictions.T, axis=1)
    place = np.broadcast_to(np.arange(answers.shape[1]), answers.shape)
    is_first = np.ones(answers.shape, dtype=bool)
    is_first[:, 1:] = answers[:, 1:] != answers[:, :-1]
    first = np.maximum.accumulate(np.where(is_first, place, 0), axis=1)
    return (place - first).sum(axis=1) / (len(predictions) * (len(predictions) - 1) / 2)


def main() -> None:
    """Measure, print and write."""
    rng = np.random.default_rng(0)
    predictions = rng.integers(20, size=(TEMPLATES, FACTS)).astype(np.int32)
    relation = np.sort(rng.integers(RELATIONS, size=FACTS))
    clusters = cluster_units(relation, np.arange(FACTS))
    values = clusters.sums(rng.random((FACTS, MODELS)))
    ones = np.ones_like(values)
    differences = values[:, 1:] - values[:, :1]
    np.testing.assert_allclose(
        agreement_by_sorting(predictions), pairwise_agreement(predictions)
    )
    steps: dict[str, Callable[[], object]] = {
        f"agreement, {FACTS} facts x {TEMPLATES} templates": lambda: pairwise_agreement(
            predictions
        ),
        "the same from sorted answers": lambda: agreement_by_sorting(predictions),
        "share of agreeing partners, same size": lambda: agreeing_partner_share(
            predictions
        ),
        f"{REPLICATES} paired replicates, {MODELS} models": lambda: bootstrap(
            values, ones, clusters=clusters, replicates=REPLICATES
        ),
        f"{PERMUTATIONS} sign flips, {MODELS - 1} differences": lambda: sign_flip_p(
            differences, permutations=PERMUTATIONS
        ),
    }
    rows = [f"| {name} | {best_of_three(step):.4f} s |" for name, step in steps.items()]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    text = "\n".join(
        [
            "# Statistics benchmark\n",
            f"{FACTS:,} facts in {RELATIONS} relations. The fastest of three calls. "
            f"{processor_name()}, threads of numpy: {threads}. numpy {np.__version__}, "
            f"Python {platform.python_version()}. Made by "
            "`python benchmarks/resampling.py`.\n",
            "| step | time |",
            "|---|---:|",
            *rows,
            "",
        ]
    )
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
