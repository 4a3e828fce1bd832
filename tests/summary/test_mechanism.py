"""Curves, correlations and the link to consistency, worked out by hand."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from concord.metrics.significance import holm
from concord.results import Run, open_run, write_part
from concord.summary import describe
from concord.summary.association import correlations, link_entries
from concord.summary.estimates import Settings
from concord.summary.layers import by_contexts, matrix_of
from concord.summary.mechanism import (
    contrast_curves,
    relation_layers,
    summarise_mechanism,
)

SETTINGS = Settings(replicates=200, permutations=200, level=0.95, seed=0)
FACTS, TEMPLATES, CONTEXTS = 6, 2, 2


def silent(_: str) -> None:
    return None


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Six facts of one relation, two templates, two contexts, a base and a tuned."""
    (tmp_path / "study.yaml").write_text("facts: {source: pararel}\n")
    info = {"base": "base", "tuned": ["tuned"]}
    (tmp_path / "run.json").write_text(json.dumps(info))
    return open_run(tmp_path)


def write_extraction(run: Run, model: str, contexts: str, events: np.ndarray) -> None:
    """Events [context, fact, template, layer] of attention; the MLP has none."""
    rows = []
    for place in np.ndindex(CONTEXTS, FACTS, TEMPLATES):
        ranks = [0 if event else 7 for event in events[place]]
        rows.append(
            identity(contexts, *place)
            | {"free_token": "a", "prediction_token": "a" if place[2] else "b"}
            | {f"mhsa_rank_{name}": ranks for name in ("free", "prediction")}
            | {f"mlp_rank_{name}": [7, 7, 7] for name in ("free", "prediction")}
        )
    write(run, "extraction", model, contexts, rows)


def write_facts(run: Run, model: str, contexts: str, answers: np.ndarray) -> None:
    rows = [
        identity(contexts, *place)
        | {"object": "x", "prediction_index": int(answers[place]), "is_correct": True}
        | {"is_trivial": False, "candidate_count": 4, "margin": 1.0}
        | {"free_prediction": "a"}
        for place in np.ndindex(CONTEXTS, FACTS, TEMPLATES)
    ]
    write(run, "facts", model, contexts, rows)


def identity(contexts: str, context: int, fact: int, template: int) -> dict:
    return {
        "contexts": contexts,
        "context": context,
        "relation": "born",
        "fact": f"f{fact}",
        "subject": f"s{fact}",
        "template": template,
    }


def write(run: Run, analysis: str, model: str, name: str, rows: list[dict]) -> None:
    table = pa.Table.from_pylist(rows)
    write_part(run, analysis, model, name=name, key="k", table=table)


def test_lists_become_a_matrix_with_nan_for_null():
    column = pa.chunked_array([[[1, 2], None], [[3, 4]]], pa.list_(pa.int16()))
    expected = [[1, 2], [np.nan, np.nan], [3, 4]]
    np.testing.assert_array_equal(matrix_of(column), expected)
    nothing = matrix_of(pa.chunked_array([[None, None]], pa.list_(pa.int16())))
    assert np.isnan(nothing).all()


def test_prompts_are_averaged_within_fact_and_context():
    table = pa.table(
        {
            "contexts": ["study"] * 4,
            "context": [0, 0, 0, 1],
            "fact": ["a", "a", "b", "a"],
        }
    )
    values = {"rate": np.array([[0.0, 1], [1, 1], [np.nan, np.nan], [1, 0]])}
    found = by_contexts(table, "fact", ["a", "b"], values)["study"]["rate"]
    first = found.outcome(0, is_micro=False)
    assert first.numerator.tolist() == [[0.5, 0], [1, 0]]
    assert first.denominator.tolist() == [[1, 0], [1, 0]]
    micro = found.outcome(1, is_micro=True)
    assert micro.numerator.tolist() == [[2, 0], [0, 0]]
    assert micro.denominator.tolist() == [[2, 0], [1, 0]]


def test_rates_by_layer_and_in_any_layer_are_shares_of_prompts(run: Run):
    events = np.zeros((CONTEXTS, FACTS, TEMPLATES, 3))
    events[:, :3, 0, 1] = 1  # a quarter of the prompts
    events[:, :3, 0, 2] = 1  # the same prompts again
    write_extraction(run, "base", "study", events)
    write_extraction(run, "tuned", "study", np.zeros_like(events))
    write_extraction(run, "tuned", "same", np.ones_like(events))
    summaries = summarise_mechanism(run, SETTINGS, silent)
    curves = {
        (c["key"], c["model"], c["contexts"]): c
        for one in summaries
        for c in one.curves
    }
    assert curves["extraction.mhsa", "base", "study"]["value"] == [0, 0.25, 0.25]
    assert curves["extraction.mhsa", "tuned", "same"]["value"] == [1, 1, 1]
    assert curves["extraction.mlp", "base", "study"]["value"] == [0, 0, 0]
    low, high = (
        curves["extraction.mhsa", "base", "study"][end][1] for end in ("low", "high")
    )
    assert low < 0.25 < high
    differences = {
        (c["key"], c["contexts"]): c for one in summaries for c in one.curve_differences
    }
    assert differences["extraction.mhsa", "same"]["value"] == [1, 0.75, 0.75]
    values = {key: o for one in summaries for key, o in one.sample.values.items()}
    whole = values["extraction.any", "base"]
    assert whole.numerator.sum() / whole.denominator.sum() == 0.25
    share = values["extraction.free_is_prediction", "base"]
    assert share.numerator.sum() / share.denominator.sum() == 0.5
    assert all(describe(key.partition("@")[0]) for key, _ in values)


