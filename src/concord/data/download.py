"""One file from the network: resumed after a cut, checked, and put in place at once.

Bytes go to ``<name>.part``, which takes the file's name only when whole and right, so
that a file under its own name can be trusted.
"""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from concord.errors import DataError

if TYPE_CHECKING:
    import httpx2

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, its bytes so far, and its size where known."""

TIMEOUT_SECONDS = 30.0
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may be another one in a moment."""


@dataclass(frozen=True)
class Remote:
    """Where a file comes from, and what is known of it beforehand."""

    url: str
    size: int | None = None
    checksum: str | None = None
    """SHA-256 as hexadecimal digits."""


def checksum_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def download(
    remote: Remote,
    target: Path,
    *,
    progress: Progress | None = None,
    attempts: int = 5,
    pause_seconds: float = 1.0,
) -> str:
    """Fetch a file, going on where an earlier attempt was cut.

    What an earlier process left behind is used only where a checksum is known; within
    one call the server is asked to go on only if the file is still the same one.

    Args:
        remote: The address, and the checksum to hold the file to.
        target: Written at the end, in one step.
        progress: Told about every block.
        attempts: Connections tried before giving up.
        pause_seconds: Wait after the first failure; doubled after each further one.

    Returns:
        The SHA-256 of the file.

    Raises:
        DataError: No such file, no connection, no space, or a wrong checksum.
    """
    import httpx2

    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if remote.checksum is None:
            part.unlink(missing_ok=True)
        if not _is_whole(part, remote):
            with httpx2.Client(
                timeout=TIMEOUT_SECONDS, follow_redirects=True
            ) as client:
                transfer = _Transfer(client, remote, part, progress)
                _try_often(transfer, attempts, pause_seconds)
        found = _require_checksum(part, remote)
        part.replace(target)
    except OSError as error:
        raise _disk_error(error, target) from None
    return found


def _is_whole(part: Path, remote: Remote) -> bool:
    return part.is_file() and checksum_of(part) == remote.checksum


class _Transfer:
    """One file on its way, over as many connections as it takes."""

    def __init__(
        self,
        client: "httpx2.Client",
        remote: Remote,
        part: Path,
        progress: Progress | None,
    ) -> None:
        self.client, self.remote, self.part = client, remote, part
        self.progress = progress
        self.tag: str | None = None

    def run(self) -> None:
        """Open one connection and read it to its end.

        Raises:
            DataError: The server says that there is no such file.
            httpx2.HTTPError: The connection failed or was cut.
        """
        start = self._resumable_bytes()
        with self.client.stream(
            "GET", self.remote.url, headers=self._headers(start)
        ) as response:
            if response.status_code == 416:
                # What is here is no beginning of what is there.
                self.part.unlink()
                raise _Again("the server has no bytes after those already here")
            _require_success(response)
            if response.status_code == 206:
                _require_start(response, start)
            else:
                start = 0
            self.tag = response.headers.get("etag")
            with self.part.open("ab" if start else "wb") as file:
                self._copy(response, file, start)

    def _resumable_bytes(self) -> int:
        known = self.remote.checksum is not None or self._strong_tag() is not None
        return self.part.stat().st_size if known and self.part.is_file() else 0

    def _strong_tag(self) -> str | None:
        return None if self.tag is None or self.tag.startswith("W/") else self.tag

    def _headers(self, start: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if tag := self._strong_tag():
                headers["If-Range"] = tag
        return headers

    def _copy(self, response: "httpx2.Response", file: BinaryIO, start: int) -> None:
        length = response.headers.get("content-length", "")
        size = start + int(length) if length.isdecimal() else self.remote.size
        done = start
        # As they arrive: blocks of a fixed size would lose what came before a cut.
        for block in response.iter_raw():
            file.write(block)
            done += len(block)
            if self.progress:
                self.progress(self.remote.url.rsplit("/", 1)[-1], done, size)


class _Again(Exception):
    """This attempt failed in a way that another may not."""


def _try_often(transfer: _Transfer, attempts: int, pause_seconds: float) -> None:
    import httpx2

    for attempt in range(1, attempts + 1):
        try:
            return transfer.run()
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise DataError(
                f"{transfer.remote.url}: no address to fetch from ({error}). Check it."
            ) from None
        except (httpx2.RequestError, _Again) as error:
            if attempt == attempts:
                raise DataError(
                    f"{transfer.remote.url}: not fetched in {attempts} attempts "
                    f"({error or type(error).__name__}). Check the connection and run "
                    "the command again (it goes on where it stopped), or use a local "
                    "folder with --data-dir."
                ) from None
            time.sleep(pause_seconds * 2 ** (attempt - 1))
    raise ValueError(f"attempts must be 1 or more, got {attempts}")


def _require_success(response: "httpx2.Response") -> None:
    status = response.status_code
    if status in TEMPORARY:
        raise _Again(f"the server answered {status}")
    if status not in (200, 206):
        raise DataError(
            f"{response.url}: the server answered {status} "
            f"{response.reason_phrase}, but the file is needed. It may have moved: "
            "fetch it by hand from the data set's home and use --data-dir."
        )


def _require_start(response: "httpx2.Response", start: int) -> None:
    content_range = response.headers.get("content-range", "")
    if not content_range.startswith(f"bytes {start}-"):
        raise _Again(f"bytes from {start} asked for, {content_range!r} sent")


def _require_checksum(part: Path, remote: Remote) -> str:
    found = checksum_of(part)
    if remote.checksum is not None and found != remote.checksum:
        size = part.stat().st_size
        part.unlink()
        raise DataError(
            f"{remote.url}: wrong checksum, the file is deleted. Expected SHA-256 "
            f"{remote.checksum}, found {found} ({size:,} bytes). Run the command "
            "again; if it stays so, the source has changed."
        )
    return found


def _disk_error(error: OSError, target: Path) -> DataError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            f"{target}: no space left on the disk. Free some, or choose another "
            "folder (--data-dir, or CONCORD_DATA), and run the command again."
        )
    return DataError(
        f"{target}: cannot be written ({error.strerror or error}). Choose another "
        "folder (--data-dir, or CONCORD_DATA)."
    )
