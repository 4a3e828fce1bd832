"""The verdict says what the intervals say, and its guards what could be wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from synthetic_run import write_synthetic_run

from concord.report.findings import Findings
from concord.report.verdict import (
    ModelVerdict,
    direction_of,
    verdict_of,
)
from concord.summary import Settings, summarise


def _entry(model: str, value: float | None, half: float = 0.01) -> dict[str, Any]:
    if value is None:
        return {"model": model, "value": None, "reason": "no rows"}
    return {
        **{"model": model, "value": value, "low": value - half, "high": value + half},
        **{"p_adjusted": 0.0002, "verdict": "words", "n": {"facts": 50}},
    }


def _said(
    low: float, high: float, verdict: str, p: float | None = 0.2
) -> dict[str, Any]:
    middle = (low + high) / 2
    ends = {"value": middle, "low": low, "high": high}
    return {"model": "t0", **ends, "verdict": verdict, "p_adjusted": p}


def _one(gain_by_chance: tuple[float, float] | None = None, **entries: Any) -> Findings:
    """Differences of the one tuned model, given as entries; keys as for `_findings`."""
    measures = [
        {
            "key": f"facts.{name.replace('__', '@')}",
            "values": [_entry(model, 0.5) for model in ("start", "t0")],
            "differences": [entry],
        }
        for name, entry in entries.items()
    ]
    content: dict[str, Any] = {"base": "start", "tuned": ["t0"], "measures": measures}
    if gain_by_chance:
        low, high = gain_by_chance
        content["gains_by_chance"] = {"t0": {"low": low, "high": high}}
    return Findings(content | {"margin": 0.01})


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
        "2 of 5 tuned models give the same answer to a reworded question more often "
        "than their base start (most: t1, +.20 [.19, .21]); 1 less often (t2); 1 with "
        "no difference seen (t3); 1 not compared (t4)."
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
    lost = {"t0": {"low": 0.06, "high": 0.1}, "t1": {"low": 0.0, "high": 0.02}}
    findings = Findings({**findings.content, "gains_by_chance": lost})
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


NONE = "no difference seen"
GAIN = _said(0.002, 0.058, "more consistent", 0.04)


def test_a_corrected_gain_that_is_not_certain_is_not_called_gone():
    corrected = _said(-0.001, 0.067, NONE, 0.056)
    findings = _one((-0.02, 0.01), agreement=GAIN, chance_corrected_agreement=corrected)
    (verdict,) = verdict_of(findings).models
    assert verdict.alarm == ""
    assert "corrected for chance the gain is not certain" in _guards(verdict).lower()
    findings = _one((0.01, 0.04), agreement=GAIN, chance_corrected_agreement=corrected)
    assert verdict_of(findings).models[0].alarm == "looks like a favourite answer"


def test_a_correction_that_leaves_less_or_the_same_raises_the_alarm():
    for corrected in (_said(-0.05, -0.01, "less"), _said(-0.005, 0.005, "same within")):
        findings = _one(agreement=GAIN, chance_corrected_agreement=corrected)
        assert verdict_of(findings).models[0].alarm == "looks like a favourite answer"


def test_a_gain_not_seen_under_the_same_prompts_may_still_be_there():
    own = {"agreement": GAIN, "chance_corrected_agreement": GAIN}
    same = _said(-0.001, 0.057, NONE, 0.06)
    for part, alarm in (
        (_said(-0.02, 0.02, NONE), ""),
        (_said(0.01, 0.04, "more consistent"), "not under the same prompts"),
    ):
        findings = _one(**own, agreement__same=same, agreement__prompt=part)
        assert verdict_of(findings).models[0].alarm == alarm


def test_same_within_the_margin_is_neither_a_gain_nor_unseen():
    same = _said(0.001, 0.008, "same within 0.01")
    assert direction_of(same) == "same"
    headline = verdict_of(_one(agreement=same)).headline
    assert headline.startswith("t0 and its base start give the same answer")
    assert "equally often, within 0.01 (.00 [.00, .01])" in headline
    findings = _findings(agreement=[0.08, 0.0])
    entry = findings.measures[0]["differences"][1]
    entry |= {"low": 0.001, "high": 0.008, "verdict": "same within 0.01"}
    several = Findings({**findings.content, "margin": 0.01})
    assert "; 1 as often, within 0.01 (t1)." in verdict_of(several).headline


def test_a_difference_that_many_models_leave_unseen_tells_its_p():
    unseen = _said(0.01, 0.05, NONE, 0.056)
    verdict = verdict_of(_one(agreement=unseen, chance_corrected_agreement=unseen))
    assert "(+.03 [.01, .05], adjusted p .056)" in verdict.headline
    assert "(+.030 [.010, .050], adjusted p .056)" in _guards(verdict.models[0])
    plain = verdict_of(_one(agreement=_said(-0.01, 0.05, NONE)))
    assert "adjusted" not in plain.headline


def test_every_verdict_has_a_word_on_collapse():
    for verdict in ("more consistent", "less consistent", NONE, "same within 0.01"):
        entry = _said(0.002, 0.008, verdict)
        findings = _one(agreement=entry, chance_corrected_agreement=entry)
        assert "orrected for chance" in _guards(verdict_of(findings).models[0])


def test_one_answer_to_everything_raises_the_alarm(tmp_path: Path):
    for kept, alarm in (
        ((), "one answer to everything"),
        (("P100",), "one answer to everything in 3 of 4 relations"),
        (("P100", "P101", "P102"), ""),
    ):
        run = write_synthetic_run(
            tmp_path / str(len(kept)), models=2, analyses=["facts"], contexts=["study"]
        )
        (part,) = run.parts("facts", "tuned-1")
        table = pq.read_table(part)
        keeps = np.isin(table["relation"].to_pylist(), kept)
        given = np.where(keeps, table["prediction_index"].to_numpy(), 3)
        at = table.column_names.index("prediction_index")
        given = pa.array(given, pa.int32())
        pq.write_table(table.set_column(at, "prediction_index", given), part)
        settings = Settings(200, 200, level=0.95, seed=0)
        found = verdict_of(Findings(summarise(run, settings)))
        assert found.models[0].direction == "more"
        assert alarm in found.models[0].alarm
        assert found.headline.endswith(f"; but: {alarm}.") or not alarm
        dropped = f"corrected over {len(kept)} of 4 relations"
        assert (dropped in _guards(found.models[0])) == bool(kept)


def _guards(verdict: ModelVerdict) -> str:
    return " ".join(verdict.guards)
