"""A process that has loaded the libraries, from which workers are forked.

Loading them takes longer than starting a process, and so they lie in memory once for
all workers. Nothing is copied from the process that asks.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import forkserver

LOADED = ("concord.parallel.processes",)


def begin_loading(threads: int | None = None) -> None:
    """Start that process, if this system has such and it does not run yet; do not wait.

    Call it as soon as workers are known to be needed, before the libraries are loaded
    here: both then load at once.

    Args:
        threads: For the numerical libraries of a worker; as set here unless given.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(LOADED))
        with passed_on(threads):
            forkserver.ensure_running()


@contextmanager
def passed_on(threads: int | None) -> Generator[None]:
    """Processes started within take over their threads, and that Ctrl-C is our affair.

    Args:
        threads: For their numerical libraries; as set here unless given.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before
