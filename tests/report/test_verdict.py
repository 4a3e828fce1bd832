"""The verdict says what the intervals say, and its guards what could be wrong."""

from typing import Any

from concord.report.findings import Findings
from concord.report.verdict import direction_of, verdict_of


def _entry(model: str, value: float | None, half: float = 0.01) -> dict[str, Any]:
    if value is None:
        return {"model": model, "value": None, "reason": "no rows"}
    return {
        **{"model": model, "value": value, "low": value - half, "high": value + half},
        **{"p_adjusted": 0.0002, "verdict": "words", "n": {"facts": 50}},
    }


def _findings(**differences: list[float | None]) -> Findings:
    """Keys with ``__`` for ``@``; one difference per tuned model t0, t1, ..."""
    count = len(next(iter(differences.values())))
    tuned = [f"t{index}" for index in range(count)]
    measures = [
        {
            "key": f"facts.{name.replace('__', '@')}",
            "values": [_entry(model, 0.5) for model in ("start", *tuned)],
            "differences": list(map(_entry, tuned, values)),
        }
        for name, values in differences.items()
    ]
    return Findings({"base": "start", "tuned": tuned, "measures": measures})


def test_an_interval_that_includes_zero_shows_no_difference():
    assert direction_of(_entry("a", 0.02)) == "more"
    assert direction_of(_entry("a", -0.02)) == "less"
    assert direction_of(_entry("a", 0.005)) == "none"
    assert direction_of(_entry("a", None)) == "unmeasured"
    assert direction_of({"value": 0.2, "low": None, "high": None}) == "unmeasured"


def test_one_tuned_model_is_named_with_its_interval():
    verdict = verdict_of(_findings(agreement=[0.08]))
    assert verdict.headline == (
        "t0 gives the same answer to a reworded question more often than its base "
        "start (+.08 [.07, .09])."
    )


def test_several_tuned_models_are_counted():
    verdict = verdict_of(_findings(agreement=[0.08, 0.2, -0.05, 0.0, None]))
    assert verdict.headline == (
        "2 of 4 tuned models give the same answer to a reworded question more often "
        "than their base start (most: t1, +.20 [.19, .21]); 1 less often (t2); 1 with "
        "no difference seen (t3)."
    )
    assert verdict.models[4].direction == "unmeasured"
    assert "no rows" in verdict.models[4].sentence


def test_without_a_comparison_there_is_no_verdict():
    assert "no verdict" in verdict_of(_findings(agreement=[None])).headline
    empty = Findings({"base": "b", "tuned": ["t"], "measures": []})
    assert "no verdict" in verdict_of(empty).headline


def test_a_gain_that_vanishes_when_corrected_for_chance_raises_the_alarm():
    findings = _findings(
        agreement=[0.08, 0.08],
        chance_corrected_agreement=[0.0, 0.07],
        top_answer_share=[0.3, 0.0],
        accuracy=[0.0, 0.0],
        agreement__same=[0.08, 0.08],
    )
    collapsed, real = verdict_of(findings).models
    assert collapsed.alarm == "looks like a favourite answer"
    assert "larger share" in " ".join(collapsed.guards)
    assert real.alarm == ""
    assert "t0 (looks like a favourite answer)" in verdict_of(findings).headline


def test_a_gain_beside_falling_accuracy_raises_the_alarm():
    findings = _findings(
        agreement=[0.08], chance_corrected_agreement=[0.07], accuracy=[-0.1]
    )
    assert verdict_of(findings).models[0].alarm == "accuracy fell"
    assert "but: accuracy fell" in verdict_of(findings).headline


def test_missing_guards_are_said_to_be_missing():
    guards = " ".join(verdict_of(_findings(agreement=[0.08])).models[0].guards)
    assert "Accuracy was not compared" in guards
    assert "collapse is not ruled out" in guards
    assert "same-prompt control was not measured" in guards
