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
TOP = "facts.top_answer_share"
NO_DIFFERENCE = "no difference seen"
SAME = "same within"
"""How the summary's verdicts of no claim, and of equivalence, begin."""
NEARLY_ONE = 0.95
"""Share of the most common answer from which a model answers nearly one thing."""
FEW_UNREAD = 0.05
"""A difference this large in the share of unread answers may make that in agreement."""
_NO_FACTS = (
    "This run has predictions of no facts, so there is no verdict on rewording them: "
    "what was measured stands below."
)
Direction = Literal["more", "less", "same", "none", "unmeasured"]


@dataclass(frozen=True)
class ModelVerdict:
    """What is said about one tuned model."""

    model: str
    direction: Direction
    sentence: str
    guards: tuple[str, ...]
    """What accuracy, correction for chance and the same-prompt control say."""
    alarm: str = ""
    """Why a difference may not be consistency; empty if nothing speaks against it."""
    arrow: str = "–"
    """The difference's sign, as `arrow_of` gives it."""


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees."""

    headline: str
    basis: str
    models: tuple[ModelVerdict, ...]


def verdict_of(findings: Findings) -> Verdict:
    """The verdict of a run, from the differences in agreement."""
    if not findings.measure(AGREEMENT):
        return Verdict(_NO_FACTS, "", ())
    models = tuple(_model_verdict(findings, model) for model in findings.tuned)
    return Verdict(_headline(findings, models), _basis(findings), models)


def direction_of(entry: Mapping[str, Any]) -> Direction:
    """Which way a difference points, by the summary's verdict.

    ``none`` if no difference may be claimed: the interval includes 0, or the p-value,
    adjusted for all models tested, is too large. ``same`` if it is shown to lie within
    the study's margin.
    """
    low, high = entry.get("low"), entry.get("high")
    if not (is_number(entry.get("value")) and is_number(low) and is_number(high)):
        return "unmeasured"
    verdict = str(entry.get("verdict") or "")
    if verdict.startswith(SAME):
        return "same"
    if verdict == NO_DIFFERENCE:
        return "none"
    return "more" if low > 0 else "less" if high < 0 else "none"


def arrow_of(entry: Mapping[str, Any]) -> str:
    """A difference as one sign.

    ▲ ▼ what may be claimed; △ ▽ the interval leaves out 0, but the adjusted p does not
    agree; ≈ the interval includes 0; = shown to lie within the margin; – no interval.
    """
    direction = direction_of(entry)
    if direction == "none":
        return "△" if entry["low"] > 0 else "▽" if entry["high"] < 0 else "≈"
    return {"more": "▲", "less": "▼", "same": "=", "unmeasured": "–"}[direction]


def _headline(findings: Findings, models: tuple[ModelVerdict, ...]) -> str:
    measured = [m for m in models if m.direction != "unmeasured"]
    if not measured:
        return (
            "This run has no verdict: no tuned model's agreement could be compared "
            "with the base's."
        )
    if len(models) == 1:
        return _single_headline(findings, models[0])
    names: dict[Direction, list[str]] = {
        direction: [m.model for m in measured if m.direction == direction]
        for direction in ("more", "less", "same", "none")
    }
    gained, total = names["more"], len(models)
    verb = "gives" if len(gained) == 1 else "give"
    whose = _base_name(findings, "its" if len(gained) == 1 else "their")
    first = (
        f"{len(gained)} of {total} tuned models {verb} the same answer to a reworded "
        f"question more often than {whose}{_largest(findings, gained)}"
    )
    kinds: tuple[tuple[Direction, str], ...] = (
        ("less", "less often"),
        ("same", f"as often, within {_margin(findings)}"),
        ("none", "with no difference seen"),
    )
    rest = [
        f"{len(names[kind])} {told} ({listing(names[kind])})"
        for kind, told in kinds
        if names[kind]
    ]
    left_out = [m.model for m in models if m.direction == "unmeasured"]
    if left_out:
        rest.append(f"{len(left_out)} not compared ({listing(left_out)})")
    return "; ".join([first, *rest]) + "." + _doubts(models)


def _doubts(models: tuple[ModelVerdict, ...]) -> str:
    doubted = [one for one in models if one.alarm]
    if not doubted:
        return ""
    named = listing([f"{one.model} ({one.alarm})" for one in doubted])
    return f" Doubtful among these: {named}."


def _margin(findings: Findings) -> str:
    """The study's margin of equivalence; empty without one, when none is claimed."""
    margin = findings.content.get("margin")
    return f"{margin:g}" if is_number(margin) else ""


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
    base = _base_name(findings, "its")
    if only.direction == "same":
        return (
            f"{only.model} and {base} give the same answer to a reworded question "
            f"equally often, within {_margin(findings)} ({_told(entry, 2)})."
        )
    if only.direction == "none":
        return (
            f"No difference is shown in how often {only.model} and {base} give the "
            f"same answer to a reworded question ({_told(entry, 2)})."
        )
    return (
        f"{only.model} gives the same answer to a reworded question {only.direction} "
        f"often than {base} ({change(entry, 2)})"
        + (f"; but: {only.alarm}." if only.alarm else ".")
    )


