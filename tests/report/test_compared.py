"""The table of models: what differs, and what all share."""

from concord.report.compared import compared_models
from concord.report.findings import Findings

FINDINGS = Findings({"base": "base", "tuned": ["talks"]})
MODEL = {"source": "hub/one", "dtype": "float32", "parameters": 1_394_304, "layers": 6}
INFO = {"models": {"base": MODEL, "talks": MODEL | {"layers": 7, "revision": "a" * 40}}}


def test_what_is_equal_for_all_is_a_sentence_and_the_rest_columns():
    found = compared_models(FINDINGS, INFO)
    assert found.titles[:4] == ("label", "role", "source", "fingerprint")
    assert found.shared == "Equal for all: dtype float32, parameters 1,394,304."
    layers = found.titles.index("layers")
    assert [row[layers] for row in found.rows] == ["6", "7"]
    assert found.rows[1][2] == "hub/one @aaaaaaaaaaaa"


def test_what_is_unknown_is_a_dash_and_not_equal():
    found = compared_models(FINDINGS, {})
    assert found.shared == "" and found.rows[0][-1] == "–"


def test_embedded_models_say_what_they_were_tuned_on():
    family = {
        "base": {"description": "Not tuned.", "kind": "weights"},
        "talks": {"description": "Talks, with replay.", "kind": "adapter"}
        | {"expected": "between"},
    }
    found = compared_models(FINDINGS, INFO | {"family": family})
    start = found.titles.index("tuned on")
    assert found.titles[start : start + 3] == (
        "tuned on",
        "shipped as",
        "expected of agreement",
    )
    assert found.rows[1][start : start + 3] == (
        "Talks, with replay.",
        "LoRA adapter",
        "little",
    )
