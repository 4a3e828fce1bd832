"""What has to be known before choices are read as consistency, in few sentences.

The summary warns of every model in every set of contexts; the page says each thing
once and names the models.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.report.findings import Findings
from concord.report.formats import listing
from concord.summary.letters import MUCH

_NAMED = 4
_ALWAYS = 0.995
"""Share of one letter from which it is printed as all of them."""


def position_warnings(findings: Findings) -> list[str]:
    """For each data set sentences on position bias, and one on missing answers."""
    rows = (findings.content.get("choices") or {}).get("letters") or []
    found = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset]
        found += _biased(dataset, own) + _mute(dataset, own)
    return found


def _biased(dataset: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    biased = [row for row in rows if row["follows_letters"] or row["favoured"]]
    constant = [row for row in biased if _share_of_top(row) >= _ALWAYS]
    following = [r for r in biased if r not in constant and r["follows_letters"]]
    favouring = [r for r in biased if r not in constant and not r["follows_letters"]]
    found = _constant(dataset, rows, constant)
    if following:
        told = [
            f"{_who(row)} keeps the letter in {row['letter_agreement']:.0%} of pairs "
            f"and the option in {row['content_agreement']:.0%}"
            for row in following
        ]
        found.append(
            f"Position bias on {dataset}: when options change places, "
            f"{_listed(told)}. Accuracy and a small spread of such a model say little "
            "about consistency."
        )
    if favouring:
        told = [
            f"{_who(row)} chooses {row['favoured'][0]} in "
            f"{row['answered_chosen'][row['favoured'][0]]:.0%} of its answers where it "
            f"is right in {row['answered_right'][row['favoured'][0]]:.0%}"
            for row in favouring
        ]
        found.append(
            f"Position bias on {dataset}: {_listed(told)}, more than by chance."
        )
    return found


def _constant(
    dataset: str,
    rows: Sequence[Mapping[str, Any]],
    constant: Sequence[Mapping[str, Any]],
) -> list[str]:
    """One sentence on all models that have one letter for every question."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in constant:
        letter = max(row["chosen"], key=lambda one: row["chosen"][one] or 0.0)
        groups.setdefault((row["contexts"], letter), []).append(row["model"])
    told = []
    for (contexts, letter), models in groups.items():
        asked = sum(row["contexts"] == contexts for row in rows)
        where = "" if contexts == "study" else f" under {_prompts(contexts)}"
        verb = "chooses" if len(models) == 1 else "choose"
        few = listing(models) if len(models) <= _NAMED else None
        who = few or f"{len(models)} of {asked} models"
        told.append(f"{who} always {verb} {letter}{where}")
    if not told:
        return []
    whose = "Its" if len({row["model"] for row in constant}) == 1 else "Their"
    return [
        f"Position bias on {dataset}: {'; '.join(told)}. {whose} accuracy and small "
        "spread say nothing about consistency."
    ]


def _share_of_top(row: Mapping[str, Any]) -> float:
    return max((share or 0.0 for share in row["chosen"].values()), default=0.0)


def _mute(dataset: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    # None: an endpoint that keeps the likeliest token.
    mute = [row for row in rows if (row["no_answer"] or 0.0) > MUCH]
    if not mute:
        return []
    groups: dict[str, list[str]] = {}
    for row in sorted(mute, key=lambda row: -row["no_answer"]):
        groups.setdefault(f"{row['no_answer']:.0%}", []).append(_who(row))
    told = [f"{share} of prompts to {_named(who)}" for share, who in groups.items()]
    return [
        f"No answer on {dataset}: the most likely next token is none of the letters "
        f"in {_listed(told)}. These choices are ones that the models would not make "
        "freely; no two of them agree but in the agreement of forced choices."
    ]


def _who(row: Mapping[str, Any]) -> str:
    is_own = row["contexts"] == "study"
    where = "" if is_own else f" ({_prompts(row['contexts'])})"
    return f"{row['model']}{where}"


def _prompts(contexts: str) -> str:
    return "the base's prompts" if contexts == "same" else f"{contexts} prompts"


def _named(models: Sequence[str]) -> str:
    more = len(models) - _NAMED
    return listing([*models[:_NAMED], *([f"{more} more"] if more > 0 else [])])


def _listed(told: Sequence[str]) -> str:
    shown = "; ".join(told[:_NAMED])
    more = len(told) - _NAMED
    return shown if more <= 0 else f"{shown}; and {more} more"
