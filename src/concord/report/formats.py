"""Numbers as a reader sees them: three digits, no leading zero, a dash for nothing."""

import math
from collections.abc import Iterable, Mapping
from statistics import median_low
from typing import Any

from concord.report.findings import is_number

NOTHING = "–"
"""Stands for every number that was not measured."""
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_UNSAFE |= {"\u2028": "\\u2028", "\u2029": "\\u2029"}
_MINUS = "\N{MINUS SIGN}"
_MOST_DIGITS = 8


def number(value: Any, digits: int = 3) -> str:
    """A number such as ``.812``, ``−.041`` or ``3.250``; a dash when not measured."""
    if not is_number(value):
        return NOTHING
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    is_negative = value < 0 and float(f"{value:.{digits}f}") != 0
    return (_MINUS if is_negative else "") + text


def signed(value: Any, digits: int = 3) -> str:
    """A difference with its sign: ``+.083``, ``−.012``, ``.000``."""
    text = number(value, digits)
    is_positive = is_number(value) and float(f"{value:.{digits}f}") > 0
    return "+" + text if is_positive else text


def digits_of(entry: Mapping[str, Any]) -> int:
    """Decimals that show three digits of an entry's largest number; three from .01 on.

    A gap of 1.24e-4 would be ``.000`` otherwise. The ends of the interval count, so
    that a small value with a wide interval is not printed finer than it is known.
    """
    parts = [entry.get(name) for name in ("value", "low", "high")]
    largest = max((abs(part) for part in parts if is_number(part)), default=0.0)
    if largest >= 0.01 or largest < 0.5 * 10**-_MOST_DIGITS:
        return 3
    return min(2 - math.floor(math.log10(largest)), _MOST_DIGITS)


def common_digits(entries: Iterable[Mapping[str, Any]]) -> int:
    """Decimals for numbers that stand together.

    Those that all need; where they differ, one fewer than half of them need, so that
    two digits of the usual number are seen. One tiny number among others is then zero
    as far as the others are known.
    """
    needed = [digits_of(one) for one in entries if is_number(one.get("value"))]
    if not needed:
        return 3
    usual = median_low(needed)
    return usual if min(needed) == max(needed) else max(3, usual - 1)


def value(entry: Mapping[str, Any], digits: int | None = None) -> str:
    """An entry's value, with as many digits as its interval."""
    return number(entry.get("value"), digits_of(entry) if digits is None else digits)


def interval(entry: Mapping[str, Any], digits: int | None = None) -> str:
    """``[.064, .101]``, or nothing when an end is missing."""
    low, high = entry.get("low"), entry.get("high")
    if not (is_number(low) and is_number(high)):
        return ""
    digits = digits_of(entry) if digits is None else digits
    return f"[{number(low, digits)}, {number(high, digits)}]"


def with_interval(entry: Mapping[str, Any], digits: int | None = None) -> str:
    """A value and its interval: ``.812 [.801, .823]``."""
    digits = digits_of(entry) if digits is None else digits
    return f"{value(entry, digits)} {interval(entry, digits)}".rstrip()


def change(entry: Mapping[str, Any], digits: int | None = None) -> str:
    """A difference and its interval: ``+.083 [.064, .101]``."""
    digits = digits_of(entry) if digits is None else digits
    return f"{signed(entry.get('value'), digits)} {interval(entry, digits)}".rstrip()


def unbroken(text: str) -> str:
    """A number with its interval that no line breaks but between the two."""
    return text.replace(", ", ",\N{NO-BREAK SPACE}")


def probability(value: Any) -> str:
    """A p-value: ``.034``, or ``< .001`` below that."""
    if not is_number(value):
        return NOTHING
    return "< .001" if value < 0.001 else number(value)


def count(value: Any) -> str:
    """A whole number with thin groups of three: ``23,309``."""
    return f"{value:,.0f}" if is_number(value) else NOTHING


def counts(sizes: Mapping[str, Any] | None) -> str:
    """What a number rests on: ``1,234 facts, 900 subjects, 35 relations``."""
    parts = [
        f"{count(size)} {name if size != 1 else name.removesuffix('s')}"
        for name, size in (sizes or {}).items()
        if is_number(size)
    ]
    return ", ".join(parts)


def percent(share: float) -> str:
    """A share of one as a whole percentage: ``95 %``."""
    return f"{100 * share:g} %"


def listing(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def safe_json(text: str) -> str:
    """JSON that cannot end, or begin, anything in the HTML around it."""
    for sign, escaped in _UNSAFE.items():
        text = text.replace(sign, escaped)
    return text