def _told(entry: Mapping[str, Any], digits: int | None = None) -> str:
    """A difference and its interval; and p where the interval alone would mislead.

    An interval takes no account of how many models were tested, so that it can leave 0
    out though no difference may be claimed.
    """
    p = _unclaimed_p(entry)
    return f"{change(entry, digits)}, {p}" if p else change(entry, digits)


def claim_of(entry: Mapping[str, Any]) -> str:
    """The summary's verdict on a difference; empty without one.

    With p where the interval leaves out 0 and no difference may be claimed.
    """
    verdict, p = entry.get("verdict") or "", _unclaimed_p(entry)
    return f"{verdict} ({p})" if p else verdict


def _unclaimed_p(entry: Mapping[str, Any]) -> str:
    low, high = entry.get("low"), entry.get("high")
    leaves_zero_out = is_number(low) and is_number(high) and (low > 0 or high < 0)
    if direction_of(entry) != "none" or not leaves_zero_out:
        return ""
    return f"adjusted p {probability(entry.get('p_adjusted'))}"


def _basis(findings: Findings) -> str:
    sizes = next(
        (
            entry["n"]
            for entry in findings.measure(AGREEMENT).get("differences", [])
            if is_number(entry.get("value")) and entry.get("n")
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
    }.get(direction, NO_DIFFERENCE)
    sentence = (
        f"{words}: agreement {number(after)} against {number(before)}, "
        f"{change(entry)}, adjusted p {probability(entry.get('p_adjusted'))}"
    )
    guards = (
        _answer_guard(findings, model),
        _accuracy_guard(findings, model, direction),
        _collapse_guard(findings, model, direction),
        _prompt_guard(findings, model, direction),
    )
    return ModelVerdict(
        model,
        direction,
        sentence,
        tuple(guard for guard in guards if guard),
        _alarm(findings, model, direction),
        arrow_of(entry),
    )


def _alarm(findings: Findings, model: str, direction: Direction) -> str:
    """The gravest objection to a difference, in a few words.

    An objection needs evidence of its own: that a gain is not seen when corrected for
    chance, or under the same prompts, does not show that it is gone.
    """
    of_base, of_model = _unread(findings, findings.base), _unread(findings, model)
    if direction == "less" and of_model - of_base > FEW_UNREAD:
        return "fewer of its answers could be read"
    if direction != "more":
        return ""
    if of_base - of_model > FEW_UNREAD:
        return "fewer of the base's answers could be read"
    return (
        _collapse_alarm(findings, model)
        or ("accuracy fell" if _accuracy(findings, model) == "less" else "")
        or ("not under the same prompts" if _is_of_prompt(findings, model) else "")
    )


def _unread(findings: Findings, model: str) -> float:
    """Share of a model's prompts whose answer could not be read."""
    return float((findings.content.get("no_answer") or {}).get(model) or 0.0)


def _answer_guard(findings: Findings, model: str) -> str:
    """What answers that could not be read do to agreement; empty where all could."""
    of_base, of_model = _unread(findings, findings.base), _unread(findings, model)
    if not max(of_base, of_model):
        return ""
    return (
        f"{number(of_model)} of its answers could not be read, {number(of_base)} of "
        "the base's: such an answer agrees with no other."
    )


def _accuracy(findings: Findings, model: str) -> Direction:
    return direction_of(findings.difference("facts.accuracy", model))


def _collapse_alarm(findings: Findings, model: str) -> str:
    """Whether a gain comes from one answer, or few, given to everything."""
    asked, collapsed = _collapsed_relations(findings, model)
    if 0 < asked <= 2 * collapsed:
        where = "" if collapsed == asked else f" in {collapsed} of {asked} relations"
        return f"one answer to everything{where}"
    corrected = direction_of(findings.difference(CORRECTED, model))
    if corrected == "more":
        return ""
    share = findings.value(TOP, model).get("value")
    rose = direction_of(findings.difference(TOP, model)) == "more"
    if rose and is_number(share) and share >= NEARLY_ONE:
        return "nearly one answer to everything"
    if corrected in ("less", "same") or _is_of_chance(findings, model):
        return "looks like a favourite answer"
    return ""


def _collapsed_relations(findings: Findings, model: str) -> tuple[int, int]:
    """Relations with agreement, and those of them in which only tuning left one answer.

    In these agreement by chance is 1 and cannot be corrected.
    """
    asked = _relations(findings, AGREEMENT, model)
    corrected = [_relations(findings, CORRECTED, one) for one in (model, findings.base)]
    return len(asked), len((asked & corrected[1]) - corrected[0])


def _relations(findings: Findings, key: str, model: str) -> set[str]:
    """Relations in which a measure has a value."""
    return {
        row["relation"]
        for row in findings.content.get("by_relation", [])
        if (row["key"], row["model"]) == (key, model) and is_number(row["value"])
    }


def _is_of_chance(findings: Findings, model: str) -> bool:
    """Whether the correction is shown to take some of the gain away."""
    lost = (findings.content.get("gains_by_chance") or {}).get(model) or {}
    low = lost.get("low")
    return is_number(low) and low > 0


def _is_of_prompt(findings: Findings, model: str) -> bool:
    """Whether the gain is shown to be, at least in part, that of other prompts."""
    same = direction_of(findings.difference(f"{AGREEMENT}@same", model))
    part = direction_of(findings.difference(f"{AGREEMENT}@prompt", model))
    return same in ("less", "same") or (same == "none" and part == "more")


def _accuracy_guard(findings: Findings, model: str, direction: Direction) -> str:
    entry = findings.difference("facts.accuracy", model)
    found = {
        "more": "Its accuracy rose" + (" as well" if direction == "more" else ""),
        "less": "Its accuracy fell",
        "same": "Its accuracy is the base's within the margin",
        "none": "No difference in accuracy was seen",
    }.get(direction_of(entry))
    if found is None:
        return "Accuracy was not compared, so this may be knowledge or collapse."
    found = f"{found} ({_told(entry)})"
    if direction == "more" and direction_of(entry) == "more":
        both = findings.difference("facts.known_both", model)
        known = (
            f"; on facts both know, agreement differs by {_told(both)}"
            if direction_of(both) != "unmeasured"
            else ""
        )
        return f"{found}: part of the gain may be knowledge, not consistency{known}."
    if direction == "more" and direction_of(entry) == "less":
        return f"{found}: it agrees more while it knows less."
    return f"{found}."


def _collapse_guard(findings: Findings, model: str, direction: Direction) -> str:
    """What the correction for chance leaves, and over how much of the facts."""
    entry = findings.difference(CORRECTED, model)
    corrected = direction_of(entry)
    if corrected == "unmeasured":
        reason = entry.get("reason") or "no interval"
        return (
            f"Chance-corrected agreement was not compared ({reason}): collapse is not "
            "ruled out."
        )
    reason = entry.get("reason")
    told = f"{_told(entry)}; {reason}" if reason else _told(entry)
    top = findings.difference(TOP, model)
    share = (
        f" Its most common answer takes a larger share ({change(top)})."
        if direction_of(top) == "more"
        else ""
    )
    if direction != "more":
        found = {
            "more": "it agrees more than the base",
            "less": "it agrees less than the base",
            "same": "it agrees as much as the base within the margin",
            "none": "no difference is seen",
        }[corrected]
        return f"Corrected for chance {found} ({told}).{share}"
    if corrected == "more":
        return f"The gain holds when corrected for chance ({told}).{share}"
    if corrected in ("less", "same") or _is_of_chance(findings, model):
        return (
            f"Corrected for chance no gain is left ({told}): this looks like "
            f"favouring some answers, not like consistency.{share}"
        )
    return f"Corrected for chance the gain is not certain ({told}).{share}"


def _prompt_guard(findings: Findings, model: str, direction: Direction) -> str:
    entry = findings.difference(f"{AGREEMENT}@same", model)
    if direction_of(entry) == "unmeasured":
        cause = ": the prompt may be the cause" if direction in ("more", "less") else ""
        return f"The same-prompt control was not measured{cause}."
    found = {
        "more": "it agrees more than the base",
        "less": "it agrees less than the base",
        "same": "it agrees as much as the base within the margin",
        "none": "no difference from the base is seen",
    }[direction_of(entry)]
    return f"Under the base's own prompts {found} ({_told(entry)})."
