"""The next piece of work is begun while the result of this one is used."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 2
"""More would hold more in memory."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Results in the order of the items, `AT_ONCE` of them under way."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        waiting: list[Future[Result]] = []
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) >= AT_ONCE:
                yield waiting.pop(0).result()
        for one in waiting:
            yield one.result()
