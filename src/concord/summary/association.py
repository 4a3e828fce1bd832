"""Does a rate inside the models go with their consistency, across models?

Does a rate at a layer correlate with agreement over the tuned models (Table 7)? An
association over few models: nothing is intervened on.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from concord.metrics.correlation import (
    FEWEST_MODELS,
    correlation_interval,
    partial_correlation,
    pearson,
    permutation_p,
    spearman,
)
from concord.metrics.significance import adjust_p
from concord.summary.estimates import Settings, number

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("extraction.mhsa", "extraction.mlp"),
    ("enrichment.attributes_rate",),
    ("enrichment.fact_object_recall",),
)
"""Curves whose layers are tested together; p is adjusted for all tests of a family."""
FEWEST_EVENTS = 0.005
"""Layers with a smaller mean rate are not tested: rates near 0 correlate too."""


def correlations(
    curves: Iterable[Mapping[str, Any]],
    measures: Sequence[Mapping[str, Any]],
    tuned: Sequence[str],
    settings: Settings,
) -> list[dict[str, Any]]:
    """Rate against agreement over the tuned models, layer by layer.

    Pearson's correlation and Spearman's, which is that of ranks, each with an interval
    over models and a p-value adjusted for all tests of the family.

    Returns:
        One entry for each layer tested; with too few models one entry for each curve,
        null with a reason.

    Source:
        Fierro et al. (2024), Table 7; the correction for the number of tests is ours.
    """
    own = [c for c in curves if c.get("contexts") == "study" and c["model"] in tuned]
    agreement = _values_of(measures, "facts.agreement")
    accuracy = _values_of(measures, "facts.accuracy")
    entries = []
    for family in FAMILIES:
        tests = []
        for key in family:
            chosen = {c["model"]: c for c in own if c["key"] == key}
            models = [m for m in tuned if m in chosen and agreement.get(m) is not None]
            if not chosen:
                continue
            lengths = {len(chosen[model]["value"]) for model in models}
            if len(models) < FEWEST_MODELS or len(lengths) != 1:
                entries.append(_too_few(key, len(models)))
                continue
            rates = np.array([chosen[m]["value"] for m in models], dtype=float)
            outcome = np.array([agreement[m] for m in models], dtype=float)
            given = np.array([accuracy.get(m) for m in models], dtype=float)
            tests += [
                _test(key, layer, (column, outcome, given), settings)
                for layer, column in enumerate(rates.T)
                if np.isfinite(column).all() and column.mean() >= FEWEST_EVENTS
            ]
        for name in ("p", "spearman_p"):
            p_values = np.array([test[name] for test in tests], dtype=float)
            adjusted = adjust_p(p_values, settings.adjustment)
            for test, p in zip(tests, adjusted, strict=True):
                test[f"{name}_adjusted"], test["tests"] = number(p), len(tests)
        entries += tests
    return entries


def _values_of(
    measures: Sequence[Mapping[str, Any]], key: str
) -> dict[str, float | None]:
    for measure in measures:
        if measure["key"] == key:
            return {entry["model"]: entry["value"] for entry in measure["values"]}
    return {}


def _too_few(key: str, count: int) -> dict[str, Any]:
    names = ("layer", "r", "low", "high", "p", "p_adjusted", "given_accuracy")
    ranks = ("spearman", "spearman_low", "spearman_high", "spearman_p")
    return {
        "key": key,
        **dict.fromkeys((*names, *ranks, "spearman_p_adjusted")),
        "n": count,
        "tests": 0,
        "reason": f"needs {FEWEST_MODELS} tuned models with as many layers each, "
        f"found {count}",
    }


def _test(
    key: str,
    layer: int,
    columns: tuple[Float[np.ndarray, " model"], ...],
    settings: Settings,
) -> dict[str, Any]:
    rate, outcome, given = columns
    interval = partial(
        correlation_interval,
        rate,
        outcome,
        level=settings.level,
        replicates=settings.replicates,
        seed=settings.seed,
    )
    low, high = interval()
    ranks_low, ranks_high = interval(of_ranks=True)
    exchanged = {"permutations": settings.permutations, "seed": settings.seed}
    r = pearson(rate, outcome)
    ranks_p = permutation_p(rankdata(rate), rankdata(outcome), **exchanged)
    return {
        "key": key,
        "layer": layer,
        "r": number(r),
        "low": number(low),
        "high": number(high),
        "p": number(permutation_p(rate, outcome, **exchanged)),
        "spearman": number(spearman(rate, outcome)),
        "spearman_low": number(ranks_low),
        "spearman_high": number(ranks_high),
        "spearman_p": number(ranks_p),
        "given_accuracy": number(partial_correlation(rate, outcome, given)),
        "n": len(rate),
        "reason": "one of the two does not vary" if np.isnan(r) else None,
    }
