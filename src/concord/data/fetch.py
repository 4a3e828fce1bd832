"""Where data sets come from, where they lie, and what is in them.

``concord data get`` fetches pinned files into the cache folder; ``--data-dir`` names a
folder of the user's own, so that all works without a network. ParaRel and MRPC are
pinned by commit and SHA-256. For TaPaCo no checksum is published: the one of the first
download is recorded in the manifest beside it, and every later download and use is
held to it; the first download itself cannot be verified.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from concord.data.becel import count_becel
from concord.data.download import Progress, Remote, checksum_of, download
from concord.data.mmlu import count_mmlu
from concord.data.mrpc import read_mrpc
from concord.data.pararel import read_pararel
from concord.data.sources import SOURCES, Source
from concord.data.tapaco import read_tapaco
from concord.errors import DataError, StudyError, did_you_mean

MANIFEST = "concord-manifest.json"


@runtime_checkable
class Counted(Protocol):
    """A data set that was read: what was counted, and what is worth a note."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts by name."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences."""
        ...


PLACES: Mapping[str, tuple[str, ...]] = {
    "pararel": ("pararel",),
    "mrpc": ("mrpc",),
    "tapaco": (
        "tapaco/tapaco_en.parquet",
        "tapaco/tapaco_en.jsonl",
        "tapaco/en.txt",
        "tatoeba_paraphrases/tapaco_en_standin.jsonl",
    ),
    "mmlu": ("mmlu",),
    "becel": ("becel",),
    "attributes": ("attributes",),
}
"""Data set -> where a data folder may hold it, the best place first."""

READERS: Mapping[str, Callable[[Path], Counted]] = {
    "pararel": read_pararel,
    "mrpc": read_mrpc,
    "tapaco": partial(read_tapaco, sets=None),
    "mmlu": count_mmlu,
    "becel": count_becel,
}


@dataclass(frozen=True)
class DataCheck:
    """What ``concord data check`` says about a data set."""

    name: str
    path: Path | None
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str | None = None
    """Why it cannot be used; None when it can."""


def cache_folder() -> Path:
    """Where downloads go: ``CONCORD_DATA``, or the platform's cache folder."""
    if chosen := os.environ.get("CONCORD_DATA"):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "concord" / "data"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
        return Path(local) / "concord" / "data"
    cache = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(cache) / "concord" / "data"


def get_data(
    name: str,
    folder: Path | None = None,
    *,
    base_url: str | None = None,
    progress: Progress | None = None,
    pause_seconds: float = 1.0,
) -> Path:
    """Fetch a data set; files that are there already and right are left alone.

    Args:
        name: One of ``SOURCES``.
        folder: Holds one folder for each data set; the cache folder unless given.
        base_url: A mirror, in place of the scheme and host of the public home.
        progress: Told about every block of every file.
        pause_seconds: Wait before a second attempt; doubled after each further one.

    Returns:
        The folder of the data set.

    Raises:
        StudyError: No source is known under that name.
        DataError: A file cannot be fetched, is not the one expected, or would replace
            a file that concord did not fetch.
    """
    source = _source(name)
    target = (folder or cache_folder()) / name
    recorded = _read_manifest(target)
    for file in source.files:
        expected = file.sha256 or recorded.get(file.path)
        path = target / file.path
        if _is_there(path, expected):
            found = str(expected)
        else:
            remote = Remote(source.url(file, base_url), file.bytes, expected)
            found = download(
                remote, path, progress=progress, pause_seconds=pause_seconds
            )
        if recorded.get(file.path) != found:
            recorded[file.path] = found
            _write_manifest(target, source, recorded)
    return target


