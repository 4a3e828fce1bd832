"""Everything that can go wrong for a user, as one tree.

::

    ConcordError
    ├── StudyError     the study file or the command line asks for something impossible
    ├── DataError      a data file is missing, malformed or empty (file and line named)
    ├── ModelError     a model, tokenizer, adapter or prompt cannot be used as asked
    └── ResultsError   a run folder holds, or would hold, something else than expected

Messages say what was found, what was needed and what to do. The command line prints
them without a traceback and exits with code 2; any other exception is a bug.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 30
"""Names that a message lists: the fields of a study, for instance."""
NEAREST = 5
"""Of more names, so many are listed."""


class ConcordError(Exception):
    """A user's mistake or a broken input, explained."""


class StudyError(ConcordError):
    """The study asks for something that cannot be done."""


class DataError(ConcordError):
    """A data file is missing, malformed or empty."""


class ModelError(ConcordError):
    """A model, tokenizer, adapter or prompt cannot be used as asked."""


class ResultsError(ConcordError):
    """A run folder holds, or would hold, something else than expected."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The near match and the list that end every message about an unknown name.

    Returns:
        For instance ``did you mean 'facts'? Known: facts, representation.`` Of more
        than 30 names the five that are nearest stand for all.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if len(names) <= MOST_LISTED:
        return f"{hint}Known: {', '.join(names)}."
    nearest = get_close_matches(name, names, n=NEAREST, cutoff=0.0)
    return f"{hint}Among the {len(names)} known: {', '.join(nearest)}."
