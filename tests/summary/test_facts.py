"""Values over the facts against plain Python over the same rows."""

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pyarrow as pa
import pytest
from summarised_run import (
    FAST,
    accuracy_of,
    agreement_of,
    answers,
    difference,
    macro,
    rewrite,
    value,
    with_column,
)
from synthetic_run import (
    Behaviour,
    expected_accuracy,
    expected_agreement,
    write_synthetic_run,
)

from concord.results import Run
from concord.summary import Summary, summarise


@pytest.mark.parametrize(
    ("key", "measure"),
    [
        ("facts.agreement", agreement_of),
        ("facts.accuracy", accuracy_of),
        ("facts.consistent_and_correct", lambda rows: accuracy_of(rows) == 1),
        ("pararel.consistent_subjects", lambda rows: agreement_of(rows) == 1),
        ("pararel.lama_accuracy", lambda rows: rows[0]["is_correct"]),
        (
            "facts.free_agreement",
            lambda rows: agreement_of(
                [{"prediction": row["free_prediction"]} for row in rows]
            ),
        ),
    ],
)
@pytest.mark.parametrize("model", ["base", "tuned-2"])
def test_value_equals_its_definition_in_plain_python(
    run: Run, summary: Summary, key: str, measure: Callable, model: str
):
    expected = macro(answers(run, model), measure)
    assert value(summary, key, model)["value"] == pytest.approx(expected)


def test_nontrivial_values_leave_copyable_facts_out(run: Run, summary: Summary):
    kept = {
        fact: contexts
        for fact, contexts in answers(run, "base").items()
        if not contexts[0][0]["is_trivial"]
    }
    found = value(summary, "facts.agreement_nontrivial", "base")
    assert found["value"] == pytest.approx(macro(kept, agreement_of))
    assert found["n"]["facts"] == len(kept) < 60


