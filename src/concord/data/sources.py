"""The public homes of the data sets, each at one revision (``sources.json``).

A checksum is null where none is known before the first download.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote, urlsplit


@dataclass(frozen=True)
class SourceFile:
    """A file of a data set: its name here, its name there, and its checksum."""

    path: str
    remote: str
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class Source:
    """The public home of a data set, at one revision."""

    name: str
    title: str
    home: str
    revision: str
    licence: str
    notice: str
    root: str
    files: tuple[SourceFile, ...]

    def url(self, file: SourceFile, base_url: str | None) -> str:
        """The file's address; ``base_url`` stands in for scheme and host."""
        parts = urlsplit(self.root)
        base = base_url.rstrip("/") if base_url else f"{parts.scheme}://{parts.netloc}"
        return f"{base}{parts.path}{quote(file.remote)}"


def _read_sources() -> dict[str, Source]:
    text = files("concord.data").joinpath("sources.json").read_text("utf-8")
    return {
        name: Source(
            name=name,
            files=tuple(SourceFile(**file) for file in found.pop("files")),
            **found,
        )
        for name, found in json.loads(text).items()
    }


SOURCES: Mapping[str, Source] = _read_sources()
"""Data sets that ``concord data get`` fetches."""
