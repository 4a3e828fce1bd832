"""Averages of prompts, correlations over models, and remarks on the rows of a model."""

import numpy as np
import pyarrow as pa
import pytest
from mechanism_run import SETTINGS

from concord.metrics.significance import holm
from concord.summary.association import correlations
from concord.summary.layers import by_contexts, matrix_of
from concord.summary.mechanism import _told_once
from concord.summary.mechanism_recipes import RECIPES


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


def test_every_model_is_every_model_of_the_run():
    remarks = {"base": ["x", "x", None], "tuned": ["x"]}
    assert _told_once("knockout", remarks, 2) == ["knockout, every model: x"]
    assert _told_once("knockout", remarks, 3) == ["knockout, base, tuned: x"]
