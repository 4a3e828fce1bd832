"""Prompts that are asked, finished and lost together: items of a set in one wording."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from concord.data.choices import ChoiceData
from concord.data.free_tasks import FreeData
from concord.models.contexts import Context

Data = TypeVar("Data", ChoiceData, FreeData)


@dataclass(frozen=True)
class Block(Generic[Data]):
    """Some items of a data set in one wording and context."""

    data: Data
    context: Context
    wording: int
    number: int
    size: int
    """Items of a whole block; the last one may have fewer."""

    @property
    def name(self) -> str:
        """Name of its part."""
        place = f"{self.wording}-{self.number:05d}"
        return f"{self.data.name}-{self.context.contexts}-{place}"

    @property
    def part(self) -> slice:
        """Its items among those of the data set."""
        return slice(self.number * self.size, (self.number + 1) * self.size)


def blocks_of(
    sets: Sequence[Data], contexts: Sequence[Context], size_of: Callable[[Data], int]
) -> list[Block[Data]]:
    """All blocks, in the order in which they are asked.

    Args:
        sets: The data sets.
        contexts: Those of a model.
        size_of: Items of a block of a data set.
    """
    return [
        Block(data, context, wording, number, size_of(data))
        for data in sets
        for context in contexts
        for wording in range(len(data.wordings))
        for number in range(-(-len(data.items) // size_of(data)))
    ]
