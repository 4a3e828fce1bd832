"""A run on disk: Parquet parts written once, keys that refuse mixtures, SQL over all.

A run is a folder. Rows lie in ``rows/<analysis>/<model>/part-<name>.parquet``; beside
them ``key.json`` says what they were made from, field by field. A part is written to a
temporary name and renamed, so it is whole or absent; the same key continues a run, a
different key is refused with the differing field named.
"""

import glob
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from concord.errors import ResultsError, did_you_mean

logger = logging.getLogger(__name__)

_KEY_FIELD = b"concord.key"


@dataclass(frozen=True)
class Run:
    """A run folder that exists."""

    path: Path

    @property
    def study(self) -> dict[str, Any]:
        """The resolved study, as saved in ``study.yaml``."""
        path = self.path / "study.yaml"
        return _parsed_study(path, path.stat().st_mtime_ns if path.is_file() else 0)

    @property
    def info(self) -> dict[str, Any]:
        """``run.json``: versions, hardware, models, data counts, timings."""
        path = self.path / "run.json"
        return _mapping(path, read_json(path))

    def models(self) -> list[str]:
        """Labels of the models, the base first."""
        info = self.info
        return [info["base"], *info["tuned"]]

    def folder(self, analysis: str, model: str) -> Path:
        """Where the parts of one analysis of one model lie."""
        return self.path / "rows" / analysis / model

    def parts(self, analysis: str, model: str) -> list[Path]:
        """The finished parts, in the order of their names."""
        return sorted(self.folder(analysis, model).glob("part-*.parquet"))


@lru_cache(maxsize=4)
def _parsed_study(path: Path, changed: int) -> dict[str, Any]:
    """The study in a file; parsed again only when the file has changed."""
    try:
        return _mapping(path, yaml.safe_load(_read_text(path)))
    except yaml.YAMLError as error:
        raise ResultsError(
            f"{path}: not YAML ({_in_a_line(error)}); needed the study as the run "
            "wrote it; put that file back, or give another --output"
        ) from error


def open_run(path: Path) -> Run:
    """The run in a folder.

    Raises:
        ResultsError: The folder is missing or holds no run.
    """
    if not (path / "study.yaml").is_file():
        raise ResultsError(
            f"{path}: found no study.yaml; needed a run folder written by "
            "`concord compare` or `concord demo`; give the folder named at its end"
        )
    return Run(path)


