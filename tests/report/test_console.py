"""The table at the end of a comparison."""

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
