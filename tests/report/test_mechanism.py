"""Figures and tables of the mechanism from a hand-made summary."""

from typing import Any

from concord.report.findings import Findings
from concord.report.mechanism import mechanism_figures, mechanism_tables
from concord.report.table import as_csv


def content() -> dict[str, Any]:
    def curve(model: str, contexts: str, value: float) -> dict[str, Any]:
        return {
            "key": "extraction.mhsa",
            "model": model,
            "contexts": contexts,
            "layers": [0, 1],
            "value": [0.0, value],
        }

    test = {"key": "extraction.mhsa", "layer": 3, "n": 5, "r": 0.9, "low": 0.5}
    test |= {"high": 1.0, "spearman": 0.8, "given_accuracy": None, "p": 0.01}
    link = {"model": "tuned", "contexts": "same", "key": "extraction.mhsa"}
    link |= {"group": "became consistent", "n": {"facts": 4, "subjects": 3}}
    return {
        "base": "base",
        "tuned": ["tuned"],
        "measures": [{"key": "extraction.mhsa", "title": "Extraction by attention"}],
        "curves": [
            curve("base", "study", 0.2),
            curve("tuned", "study", 0.4),
            curve("tuned", "same", 0.3),
        ],
        "correlations": [test | {"p_adjusted": 0.04}],
        "link": [link | {"value": 0.12, "low": 0.1, "high": 0.2}],
    }


def test_the_same_prompts_come_first_and_each_set_has_its_own_panel():
    (figure,) = mechanism_figures(Findings(content()))
    assert figure.name == "extraction"
    assert [panel.name for panel in figure.panels] == [
        "extraction-mhsa-by-layer-same",
        "extraction-mhsa-by-layer-study",
    ]
    shown = [str(panel.specification) for panel in figure.panels]
    assert "'value': 0.3" in shown[0] and "'value': 0.4" not in shown[0]
    assert "'value': 0.4" in shown[1] and "'value': 0.3" not in shown[1]
    assert all("'value': 0.2" in one for one in shown)


def test_without_rows_nothing_is_drawn():
    empty = Findings({"base": "base", "tuned": ["tuned"]})
    assert mechanism_figures(empty) == []
    assert all(not table.rows for table in mechanism_tables(empty))


def test_link_and_correlations_are_written_with_their_n():
    link, tests = mechanism_tables(Findings(content()))
    assert link.printed()[0][2:7] == [
        "Extraction by attention", "became consistent", "4", "3", ".120 [.100, .200]"
    ]  # fmt: skip
    assert tests.printed()[0][:4] == [
        "Extraction by attention", "3", "5", ".900 [.500, 1.000]"
    ]  # fmt: skip
    assert "0.12,0.1,0.2" in as_csv(link)
