"""The finding in sentences: who became more consistent, by how much, and is it real.

Built from the summary's differences alone. The first sentence counts; one sentence for
each tuned model gives number, interval and n; a guard says whether a gain may be
collapse on a favourite answer, a gain in knowledge, or an effect of the prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from concord.report.findings import Findings, is_number
from concord.report.formats import change, counts, listing, number, percent, probability

AGREEMENT = "facts.agreement"
CORRECTED = "facts.chance_corrected_agreement"
Direction = Literal["more", "less", "none", "unmeasured"]


@dataclass(frozen=True)
class ModelVerdict:
    """What is said about one tuned model."""

    model: str
    direction: Direction
    sentence: str
    guards: tuple[str, ...]
    """What accuracy, correction for chance and the same-prompt control say."""
    alarm: str = ""
    """Why a gain may not be consistency; empty if nothing speaks against it."""


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees."""

    headline: str
    basis: str
    models: tuple[ModelVerdict, ...]


def verdict_of(findings: Findings) -> Verdict:
    """The verdict of a run, from the differences in agreement."""
    models = tuple(_model_verdict(findings, model) for model in findings.tuned)
    return Verdict(_headline(findings, models), _basis(findings), models)


def direction_of(entry: Mapping[str, Any]) -> Direction:
    """Which way a difference points: ``none`` if its interval includes 0.

    Or if the summary, which counts all models tested, allows no difference to be seen.
    """
    if not is_number(entry.get("value")):
        return "unmeasured"
    low, high = entry.get("low"), entry.get("high")
    if not (is_number(low) and is_number(high)):
        return "unmeasured"
    if entry.get("verdict") == "no difference seen":
        return "none"
    return "more" if low > 0 else "less" if high < 0 else "none"


def _headline(findings: Findings, models: tuple[ModelVerdict, ...]) -> str:
    measured = [m for m in models if m.direction != "unmeasured"]
    if not measured:
        return (
            "This run has no verdict: no tuned model's agreement could be compared "
            "with the base's."
        )
    if len(models) == 1:
        return _single_headline(findings, models[0])
    gained = [m.model for m in measured if m.direction == "more"]
    lost = [m.model for m in measured if m.direction == "less"]
    same = [m.model for m in measured if m.direction == "none"]
    total = len(measured)
    verb = "gives" if len(gained) == 1 else "give"
    whose = _base_name(findings, "its" if len(gained) == 1 else "their")
    first = (
        f"{len(gained)} of {total} tuned models {verb} the same answer to a reworded "
        f"question more often than {whose}{_largest(findings, gained)}"
    )
    rest = [
        f"{len(lost)} less often ({listing(lost)})" if lost else "",
        f"{len(same)} with no difference seen ({listing(same)})" if same else "",
    ]
    sentence = "; ".join([first, *(part for part in rest if part)]) + "."
    return sentence + _doubts(models)


def _doubts(models: tuple[ModelVerdict, ...]) -> str:
    doubted = [one for one in models if one.alarm]
    if not doubted:
        return ""
    named = listing([f"{one.model} ({one.alarm})" for one in doubted])
    return f" Doubtful among these: {named}."


def _base_name(findings: Findings, whose: str) -> str:
    name = "" if findings.base == "base" else f" {findings.base}"
    return f"{whose} base{name}"


def _largest(findings: Findings, gained: list[str]) -> str:
    """The largest gain, in brackets; nothing when there is none."""
    if not gained:
        return ""
    entries = {model: findings.difference(AGREEMENT, model) for model in gained}
    best = max(gained, key=lambda model: entries[model]["value"])
    most = "most: " if len(gained) > 1 else ""
    return f" ({most}{best}, {change(entries[best], 2)})"


def _single_headline(findings: Findings, only: ModelVerdict) -> str:
    entry = findings.difference(AGREEMENT, only.model)
    if only.direction == "none":
        return (
            f"{only.model} and {_base_name(findings, 'its')} give the same answer to a "
            f"reworded question about equally often: no difference seen "
            f"({change(entry, 2)})."
        )
    return (
        f"{only.model} gives the same answer to a reworded question {only.direction} "
        f"often than {_base_name(findings, 'its')} ({change(entry, 2)})"
        + (f"; but: {only.alarm}." if only.alarm else ".")
    )


