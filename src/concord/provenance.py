"""What a run is made of: the resolved study, versions, hardware, models, timings."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from concord.data.seen import SeenFacts
from concord.endpoints.usage import Usage
from concord.errors import ResultsError
from concord.keys import require_same_inputs
from concord.lock import LOCK
from concord.organism.family import FAMILY
from concord.plan import Plan
from concord.results import (
    Run,
    fingerprint,
    named_differences,
    remove_temporaries,
    require_space,
    write_json,
    write_part,
    write_text,
)
from concord.study import Study, TokenPrice, study_to_yaml, what_is_measured
from concord.summary.truth import TOLD

EMBEDDED = "embedded:"
"""Begins the source of a model that comes with concord."""
BYTES_PER_PROMPT = 2_000
"""Rows of one prompt on disk at most: all layers of a deep model."""
_PACKAGES = (
    "concord",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "numpy",
    "pyarrow",
)


def begin_run(output: Path, plan: Plan) -> Run:
    """Make the run's folder, or continue the one that lies there.

    Raises:
        ResultsError: The folder holds another study, or rows of other inputs (the
            difference is named), or something that is no run, or the disk is too full.
            Then nothing is written.
    """
    refuse_other_things(output)
    run = Run(output)
    if (output / "study.yaml").is_file():
        _require_same_study(run, plan.study)
        require_same_inputs(run, plan)
        remove_temporaries(run)
    prompt_count = sum(row["prompts"] for row in plan.workload)
    require_space(output, prompt_count * BYTES_PER_PROMPT + plan.scratch_bytes)
    known = run.info if (output / "run.json").is_file() else {}
    write_text(output / "study.yaml", study_to_yaml(plan.study))
    write_json(output / "audit.json", plan.audit)
    write_json(output / "run.json", _describe(plan, known))
    if plan.data.seen is not None:
        _write_seen(run, plan.data.seen)
    return run


def refuse_other_things(output: Path) -> None:
    """Refuse a place for a run that holds what is none.

    Raises:
        ResultsError: It is a file, or a folder with other things in it.
    """
    if (output / "study.yaml").is_file() or not output.exists():
        return
    if not output.is_dir():
        raise ResultsError(
            f"{output}: found no folder but a file; needed a new folder or a run to "
            "continue; give another --output"
        )
    if any(path.name != LOCK for path in output.iterdir()):
        raise ResultsError(
            f"{output}: found a folder with other things in it; needed a new folder or "
            "a run to continue; give another --output"
        )


def _write_seen(run: Run, seen: SeenFacts) -> None:
    """What each model was told, as rows beside the predictions."""
    schema = pa.schema([("fact", pa.string()), ("template", pa.int16())])
    for label, told in seen.told.items():
        rows = [
            {"fact": fact, "template": template}
            for fact, templates in told.items()
            for template in sorted(templates) or [None]
        ]
        table = pa.Table.from_pylist(rows, schema=schema)
        write_part(run, TOLD, label, name="told", key=fingerprint(rows), table=table)


def _require_same_study(run: Run, study: Study) -> None:
    found = what_is_measured(run.study)
    wanted = what_is_measured(study.model_dump(mode="json"))
    if found != wanted:
        raise ResultsError(
            f"{run.path}: holds another study: {named_differences(found, wanted)}; "
            "give another --output, or the settings it was begun with"
        )


def _describe(plan: Plan, known: Mapping[str, Any]) -> dict[str, Any]:
    study = plan.study
    return {
        "base": study.base.label,
        "tuned": [entry.label for entry in study.tuned],
        "embedded": any(e.source.startswith(EMBEDDED) for e in study.models),
        "family": _embedded_family(study),
        "models": known.get("models", {}),
        "data": plan.data.describe(),
        "workload": plan.workload,
        "seed": study.seed,
        "versions": {name: version(name) for name in _PACKAGES}
        | {"python": platform.python_version(), "git": _git_state()},
        "hardware": _hardware(),
        "timings": known.get("timings", {}),
        "usage": known.get("usage", {}),
    }


def _embedded_family(study: Study) -> dict[str, dict[str, Any]]:
    """What each model that comes with concord was tuned on, by its label."""
    names = {
        entry.label: entry.source.removeprefix(EMBEDDED)
        for entry in study.models
        if entry.source.startswith(EMBEDDED)
    }
    members = {member.name: member for member in FAMILY}
    told = ("description", "kind", "expected", "replay_share", "steps")
    return {
        label: {part: getattr(members[name], part) for part in told}
        for label, name in names.items()
        if name in members
    }


def record_model(
    run: Run,
    label: str,
    *,
    kind: str,
    info: Mapping[str, Any],
    files: list[list[Any]] | None,
) -> None:
    """Write what is known of a loaded model into ``run.json``."""
    known = run.info
    known["models"] = {
        **known["models"],
        label: {"kind": kind, "files": files, **info},
    }
    write_json(run.path / "run.json", known)


def record_timing(run: Run, model: str, analysis: str, seconds: float) -> None:
    """Add the seconds an analysis took to ``run.json`` (a continued run adds up)."""
    info = run.info
    timings = info["timings"].setdefault(model, {})
    timings[analysis] = round(timings.get(analysis, 0.0) + seconds, 3)
    write_json(run.path / "run.json", info)


def record_usage(
    run: Run, model: str, analysis: str, used: Usage, price: TokenPrice | None
) -> Usage:
    """Add to ``run.json`` what asking an endpoint has taken.

    Returns:
        All that this analysis of this model has taken, former starts included.
    """
    info = run.info
    known = info["usage"].setdefault(model, {}).get(analysis, {})
    whole = Usage(**{name: known.get(name, 0) for name in asdict(used)})
    whole.add(used)
    info["usage"][model][analysis] = whole.as_record(price)
    write_json(run.path / "run.json", info)
    return whole


def remembered_model(
    run: Run, label: str, files: list[list[Any]] | None
) -> dict[str, Any] | None:
    """What a former start of this run recorded of a model whose files are untouched."""
    known = run.info["models"].get(label)
    if known is None or files is None or known.get("files") != files:
        return None
    return {key: value for key, value in known.items() if key not in ("kind", "files")}


def _hardware() -> dict[str, Any]:
    gpus = [
        torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
    ]
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "system": platform.system(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _git_state() -> str | None:
    """Commit of concord's checkout, with ``+`` where files differ; None outside one."""
    folder = Path(__file__).parent
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=12",
    ]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
