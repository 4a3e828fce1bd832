"""Figures and tables of fine-tuned classifiers, and their section of the page."""

from typing import Any

from concord.report.findings import Findings
from concord.report.finetuned import (
    classified_tasks,
    classifier_warnings,
    finetuned_figures,
    finetuned_tables,
)


def measure(task: str, name: str, value: float | None) -> dict[str, Any]:
    entry = {
        "model": "base",
        "value": value,
        "low": 0.4,
        "high": 0.6,
        "contexts_sd": 0.02,
        "n": {"facts": 12, "subjects": 9},
    }
    return {
        "key": f"finetuned.{task}.{name}",
        "dataset": task,
        "values": [entry, {**entry, "model": "tuned"}],
        "differences": [],
    }


def findings(*measures: dict[str, Any]) -> Findings:
    training = {
        "task": "rte",
        "model": "base",
        "rate": 1e-4,
        "seeds": [0, 1],
        "accuracy": 0.75,
        "loss": 0.5,
        "rounds": 4.5,
        "trained_weights": 1_400_000,
        "is_chosen": True,
    }
    return Findings(
        {
            "base": "base",
            "tuned": ["tuned"],
            "measures": list(measures),
            "finetuned": {"trainings": [training], "warnings": ["rte: seen"]},
        }
    )


ACCURACY = measure("rte", "accuracy", 0.5)
MEAN = measure("mean", "accuracy", 0.5)


def test_the_mean_is_shown_where_there_are_two_tasks_or_more():
    assert classified_tasks(findings(ACCURACY, MEAN)) == ["rte"]
    both = findings(ACCURACY, measure("wic", "accuracy", 0.6), MEAN)
    assert classified_tasks(both) == ["rte", "wic", "mean"]


def test_a_figure_has_a_panel_for_each_measure_that_has_a_number():
    found = findings(
        ACCURACY,
        measure("rte", "semantic", 0.9),
        measure("rte", "symmetric", None),
    )
    (figure,) = finetuned_figures(found)
    names = [panel.name for panel in figure.panels]
    assert names == ["finetuned-rte-accuracy", "finetuned-rte-semantic"]
    assert figure.basis == "95 % intervals; n: 12 rows or pairs, 9 clusters."
    assert finetuned_figures(findings()) == []


def test_tables_hold_the_measures_and_the_rates_tried():
    measures, rates = finetuned_tables(findings(ACCURACY, MEAN))
    assert [row[:2] for row in measures.rows] == [("rte", "base"), ("rte", "tuned")]
    assert measures.printed()[0][2] == ".500 [.400, .600]"
    assert measures.printed()[0][-1] == ".020"
    assert rates.printed() == [
        ["rte", "base", "0.0001", "chosen", ".750", ".500", "4.5", "0, 1", "1,400,000"]
    ]


def test_warnings_come_from_the_summary():
    assert classifier_warnings(findings()) == ["rte: seen"]
    assert classifier_warnings(Findings({"base": "b", "tuned": []})) == []
