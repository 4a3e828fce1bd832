"""Runs drawn once for all tests of the report."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finished_run import HOSTILE, change_json, finished_run, read_json

from concord.report import write_report
from concord.results import Run, write_json


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three models, all analyses, drawn."""
    run = finished_run(tmp_path_factory.mktemp("drawn") / "run")
    write_report(run)
    return run


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose answers, subjects, tokens, notes and sources are hostile, drawn."""
    run = finished_run(tmp_path_factory.mktemp("hostile") / "run", relations=2, facts=8)
    for model in run.models():
        for part in run.parts("facts", model):
            _poison(part)
    info = read_json(run, "run.json")
    info["models"]["base"]["source"] = HOSTILE
    info["data"]["mrpc"] = {"counts": {HOSTILE: 3}, "notes": [HOSTILE]}
    change_json(run, "run.json", **info)
    audit = read_json(run, "audit.json")
    audit[0]["base_tokens"][0] = HOSTILE
    write_json(run.path / "audit.json", audit)
    change_json(run, "summary.json", notes=[HOSTILE])
    write_report(run)
    return run


def _poison(part: Path) -> None:
    table = pq.read_table(part)
    for name in ("prediction", "subject", "prompt"):
        texts = [f"{HOSTILE}{text}" for text in table[name].to_pylist()]
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(texts))
    pq.write_table(table, part)
