"""Changes of a text that leave its meaning: typing errors, case, spacing, and so on.

A perturbation is text -> text, decided by the seed and the item's id alone, so every
model gets the same. Numbers are never touched: another digit is another question.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random

from concord.errors import StudyError, did_you_mean

TYPING_ERROR_SHARE = 0.1
"""Of the words of five and more letters; at least one word where there is one."""
_CONTRACTIONS = {
    "is not": "isn't",
    "are not": "aren't",
    "was not": "wasn't",
    "were not": "weren't",
    "does not": "doesn't",
    "do not": "don't",
    "did not": "didn't",
    "has not": "hasn't",
    "have not": "haven't",
    "cannot": "can't",
    "will not": "won't",
    "would not": "wouldn't",
    "should not": "shouldn't",
    "could not": "couldn't",
    "it is": "it's",
    "that is": "that's",
    "what is": "what's",
    "who is": "who's",
    "where is": "where's",
}


def typing_errors(text: str, chance: Random) -> str:
    """Two neighbouring inner letters exchanged in some of the longer words."""
    words = [
        match
        for match in re.finditer(r"[^\W\d_]{5,}", text)
        if _exchangeable(match.group())
    ]
    if not words:
        return text
    count = max(1, round(TYPING_ERROR_SHARE * len(words)))
    letters = list(text)
    for match in chance.sample(words, count):
        place = match.start() + chance.choice(_exchangeable(match.group()))
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def case(text: str, chance: Random) -> str:
    """All letters small; or, where they are, all capital."""
    small = text.lower()
    return small if small != text else text.upper()


def spacing(text: str, chance: Random) -> str:
    """One of the blanks doubled."""
    blanks = [match.start() for match in re.finditer(r"(?<=\S) (?=\S)", text)]
    if not blanks:
        return text
    place = chance.choice(blanks)
    return f"{text[:place]} {text[place:]}"


def punctuation(text: str, chance: Random) -> str:
    """The final mark taken away; or, where there is none, a full stop put there."""
    bare = text.rstrip()
    return bare[:-1].rstrip() if bare.endswith((".", "?", "!")) else f"{bare}."


def contractions(text: str, chance: Random) -> str:
    """``is not`` becomes ``isn't``, ``what is`` becomes ``what's``, and so on."""
    pattern = "|".join(sorted(map(re.escape, _CONTRACTIONS), key=len, reverse=True))

    def put(match: re.Match[str]) -> str:
        new = _CONTRACTIONS[match.group().lower()]
        return new[0].upper() + new[1:] if match.group()[0].isupper() else new

    return re.sub(rf"\b(?:{pattern})\b", put, text, flags=re.IGNORECASE)


PERTURBATIONS: Mapping[str, Callable[[str, Random], str]] = {
    "typing_errors": typing_errors,
    "case": case,
    "spacing": spacing,
    "punctuation": punctuation,
    "contractions": contractions,
}
"""Every perturbation by name."""


def perturb(text: str, name: str, *, item: str, seed: int = 0) -> str:
    """The text after a perturbation; the same whenever seed, item and text are.

    Raises:
        StudyError: No perturbation has that name.
    """
    if name not in PERTURBATIONS:
        raise StudyError(
            f"perturbations: found {name!r}; {did_you_mean(name, PERTURBATIONS)}"
        )
    return PERTURBATIONS[name](text, Random(f"{seed}/{name}/{item}"))


def perturbations_by_name(
    names: Sequence[str], seed: int
) -> dict[str, Callable[[str, str], str]]:
    """Name -> (text, item's id) -> changed text.

    Raises:
        StudyError: No perturbation has one of the names.
    """

    def one(name: str) -> Callable[[str, str], str]:
        return lambda text, item: perturb(text, name, item=item, seed=seed)

    for name in names:
        perturb("", name, item="")
    return {name: one(name) for name in names}


def _exchangeable(word: str) -> list[int]:
    """Places of inner letters that differ from the next inner letter."""
    return [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]
