"""A small web server on this machine that fails in the ways that servers do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """What the server holds, how it behaves, and what it was asked."""

    files: dict[str, bytes]
    cuts: list[int] = field(default_factory=list)
    """Bytes after which to cut the next answers, one entry each."""
    failures: list[int] = field(default_factory=list)
    """Statuses of the next answers, in place of the file."""
    knows_ranges: bool = True
    tag: str | None = None
    address: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of every request."""


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], Site]]:
    """Starts a server that holds these files until the test ends."""
    with ExitStack() as servers:
        yield lambda files: servers.enter_context(_serve(Site(files)))


@contextmanager
def _serve(site: Site) -> Iterator[Site]:
    """Serve the site on a free port until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            content = site.files.get(self.path)
            if site.failures:
                self.send_error(site.failures.pop(0))
            elif content is None:
                self.send_error(404)
            else:
                self._answer(content, wanted)

        def _answer(self, content: bytes, wanted: str | None) -> None:
            start = 0
            if wanted and site.knows_ranges and self._is_same():
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                end = f"{start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", f"bytes {end}")
            else:
                self.send_response(200)
            body = content[start:]
            self.send_header("Content-Length", str(len(body)))
            if site.tag:
                self.send_header("ETag", site.tag)
            self.end_headers()
            self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)
            self.close_connection = True

        def _is_same(self) -> bool:
            return self.headers.get("If-Range") in (None, site.tag)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
