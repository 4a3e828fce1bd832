"""What a worker tells the process that started it."""

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Advanced:
    """So many more units of the job are done, those of others' parts included."""

    count: int


@dataclass(frozen=True)
class Loaded:
    """The model is in memory, and the rows that lie there were made from it."""

    label: str
    kind: str
    info: dict[str, Any]
    files: list[list[Any]] | None
    """It was loaded from, as they were before."""


@dataclass(frozen=True)
class Halved:
    """A batch was too much for the memory; budgets as they are now."""

    budgets: dict[str, int]


@dataclass(frozen=True)
class Logged:
    """A line for the log."""

    name: str
    level: int
    text: str


@dataclass(frozen=True)
class Finished:
    """The job is done, all its parts on disk."""

    seconds: float


@dataclass(frozen=True)
class Failed:
    """The job broke off."""

    error: Exception
    trace: str


@dataclass(frozen=True)
class Ready:
    """The worker is there and takes jobs."""


@dataclass(frozen=True)
class Lost:
    """The worker ended without a word."""

    reason: str


Event = Advanced | Loaded | Halved | Logged | Finished | Failed | Ready | Lost
Send = Callable[[Event], None]


def portable(error: Exception) -> Exception:
    """The error itself if it can travel between processes, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # Whatever an exception's own pickling may raise.
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class LogSender(logging.Handler):
    """Sends log records on, each as one finished line."""

    def __init__(self, send: Send):
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self._send(Logged(record.name, record.levelno, record.getMessage()))


def send_logs(send: Send) -> None:
    """Send on what concord logs in this process, in place of showing it."""
    logger = logging.getLogger("concord")
    logger.setLevel(logging.INFO)
    logger.handlers = [LogSender(send)]
    logger.propagate = False
