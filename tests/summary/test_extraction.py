"""Curves and values of extraction, worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from mechanism_run import (
    CONTEXTS,
    FACTS,
    SETTINGS,
    TEMPLATES,
    identity,
    mechanism_run,
    silent,
    write,
    write_extraction,
)

from concord.results import Run
from concord.summary import describe
from concord.summary.mechanism import summarise_mechanism
from concord.summary.mechanism_recipes import _first_events


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return mechanism_run(tmp_path)


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