def test_deviation_is_over_contexts_and_micro_over_facts(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"], relations=2, facts=8)

    def drop_half_of_a_relation(table: pa.Table) -> pa.Table:
        return table.filter(
            pa.array(
                [not f.startswith("P101:Subject 1") for f in table["fact"].to_pylist()]
            )
        )

    for model in run.models():
        rewrite(run, "facts", model, drop_half_of_a_relation)
    found = answers(run, "base")
    entry = value(summarise(run, FAST), "facts.agreement", "base")
    per_context = [
        macro({fact: {0: rows[c]} for fact, rows in found.items()}, agreement_of)
        for c in range(3)
    ]
    assert entry["contexts_sd"] == pytest.approx(stdev(per_context))
    micro = fmean(agreement_of(rows) for c in found.values() for rows in c.values())
    assert entry["micro"] == pytest.approx(micro)
    assert entry["micro"] != pytest.approx(entry["value"], abs=1e-6)


def test_values_are_near_what_the_models_were_made_to_do(tmp_path: Path):
    behaviours = [Behaviour(0.6, 0.5, 0.3), Behaviour(0.9, 0.7, 0.3)]
    run = write_synthetic_run(
        tmp_path, behaviours=behaviours, facts=400, analyses=["facts"]
    )
    summary = summarise(run, FAST)
    for model, behaviour in zip(run.models(), behaviours, strict=True):
        agreement = value(summary, "facts.agreement", model)
        assert agreement["low"] < expected_agreement(behaviour, 8) < agreement["high"]
        accuracy = value(summary, "facts.accuracy", model)["value"]
        assert accuracy == pytest.approx(expected_accuracy(behaviour, 8), abs=0.04)
    assert difference(summary, "facts.agreement", "tuned-1")["verdict"] == (
        "more consistent"
    )


def test_by_relation_holds_each_relations_own_value(run: Run, summary: Summary):
    rows = {
        (one["key"], one["model"], one["relation"]): one
        for one in summary["by_relation"]
    }
    found = answers(run, "tuned-1")
    for relation in ("P100", "P101", "P102"):
        own = {fact: rows for fact, rows in found.items() if fact[0] == relation}
        row = rows["facts.agreement", "tuned-1", relation]
        assert row["value"] == pytest.approx(macro(own, agreement_of))
        assert row["n"] == 20
    gaps = [rows["representation.pararel.gap", "base", f"P10{i}"] for i in range(3)]
    whole = value(summary, "representation.pararel.gap", "base")["value"]
    assert fmean(gap["value"] for gap in gaps) == pytest.approx(whole)


def test_known_facts_are_split_by_what_both_models_know(run: Run, summary: Summary):
    base, tuned = answers(run, "base"), answers(run, "tuned-1")

    def knows(contexts: dict) -> bool:
        return fmean(accuracy_of(rows) for rows in contexts.values()) >= 0.5

    both = {f: tuned[f] for f in base if knows(base[f]) and knows(tuned[f])}
    found = difference(summary, "facts.known_both", "tuned-1")
    assert found["n"]["facts"] == len(both)
    assert found["after"] == pytest.approx(macro(both, agreement_of))
    assert found["before"] == pytest.approx(
        macro({fact: base[fact] for fact in both}, agreement_of)
    )
    sizes = [
        difference(summary, f"facts.known_{name}", "tuned-1")["n"]["facts"]
        for name in ("both", "one", "neither")
    ]
    assert sum(sizes) == 60
    assert (
        "differs by tuned model" in value(summary, "facts.known_both", "base")["reason"]
    )


def test_order_of_rows_and_names_of_answers_do_not_matter(tmp_path: Path):
    run = write_synthetic_run(tmp_path, analyses=["facts"])
    before = summarise(run, FAST)
    rng = np.random.default_rng(0)

    def shuffle_and_rename(table: pa.Table) -> pa.Table:
        table = table.take(rng.permutation(table.num_rows))
        renamed = (table["prediction_index"].to_numpy() * 3 + 1) % 8
        return with_column(table, "prediction_index", pa.array(renamed))

    for model in run.models():
        rewrite(run, "facts", model, shuffle_and_rename)
    after = summarise(run, FAST)
    for key in ("facts.agreement", "facts.chance_corrected_agreement"):
        for one in before["measures"]:
            if one["key"] == key:
                for model in run.models():
                    for name in ("value", "low", "high", "relations_low"):
                        assert value(after, key, model)[name] == pytest.approx(
                            value(before, key, model)[name]
                        )


def test_baselines_are_those_of_the_objects(run: Run, summary: Summary):
    objects = defaultdict(list)
    for (relation, _), contexts in answers(run, "base").items():
        objects[relation].append(contexts[0][0]["object"])
    majority = fmean(
        max(own.count(name) for name in own) / len(own) for own in objects.values()
    )
    assert summary["baselines"]["majority_accuracy"] == pytest.approx(majority)
    assert summary["baselines"]["uniform_accuracy"] == pytest.approx(1 / 8)


def test_agreement_by_form_needs_lemmas_and_tenses_in_the_run(tmp_path: Path):
    run = write_synthetic_run(tmp_path, relations=2, templates=3, analyses=["facts"])
    info = json.loads((tmp_path / "run.json").read_text())
    forms = [
        {"lemma": "be", "tense": "past", "line": 0},
        {"lemma": "be", "tense": "present", "line": 2},
        {"lemma": "lie", "tense": "past", "line": 3},
    ]
    info["data"]["facts"] = {"templates": {"P100": forms, "P101": forms}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    summary = summarise(run, FAST)
    first_two = {
        fact: {c: rows[:2] for c, rows in contexts.items()}
        for fact, contexts in answers(run, "base").items()
    }
    assert value(summary, "pararel.same_lemma_agreement", "base")[
        "value"
    ] == pytest.approx(macro(first_two, agreement_of))


def test_a_relation_whose_first_template_cannot_be_used_has_no_lama_accuracy(
    tmp_path: Path,
):
    run = write_synthetic_run(tmp_path, relations=2, templates=2, analyses=["facts"])
    info = json.loads((tmp_path / "run.json").read_text())
    first = [{"lemma": None, "tense": None, "line": line} for line in (0, 1)]
    later = [{"lemma": None, "tense": None, "line": line} for line in (1, 2)]
    info["data"]["facts"] = {"templates": {"P100": first, "P101": later}}
    (tmp_path / "run.json").write_text(json.dumps(info))
    found = value(summarise(run, FAST), "pararel.lama_accuracy", "base")
    of_first = [
        row["is_correct"]
        for fact, contexts in answers(run, "base").items()
        if fact[0] == "P100"
        for rows in contexts.values()
        for row in rows[:1]
    ]
    assert found["value"] == pytest.approx(sum(of_first) / len(of_first))
    assert found["n"]["relations"] == 1


def test_chance_corrected_agreement_equals_its_definition(run: Run, summary: Summary):
    found, relations = answers(run, "tuned-1"), ("P100", "P101", "P102")
    values = []
    for context in range(3):
        for relation in relations:
            own = [rows[context] for fact, rows in found.items() if fact[0] == relation]
            columns = [[row["prediction"] for row in c] for c in zip(*own, strict=True)]
            chance = fmean(
                one[fact] == other[another]
                for one, other in permutations(columns, 2)
                for fact, another in permutations(range(len(own)), 2)
            )
            agreement = fmean(agreement_of(rows) for rows in own)
            values.append((agreement - chance) / (1 - chance))
    entry = value(summary, "facts.chance_corrected_agreement", "tuned-1")
    assert entry["value"] == pytest.approx(fmean(values))
