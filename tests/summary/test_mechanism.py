"""Curves, correlations and the link to consistency, worked out by hand."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import t

from concord.metrics.bootstrap import cluster_units
from concord.metrics.significance import holm
from concord.results import Run, open_run, write_part
from concord.summary import describe
from concord.summary.answers import Answers
from concord.summary.association import correlations
from concord.summary.entries import measure_entries
from concord.summary.estimates import Outcome, Sample, Settings
from concord.summary.layers import by_contexts, matrix_of
from concord.summary.link import GROUPS, _linked, fact_groups, link_entries
from concord.summary.mechanism import (
    MechanismSummary,
    relation_layers,
    summarise_mechanism,
)
from concord.summary.mechanism_recipes import RECIPES, _first_events

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
            | {f"mhsa_rank_{name}": ranks for name in ("free", "prediction", "object")}
            | {
                f"mlp_rank_{name}": [7, 7, 7]
                for name in ("free", "prediction", "object")
            }
        )
    write(run, "extraction", model, contexts, rows)


def write_facts(run: Run, model: str, contexts: str, answers: np.ndarray) -> None:
    rows = [
        identity(contexts, *place)
        | {"object": "x", "prediction_index": int(answers[place])}
        | {"is_correct": bool(answers[place] == 0)}
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


def linked_run(run: Run) -> list[dict]:
    """Facts 0, 1 agree before and after; 2, 3 only after; 4 only before; 5 never."""
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
    entries = link_entries(run, summaries, SETTINGS, silent)
    return [entry for entry in entries if entry["key"] == "extraction.mhsa"]


def test_the_link_splits_the_change_by_what_became_of_consistency(run: Run):
    found = {e["group"]: e for e in linked_run(run) if not e["against"]}
    changes = {group: entry["value"] for group, entry in found.items()}
    # Answer 0 is right. Both models give it everywhere for facts 0 and 1 alone; half of
    # the prompts are right for all six, in both models, and for fact 5 only half.
    assert changes == {
        "all facts": pytest.approx((2 + 0.5) / 6),
        "same and right in both": 0.25,
        "all right in both": 0.25,
        "some right in both": 0.0,
        "none right in both": None,
        "known to both": pytest.approx((2 + 0.5) / 6),
        "became consistent": 1.0,
        "stayed consistent": 0.25,
        "stayed inconsistent": 0.0,
        "became inconsistent": 0.0,
    }
    assert found["all facts"]["low"] < 2.5 / 6 < found["all facts"]["high"]
    assert found["became consistent"]["n"] == {"facts": 2, "subjects": 2}
    # Two of six subjects: more than one replicate in twenty draws neither.
    assert found["stayed consistent"]["low"] is None
    assert "too few subjects" in found["stayed consistent"]["reason"]


def test_groups_of_one_or_two_subjects_are_not_compared(run: Run):
    found = {(e["group"], e["against"]): e for e in linked_run(run) if e["against"]}
    assert {(e["value"], e["low"]) for e in found.values()} == {(None, None)}
    entry = found["became consistent", "stayed inconsistent"]
    assert entry["n"] == {"facts": 2, "subjects": 2}
    assert entry["n_against"] == {"facts": 1, "subjects": 1}
    assert entry["reason"] == (
        "found 2 subjects in the group 'became consistent' and 1 subjects in the group "
        "'stayed inconsistent'; a comparison needs 3 in each"
    )


def test_the_interval_of_a_contrast_is_drawn_over_subjects():
    # 40 facts of one subject each: 20 became consistent and gained 0 or 1 by turns, 20
    # stayed inconsistent and gained nothing. The contrast is .5, its standard error
    # sqrt(.25 / 20) = .112 whatever the interval is made from.
    gained = np.array([[i % 2 if i < 20 else 0 for i in range(40)]], dtype=float)
    clusters = cluster_units(np.zeros(40), np.arange(40))
    sample = Sample("extraction", "pararel", clusters, ("all",), "micro", False)
    one = np.ones((1, 40))
    sample.values["extraction.any", "tuned"] = Outcome(gained, one)
    sample.values["extraction.any", "base"] = Outcome(np.zeros((1, 40)), one)
    summary = MechanismSummary(sample, [f"f{i}" for i in range(40)])
    groups = {name: np.zeros(40, dtype=bool) for name in GROUPS}
    groups["became consistent"][:20] = True
    groups["stayed inconsistent"][20:] = True
    place = {"model": "tuned", "contexts": "study"}
    settings = replace(SETTINGS, replicates=4000)
    entries = _linked(summary, place, "base", groups, settings)
    (found,) = [entry for entry in entries if entry["against"] == "stayed inconsistent"]
    assert found["value"] == 0.5
    assert found["n"] == found["n_against"] == {"facts": 20, "subjects": 20}
    (empty,) = [entry for entry in entries if entry["against"] == "stayed consistent"]
    assert empty["value"] is None and "0 subjects" in empty["reason"]
    half = 1.96 * np.sqrt(0.25 / 20)
    assert found["low"] == pytest.approx(0.5 - half, abs=0.04)
    assert found["high"] == pytest.approx(0.5 + half, abs=0.04)


def made_answers(*right: list[list[int]]) -> Answers:
    """Right [context][template][fact]; a wrong answer is 1."""
    is_right = np.array(right, dtype=bool)
    nothing = np.zeros(is_right.shape)
    return Answers(1 - is_right.astype(int), is_right, nothing.astype(int), nothing)


def test_all_some_and_none_right_are_told_by_templates_in_most_contexts():
    # The base, context by context; fact 0: all, some, all; 1: some, some, all; 2: none,
    # none, some; 3: all, some, none; 4: some in the base, none in the tuned model.
    base = made_answers(
        [[1, 1, 0, 1, 1], [1, 0, 0, 1, 0]],
        [[1, 0, 0, 1, 1], [0, 1, 0, 0, 0]],
        [[1, 1, 1, 0, 1], [1, 1, 0, 0, 0]],
    )
    tuned = made_answers(*[[[1, 1, 0, 1, 0], [1, 0, 0, 1, 0]]] * 3)
    found = fact_groups(base, tuned)
    assert found["all right in both"].tolist() == [True] + [False] * 4
    assert found["some right in both"].tolist() == [False, True] + [False] * 3
    assert found["none right in both"].tolist() == [False] * 2 + [True] + [False] * 2


def test_known_and_right_are_shares_of_prompts():
    base = made_answers([[1, 1, 0, 0], [1, 0, 0, 1]])
    tuned = made_answers([[1, 1, 1, 0], [1, 1, 0, 0]])
    found = fact_groups(base, tuned)
    assert found["known to both"].tolist() == [True, True, False, False]
    assert found["all right in both"].tolist() == [True, False, False, False]
    assert not found["some right in both"].any()
    assert not found["none right in both"].any()
    assert found["same and right in both"].tolist() == [True, False, False, False]
    assert found["became consistent"].tolist() == [False, True, False, True]
    assert found["became inconsistent"].tolist() == [False, False, True, False]


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
    first = tests[0]
    assert first["spearman_low"] <= first["spearman"] <= first["spearman_high"]
    ranks = np.array([tests[0]["spearman_p"], np.nan, tests[3]["spearman_p"]])
    assert first["spearman_p_adjusted"] == pytest.approx(holm(ranks)[0])


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


def test_extraction_over_relations_stands_beside_that_over_prompts(run: Run):
    # Three facts of one relation without an event, one of another with one.
    def rows(model: str) -> list[dict]:
        return [
            identity("study", 0, fact, 0)
            | {"relation": "b" if fact == 3 else "a"}
            | {"free_token": "a", "prediction_token": "a"}
            | {
                f"{sublayer}_rank_{target}": [0 if fact == 3 else 5]
                for sublayer in ("mhsa", "mlp")
                for target in ("free", "prediction", "object")
            }
            for fact in range(4)
        ]

    for model in ("base", "tuned"):
        write(run, "extraction", model, "study", rows(model))
    summaries = summarise_mechanism(run, SETTINGS, silent)
    curves = {c["key"]: c for one in summaries for c in one.curves}
    assert curves["extraction.mhsa"]["value"] == [0.25]
    assert curves["extraction.mhsa_macro"]["value"] == [0.5]
    values = {key: o for one in summaries for key, o in one.sample.values.items()}
    assert ("extraction.any_macro", "base") in values


def remarks_of(analysis: str, table: pa.Table, **config: int) -> list[str]:
    study = {"enrichment": config}
    found = (
        r(table, study)
        for one in RECIPES
        for r in one.remarks
        if one.analysis == analysis
    )
    return [text for text in found if text]


def test_a_reader_is_told_of_rounding():
    sizes = sizes_of([9] * 3)
    assert not remarks_of("knockout", pa.table(sizes))
    half = sizes | {"precision": ["bfloat16"] * 3}
    (told,) = remarks_of("knockout", pa.table(half))
    assert "how far that moves the effects is not known" in told
    half["rounding_largest"] = pa.array([0.01, 0.04, None], pa.float32())
    half["rounding_mean"] = pa.array([0.001, 0.002, None], pa.float32())
    (told,) = remarks_of("knockout", pa.table(half))
    assert "by 0.002 on average and by up to 0.040 against float32" in told


def test_a_reader_is_told_of_subjects_that_begin_at_the_front():
    # A subject of two tokens at 0 and 1 is read at 1, and cut at 0 too.
    first = pa.array([0, 3, 4, None, 5], pa.int32())
    for analysis in ("enrichment", "knockout"):
        table = pa.table(sizes_of([9] * 5) | {"first_position": first})
        told = [one for one in remarks_of(analysis, table) if "position 0" in one]
        assert len(told) == 1 and "of 25.0% of the prompts begins at" in told[0]
        table = table.slice(1)
        assert not [one for one in remarks_of(analysis, table) if "position 0" in one]


def sizes_of(counts: list[int | None]) -> dict[str, list]:
    """Rows of as many subjects with so many attributes, of which 4 are looked at."""
    return {
        "subject": [f"s{place}" for place in range(len(counts))],
        "position": [3] * len(counts),
        "attribute_count": pa.array(counts, pa.int32()),
        "k": [4] * len(counts),
        "precision": ["float32"] * len(counts),
        "rounding_largest": pa.array([None] * len(counts), pa.float32()),
        "rounding_mean": pa.array([None] * len(counts), pa.float32()),
    }


def test_a_reader_is_told_of_attribute_sets_and_whom_they_leave_out():
    rows = sizes_of([2, 4, 12, None, None])
    rows = {name: [*own, *own] for name, own in rows.items()}  # two prompts of each
    assert remarks_of("enrichment", pa.table(rows)) == [
        "3 subjects have 6 attributes on average (standard deviation 5, 2 to 12); 2 of "
        "5 subjects have no attribute text; 1 have fewer than the 4 words looked at, "
        "which bounds their rate"
    ]
    (told,) = remarks_of("enrichment", pa.table(rows), min_attributes=4)
    assert told.endswith("no attribute text; 1 have fewer than 4 and are left out")
    rows["position"] = [3, 3, 3, 3, None, 3, 3, 3, None, None]
    *_, told = remarks_of("enrichment", pa.table(rows))
    assert told == (
        "2 of 5 subjects were not found in the tokens of 3 prompts, which are left out"
    )


def write_enrichment(run: Run, model: str, rates: np.ndarray, relations: int) -> None:
    """A subject's rate at two layers, the same in all relations; NaN has no text."""
    rows = []
    for relation, (subject, rate) in itertools.product(
        range(relations), enumerate(rates)
    ):
        has_text = not np.isnan(rate)
        hits = [int(rate), int(rate)] if has_text else None
        rows.append(
            identity("study", 0, subject, 0)
            | {"relation": f"r{relation}", "fact": f"r{relation}:{subject}"}
            | {"k": 100, "position": 3, "first_position": 2}
            | {"attribute_count": 200 if has_text else None, "object_count": 1}
            | {"other_object_count": 1, "other_attribute_count": 200}
            | {"attribute_hits": hits, "attribute_hits_shuffled": hits}
            | {"attribute_hits_object_free": hits}
            | {"object_hits": [0, 0], "object_hits_shuffled": [0, 0]}
        )
    write(run, "enrichment", model, "study", rows)


