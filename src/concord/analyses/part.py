"""What an analysis is: a function that yields rows, part by part; it writes nothing."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from concord.data.collection import Collection as DataCollection
from concord.models.load import LoadedModel
from concord.progress import Advance
from concord.study import Study


@dataclass(frozen=True)
class Part:
    """Rows that are finished together and never measured twice."""

    name: str
    """Unique within the analysis and model, and the same in every run of a study."""
    rows: pa.Table
    table: str | None = None
    """Folder of rows to go to; None: the analysis' own."""


@dataclass(frozen=True)
class Task:
    """What an analysis is asked to do."""

    model: LoadedModel
    data: DataCollection
    study: Study
    finished: Collection[str] = frozenset()
    """Names of parts that need not be measured again."""
    advance: Advance = lambda count: None
    """Told how many units are done, those of finished parts included."""
    budgets: dict[str, int] = field(default_factory=dict)
    """Positions per batch that had to be halved in this run; kept in its folder."""
    measured: Callable[[str], pa.Table | None] = lambda name: None
    """Rows of another analysis of this model, if it has any."""


Analysis = Callable[[Task], Iterator[Part]]