def test_the_link_splits_the_change_by_what_became_of_consistency(run: Run):
    # Facts 0, 1 agree before and after; 2, 3 only after; 4 only before; 5 never.
    before = np.zeros((CONTEXTS, FACTS, TEMPLATES), dtype=int)
    after = before.copy()
    before[:, [2, 3, 5], 1] = 1
    after[:, [4, 5], 1] = 1
    events = np.zeros((CONTEXTS, FACTS, TEMPLATES, 3))
    more = events.copy()
    more[:, [2, 3]] = 1  # every prompt of those that became consistent
    more[:, 0, 0] = 1  # a quarter of the prompts of those that stayed so
    for model, answers, own in (("base", before, events), ("tuned", after, more)):
        write_facts(run, model, "study", answers)
        write_extraction(run, model, "study", own)
    summaries = summarise_mechanism(run, SETTINGS, silent)
    found = {
        entry["group"]: entry
        for entry in link_entries(run, summaries, SETTINGS, silent)
        if entry["key"] == "extraction.mhsa"
    }
    changes = {group: entry["value"] for group, entry in found.items()}
    assert changes == {
        "became consistent": 1.0,
        "stayed consistent": 0.25,
        "stayed inconsistent": 0.0,
        "became inconsistent": 0.0,
    }
    assert found["became consistent"]["n"] == {"facts": 2, "subjects": 2}
    # Two of six subjects: more than one replicate in twenty draws neither.
    assert found["stayed consistent"]["low"] is None
    assert "too few subjects" in found["stayed consistent"]["reason"]


def made_curves(rates: dict[str, list[float]]) -> list[dict]:
    return [
        {"key": "extraction.mhsa", "model": model, "contexts": "study", "value": values}
        for model, values in rates.items()
    ]


def made_measures(values: dict[str, float]) -> list[dict]:
    entries = [{"model": model, "value": value} for model, value in values.items()]
    return [
        {"key": "facts.agreement", "values": entries},
        {"key": "facts.accuracy", "values": [e | {"value": 0.5} for e in entries]},
    ]


def test_a_rate_that_follows_agreement_correlates_and_empty_layers_are_skipped():
    agreement = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.5}
    rates = {m: [v, 0.001, 0.3, 1 - v] for m, v in agreement.items()}
    found = correlations(
        made_curves(rates | {"base": [9, 9, 9, 9]}),
        made_measures(agreement),
        list(agreement),
        SETTINGS,
    )
    tests = {entry["layer"]: entry for entry in found}
    assert set(tests) == {0, 2, 3}
    assert tests[0]["r"] == pytest.approx(1) and tests[3]["r"] == pytest.approx(-1)
    assert tests[2]["r"] is None and tests[2]["reason"]
    assert all(entry["tests"] == 3 and entry["n"] == 5 for entry in found)
    p_values = np.array([tests[0]["p"], np.nan, tests[3]["p"]])
    assert tests[0]["p_adjusted"] == pytest.approx(holm(p_values)[0])


def test_three_models_have_no_correlation():
    agreement = {"a": 0.1, "b": 0.2, "c": 0.3}
    found = correlations(
        made_curves({m: [v] for m, v in agreement.items()}),
        made_measures(agreement),
        list(agreement),
        SETTINGS,
    )
    assert len(found) == 1 and found[0]["r"] is None and found[0]["n"] == 3
    assert "needs 4 tuned models" in found[0]["reason"]


def test_relation_layers_lie_where_the_contrast_rises():
    # Lower half 0 to 4, smallest at 1, maximum 1: above .1 from 2, .9 reached at 4.
    contrast = np.array([0.2, 0.0, 0.3, 0.8, 1.0, 5, 5, 5, 5])
    assert relation_layers(contrast) == (2, 4)
    assert relation_layers(np.array([3.0, 2, 1, 0, 0])) is None
    assert relation_layers(np.array([0.0])) is None


def test_the_published_readings_give_layers_3_to_9(shared: Path):
    path = shared / "spec" / "published" / "fig3_readings.csv"
    series: dict[str, dict[int, float]] = {}
    for row in csv.DictReader(path.open()):
        own = series.setdefault(row["series"], {})
        own[int(row["layer"])] = float(row["cosine"])
    same, other = (series[n] for n in ("same_relation", "different_relation"))
    contrast = np.array([same[layer] - other[layer] for layer in sorted(same)])
    assert relation_layers(contrast) == (3, 9)


def test_the_contrast_is_same_less_different():
    head = {"model": "base", "contexts": "study", "layers": [0, 1], "low": [0, 0]}
    curves = [
        head | {"key": "relations.same", "value": [0.5, None]},
        head | {"key": "relations.different", "value": [0.2, 0.1]},
    ]
    (found,) = contrast_curves(curves)
    assert found["value"] == [pytest.approx(0.3), None]
    assert found["low"] == [None, None]
