"""Figures hold the summary's numbers and leave out what was not measured."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import vl_convert
from finished_run import finished_run

from concord.report.figure import basis_of
from concord.report.findings import Findings, read_findings
from concord.report.formats import number
from concord.report.marks import interval_rows, layer_curves
from concord.report.palette import (
    SHAPE_PATHS,
    THEMES,
    colours,
    dashes,
    painted,
    shapes,
)
from concord.report.prediction_figures import prediction_figures, relation_order
from concord.report.representation_figures import representation_figures
from concord.results import Run


def test_each_question_has_its_figure(drawn: Run):
    findings = read_findings(drawn)
    names = [figure.name for figure in prediction_figures(findings, {})]
    assert names == [
        "agreement-against-accuracy",
        "collapse",
        "agreement-differences",
        "agreement-by-relation",
    ]
    gap, curves, differences = representation_figures(findings)
    names = ["mrpc", "tapaco", "pararel"]
    assert [panel.title for panel in gap.panels] == [
        f"{name} (bar: lexical gap)" for name in names
    ]
    assert len(curves.panels) == 3
    assert len(differences.panels) == 6
    assert [entry.label for entry in differences.legend] == ["tuned-1", "tuned-2"]


def test_every_figure_says_how_to_read_it_and_n(drawn: Run):
    findings = read_findings(drawn)
    for figure in prediction_figures(findings, {}) + representation_figures(findings):
        assert figure.title and figure.reading.endswith(".")
        assert "95 %" in figure.basis or "relations" in figure.basis


def test_every_panel_is_an_svg_file_in_plain_colours(drawn: Run):
    files = list((drawn.path / "figures").glob("*.svg"))
    assert len(files) == 18
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("<svg") and "@ink" not in text and "NaN" not in text


def test_differences_by_layer_hold_the_summary_s_numbers(drawn: Run):
    findings = read_findings(drawn)
    panel = representation_figures(findings)[2].panels[0]
    (curve, _) = findings.curve_differences("representation.mrpc.gap", "study")
    rows = max(panel.specification["datasets"].values(), key=len)
    found = {r["layer"]: r["value"] for r in rows if r["model"] == "tuned-1"}
    assert found == dict(zip(curve["layers"], curve["value"], strict=True))


def test_the_chat_format_is_drawn_where_it_was_measured(tmp_path, drawn: Run):
    contexts = ("study", "same", "chat")
    run = finished_run(tmp_path / "run", facts=6, contexts=contexts)
    figures = [prediction_figures(read_findings(one), {})[2] for one in (run, drawn)]
    labels = [[entry.label for entry in figure.legend] for figure in figures]
    assert labels[0][:3] == labels[1]
    assert labels[0][3] == "tuned model in its chat format"


def test_a_summary_without_numbers_has_no_figures():
    empty = Findings({"base": "b", "tuned": ["t"], "measures": []})
    assert prediction_figures(empty, {}) == [] and representation_figures(empty) == []


def test_a_model_without_predictions_is_left_out_of_the_scatter(tmp_path):
    run = finished_run(tmp_path / "run", facts=6, without=[("facts", "tuned-1")])
    figure = prediction_figures(read_findings(run), {})[0]
    (rows,) = figure.panels[0].specification["datasets"].values()
    assert [row["model"] for row in rows] == ["base", "tuned-2"]


def test_relations_are_ordered_by_the_base(drawn: Run):
    findings = read_findings(drawn)
    base = {
        entry["relation"]: entry["value"]
        for entry in findings.content["by_relation"]
        if entry["key"] == "facts.agreement" and entry["model"] == "base"
    }
    order = relation_order(findings)
    assert [base[name] for name in order] == sorted(base.values())


def test_eleven_curves_over_33_layers_keep_room_for_their_labels():
    models = ["base", *(f"tuned-{index}" for index in range(1, 11))]
    layers = list(range(33))
    rows = [
        {
            "model": model,
            "layer": layer,
            "value": 0.01 * layer + 0.02 * place,
            "band_low": 0.01 * layer,
            "band_high": 0.01 * layer + 0.3,
        }
        for place, model in enumerate(models)
        for layer in layers
    ]
    chart = painted(layer_curves(rows, models, [], axis="gap"), THEMES["light"])
    svg = vl_convert.vegalite_to_svg(chart | {"width": 320})
    root = ElementTree.fromstring(svg)
    names = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(model in names for model in models)
    ticks = [int(name) for name in names if name and name.isdigit()]
    assert {0, 30} <= set(ticks) and len(ticks) < 12
    paths = list(root.iter("{http://www.w3.org/2000/svg}path"))
    lines = {
        (path.get("stroke"), path.get("stroke-dasharray"))
        for path in paths
        if path.get("stroke-width") == "2" and (path.get("d") or "").count("L") >= 32
    }
    assert len(lines) == 11
    legend = re.search(r'viewBox="0 0 (\d+)', svg)
    assert legend and int(legend[1]) < 520


def test_ten_tuned_models_can_be_told_apart_without_colour():
    count = 11
    assert len(set(shapes(count))) == count
    assert len({SHAPE_PATHS[name] for name in shapes(count)}) == count
    assert len({tuple(dash) for dash in dashes(count)}) == count


def test_no_two_of_fifty_five_tuned_models_look_alike():
    count = 56
    assert len(set(zip(colours(count), shapes(count), strict=True))) == count
    looks = [(c, tuple(d)) for c, d in zip(colours(count), dashes(count), strict=True)]
    assert len(set(looks)) == count


def test_colours_stand_out_from_their_background():
    # WCAG: contrast of graphical objects is at least 3
    for theme in THEMES.values():
        paper = _luminance(theme["@paper"])
        for token in ("@ink", "@muted", *colours(6)[1:]):
            light, dark = sorted((_luminance(theme[token]), paper), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, token


def test_colours_stand_out_from_each_other():
    for theme in THEMES.values():
        tokens = sorted(set(colours(56)))
        for one, other in combinations(tokens, 2):
            assert np.linalg.norm(_lab(theme[one]) - _lab(theme[other])) > 30


def test_n_is_a_range_where_models_differ_and_named_where_measures_do():
    def measure(key: str, *facts: int) -> dict:
        models = ("base", "tuned")
        values = [
            {"model": model, "value": 0.5, "n": {"facts": n, "relations": 8}}
            for model, n in zip(models, facts, strict=True)
        ]
        return {"key": key, "title": key[-1].upper(), "values": values}

    measures = [measure("facts.a", 22, 40), measure("facts.b", 1040, 1040)]
    curve = {"key": "relations.c", "model": "base", "layers": [0], "value": [0.1]}
    findings = Findings(
        {
            "base": "base",
            "tuned": ["tuned"],
            "measures": measures,
            "curves": [curve | {"n": {"relations": 7}}],
        }
    )
    first = "22 to 40 facts, 8 relations (by model)"
    assert basis_of(findings, "facts.a") == f"95 % intervals; n: {first}."
    both = f"A: {first}; B: 1,040 facts, 8 relations"
    assert basis_of(findings, "facts.a", "facts.b") == f"95 % intervals; n: {both}."
    assert basis_of(findings, "relations.c") == "95 % intervals; n: 7 relations."
    assert basis_of(findings, "facts.none") == "95 % intervals."


def test_a_chart_has_no_layer_without_marks():
    row = {"model": "tuned", "is_base": False, "value": 0.99}
    row |= {"low": None, "high": None, "tick": None}
    only = interval_rows([row], ["base", "tuned"], axis="share", limits=(0.0, 1.0))
    assert [layer["mark"]["type"] for layer in only["layer"]] == ["point"]
    whole = row | {"low": 0.9, "high": 1.0, "is_base": True}
    all_of_it = interval_rows([whole], ["base", "tuned"], axis="share")
    kinds = [layer["mark"]["type"] for layer in all_of_it["layer"]]
    assert kinds == ["rule", "rule", "point"]
    points = [{"model": "tuned", "layer": 0, "value": 0.5, "band_low": None}]
    lines = layer_curves(points, ["base", "tuned"], [], axis="share")
    assert [layer["mark"]["type"] for layer in lines["layer"]] == ["line", "point"]


def test_an_axis_of_shares_ends_at_0_and_1():
    rows = [
        {"model": "a", "is_base": True, "value": 0.01, "low": 0.0, "high": 0.5},
        {"model": "b", "is_base": False, "value": 1.0, "low": 0.9, "high": 1.0},
    ]
    chart = interval_rows(rows, ["a", "b"], axis="share", limits=(0.0, 1.0))
    (domain,) = (
        layer["encoding"]["x"]["scale"]["domain"]
        for layer in chart["layer"]
        if "scale" in layer["encoding"]["x"]
    )
    assert domain == [0.0, 1.0]
    rows = [{"model": "a", "layer": 0, "value": 0.0}, {"model": "a", "layer": 1}]
    curve = layer_curves(rows, ["a"], [], axis="share", limits=(0.0, 1.0))
    low, _ = curve["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low == 0.0


def test_a_panel_says_its_numbers_to_those_who_do_not_see_it(drawn: Run):
    findings = read_findings(drawn)
    panel = prediction_figures(findings, {})[1].panels[0]
    value = findings.value("facts.chance_corrected_agreement", "tuned-2")["value"]
    assert f"tuned-2 {number(value)}" in panel.description
    curve = representation_figures(findings)[1].panels[0]
    assert "tuned-2 from " in curve.description


def _linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def _luminance(colour: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    return sum(w * p for w, p in zip(weights, _linear(colour), strict=True))


def _lab(colour: str) -> np.ndarray:
    """CIELAB of white D65, in which a distance of 2 can just be seen."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722]]
    to_xyz.append([0.0193, 0.1192, 0.9505])
    x, y, z = np.cbrt(np.array(to_xyz) @ _linear(colour) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
