"""Figures and tables of the mechanism from a hand-made summary."""

from typing import Any

from concord.report.findings import Findings
from concord.report.mechanism import mechanism_figures
from concord.report.mechanism_tables import mechanism_tables
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
        "correlations": [test | {"p_adjusted": 0.04, "tests": 2}],
        "link": [
            link
            | {"value": 0.12, "low": 0.1, "high": 0.2, "before": 0.2, "after": 0.32},
            link
            | {
                "value": 0.2,
                "low": 0.05,
                "high": 0.35,
                "n": {"facts": 7, "subjects": 5},
                "n_against": {"facts": 6, "subjects": 4},
            }
            | {"against": "stayed inconsistent"},
        ],
        "relation_layers": {"base": [2, 4], "tuned": None},
    }


def test_the_same_prompts_come_first_and_each_set_has_its_own_panel():
    figure, _ = mechanism_figures(Findings(content()))
    assert figure.name == "extraction"
    assert [panel.name for panel in figure.panels] == [
        "extraction-mhsa-by-layer-same",
        "extraction-mhsa-by-layer-study",
    ]
    shown = [str(panel.specification) for panel in figure.panels]
    assert "'value': 0.3" in shown[0] and "'value': 0.4" not in shown[0]
    assert "'value': 0.4" in shown[1] and "'value': 0.3" not in shown[1]
    assert all("'value': 0.2" in one for one in shown)


def test_the_lexical_gap_is_a_rule_in_the_figures_of_a_facts_pairs():
    found = content()
    for curve, lexical in zip(found["curves"], (0.45, 0.55, 0.5), strict=True):
        curve |= {"key": "relations.gap_agreeing", "lexical": lexical}
    (figure,) = mechanism_figures(Findings(found))
    same, own = figure.panels
    assert same.title.endswith("dashed: lexical gap .450 (base) and .500 (tuned)")
    assert own.title.endswith("dashed: lexical gap .450 (base) and .550 (tuned)")
    assert "'mark': {'type': 'rule'" in str(same.specification)


def test_without_rows_nothing_is_drawn():
    empty = Findings({"base": "base", "tuned": ["tuned"]})
    assert mechanism_figures(empty) == []
    assert all(not table.rows for table in mechanism_tables(empty))


def test_events_of_all_models_are_shades_by_layer_and_measured_zeros_are_seen():
    _, figure = mechanism_figures(Findings(content()))
    assert figure.name == "extraction-by-model"
    titles = [panel.title for panel in figure.panels]
    assert titles == [
        "attention, base's prompts; strongest is .300",
        "attention, own prompts; strongest is .400",
    ]
    layer = figure.panels[0].specification
    ((_, rows),) = layer["datasets"].items()
    cells = {(row["model"], row["layer"]): row["value"] for row in rows}
    assert cells == {
        ("base", 0): 0.0, ("base", 1): 0.2, ("tuned", 0): 0.0, ("tuned", 1): 0.3
    }  # fmt: skip
    opacity = layer["encoding"]["opacity"]["scale"]
    assert opacity["domain"] == [0, 0.3] and 0 < opacity["range"][0] < 0.1


def test_link_and_correlations_are_written_with_their_n():
    tables = {one.name: one for one in mechanism_tables(Findings(content()))}
    link, tests = tables["mechanism-link"], tables["mechanism-correlations"]
    assert link.printed()[0][2:9] == [
        "Extraction by attention", "became consistent", "4", "3", ".200", ".320",
        ".120 [.100, .200]",
    ]  # fmt: skip
    assert tests.printed()[0][:5] == [
        "Extraction by attention", "3", "5", "2", ".900 [.500, 1.000]"
    ]  # fmt: skip
    assert "0.12,0.1,0.2" in as_csv(link)


def test_groups_are_compared_in_a_table_of_their_own():
    tables = {one.name: one for one in mechanism_tables(Findings(content()))}
    assert tables["mechanism-contrasts"].printed() == [
        [
            "tuned", "same", "Extraction by attention", "became consistent",
            "stayed inconsistent", ".200 [.050, .350]", "7", "6", "5", "4", "",
        ]
    ]  # fmt: skip


def test_measured_contrasts_come_first_and_the_study_s_before_others():
    found = content()
    (entry,) = (one for one in found["link"] if one.get("against"))
    nothing = {"value": None, "reason": "too few subjects"}
    found["link"] = [
        entry | {"model": model, "contexts": contexts} | empty
        for empty in (nothing, {})
        for model in ("one", "two")
        for contexts in ("same", "study")
    ]
    tables = {table.name: table for table in mechanism_tables(Findings(found))}
    rows = [row[:2] for row in tables["mechanism-contrasts"].printed()]
    assert rows[:4] == [
        ["one", "study"], ["two", "study"], ["one", "same"], ["two", "same"]
    ]  # fmt: skip
    assert rows[4:] == rows[:4]


def test_every_number_of_the_curves_is_in_a_table_and_layers_are_named():
    tables = {one.name: one for one in mechanism_tables(Findings(content()))}
    assert tables["mechanism-by-layer"].printed()[-1] == [
        "extraction.mhsa", "tuned", "same", "1", ".300"
    ]  # fmt: skip
    assert tables["relation-layers"].printed() == [["base", "2 to 4"], ["tuned", ""]]
