"""What a model wrote -> the answer in it, in a form that can be compared."""

import re
import unicodedata
from collections.abc import Sequence

_ARTICLES = re.compile(r"^(?:a|an|the)\s+(?=\S)")
_ENDS = "+#"
"""Signs that end a name: C++, C#, A+."""


def answer_in(text: str, stop: Sequence[str], pattern: str | None = None) -> str | None:
    """The answer in a written text; None where there is none.

    White space in front is passed over; the text ends at the first of the stops. An
    answer is none when nothing is left, or the pattern is not found.

    Args:
        text: What was written.
        stop: Texts at which it ends.
        pattern: Regular expression whose first group, or match, is the answer.
    """
    found = until_stop(text, stop)
    if pattern is not None:
        match = re.search(pattern, found)
        if match is None:
            return None
        found = (match[1] if match.re.groups else match[0]) or ""
    return found.strip() if normalised(found) else None


def until_stop(text: str, stop: Sequence[str]) -> str:
    """The text without white space in front, cut at the first stop."""
    begun = text.lstrip()
    ends = [place for one in stop if (place := begun.find(one)) >= 0]
    return begun[: min(ends, default=len(begun))]


def has_stopped(text: str, stop: Sequence[str]) -> bool:
    """One of the stops stands in the text, white space in front aside."""
    return until_stop(text, stop) != text.lstrip()


def normalised(text: str) -> str:
    """The form in which answers are compared; empty: no answer.

    Compatible characters made one, small letters, one blank between words, no article
    in front. Punctuation goes but where it belongs to a number (3.5, 10:30, -5) or a
    name (C++, A-). Symbols go too, unless there is nothing else (+, >).
    """
    small = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    small = "".join(sign for sign in small if unicodedata.category(sign) != "Cf")
    kept = (sign if _is_part(small, i) else " " for i, sign in enumerate(small))
    words = "".join(kept).split()
    return _ARTICLES.sub("", " ".join(words)) if words else _symbols(small)


def _is_part(text: str, place: int) -> bool:
    """A letter with its marks, a digit, or a sign that belongs to them."""
    sign, before = text[place], text[max(place - 1, 0) : place]
    after = text[place + 1 : place + 2]
    if unicodedata.category(sign)[0] in "LMN":
        return True
    if sign.isspace() or not (before + after).strip():
        return False
    if before.isdigit() and after.isdigit():
        return True
    if sign == "-" and after.isdigit():
        return not before.isalnum()
    if sign == "-":
        word = text[:place].split()
        return (
            bool(word) and len(word[-1]) == 1 and before.isalpha() and not after.strip()
        )
    if sign in _ENDS:
        return text[:place].rstrip(_ENDS)[-1:].isalnum() and not after.isalnum()
    return sign == "_" and before.isalnum() and after.isalnum()


def _symbols(text: str) -> str:
    """The symbols of a text without letters and digits; of dashes a single one."""
    found = [sign for sign in text if unicodedata.category(sign)[0] == "S"]
    return "".join(found) or ("-" if text.strip() == "-" else "")
