"""A summary as it is written, and the descriptions of its keys."""

import json
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from summarised_run import FAST
from synthetic_run import write_synthetic_run

from concord.errors import ResultsError
from concord.metrics.other_measures import MEASURE_NAMES
from concord.results import Run
from concord.summary import MEASURES, Summary, describe, summarise, write_summary


def test_the_same_seed_gives_the_same_summary_and_nothing_is_written(
    tmp_path: Path,
):
    run = write_synthetic_run(tmp_path, relations=2, facts=6, layers=2)
    files = sorted(path for path in tmp_path.rglob("*"))
    seeded = replace(FAST, seed=3)
    assert summarise(run, seeded) == summarise(run, seeded)
    assert sorted(path for path in tmp_path.rglob("*")) == files


def test_summary_is_written_as_json_that_reads_back_the_same(
    run: Run, summary: Summary
):
    write_summary(run, summary)
    text = (run.path / "summary.json").read_text(encoding="utf-8")
    assert json.loads(text) == summary
    assert summary["schema"] == 1 and summary["tuned"] == ["tuned-1", "tuned-2"]


def test_every_key_is_described_and_every_description_is_whole(summary: Summary):
    for measure in summary["measures"]:
        assert describe(measure["key"]).title == measure["title"]
    for pattern, measure in MEASURES.items():
        assert measure.meaning.endswith("."), pattern
        assert measure.formula and measure.title, pattern
    used = {one["key"].partition("@")[0] for one in summary["measures"]}
    unused = {
        pattern
        for pattern in MEASURES
        if pattern.startswith(("facts.", "pararel.", "mpararel.", "represent"))
        and not any(fnmatchcase(key, pattern) for key in used)
    }
    on_request = {f"facts.{name}" for name in MEASURE_NAMES}
    assert unused - on_request == {
        "pararel.same_*_agreement",
        "pararel.other_*_agreement",
    }


def test_an_unknown_key_is_refused_with_a_near_match():
    with pytest.raises(ResultsError, match=r"did you mean 'facts\.agreement'"):
        describe("facts.agreements")
    with pytest.raises(ResultsError):
        describe("facts.agreement@elsewhere")


def test_keys_of_other_contexts_say_so_in_their_title():
    assert "base's contexts" in describe("facts.agreement@same").title
    assert not describe("facts.agreement@same").headline
