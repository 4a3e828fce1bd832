"""Other papers' measures over the facts, worked by hand and from a run's rows."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from concord.compare import compare
from concord.metrics.agreement import NO_ANSWER, NOT_ASKED
from concord.results import Run, read_rows
from concord.study import OTHER_MEASURES, resolve_study
from concord.summary.named_measures import (
    OF_FACTS,
    answer_outcomes,
    over_asked,
    wording_accuracy,
)


@pytest.fixture(scope="module")
def measured(
    base_folder: Path, tuned_folder: Path, data_dir: Path, tmp_path_factory: Any
) -> Callable[..., Run]:
    """Runs the facts of the small study with these settings."""

    def measured(*measures: str, **facts: str) -> Run:
        study = resolve_study(
            {
                "base": str(base_folder),
                "tuned": [str(tuned_folder)],
                "data_dir": str(data_dir),
                "analyses": ["facts"],
                "facts": {"noise_prompts": 0} | facts,
                "measures": list(measures),
                "statistics": {"replicates": 100, "permutations": 100},
            }
        )
        return compare(study, tmp_path_factory.mktemp("facts") / "run")

    return measured


@pytest.fixture(scope="module")
def run(measured: Callable[..., Run]) -> Run:
    return measured(*OTHER_MEASURES)


@pytest.fixture(scope="module")
def summary(run: Run) -> dict[str, Any]:
    return json.loads((run.path / "summary.json").read_text(encoding="utf-8"))


def measure(summary: dict[str, Any], key: str) -> dict[str, Any]:
    return next(m for m in summary["measures"] if m["key"] == key)


def rows_by_fact(run: Run, contexts: str = "study") -> dict[Any, list[dict[str, Any]]]:
    """(relation, context, fact) -> its rows."""
    table = read_rows(run, "facts", run.models()[1])
    assert table is not None
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        if row["contexts"] == contexts:
            key = row["relation"], row["context"], row["fact"]
            found.setdefault(key, []).append(row)
    return found


def macro(values: dict[Any, float]) -> float:
    """Mean over contexts and facts of a relation, then over relations."""
    relations = {key[0] for key in values}
    return float(
        np.mean(
            [np.mean([v for k, v in values.items() if k[0] == r]) for r in relations]
        )
    )


def test_measures_of_answers_equal_their_definitions_on_the_rows(
    run: Run, summary: dict[str, Any]
):
    sensitive, both, same, spread = {}, {}, {}, {}
    for key, rows in rows_by_fact(run).items():
        pairs = list(combinations(rows, 2))
        right = [a["is_correct"] != b["is_correct"] for a, b in pairs]
        equal = [a["prediction_index"] == b["prediction_index"] for a, b in pairs]
        sensitive[key] = np.mean(right)
        both[key] = 1 - np.mean(right)
        same[key] = np.mean(equal)
        given = [row["prediction_index"] for row in rows]
        shares = [given.count(one) / len(given) for one in set(given)]
        limit = np.log(rows[0]["candidate_count"])
        spread[key] = -sum(p * np.log(p) for p in shares) / limit
    for name, values in (
        ("prompt_sensi_score", sensitive),
        ("paraphrastic_consistency", both),
        ("consistency_rate", same),
        ("sensitivity", spread),
    ):
        found = measure(summary, f"facts.{name}")["values"][1]["value"]
        assert found == pytest.approx(macro(values)), name
    agreement = measure(summary, "facts.agreement")["values"][1]["value"]
    rate = measure(summary, "facts.consistency_rate")["values"][1]
    assert rate["value"] == pytest.approx(agreement)
    assert rate["low"] <= rate["value"] <= rate["high"]


def test_format_spread_is_over_the_contexts(run: Run, summary: dict[str, Any]):
    right: dict[int, list[bool]] = {}
    for (_, context, _), rows in rows_by_fact(run).items():
        right.setdefault(context, []).extend(row["is_correct"] for row in rows)
    shares = [np.mean(own) for own in right.values()]
    found = measure(summary, "facts.format_spread")["values"][1]
    assert len(shares) == 3
    assert found["value"] == pytest.approx(max(shares) - min(shares))
    assert (found["low"], "no interval" in found["reason"]) == (None, True)


def test_class_consistency_compares_facts_of_one_object(
    run: Run, summary: dict[str, Any]
):
    by_relation: dict[Any, dict[str, list[list[int]]]] = {}
    for (relation, context, _), rows in rows_by_fact(run).items():
        own = by_relation.setdefault((relation, context), {})
        own.setdefault(rows[0]["object"], []).append(
            [row["prediction_index"] for row in rows]
        )
    values: dict[Any, float] = {}
    for key, classes in by_relation.items():
        means = []
        for facts in classes.values():
            likeness = [
                1
                - sum(abs(a.count(v) / len(a) - b.count(v) / len(b)) for v in {*a, *b})
                / 2
                for a, b in combinations(facts, 2)
            ]
            means += [np.mean(likeness)] if likeness else []
        if means:
            values[key] = float(np.mean(means))
    found = measure(summary, "facts.class_consistency")["values"][1]["value"]
    assert found == pytest.approx(macro(values))


def test_what_rows_cannot_tell_is_null_with_its_reason(summary: dict[str, Any]):
    for name, reason in OF_FACTS.items():
        for entry in measure(summary, f"facts.{name}")["values"]:
            assert (entry["value"], entry["reason"]) == (None, reason)


def test_the_report_lists_them_with_reasons(run: Run):
    table = (run.path / "tables" / "other-measures.md").read_text(encoding="utf-8")
    assert "RankC" in table
    assert "rows hold the best two" in table
    assert "facts.scoring: full" in table


@pytest.fixture(scope="module")
def run_of_scores(measured: Callable[..., Run]) -> Run:
    measures = ("rankc", "posix", "sensitivity", "class_consistency")
    return measured(*measures, scoring="full")


def test_rankings_are_compared_where_every_candidate_was_scored(run_of_scores: Run):
    done = run_of_scores
    summary = json.loads((done.path / "summary.json").read_text(encoding="utf-8"))
    values: dict[Any, float] = {}
    for key, rows in rows_by_fact(done).items():
        orders = [np.argsort(-np.array(row["scores"]), kind="stable") for row in rows]
        count = len(orders[0])
        weights = np.exp(-np.arange(count))
        weights /= weights.sum()
        values[key] = float(
            np.mean(
                [
                    sum(
                        weights[j] * len({*a[: j + 1]} & {*b[: j + 1]}) / (j + 1)
                        for j in range(count)
                    )
                    for a, b in combinations(orders, 2)
                ]
            )
        )
    found = measure(summary, "facts.rankc")["values"][1]
    assert found["value"] == pytest.approx(macro(values))
    assert found["low"] <= found["value"] <= found["high"]


def test_scores_of_every_candidate_tell_the_measures_of_probabilities(
    run_of_scores: Run,
):
    """Worked from the rows: POSIX of predictions, entropy and likeness of softmax."""
    path = run_of_scores.path / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    moved: dict[Any, float] = {}
    entropy: dict[Any, float] = {}
    classes: dict[Any, dict[str, list[Any]]] = {}
    for key, rows in rows_by_fact(run_of_scores).items():
        count = len(rows)
        total = sum(
            abs(other["scores"][at] - one["scores"][at]) / one["candidate_tokens"][at]
            for one in rows
            for at in [one["prediction_index"]]
            for other in rows
        )
        moved[key] = total / (count * (count - 1))
        shares = [np.exp(row["scores"]) / np.exp(row["scores"]).sum() for row in rows]
        mean = np.mean(shares, axis=0)
        entropy[key] = float(-(mean * np.log(mean)).sum() / np.log(len(mean)))
        own = classes.setdefault(key[:2], {})
        own.setdefault(rows[0]["object"], []).append(mean)
    alike: dict[Any, float] = {}
    for key, found in classes.items():
        means = [
            np.mean([1 - np.abs(a - b).sum() / 2 for a, b in combinations(facts, 2)])
            for facts in found.values()
            if len(facts) > 1
        ]
        if means:
            alike[key] = float(np.mean(means))
    for name, values in (
        ("posix", moved),
        ("sensitivity", entropy),
        ("class_consistency", alike),
    ):
        found = measure(summary, f"facts.{name}")["values"][1]["value"]
        assert found == pytest.approx(macro(values), abs=1e-6), name


def test_a_study_that_names_none_has_none(tmp_path: Path, settings: dict[str, Any]):
    settings |= {"analyses": ["facts"], "facts": {"noise_prompts": 0}, "limit": 4}
    done = compare(resolve_study(settings), tmp_path / "run")
    summary = json.loads((done.path / "summary.json").read_text(encoding="utf-8"))
    keys = {entry["key"] for entry in summary["measures"]}
    assert not keys & {f"facts.{name}" for name in OTHER_MEASURES}


def test_only_the_wordings_that_were_asked_count():
    answers = np.array([[1, 2], [1, NOT_ASKED], [NO_ANSWER, NO_ANSWER]])
    right = np.array([[True, False], [True, False], [False, False]])
    found, reasons = answer_outcomes(
        answers, right, ["consistency_rate", "prompt_sensi_score", "posix"]
    )
    assert found["consistency_rate"].numerator[0].tolist() == [1 / 3, 0]
    assert found["prompt_sensi_score"].numerator[0] == pytest.approx([2 / 3, 0])
    assert not found["posix"].denominator.any()
    assert "every other wording" in reasons["posix"]
    assert wording_accuracy(answers, right) == pytest.approx([0.5, 1.0, 0.0])
    alone = over_asked(lambda _, own: own.mean(axis=0), answers[:1], right[:1])
    assert np.isnan(alone).all()
