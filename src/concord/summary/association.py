"""Does the inside of a model go with its consistency?

Two views. Across models: does a rate at a layer correlate with agreement over the tuned
models (Table 7)? Within a model: did a rate change more for the facts that became
consistent than for those that did not? Both are associations; nothing is intervened on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from concord.metrics.agreement import pairwise_agreement
from concord.metrics.correlation import (
    FEWEST_MODELS,
    correlation_interval,
    partial_correlation,
    pearson,
    permutation_p,
    spearman,
)
from concord.metrics.rates import mean_present
from concord.metrics.significance import holm
from concord.results import Run
from concord.summary.answers import Answers, answers_of, common_facts, per_context
from concord.summary.estimates import Outcome, Settings, intervals_of, number, resample
from concord.summary.mechanism import MechanismSummary

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("extraction.mhsa", "extraction.mlp"),
    ("enrichment.attributes_rate",),
    ("enrichment.fact_object_recall",),
)
"""Curves whose layers are tested together; Holm goes over all tests of a family."""
FEWEST_EVENTS = 0.005
"""Layers with a smaller mean rate are not tested: rates near 0 correlate too."""
LINKED = (
    "enrichment.attributes_rate",
    "enrichment.attributes_rate_gain",
    "enrichment.fact_object_recall",
    "extraction.mhsa",
    "extraction.mlp",
    "extraction.any",
)
GROUPS = (
    "became consistent",
    "stayed consistent",
    "stayed inconsistent",
    "became inconsistent",
)


def correlations(
    curves: Iterable[Mapping[str, Any]],
    measures: Sequence[Mapping[str, Any]],
    tuned: Sequence[str],
    settings: Settings,
) -> list[dict[str, Any]]:
    """Rate against agreement over the tuned models, layer by layer.

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
        p_values = np.array([np.nan if t["p"] is None else t["p"] for t in tests])
        for test, adjusted in zip(tests, holm(p_values), strict=True):
            test["p_adjusted"], test["tests"] = number(adjusted), len(tests)
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
    names = ("layer", "r", "low", "high", "spearman", "given_accuracy", "p")
    return {
        "key": key,
        **dict.fromkeys(names),
        "n": count,
        "p_adjusted": None,
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
    low, high = correlation_interval(
        rate,
        outcome,
        level=settings.level,
        replicates=settings.replicates,
        seed=settings.seed,
    )
    p = permutation_p(
        rate, outcome, permutations=settings.permutations, seed=settings.seed
    )
    r = pearson(rate, outcome)
    return {
        "key": key,
        "layer": layer,
        "r": number(r),
        "low": number(low),
        "high": number(high),
        "spearman": number(spearman(rate, outcome)),
        "given_accuracy": number(partial_correlation(rate, outcome, given)),
        "p": number(p),
        "n": len(rate),
        "reason": "one of the two does not vary" if np.isnan(r) else None,
    }


def link_entries(
    run: Run,
    summaries: Sequence[MechanismSummary],
    settings: Settings,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Change of each rate by what became of a fact's consistency, model by model.

    A fact is consistent when all its templates agree in more than half of the contexts.

    Returns:
        One entry for each tuned model, set of contexts, rate and group of facts:
        tuned minus base, with an interval over subjects.
    """
    models = run.models()
    facts = common_facts(run, models)
    usable = [one for one in summaries if one.sample.values]
    if facts is None or not usable:
        return []
    base = answers_of(run, models[0], facts).get("study")
    if base is None:
        return []
    before = dict(zip(facts.fact, _is_consistent(base), strict=True))
    entries = []
    for model in models[1:]:
        progress(f"consistency and mechanism: {model}")
        for contexts, answers in answers_of(run, model, facts).items():
            after = dict(zip(facts.fact, _is_consistent(answers), strict=True))
            for summary in usable:
                groups = _groups(summary.units, before, after)
                for key in LINKED:
                    place = {"model": model, "contexts": contexts, "key": key}
                    entries += _link(summary, place, models[0], groups, settings)
    return entries


def _is_consistent(answers: Answers) -> Bool[np.ndarray, " fact"]:
    agreement = per_context(pairwise_agreement, answers.predictions)
    agrees = np.where(np.isnan(agreement), np.nan, (agreement == 1).astype(float))
    return mean_present(agrees) > 0.5


def _groups(
    units: Sequence[str], before: Mapping[str, bool], after: Mapping[str, bool]
) -> dict[str, Bool[np.ndarray, " unit"]]:
    known = np.array([unit in before for unit in units])
    was = np.array([bool(before.get(unit, False)) for unit in units])
    is_now = np.array([bool(after.get(unit, False)) for unit in units])
    kept = (~was & is_now, was & is_now, ~was & ~is_now, was & ~is_now)
    return {name: own & known for name, own in zip(GROUPS, kept, strict=True)}


def _link(
    summary: MechanismSummary,
    place: Mapping[str, str],
    base: str,
    groups: Mapping[str, Bool[np.ndarray, " unit"]],
    settings: Settings,
) -> list[dict[str, Any]]:
    suffix = "" if place["contexts"] == "study" else f"@{place['contexts']}"
    values, key = summary.sample.values, place["key"]
    after, before = values.get((key + suffix, place["model"])), values.get((key, base))
    if after is None or before is None:
        return []
    entries = []
    for name, kept in groups.items():
        sides = [after.only(kept), before.only(kept)]
        entries.append({**place, "group": name} | _change(summary, sides, settings))
    return entries


def _change(
    summary: MechanismSummary, sides: Sequence[Outcome], settings: Settings
) -> dict[str, Any]:
    counted = sides[0].denominator.any(axis=0) & sides[1].denominator.any(axis=0)
    clusters = summary.sample.clusters
    sizes = {
        "facts": int(counted.sum()),
        "subjects": len(np.unique(clusters.of_unit[counted])),
    }
    if not counted.any():
        nothing = dict.fromkeys(("value", "low", "high", "before", "after"))
        return {**nothing, "n": sizes, "reason": "no fact in this group"}
    drawn = resample(summary.sample, sides, settings)
    change = drawn.take([0]).minus(drawn.take([1]))
    low, high = intervals_of(summary.sample, change, settings)
    return {
        "value": number(change.estimate[0]),
        "low": number(low[0]),
        "high": number(high[0]),
        "after": number(drawn.estimate[0]),
        "before": number(drawn.estimate[1]),
        "n": sizes,
        "reason": None if np.isfinite(low[0]) else "too few subjects to draw from",
    }
