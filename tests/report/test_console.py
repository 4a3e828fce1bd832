"""The table at the end of a comparison."""

import pytest
from finished_run import read_json
from rich.console import Console

from concord.report import console_table
from concord.results import Run


def _text(table) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_every_headline_measure_and_tuned_model_has_a_line(drawn: Run):
    summary = read_json(drawn, "summary.json")
    text = _text(console_table(summary))
    for measure in (m for m in summary["measures"] if m["headline"]):
        assert measure["title"].split(" (")[0] in text
    assert text.count("tuned-1") == text.count("tuned-2") == 5
    assert "more consistent" in text


def test_a_missing_difference_shows_its_reason():
    entry = {"model": "t", "value": None, "reason": "no rows [of t]"}
    measure = {"key": "facts.agreement", "title": "Agreement", "headline": True}
    measure |= {"values": [], "differences": [entry]}
    text = _text(console_table({"base": "b", "tuned": ["t"], "measures": [measure]}))
    assert "no rows [of t]" in text and "–" in text


def test_an_interval_without_0_that_shows_no_difference_tells_its_p():
    entry = {"model": "t", "value": 0.03, "low": 0.01, "high": 0.05}
    entry |= {"verdict": "no difference seen", "p_adjusted": 0.056}
    measure = {"key": "facts.agreement", "title": "Agreement", "headline": True}
    measure |= {"values": [], "differences": [entry]}
    summary = {"base": "b", "tuned": ["t"], "measures": [measure]}
    assert "no difference seen (adjusted p .056)" in _text(console_table(summary))
    entry["low"] = -0.01
    assert "adjusted" not in _text(console_table(summary))


@pytest.mark.parametrize("width", [60, 80])
def test_a_verdict_is_whole_on_narrow_terminals_however_long_the_name(width: int):
    names = ["t", "a-model-with-a-very-long-label-2.0.1-instruct"]
    entries = [
        {"model": name, "value": 0.03, "low": 0.01, "high": 0.05, "p_adjusted": 0.056}
        | {"verdict": "no difference seen"}
        for name in names
    ]
    measure = {"key": "facts.agreement", "title": "Agreement", "headline": True}
    measure |= {"values": [], "differences": entries}
    summary = {"base": "b", "tuned": names, "measures": [measure]}
    console = Console(width=width)
    with console.capture() as capture:
        console.print(console_table(summary))
    text = capture.get()
    for word in ("verdict", "difference", "seen", "(adjusted", ".056)", "[.010, .050]"):
        assert word in text, word
    assert names[1] in "".join(line.split("  ")[0] for line in text.splitlines())