def test_subjects_are_drawn_jointly_for_a_rate_that_hangs_on_them_alone(run: Run):
    # 60 subjects with one rate each in 6 relations: its mean is known no better than
    # from one of them. 4 more have no text.
    rates = np.concatenate([np.arange(60) % 40, [np.nan] * 4])
    for model in ("base", "tuned"):
        write_enrichment(run, model, rates + (model == "tuned"), relations=6)
    settings = replace(SETTINGS, replicates=4000)
    summaries = summarise_mechanism(run, settings, silent)
    curves = {(c["key"], c["model"]): c for one in summaries for c in one.curves}
    known = rates[:60] / 100
    reach = t.ppf(0.975, 59) * known.std(ddof=1) / np.sqrt(60)
    for name in ("attributes_rate", "attributes_rate_of_subjects"):
        found = curves[f"enrichment.{name}", "base"]
        assert found["value"] == pytest.approx([known.mean()] * 2)
        assert found["high"][0] - known.mean() == pytest.approx(reach, rel=0.1)
        assert known.mean() - found["low"][0] == pytest.approx(reach, rel=0.1)
    assert curves["enrichment.attributes_rate", "base"]["n"] == {
        "facts": 360,
        "subjects": 60,
    }
    assert curves["enrichment.attributes_rate_of_subjects", "base"]["n"] == {
        "subjects": 60
    }
    entries = {
        entry["key"]: entry
        for one in summaries
        for entry in measure_entries(one.sample, run.models(), settings)
    }
    (base, _) = entries["enrichment.attributes_rate"]["values"]
    assert base["n"] == {"facts": 360, "subjects": 60, "relations": 6, "prompts": 360}
    assert any(
        "4 of 64 subjects have no attribute text" in n for n in summaries[0].notes
    )


