"""Conditions that a tuned model must meet before release, judged by intervals.

A condition is met, broken or undecided. It is *broken* when the whole interval lies on
the wrong side of the bound, *met* when the whole interval lies on the right side (for a
drop this is non-inferiority), and *undecided* when the bound lies inside. A gate fails
on what is broken; a strict gate fails on what is undecided as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from concord.errors import ResultsError, StudyError, did_you_mean
from concord.metrics.significance import is_not_worse, is_worse
from concord.report.findings import Findings, is_number
from concord.report.formats import NOTHING, number, signed
from concord.study import OTHER_MEASURES

Kind = Literal["max-drop", "min"]
Outcome = Literal["met", "broken", "undecided", "missing"]

_EXPLAINED: dict[tuple[Kind, Outcome], str] = {
    ("max-drop", "met"): "a larger drop is ruled out",
    ("max-drop", "broken"): "a larger drop is shown",
    ("max-drop", "undecided"): "a larger drop is neither shown nor ruled out",
    ("min", "met"): "a lower value is ruled out",
    ("min", "broken"): "a lower value is shown",
    ("min", "undecided"): "a lower value is neither shown nor ruled out",
}


@dataclass(frozen=True)
class Condition:
    """What is asked of one measure."""

    kind: Kind
    key: str
    bound: float
    """In the measure's unit: the drop that is tolerated, or the lowest value."""

    @property
    def text(self) -> str:
        """The condition as it is given on the command line."""
        return f"--{self.kind} {self.key}={self.bound:g}"


@dataclass(frozen=True)
class Check:
    """One condition judged for one tuned model."""

    condition: Condition
    model: str
    outcome: Outcome
    passes: bool
    number: str
    """The difference, or the value, with its interval."""
    explanation: str


def parse_condition(kind: Kind, text: str) -> Condition:
    """``facts.agreement=0.01`` as a condition.

    Raises:
        StudyError: There is no ``=``, or no number after it, or a drop below 0.
    """
    key, equals, bound = text.partition("=")
    try:
        value = float(bound)
    except ValueError:
        value = float("nan")
    if not (key.strip() and equals and isfinite(value)):
        raise StudyError(
            f"--{kind} {text!r}: needed KEY=NUMBER, for instance facts.agreement=0.01"
        )
    if kind == "max-drop" and value < 0:
        raise StudyError(
            f"--{kind} {text!r}: found a drop below 0; give the largest drop that is "
            "tolerated, 0 or more"
        )
    return Condition(kind, key.strip(), value)


def judge(
    findings: Findings,
    conditions: Sequence[Condition],
    *,
    models: Sequence[str] = (),
    strict: bool = False,
    allow_missing: bool = False,
) -> list[Check]:
    """Every condition for every tuned model.

    A drop is a change for the worse: a fall where higher is better, a rise where lower
    is better. Intervals are the run's own (two-sided, 95 % unless
    the study says otherwise), so that each direction is tested at half of the rest.

    Args:
        findings: The run's numbers.
        conditions: What is asked.
        models: Labels of tuned models; all when empty.
        strict: Whether an undecided condition fails.
        allow_missing: Whether a condition without a number is passed over.

    Raises:
        StudyError: No condition is given, a label or key is unknown, or a bound lies
            outside the measure's range.
        ResultsError: The run has no number for a condition, or for none of them.

    Source:
        Non-inferiority: the one of two one-sided tests that looks downwards
        (Schuirmann 1987).
    """
    if not conditions:
        raise StudyError("gate: found no condition; needed --max-drop or --min")
    for model in models:
        if model not in findings.tuned:
            near = did_you_mean(model, findings.tuned)
            raise StudyError(f"--model {model!r}: no tuned model of this run; {near}")
    for condition in conditions:
        _require_key(findings, condition)
        _require_direction(findings, condition)
        _require_range(findings, condition)
    checks = [
        _check(findings, condition, model, strict)
        for condition in conditions
        for model in models or findings.tuned
    ]
    missing = [check for check in checks if check.outcome == "missing"]
    if missing and not allow_missing:
        first = missing[0]
        raise ResultsError(
            f"{first.condition.text}: found no number for {first.model} "
            f"({first.explanation}); needed one to judge; measure it, or pass it over "
            "with --allow-missing"
        )
    if len(missing) == len(checks):
        raise ResultsError(
            f"gate: nothing judged, found no number for any of {len(checks)} checks "
            f"({missing[0].explanation}); needed one at least; measure what the "
            "conditions ask, or give others"
        )
    return checks


