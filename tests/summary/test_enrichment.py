"""Attributes rates over facts and over subjects, worked out by hand."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mechanism_run import SETTINGS, identity, mechanism_run, silent, write
from scipy.stats import t

from concord.results import Run
from concord.summary.entries import measure_entries
from concord.summary.mechanism import summarise_mechanism


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return mechanism_run(tmp_path)


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


def test_what_holds_of_every_model_is_told_once(run: Run):
    for model in ("base", "tuned"):
        write_enrichment(run, model, np.full(9, 10.0), relations=1)
    both = _notes(run)
    assert both and len(set(both)) == len(both)
    assert all(note.startswith("enrichment, every model: ") for note in both)
    write_enrichment(run, "tuned", np.where(np.arange(9) < 8, 10.0, np.nan), 1)
    apart = _notes(run)
    assert any(note.startswith("enrichment, base: ") for note in apart)
    assert any(note.startswith("enrichment, tuned: ") for note in apart)


def _notes(run: Run) -> list[str]:
    return [n for s in summarise_mechanism(run, SETTINGS, silent) for n in s.notes]