def fingerprint(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def claim(run: Run, analysis: str, model: str, key: Mapping[str, Any]) -> str:
    """Reserve a folder of parts for one key, or find the parts made from it before.

    Args:
        run: The run.
        analysis: Name of the analysis.
        model: Label of the model.
        key: Everything the numbers depend on, by name.

    Returns:
        The key's fingerprint, to be given to `write_part`.

    Raises:
        ResultsError: Parts made from something else lie there; the fields that differ
            are named.
    """
    require_same_key(run, analysis, model, key)
    path, wanted = _key_path(run, analysis, model), _as_json(key)
    if not path.is_file():
        write_json(path, wanted)
    return fingerprint(wanted)


def require_same_key(
    run: Run, analysis: str, model: str, key: Mapping[str, Any]
) -> None:
    """Refuse another key than the one a folder of parts was reserved for, if any.

    Raises:
        ResultsError: The fields that differ are named.
    """
    found, wanted = claimed_key(run, analysis, model), _as_json(key)
    if found is not None and found != wanted:
        raise ResultsError(
            f"{run.folder(analysis, model)}: rows lie there that were made from "
            f"something else: {named_differences(found, wanted)}; give another "
            "--output, or remove that folder to measure anew"
        )


def claimed_key(run: Run, analysis: str, model: str) -> dict[str, Any] | None:
    """The key that a folder of parts was reserved for; None if it was not.

    Raises:
        ResultsError: It cannot be read.
    """
    path = _key_path(run, analysis, model)
    return _mapping(path, read_json(path)) if path.is_file() else None


def _key_path(run: Run, analysis: str, model: str) -> Path:
    return run.folder(analysis, model) / "key.json"


def _as_json(key: Mapping[str, Any]) -> dict[str, Any]:
    """A key as it comes back from its file."""
    return json.loads(json.dumps(key, default=str))


def named_differences(found: Any, wanted: Any, name: str = "") -> str:
    """The fields in which two nested mappings differ, as ``field: found -> wanted``."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        parts = [
            named_differences(
                found.get(key), wanted.get(key), f"{name}.{key}".strip(".")
            )
            for key in sorted(set(found) | set(wanted))
            if found.get(key) != wanted.get(key)
        ]
        return "; ".join(parts)
    return f"{name}: {_shorten(found)} -> {_shorten(wanted)}"


def finished_parts(run: Run, analysis: str, model: str, key: str) -> set[str]:
    """Names of the parts that are whole and carry the key; see `part_rows`."""
    return set(part_rows(run, analysis, model, key))


def part_rows(run: Run, analysis: str, model: str, key: str) -> dict[str, int]:
    """Rows of each part that is whole and carries the key, by the part's name.

    A part that is cut or broken is left out, so it is measured again.

    Raises:
        ResultsError: A part carries another key (two runs were mixed in one folder), or
            may not be read.
    """
    found = {}
    for path in run.parts(analysis, model):
        footer = _footer_of(path)
        if footer is None:
            continue
        if (footer.metadata or {}).get(_KEY_FIELD, b"").decode() != key:
            raise ResultsError(
                f"{path}: found a part of another run; needed parts of one run only; "
                "remove it or give another --output"
            )
        found[path.stem.removeprefix("part-")] = footer.num_rows
    return found


def _footer_of(path: Path) -> pq.FileMetaData | None:
    """What a part says of itself; None when it is no whole Parquet file."""
    try:
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        # The system numbers its errors; pyarrow's own, of a broken file, have none.
        if isinstance(error, OSError) and error.errno is not None:
            raise ResultsError(
                f"{path}: cannot read ({error.strerror or error}); needed: every part, "
                "so that none is measured twice; mend its permissions or disk, then "
                "give the same command again"
            ) from error
        logger.warning("%s: cut or broken (%s); measured again", path, error)
        return None


def write_part(
    run: Run, analysis: str, model: str, *, name: str, key: str, table: pa.Table
) -> Path:
    """Write one part whole: temporary file, then rename.

    The column ``model`` is put in front.

    Raises:
        ResultsError: The part cannot be written, for instance on a full disk; parts
            written before are kept.
    """
    path = run.folder(analysis, model) / f"part-{name}.parquet"
    labels = pa.array([model] * table.num_rows, pa.string())
    table = table.add_column(0, "model", labels)
    table = table.replace_schema_metadata({_KEY_FIELD: key.encode()})
    write_table(path, table)
    return path


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole: temporary file, then rename.

    Raises:
        ResultsError: The file cannot be written.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ResultsError(_cannot_write(path, error)) from error


def read_rows(
    run: Run,
    analysis: str,
    model: str,
    columns: list[str] | None = None,
    filter: pc.Expression | None = None,
    *,
    coded: Iterable[str] = (),
) -> pa.Table | None:
    """Rows of one analysis of one model, in the order of parts; None without parts.

    Columns named in ``coded`` come as dictionaries: of texts that repeat, far smaller.
    """
    dictionaries = list(coded)
    tables = [
        _read_part(path, columns, filter, dictionaries)
        for path in run.parts(analysis, model)
    ]
    if not tables:
        return None
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries()


def _read_part(
    path: Path,
    columns: list[str] | None,
    filter: pc.Expression | None,
    dictionaries: list[str],
) -> pa.Table:
    try:
        if filter is None:  # Half the time of `read_table`: there are hundreds.
            with pq.ParquetFile(path, read_dictionary=dictionaries) as file:
                return file.read(columns)
        return pq.read_table(
            path, columns=columns, filters=filter, read_dictionary=dictionaries
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise ResultsError(
            f"{path}: cannot read ({_in_a_line(error)}); needed a whole part; give the "
            "command that measured it again: it measures what is cut or broken anew"
        ) from error


def finished_analyses(run: Run) -> dict[str, list[str]]:
    """Analyses with rows, each with the models measured, in the run's order."""
    root = run.path / "rows"
    if not root.is_dir():
        return {}
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        models = [name for name in run.models() if run.parts(folder.name, name)]
        if models:
            found[folder.name] = models
    return found


def query(run: Run, sql: str) -> pa.Table:
    """Ask a run in SQL: one view per analysis, each with a column ``model``.

    Example:
        ``query(run, "select model, avg(is_correct::int) from facts group by model")``

    Raises:
        ResultsError: The SQL is refused by DuckDB; its message and the views are shown.
    """
    views = finished_analyses(run)
    try:
        with duckdb.connect() as connection:
            # A view reads the schema of every part: only those that the SQL can mean.
            for analysis in (name for name in views if name.lower() in sql.lower()):
                folder = glob.escape(str(run.path / "rows" / analysis))
                quoted = f"{folder}/*/part-*.parquet".replace("'", "''")
                connection.execute(
                    f'create view "{analysis}" as '
                    f"select * from read_parquet('{quoted}', union_by_name = true)"
                )
            return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise ResultsError(f"{error}\n{did_you_mean('', views)}") from error


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        ResultsError: The file is missing or broken.
    """
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ResultsError(
            f"{path}: line {error.lineno}: not JSON ({error.msg}); remove the file and "
            "give the same command again"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole: temporary file, then rename; NaN is refused.

    Raises:
        ResultsError: The file cannot be written.
    """
    write_text(
        path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def write_text(path: Path, text: str) -> None:
    """Write a text file whole: temporary file, then rename.

    Raises:
        ResultsError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ResultsError(_cannot_write(path, error)) from error


def require_folder_of(path: Path) -> None:
    """Refuse a file that a user names in a folder that there is not.

    Raises:
        ResultsError: It is missing; to make it would hide a slip of the pen.
    """
    if not path.parent.is_dir():
        raise ResultsError(
            f"{path}: found no folder {path.parent}; needed one to write into; make it "
            "or give another place"
        )


def require_space(path: Path, needed_bytes: int) -> None:
    """Refuse to start when the disk cannot hold the rows to come.

    Raises:
        ResultsError: Less than ``needed_bytes`` are free.
    """
    existing = next(folder for folder in (path, *path.parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise ResultsError(
            f"{path}: found {free / 1e6:.0f} MB free, needed about "
            f"{needed_bytes / 1e6:.0f} MB for the rows of this study; free some space "
            "or give another --output"
        )


def remove_temporaries(run: Run) -> None:
    """Delete what a killed process left half-written."""
    for path in _temporaries(run.path):
        path.unlink(missing_ok=True)


def _temporaries(root: Path) -> Iterable[Path]:
    return (path for path in root.rglob("*.tmp") if path.is_file())


def _cannot_write(path: Path, error: OSError) -> str:
    return (
        f"{path}: cannot write ({error.strerror or error}); what was measured before "
        "is kept; free some space or mend the folder, then give the same command again"
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"{path}: cannot read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ResultsError(
            f"{path}: byte {error.start} is not UTF-8; needed the file as the run "
            "wrote it; remove the file and give the same command again"
        ) from error


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ResultsError(
            f"{path}: found {type(value).__name__}, needed fields by name, as the run "
            "wrote them; put that file back, or give another --output"
        )
    return value


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