def test_a_subject_counts_once_in_the_mean_over_subjects(run: Run):
    # s0 stands in both relations, s1 in one: means of 0 and of 0, 60; over subjects 30.
    for model in ("base", "tuned"):
        rows = [
            identity("study", 0, subject, template)
            | {"relation": relation, "fact": f"{relation}:{subject}"}
            | {"k": 100, "position": 3, "attribute_count": 200, "object_count": 1}
            | {"other_object_count": 1}
            | {name: [60 * subject] for name in ("attribute_hits", "object_hits")}
            | {"attribute_hits_shuffled": [0], "attribute_hits_object_free": [0]}
            | {"object_hits_shuffled": [0]}
            for relation, subject, template in (
                ("r0", 0, 0), ("r1", 0, 0), ("r1", 0, 1), ("r1", 1, 0)
            )
        ]  # fmt: skip
        write(run, "enrichment", model, "study", rows)
    summaries = summarise_mechanism(run, SETTINGS, silent)
    values = {c["key"]: c["value"] for one in summaries for c in one.curves}
    assert values["enrichment.attributes_rate"] == [pytest.approx((0 + 0.3) / 2)]
    assert values["enrichment.attributes_rate_of_subjects"] == [pytest.approx(0.3)]
    assert values["enrichment.attributes_rate_gain_of_subjects"] == [pytest.approx(0.3)]


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


