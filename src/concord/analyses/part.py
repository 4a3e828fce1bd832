"""What an analysis is: a function that yields rows, part by part; it writes nothing."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypeVar

from concord.data.collection import Collection as DataCollection
from concord.models.load import LoadedModel
from concord.progress import Advance
from concord.study import ModelEntry, Study


@dataclass(frozen=True)
class Part:
    """Rows that are finished together and never measured twice."""

    name: str
    """Unique within the analysis and model, and the same in every run of a study."""
    rows: pa.Table


@runtime_checkable
class Measured(Protocol):
    """A model that is measured, loaded here or served elsewhere."""

    @property
    def label(self) -> str:
        """Name in tables and folders."""
        ...

    @property
    def entry(self) -> ModelEntry:
        """The model as the study names it."""
        ...

    @property
    def info(self) -> dict[str, Any]:
        """What the run records of the model; its fingerprint among it."""
        ...


@runtime_checkable
class OtherRows(Protocol):
    """Reads rows of another analysis of the model, all or some of them."""

    def __call__(
        self,
        analysis: str,
        /,
        *,
        columns: list[str] | None = None,
        filter: pc.Expression | None = None,
    ) -> pa.Table | None:
        """None if it has none."""
        ...


def no_rows(
    analysis: str,
    /,
    *,
    columns: list[str] | None = None,
    filter: pc.Expression | None = None,
) -> None:
    """Of a model of which nothing was measured before."""


Model = TypeVar("Model", bound=Measured, default=LoadedModel)


@dataclass(frozen=True)
class Task(Generic[Model]):
    """What an analysis is asked to do."""

    model: Model
    data: DataCollection
    study: Study
    finished: Collection[str] = frozenset()
    """Names of parts that need not be measured again."""
    advance: Advance = lambda count: None
    """Told how many units are done, those of finished parts included."""
    budgets: dict[str, int] = field(default_factory=dict)
    """Positions per batch that had to be halved in this run; kept in its folder."""
    measured: OtherRows = no_rows
    """Rows of another analysis of this model, if it has any."""
    workspace: Path | None = None
    """Folder for what a long part needs to go on after a kill; None: nothing is kept.
    It is the folder of the analysis' rows, so both are removed together."""


Analysis = Callable[[Task], Iterator[Part]]
