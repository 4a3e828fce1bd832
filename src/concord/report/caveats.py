"""What this very run cannot tell: notes drawn from its own numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.report.choice_warnings import position_warnings
from concord.report.findings import Findings, is_number
from concord.report.finetuned import MEAN
from concord.report.formats import counts, listing, number
from concord.report.prompts import PromptPair

FEW_SUBJECTS = 200
"""Below this an interval of agreement is some 5 points wide on each side."""

EMBEDDED = (
    "The models of this run come with concord: 1.4 million parameters each, trained on "
    "a world made up for the purpose. What each was told is known, so they show what "
    "the measures find and what they miss; their numbers say nothing about language "
    "models at large."
)


def caveats(
    findings: Findings, info: Mapping[str, Any], pairs: Sequence[PromptPair]
) -> list[str]:
    """Sentences about this run, the gravest first."""
    return [
        *([EMBEDDED] if info.get("embedded") else []),
        *same_weights(findings, info),
        *_served(info),
        *_small(findings),
        *_prompts(findings, pairs),
        *_noise(findings),
        *_power(findings),
        *_missing(findings),
        *position_warnings(findings),
        *map(_sentence, findings.content.get("notes", [])),
    ]


def same_weights(findings: Findings, info: Mapping[str, Any]) -> list[str]:
    """Tuned models that are the base, weight by weight, as a wrong path makes them."""
    prints = {
        label: own.get("fingerprint") for label, own in info.get("models", {}).items()
    }
    base = prints.get(findings.base)
    same = [model for model in findings.tuned if base and prints.get(model) == base]
    if not same:
        return []
    are, their = ("is", "its") if len(same) == 1 else ("are", "their")
    return [
        f"{listing(same)} {are} {findings.base} itself, weight by weight: all {their} "
        "differences are those of prompts and tokenizer. Was another model meant?"
    ]


def _sentence(note: Any) -> str:
    return f"{str(note).removesuffix('.')}."


def _served(info: Mapping[str, Any]) -> list[str]:
    """What models behind an address do not tell."""
    notes: list[str] = []
    models = info.get("models", {})
    served = {label: own for label, own in models.items() if own.get("endpoint")}
    for label, own in served.items():
        endpoint, told = own["endpoint"], own.get("endpoint_notes") or {}
        sentences = " ".join(told.get("cannot") or ())
        notes.append(
            f"{label} was asked over the network ({endpoint['url']}, "
            f"{endpoint['model']}, {endpoint['api']}), which returns "
            f"{told.get('means') or endpoint['returns']}. {sentences}"
        )
    ways = {own["endpoint"]["api"] for own in served.values()}
    if served and (len(served) < len(models) or len(ways) > 1):
        notes.append(
            "Base and tuned models were not all asked in one way (here, by completions "
            "or in a chat), so that their differences include that of the way."
        )
    return notes


def _small(findings: Findings) -> list[str]:
    entries = findings.measure("facts.agreement").get("values", [])
    measured = [entry for entry in entries if is_number(entry.get("value"))]
    sizes = [(e.get("n") or {}).get("subjects") for e in measured]
    known = [float(size) for size in sizes if is_number(size)]
    if not known or min(known) >= FEW_SUBJECTS:
        return []
    return [
        f"Only {counts({'subjects': min(known)})}: differences in agreement of a few "
        "points cannot be seen at this size."
    ]


def _prompts(findings: Findings, pairs: Sequence[PromptPair]) -> list[str]:
    notes = []
    study = [pair for pair in pairs if pair.contexts == "study"]
    other = [pair for pair in study if pair.same_ids is False]
    if other:
        notes.append(
            f"In {len(other)} of {len(study)} audited prompts of the study's contexts, "
            "base and tuned model get different token ids, so their difference "
            "includes that of the prompts."
        )
    controls = [key for key in findings.keys() if key.endswith("@same")]
    if not any(findings.has_differences(key) for key in controls):
        notes.append(
            "The same-prompt control was not measured: what the prompt does and what "
            "the weights do cannot be told apart."
        )
    return notes


def _noise(findings: Findings) -> list[str]:
    """How far predictions move when nothing but the batch changes."""
    measured = {
        model: noise
        for model, noise in (findings.content.get("noise") or {}).items()
        if is_number(noise.get("self_agreement")) and is_number(noise.get("delta"))
    }
    if not measured and findings.has_values("facts.agreement"):
        return ["No noise floor was measured: how many flips are near ties is unknown."]
    if not measured:
        return []
    delta = max(noise["delta"] for noise in measured.values())
    ties = [n["near_ties"] for n in measured.values() if is_number(n.get("near_ties"))]
    near = ""
    if ties and max(ties) > 0:
        near = (
            f" At most {number(max(ties))} of a model's predictions have a margin "
            "below twice what its own scores move."
        )
    elif ties:
        near = " No prediction has a margin below twice that."
    return [
        f"Scored again in another batch, {_kept(measured)} and scores move by up to "
        f"{delta:.2g} nats.{near}"
    ]


def _kept(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """How many predictions stay, and whose fewest."""
    shares = {model: noise["self_agreement"] for model, noise in measured.items()}
    worst = min(shares, key=lambda model: shares[model])
    if shares[worst] == 1:
        least = min(noise.get("n") or 0 for noise in measured.values())
        return (
            "all predictions of every model stay (of "
            f"{counts({'prompts': least})} at least)"
        )
    of = counts({"prompts": measured[worst].get("n")})
    if len(shares) == 1:
        return f"{number(shares[worst])} of {worst}'s predictions stay (of {of})"
    return (
        f"{number(shares[worst])} or more of each model's predictions stay (fewest: "
        f"{worst}, of {of})"
    )


def _power(findings: Findings) -> list[str]:
    """The smallest difference each comparison could be expected to see."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in findings.content.get("power", []):
        if is_number(entry.get("smallest_difference")):
            found.setdefault(entry["key"], []).append(entry)
    if not found:
        return []
    together: dict[int, list[str]] = {}
    for key, entries in found.items():
        tests = max(entry.get("tests") or 1 for entry in entries)
        span = _span([entry["smallest_difference"] for entry in entries])
        together.setdefault(tests, []).append(f"{_title(findings, key)}, {span}")
    told = [f"{'; '.join(spans)}{_tested(tests)}" for tests, spans in together.items()]
    return [
        "A true difference below these may be missed more than one time in five at "
        f"this size, from model to model: {'; '.join(told)}."
    ]