def _require_key(findings: Findings, condition: Condition) -> None:
    key = condition.key
    if key in findings.keys():
        return
    name = key.partition("@")[0].rpartition(".")[2].removesuffix("_deviation")
    if name in OTHER_MEASURES:
        advice = f"name it under measures: in the study (measures: [{name}])"
    else:
        near = did_you_mean(key, findings.keys())
        advice = f"{near} summary.json has all, docs/measures.md says what they are"
    raise StudyError(f"{condition.text}: no such measure in this run; {advice}")


def _require_range(findings: Findings, condition: Condition) -> None:
    """A bound that no value can reach, or none can miss, is a slip of the pen."""
    measure, bound = findings.measure(condition.key), condition.bound
    lowest, highest = measure.get("lowest"), measure.get("highest")
    low, high = _end(lowest, "no lower end"), _end(highest, "no upper end")
    place = f"{condition.key} lies in {low} to {high}"
    if condition.kind == "max-drop":
        widest = None if lowest is None or highest is None else highest - lowest
        lowest, highest = 0.0, widest
        place += f", so that no drop is larger than {_end(highest, '')}"
    if _is_within(bound, lowest, highest):
        return
    share = bound / 100
    is_percent = measure.get("unit") == "share" and _is_within(share, lowest, highest)
    advice = f"did you mean {share:g}?" if is_percent else "give a bound in that range"
    raise StudyError(f"{condition.text}: found {bound:g}; {place}; {advice}")


def _is_within(value: float, lowest: float | None, highest: float | None) -> bool:
    return (lowest is None or value >= lowest) and (highest is None or value <= highest)


def _end(value: float | None, nothing: str) -> str:
    return nothing if value is None else f"{value:g}"


def _require_direction(findings: Findings, condition: Condition) -> None:
    """A drop is a change for the worse, so one direction must be the better."""
    better = findings.measure(condition.key).get("better")
    if condition.kind == "max-drop" and better is None:
        raise StudyError(
            f"{condition.text}: found a measure of which neither more nor less is "
            "better; needed a direction to call a change a drop; give --min, or a "
            "measure with a direction"
        )


def passes(checks: Sequence[Check]) -> bool:
    """Whether the gate is open."""
    return all(check.passes for check in checks)


def _check(findings: Findings, condition: Condition, model: str, strict: bool) -> Check:
    is_drop = condition.kind == "max-drop"
    look_up = findings.difference if is_drop else findings.value
    entry = look_up(condition.key, model)
    low, high = entry.get("low"), entry.get("high")
    if not (is_number(entry.get("value")) and is_number(low) and is_number(high)):
        reason = str(entry.get("reason") or "no interval")
        return Check(condition, model, "missing", True, NOTHING, reason)
    if is_drop:
        lower = findings.measure(condition.key).get("better") == "lower"
        better: Literal["higher", "lower"] = "lower" if lower else "higher"
        ends = (low, high, condition.bound, better)
        outcome = _outcome(is_worse(*ends), is_not_worse(*ends))
    else:
        outcome = _outcome(high < condition.bound, low >= condition.bound)
    return Check(
        condition,
        model,
        outcome,
        outcome == "met" or (outcome == "undecided" and not strict),
        _with_interval(entry, is_drop),
        _EXPLAINED[condition.kind, outcome],
    )


def _outcome(is_broken: bool, is_met: bool) -> Outcome:
    return "broken" if is_broken else "met" if is_met else "undecided"


def _with_interval(entry: Mapping[str, Any], is_drop: bool) -> str:
    """With four digits, so that bounds such as 0.005 can be read against it."""
    show = signed if is_drop else number
    value, low, high = (show(entry[part], 4) for part in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
