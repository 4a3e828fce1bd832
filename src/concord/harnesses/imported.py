"""A run folder made from logs of other tools, for everything that reads rows alone."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from concord.errors import DataError, ResultsError
from concord.harnesses.answers import (
    Cell,
    Keys,
    Numbering,
    cells_of,
    number,
    require_same_questions,
    rows_of,
)
from concord.harnesses.inspect_log import inspect_files, read_inspect
from concord.harnesses.lighteval_log import lighteval_files, read_lighteval
from concord.harnesses.lm_eval_log import lm_eval_files, read_lm_eval
from concord.harnesses.samples import Sample
from concord.results import Run, claim, write_json, write_part, write_text
from concord.study import Study, label_models, resolve_study, study_to_yaml

ANALYSIS = "facts"


@dataclass(frozen=True)
class Log:
    """What one tool wrote about one model."""

    label: str
    path: Path
    tool: str
    files: tuple[Path, ...]
    is_named: bool = True
    """The user gave the label; else it is that of the file or folder."""


def find_log(source: str) -> Log:
    """The log a user names, as ``PATH`` or ``LABEL=PATH``.

    Paths may hold ``=`` themselves: what exists as a whole is a path, else the first
    ``=`` ends the label.

    Raises:
        DataError: There is nothing, or nothing that is known.
    """
    label, path = "", Path(source).expanduser()
    if not path.exists() and "=" in source:
        label, _, place = source.partition("=")
        path = Path(place).expanduser()
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder; needed logs of lm-eval "
            "(samples_*.jsonl), lighteval (details_*.parquet) or inspect (.json, .eval)"
        )
    tool, files = _files_in(path)
    return Log(label or _label_of(path), path, tool, tuple(files), bool(label))


def _label_of(path: Path) -> str:
    """The label that a study would give to a model in this place."""
    named: dict[str, Any] = {"base": {"source": str(path.resolve())}}
    label_models(named)
    return named["base"]["label"]


def _told_apart(logs: Sequence[Log]) -> list[Log]:
    """Logs of one name, as harnesses give them, by the folders in which they lie."""
    counts = Counter(log.label for log in logs)
    return [
        log
        if log.is_named or counts[log.label] == 1
        else replace(log, label=_label_of(log.path.resolve().parent))
        for log in logs
    ]


def _files_in(path: Path) -> tuple[str, list[Path]]:
    found = {
        "lm-eval": [path] if path.suffix == ".jsonl" else [],
        "lighteval": [path] if path.suffix == ".parquet" else [],
        "inspect": [path] if path.suffix in (".json", ".eval") else [],
    }
    if path.is_dir():
        found = {
            "lm-eval": lm_eval_files(path),
            "lighteval": lighteval_files(path),
            "inspect": [],
        }
        if not any(found.values()):
            found["inspect"] = inspect_files(path)
    tools = [tool for tool, files in found.items() if files]
    if len(tools) != 1:
        raise DataError(
            f"{path}: found logs of {' and '.join(tools) or 'no tool that is known'}; "
            "needed samples_*.jsonl (lm-eval), details_*.parquet (lighteval), or .json "
            "and .eval (inspect); name the folder or file of one"
        )
    return tools[0], found[tools[0]]


def read_log(log: Log, keys: Keys) -> dict[Cell, Sample]:
    """All questions of a log, by what they ask.

    Raises:
        DataError: A file is not of its tool's form, or holds no question.
    """
    samples: list[Sample] = []
    for path in log.files:
        if log.tool == "lm-eval":
            samples += read_lm_eval(path, choices_key=keys.choices, metric=keys.metric)
        elif log.tool == "lighteval":
            samples += read_lighteval(path, metric=keys.metric)
        else:
            samples += read_inspect(path, metric=keys.metric)
    if not samples:
        raise DataError(
            f"{log.path}: holds no samples; needed logs of every question; with "
            "lm-eval give --log_samples, with lighteval --save-details"
        )
    return cells_of(samples, keys)


def import_logs(
    logs: Sequence[Log],
    keys: Keys,
    output: Path,
    *,
    statistics: dict[str, Any] | None = None,
    seed: int = 0,
) -> Run:
    """Write a run from logs: rows, study and provenance, no summary yet.

    Args:
        logs: The base's, then those of the tuned models.
        keys: Fields that say what is a wording of what.
        output: New folder.
        statistics: Settings of the summary.
        seed: Of resamples and sign flips.

    Raises:
        DataError: A log cannot be read, or the logs have no group in common.
        ResultsError: The folder holds something, or cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ResultsError(
            f"{output}: found something there already; needed a new folder for the "
            "imported run; give another --output, or remove it"
        )
    logs = _told_apart(logs)
    models = [read_log(log, keys) for log in logs]
    _require_common(logs, models)
    if not keys.variant:
        require_same_questions(models)
    study = _study(logs, models, statistics or {}, seed)
    unfinished = output.with_name(f"{output.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    _write(Run(unfinished), study, logs, keys, models)
    try:
        os.replace(unfinished, output)
    except OSError as error:
        raise ResultsError(f"{output}: cannot write ({error.strerror})") from error
    return Run(output)


def _require_common(logs: Sequence[Log], models: Sequence[dict[Cell, Sample]]) -> None:
    groups = [{cell[:2] for cell in cells} for cells in models]
    for log, own in zip(logs[1:], groups[1:], strict=True):
        if not own & groups[0]:
            first = next(iter(own))
            raise DataError(
                f"{log.path}: no group is in {logs[0].path} too, for instance "
                f"{first[1]!r} of {first[0]!r}; needed logs of the same task; check "
                "--group and --relation"
            )


def _study(
    logs: Sequence[Log],
    models: Sequence[dict[Cell, Sample]],
    statistics: dict[str, Any],
    seed: int,
) -> Study:
    tasks = sorted({sample.task for cells in models for sample in cells.values()})
    entries = [{"source": str(log.path), "label": log.label} for log in logs]
    named = ", ".join(tasks[:3]) + (" and others" if len(tasks) > 3 else "")
    return resolve_study(
        {
            "base": entries[0],
            "tuned": entries[1:],
            "analyses": [ANALYSIS],
            "contexts": ["study"],
            "facts": {"source": named, "noise_prompts": 0},
            "statistics": statistics,
            "seed": seed,
        }
    )


def _write(
    run: Run,
    study: Study,
    logs: Sequence[Log],
    keys: Keys,
    models: Sequence[dict[Cell, Sample]],
) -> None:
    numbering = number(models)
    for log, cells in zip(logs, models, strict=True):
        key = {"tool": log.tool, "files": _hashes(log), "keys": asdict(keys)}
        mark = claim(run, ANALYSIS, log.label, key)
        table = rows_of(cells, numbering)
        write_part(run, ANALYSIS, log.label, name="00000", key=mark, table=table)
    write_json(run.path / "audit.json", _audit(logs, models))
    write_json(run.path / "run.json", _info(study, logs, models, numbering))
    write_text(run.path / "study.yaml", study_to_yaml(study))


def _hashes(log: Log) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in log.files
    }