def _basis(findings: Findings) -> str:
    sizes = next(
        (
            entry["n"]
            for entry in findings.measure(AGREEMENT).get("differences", [])
            if entry.get("n")
        ),
        None,
    )
    basis = f"{percent(findings.level)} intervals over subjects"
    return f"{basis}; {counts(sizes)}." if sizes else f"{basis}."


def _model_verdict(findings: Findings, model: str) -> ModelVerdict:
    entry = findings.difference(AGREEMENT, model)
    direction = direction_of(entry)
    if direction == "unmeasured":
        reason = entry.get("reason") or "no interval"
        return ModelVerdict(model, direction, f"not compared: {reason}", ())
    before = findings.value(AGREEMENT, findings.base).get("value")
    after = findings.value(AGREEMENT, model).get("value")
    words = entry.get("verdict") or {
        "more": "more consistent",
        "less": "less consistent",
        "none": "no difference seen",
    }.get(direction, "")
    sentence = (
        f"{words}: agreement {number(after)} against {number(before)}, "
        f"{change(entry)}, adjusted p {probability(entry.get('p_adjusted'))}"
    )
    guards = (
        _accuracy_guard(findings, model, direction),
        _collapse_guard(findings, model, direction),
        _prompt_guard(findings, model),
    )
    return ModelVerdict(
        model,
        direction,
        sentence,
        tuple(guard for guard in guards if guard),
        _alarm(findings, model, direction),
    )


def _alarm(findings: Findings, model: str, direction: Direction) -> str:
    """The gravest objection to a gain, in a few words."""
    if direction != "more":
        return ""
    if direction_of(findings.difference(CORRECTED, model)) in ("none", "less"):
        return "looks like a favourite answer"
    if direction_of(findings.difference("facts.accuracy", model)) == "less":
        return "accuracy fell"
    if direction_of(findings.difference(f"{AGREEMENT}@same", model)) in (
        "none",
        "less",
    ):
        return "not under the same prompts"
    return ""


def _accuracy_guard(findings: Findings, model: str, direction: Direction) -> str:
    entry = findings.difference("facts.accuracy", model)
    found = {
        "more": "Its accuracy rose as well",
        "less": "Its accuracy fell",
        "none": "No difference in accuracy was seen",
    }.get(direction_of(entry))
    if found is None:
        return "Accuracy was not compared, so this may be knowledge or collapse."
    found = f"{found} ({change(entry)})"
    if direction == "more" and direction_of(entry) == "more":
        both = findings.difference("facts.known_both", model)
        known = (
            f"; on facts both know, agreement differs by {change(both)}"
            if direction_of(both) != "unmeasured"
            else ""
        )
        return f"{found}: part of the gain may be knowledge, not consistency{known}."
    if direction == "more" and direction_of(entry) == "less":
        return f"{found}: it agrees more while it knows less."
    return f"{found}."


def _collapse_guard(findings: Findings, model: str, direction: Direction) -> str:
    if direction != "more":
        return ""
    corrected = findings.difference(CORRECTED, model)
    top = findings.difference("facts.top_answer_share", model)
    if direction_of(corrected) == "unmeasured":
        return "Chance-corrected agreement was not compared: collapse is not ruled out."
    if direction_of(corrected) == "more":
        return f"The gain holds when corrected for chance ({change(corrected)})."
    collapse = (
        f", and its most common answer takes a larger share ({change(top)})"
        if direction_of(top) == "more"
        else ""
    )
    return (
        f"Corrected for chance no gain is left ({change(corrected)}){collapse}: this "
        "looks like favouring some answers, not like consistency."
    )


def _prompt_guard(findings: Findings, model: str) -> str:
    entry = findings.difference(f"{AGREEMENT}@same", model)
    if direction_of(entry) == "unmeasured":
        return "The same-prompt control was not measured: the prompt may be the cause."
    found = {
        "more": "it also agrees more than the base",
        "less": "it agrees less than the base",
        "none": "no difference from the base is seen",
    }[direction_of(entry)]
    return f"Under the base's own prompts {found} ({change(entry)})."
