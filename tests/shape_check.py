"""What checks shapes and types in the tests: beartype, a whole number being a float."""

from collections.abc import Callable
from typing import TypeVar

from beartype import BeartypeConf, beartype

Function = TypeVar("Function", bound=Callable)


def checked(function: Function) -> Function:
    """The function, refusing arguments and results that its annotations do not allow.

    An ``int`` where a ``float`` is asked for is right in Python; beartype needs to be
    told so.
    """
    return beartype(function, conf=BeartypeConf(is_pep484_tower=True))
