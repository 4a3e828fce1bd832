"""One process at a time writes a run."""

import errno
import logging
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from concord.errors import ResultsError

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None

logger = logging.getLogger(__name__)

LOCK = ".lock"
"""Its name in the run's folder. It stays there; what counts is who holds it."""


@contextmanager
def sole_writer(folder: Path) -> Generator[None]:
    """Hold the lock on a run's folder, which is made if need be.

    The system gives it back when the process ends, however it ends. Readers and the
    workers that this process starts neither need nor inherit it.

    Raises:
        ResultsError: Another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ResultsError(
            f"{folder}: cannot write ({error.strerror or error}); needed a folder for "
            "the run; mend it or give another --output"
        ) from error
    # Closed, the lock is given back.
    with os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace") as file:
        _take(file, folder)
        yield


def _take(file: TextIO, folder: Path) -> None:
    """Lock the file and write into it whose it is."""
    if fcntl is None:
        logger.info("%s: no locks here; start one process at a time on it", folder)
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            holder = file.readline().strip() or "just started"
            raise ResultsError(
                f"{folder}: another process ({holder}) is writing "
                "this run; needed one at a time; wait until it has ended, or end it, "
                "then give the same command again; or give another --output"
            ) from error
        logger.info(
            "%s: its file system has no locks (%s); start one process at a time on it",
            folder,
            error.strerror,
        )
        return
    file.truncate(0)
    file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
