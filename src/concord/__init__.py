"""Is a tuned language model more consistent than its base, where, and why?

What a script needs, loaded when it is asked for: importing the package is instant. The
main entry is `concord.compare.compare`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concord.errors import (
        ConcordError,
        DataError,
        ModelError,
        ResultsError,
        StudyError,
    )
    from concord.results import Run, open_run, query
    from concord.study import Study, resolve_study

_HOMES = {
    "ConcordError": "errors",
    "DataError": "errors",
    "ModelError": "errors",
    "ResultsError": "errors",
    "Run": "results",
    "Study": "study",
    "StudyError": "errors",
    "open_run": "results",
    "query": "results",
    "resolve_study": "study",
}

__all__ = [
    "ConcordError",
    "DataError",
    "ModelError",
    "ResultsError",
    "Run",
    "Study",
    "StudyError",
    "open_run",
    "query",
    "resolve_study",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'concord' has no attribute {name!r}")
    return getattr(import_module(f"concord.{_HOMES[name]}"), name)
