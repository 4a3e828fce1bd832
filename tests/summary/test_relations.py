"""Layers, contrasts and gaps of relations, worked out by hand."""

import csv
from pathlib import Path

import numpy as np
import pytest
from mechanism_run import SETTINGS, identity, mechanism_run, silent, write

from concord.results import Run
from concord.summary.mechanism import relation_layers, summarise_mechanism
from concord.summary.mechanism_recipes import RECIPES


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return mechanism_run(tmp_path)


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


def write_relations(run: Run, model: str, rows: list[dict]) -> None:
    empty = {"fact": None, "subject": None, "relation": None, "last_token": "differ"}
    write(run, "relations", model, "study", [empty | row for row in rows])


def test_the_contrast_is_same_less_different_with_an_interval_over_relations(run: Run):
    # Five relations; h_0, h_1 (before the norm: not shown), final state.
    levels = {"r0": 0.6, "r1": 0.4, "r2": 0.8, "r3": 0.5, "r4": 0.7}
    rows = [
        {
            "contexts": "study", "context": 0, "relation": relation, "kind": kind,
            "cosines": [0.1, 9.0, level if kind == "same" else 0.2],
        }
        for relation, level in levels.items()
        for kind in ("same", "different")
    ]  # fmt: skip
    rows.append(rows[0] | {"last_token": "any", "cosines": [9.0, 9.0, 9.0]})
    for model in ("base", "tuned"):
        write_relations(run, model, rows)
    curves = {
        (c["key"], c["model"]): c
        for one in summarise_mechanism(run, SETTINGS, silent)
        for c in one.curves
    }
    found = curves["relations.contrast", "tuned"]
    assert found["value"] == pytest.approx([0.0, 0.4])
    # Contrasts .2, .3, .4, .5, .6: .158 / 5^.5 times t_4 = 2.78 is .196.
    assert found["low"][1] == pytest.approx(0.204, abs=0.03)
    assert found["high"][1] == pytest.approx(0.596, abs=0.03)
    assert curves["relations.same", "base"]["value"] == pytest.approx([0.1, 0.6])


def test_gaps_are_split_by_agreement_and_by_context(run: Run):
    rows = [
        {
            "contexts": "study", "context": context, "kind": kind, "last_token": "any",
            "relation": None if fact is None else "r", "fact": fact, "subject": fact,
            "template": None, "other_template": None, "cosines": [0.0, 9.0, cosine],
        }
        for context, kind, fact, cosine in (
            (0, "nonparaphrase", None, 0.1),
            (1, "nonparaphrase", None, 0.3),
            (0, "agreeing", "f0", 0.9),
            (0, "disagreeing", "f0", 0.5),
            (0, "agreeing", "f1", 0.7),
            (1, "agreeing", "f1", 0.8),
        )
    ]  # fmt: skip
    for model in ("base", "tuned"):
        write(run, "relations", model, "study", rows)
    last = {
        c["key"]: c["value"][-1]
        for one in summarise_mechanism(run, SETTINGS, silent)
        for c in one.curves
        if c["model"] == "base"
    }
    # Contexts first: .7 over two facts in the first, .5 over one in the second.
    assert last["relations.gap_agreeing"] == pytest.approx(0.6)
    assert last["relations.gap_agreeing_context_0"] == pytest.approx(0.7)
    assert last["relations.gap_agreeing_context_1"] == pytest.approx(0.5)
    assert last["relations.gap_disagreeing"] == pytest.approx(0.4)
    assert last["relations.gap_disagreeing_context_1"] is None


def write_pairs(run: Run, model: str, contexts: str, kinds: str, step: float) -> None:
    """Pairs of two facts in one context, agreeing (a) or not (d), and the level .1."""
    rows = [
        identity(contexts, 0, fact, 0)
        | {"other_template": 1, "last_token": "any"}
        | {"kind": {"a": "agreeing_pair", "d": "disagreeing_pair"}[kind]}
        | {"cosines": [0.5, 0.5, 0.9, 0.5 + step * (fact + 1)]}
        for fact, kind in enumerate(kinds)
    ]
    level = identity(contexts, 0, 0, 0) | {"fact": None, "subject": None}
    level |= {"template": None, "other_template": None, "last_token": "any"}
    rows.append(level | {"kind": "nonparaphrase", "cosines": [0.1, 0.1, 0.1, 0.1]})
    write(run, "relations", model, contexts, rows)


def test_base_and_tuned_are_compared_on_pairs_that_are_alike_in_both(run: Run):
    write_pairs(run, "base", "study", "aadd", 0.0)
    write_pairs(run, "tuned", "study", "adad", 0.1)
    write_pairs(run, "tuned", "same", "aaad", 0.0)
    recipe = next(own for own in RECIPES if own.join is not None)
    found = summarise_mechanism(run, SETTINGS, silent)
    curves = {
        (curve["key"], curve["model"], curve["contexts"]): curve
        for one in found
        for curve in one.curves
    }
    assert recipe.analysis == "relations"
    key = "relations.gap_both_agreeing"
    # Fact 0 alone agrees in both: its cosine .5 + .1 less the level .1, against .4.
    own = curves[key, "tuned", "study"]
    assert own["n"] == {"facts": 1, "subjects": 1}
    np.testing.assert_allclose(own["value"], [0.4, 0.4, 0.5], atol=1e-6)
    base = curves[f"{key}_of_base", "tuned", "study"]
    np.testing.assert_allclose(base["value"], [0.4, 0.4, 0.4], atol=1e-6)
    change = curves["relations.change_both_agreeing", "tuned", "study"]
    np.testing.assert_allclose(change["value"], [0, 0, 0.1], atol=1e-6)
    # Fact 3 alone disagrees in both: .5 + .4 - .1 against .4.
    change = curves["relations.change_both_disagreeing", "tuned", "study"]
    np.testing.assert_allclose(change["value"], [0, 0, 0.4], atol=1e-6)
    # Under the base's prompts facts 0 and 1 agree in both.
    assert curves[key, "tuned", "same"]["n"] == {"facts": 2, "subjects": 2}
    assert not [place for place in curves if "both" in place[0] and place[1] == "base"]