def _tested(tests: int) -> str:
    """What the smallest differences are adjusted for."""
    return f" (with {tests} tuned models tested at once)" if tests > 1 else ""


def _title(findings: Findings, key: str) -> str:
    """A measure's title and its data set, to stand within a sentence."""
    measure = findings.measure(key)
    title = str(measure.get("title") or key)
    first = title.partition(" ")[0]
    text = title[:1].lower() + title[1:] if first[1:].islower() else title
    if "," in text:
        text = f"“{text}”"
    dataset = measure.get("dataset")
    return f"{text} on {dataset}" if dataset and dataset != MEAN else text


def _span(values: list[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _missing(findings: Findings) -> list[str]:
    """Reasons for every dash, with what they concern."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for measure in findings.measures:
        for entry in measure.get("values", []):
            if not is_number(entry.get("value")):
                reason = entry.get("reason") or "no reason given"
                own = reasons.setdefault(reason, {})
                own.setdefault(measure["key"], []).append(entry["model"])
    return [
        f"Not measured ({reason}): {_whose(findings, keys)}."
        for reason, keys in reasons.items()
    ]


def _whose(findings: Findings, keys: Mapping[str, list[str]]) -> str:
    """Measures with the models that lack them; those with the same models together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for key, models in keys.items():
        groups.setdefault(tuple(models), []).append(_title(findings, key))
    return "; ".join(
        f"{listing(titles)} for "
        + ("every model" if list(models) == findings.models else listing(list(models)))
        for models, titles in groups.items()
    )
