"""What a measurement was made on, and the memory a process has had at most."""

import platform
import resource
import sys
from pathlib import Path


def processor_name() -> str:
    """The processor's name where the system tells it; never the computer's."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_bytes() -> int:
    """The most memory this process has held.

    Linux hands the maximum of `getrusage` on from the process that started this one,
    so that a small child of a large parent would look large: it is asked otherwise.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