def test_first_events_are_told_by_hand():
    mhsa = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0], [0, 1, 0]], float)
    mlp = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]], float)
    found = {name: own[:, 0] for name, own in _first_events(mhsa, mlp).items()}
    np.testing.assert_array_equal(found["first_layer"], [0, 2, np.nan, 1])
    np.testing.assert_array_equal(found["event_layers"], [3, 1, np.nan, 1])
    np.testing.assert_array_equal(found["mhsa_first"], [0, 1, np.nan, 1])


def test_events_are_counted_where_top_token_and_candidate_coincide(run: Run):
    events = np.zeros((CONTEXTS, FACTS, TEMPLATES, 3), dtype=bool)
    events[:, :, 1, 2] = True
    write_extraction(run, "base", "study", events)
    write_extraction(run, "tuned", "study", events)
    (macro, *_) = (
        one.sample
        for one in summarise_mechanism(run, SETTINGS, silent)
        if ("extraction.mhsa_coinciding", "base") in one.sample.values
    )
    # Template 1 alone has "a" for both tokens, and all its prompts have an event.
    own = macro.values["extraction.mhsa_coinciding", "base"]
    assert own.numerator.sum() == own.denominator.sum() == CONTEXTS * FACTS
    whole = macro.values["extraction.mhsa", "base"]
    assert whole.denominator.sum() == CONTEXTS * FACTS * TEMPLATES