def _audit(
    logs: Sequence[Log], models: Sequence[dict[Cell, Sample]]
) -> list[dict[str, Any]]:
    """The first common question; tokens are out of sight."""
    rows = []
    for log, cells in zip(logs[1:], models[1:], strict=True):
        cell = next((cell for cell in models[0] if cell in cells), None)
        if cell is None:
            continue
        row: dict[str, Any] = {
            "analysis": ANALYSIS,
            "contexts": "study",
            "context": 0,
            "tuned_model": log.label,
            "same_ids": None,
        }
        for side, sample in (("base", models[0][cell]), ("tuned", cells[cell])):
            row |= {f"{side}_text": sample.prompt}
            row |= {f"{side}_ids": [], f"{side}_tokens": []}
        rows.append(row)
    return rows


def _info(
    study: Study,
    logs: Sequence[Log],
    models: Sequence[dict[Cell, Sample]],
    numbering: Numbering,
) -> dict[str, Any]:
    kinds = ["base", *["tuned"] * (len(logs) - 1)]
    counts = {
        "relations": len(numbering.templates),
        "templates": sum(map(len, numbering.templates.values())),
        "facts": len({cell[:2] for cells in models for cell in cells}),
        "prompts": max(map(len, models)),
    }
    notes = [f"Imported from logs of {' and '.join(sorted({x.tool for x in logs}))}."]
    if not all(sample.scores for cells in models for sample in cells.values()):
        notes.append(
            "The logs hold generated text: no scores and margins, and two answers are "
            "equal only where their texts are."
        )
    return {
        "base": study.base.label,
        "tuned": [entry.label for entry in study.tuned],
        "embedded": False,
        "models": {
            log.label: {"kind": kind, "source": str(log.path), "imported": log.tool}
            for log, kind in zip(logs, kinds, strict=True)
        },
        "data": {"facts": {"counts": counts, "notes": notes}},
        "workload": [],
        "seed": study.seed,
        "versions": {"concord": version("concord")},
        "hardware": {},
        "timings": {},
    }