def data_folder(data_dir: Path | None, name: str) -> Path:
    """Where a data set lies: in the user's folder, else in the cache folder.

    What concord fetched is compared with its manifest first, so that a file changed
    since then is never used unnoticed.

    Returns:
        What the reader of the data set takes: a folder, for TaPaCo a file.

    Raises:
        StudyError: The name is unknown.
        DataError: It is in neither folder, or was changed since it was fetched; the
            message holds the command that gets it.
    """
    if name not in PLACES:
        raise StudyError(f"no data set {name!r}; {did_you_mean(name, PLACES)}")
    _require_folder(data_dir)
    roots = [data_dir, cache_folder()] if data_dir else [cache_folder()]
    for root in roots:
        for place in PLACES[name]:
            if (root / place).exists():
                _verify(root / place)
                return root / place
    looked = ", ".join(str(root / PLACES[name][0]) for root in roots)
    get = "It is not fetched by concord: get it from its home"
    if name in SOURCES:
        get = f"Run: concord data get {name}"
    raise DataError(
        f"{name} not found (looked for {looked}). {get}, or name the folder above it "
        "with --data-dir."
    )


def _require_folder(data_dir: Path | None) -> None:
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(
            f"{data_dir}: no such folder, but --data-dir must name one. Correct it."
        )


def was_fetched(place: Path) -> bool:
    """Whether concord fetched what lies there; else licence and home are unknown."""
    return bool(_read_manifest(place if place.is_dir() else place.parent))


def list_data(data_dir: Path | None = None) -> dict[str, Path | None]:
    """Every known data set, and where it lies; None for those not found or faulty.

    Raises:
        DataError: The user's folder is not there.
    """
    _require_folder(data_dir)
    found: dict[str, Path | None] = {}
    for name in PLACES:
        try:
            found[name] = data_folder(data_dir, name)
        except DataError:
            found[name] = None
    return found


def check_data(
    data_dir: Path | None = None, names: Iterable[str] = tuple(READERS)
) -> list[DataCheck]:
    """Read data sets in full and report what is in them.

    A set that is missing or faulty is reported with its problem, the others after it.

    Raises:
        StudyError: A name has no reader here.
        DataError: The user's folder is not there.
    """
    _require_folder(data_dir)
    checks = []
    for name in names:
        if name not in READERS:
            raise StudyError(f"no data set {name!r}; {did_you_mean(name, READERS)}")
        path = None
        try:
            path = data_folder(data_dir, name)
            data = READERS[name](path)
        except DataError as error:
            checks.append(DataCheck(name, path, problem=str(error)))
        else:
            checks.append(DataCheck(name, path, data.counts, data.notes))
    return checks


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise StudyError(
            f"no source is known for data set {name!r}; {did_you_mean(name, SOURCES)}"
        )
    return SOURCES[name]


def _is_there(path: Path, expected: str | None) -> bool:
    """Whether the very file is there; another one in its place is not replaced."""
    if not path.exists():
        return False
    if expected is not None and path.is_file() and checksum_of(path) == expected:
        return True
    raise DataError(
        f"{path}: another file is there already (SHA-256 expected "
        f"{expected or 'none recorded'}). Use it with --data-dir, or remove it and run "
        "the command again."
    )


def _read_manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        checksums = json.loads(path.read_text("utf-8"))["files"]
        return {str(name): str(checksum) for name, checksum in checksums.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: not a manifest that concord wrote. Remove {folder} and get the "
            "data set again."
        ) from None


def _write_manifest(folder: Path, source: Source, checksums: Mapping[str, str]) -> None:
    content = {
        "name": source.name,
        "home": source.home,
        "revision": source.revision,
        "licence": source.licence,
        "files": dict(checksums),
    }
    part = folder / f"{MANIFEST}.part"
    part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    part.replace(folder / MANIFEST)


def _verify(place: Path) -> None:
    folder = place if place.is_dir() else place.parent
    for name, expected in _read_manifest(folder).items():
        path = folder / name
        found = checksum_of(path) if path.is_file() else "no file"
        if found != expected:
            raise DataError(
                f"{path}: changed since it was fetched (SHA-256 expected {expected}, "
                f"found {found}). Remove it and run: concord data get {folder.name}"
            )
