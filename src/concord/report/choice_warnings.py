"""What has to be known before choices are read as consistency, in few sentences.

The summary warns of every model in every set of contexts; the page says each thing
once and names the models.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.report.findings import Findings
from concord.summary.letters import MUCH

_NAMED = 4


def position_warnings(findings: Findings) -> list[str]:
    """For each data set sentences on position bias, and one on missing answers."""
    rows = (findings.content.get("choices") or {}).get("letters") or []
    found = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == dataset]
        found += _biased(dataset, own) + _mute(dataset, own)
    return found


def _biased(dataset: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    following = [row for row in rows if row["follows_letters"]]
    favouring = [row for row in rows if row["favoured"] and row not in following]
    found = []
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
            f"{row['chosen'][row['favoured'][0]]:.0%} of prompts where it is right in "
            f"{row['right'][row['favoured'][0]]:.0%}"
            for row in favouring
        ]
        found.append(
            f"Position bias on {dataset}: {_listed(told)}, more than by chance."
        )
    return found


def _mute(dataset: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    # None: an endpoint that keeps the likeliest token.
    mute = [row for row in rows if (row["no_answer"] or 0.0) > MUCH]
    if not mute:
        return []
    told = [f"{_who(row)} in {row['no_answer']:.0%}" for row in mute]
    return [
        f"No answer on {dataset}: the most likely next token is none of the letters "
        f"for {_listed(told)} of prompts. These choices are ones that the models would "
        "not make freely; no two of them agree but in the agreement of forced choices."
    ]


def _who(row: Mapping[str, Any]) -> str:
    is_own = row["contexts"] == "study"
    return f"{row['model']}{'' if is_own else ' (' + row['contexts'] + ' prompts)'}"


def _listed(told: Sequence[str]) -> str:
    shown = "; ".join(told[:_NAMED])
    more = len(told) - _NAMED
    return shown if more <= 0 else f"{shown}; and {more} more, in the table below"
