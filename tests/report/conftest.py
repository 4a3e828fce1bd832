"""Runs drawn once for all tests of the report."""

from pathlib import Path
from typing import Any

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
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose summary fills every section of the page, drawn.

    Some measures have no number for the base, some none for a tuned model.
    """
    run = finished_run(tmp_path_factory.mktemp("whole") / "run", facts=8)
    summary = read_json(run, "summary.json")
    models = run.models()
    summary["measures"] += [_measure(key, models, []) for key in _OTHER_KEYS]
    summary["measures"].append(_measure("truth.agreement_held_out", models, models[:1]))
    summary["measures"].append(_measure("truth.accuracy_held_out", models, models[1:]))
    summary["curves"] += [
        _curve(key, model, contexts)
        for key in _CURVES
        for model in models
        for contexts in ("study", "same")
        if model != models[0] or contexts == "study"
    ]
    summary["link"] = [
        _link(model, contexts, group)
        for model in models[1:]
        for contexts in ("same", "study")
        for group in range(90)
    ]
    summary["relation_layers"] = dict.fromkeys(models, [0, 1])
    change_json(run, "run.json", embedded=True, family=_FAMILY)
    change_json(run, "summary.json", **summary)
    write_report(run)
    return run


_OTHER_KEYS = (
    *(f"choices.mmlu.{name}" for name in ("accuracy", "spread", "spread_expected")),
    *("choices.mmlu.rewording_agreement", "choices.mmlu.reordering_agreement"),
    *("answers.arithmetic.accuracy", "answers.arithmetic.agreement"),
    *(f"finetuned.rte.{name}" for name in ("accuracy", "majority_share", "semantic")),
    *("finetuned.rte.negational", "finetuned.rte.symmetric"),
    *("truth.agreement_unseen", "truth.agreement_seen", "truth.accuracy_unseen"),
)
_CURVES = (
    *("enrichment.attributes_rate", "relations.contrast", "extraction.mhsa"),
    *("extraction.mlp", "knockout.subject"),
)
_FAMILY = {
    "base": {"description": "Not tuned.", "kind": "weights", "expected": "reference"},
    "tuned-1": {"description": "Talks.", "kind": "adapter", "expected": "gain"},
    "tuned-2": {"description": "Lists.", "kind": "diff", "expected": "loss"},
}


def _measure(key: str, models: list[str], without: list[str]) -> dict[str, Any]:
    number = {"value": 0.9, "low": 0.8, "high": 1.0, "reason": None}
    nothing = dict.fromkeys(("value", "low", "high")) | {"reason": "no such prompt"}
    sizes = {"n": {"facts": 12, "subjects": 9}}
    values = [
        {"model": model} | sizes | (nothing if model in without else number)
        for model in models
    ]
    analysis, dataset, *_ = key.split(".")
    return {
        "key": key,
        "title": key,
        "analysis": analysis,
        "dataset": dataset,
        "values": values,
        "differences": [one | {"value": 0.1, "low": 0.05} for one in values[1:]],
    }


def _curve(key: str, model: str, contexts: str) -> dict[str, Any]:
    parts = ("value", "low", "high", "band_low", "band_high")
    numbers = [0.3, 0.2, 0.4, 0.1, 0.5]
    lines = {part: [one, one + 0.1] for part, one in zip(parts, numbers, strict=True)}
    head = {"key": key, "model": model, "contexts": contexts, "layers": [0, 1]}
    return head | lines | {"n": {"facts": 8}}


def _link(model: str, contexts: str, group: int) -> dict[str, Any]:
    is_measured = group % 2 == 0
    number = {"value": 0.1 if is_measured else None, "low": None, "high": None}
    return number | {
        "model": model,
        "contexts": contexts,
        "key": "extraction.mhsa",
        "group": f"group {group}",
        "against": "others",
        "n": {"facts": 4, "subjects": 3},
        "n_against": {"facts": 5, "subjects": 4},
        "reason": None if is_measured else "too few subjects to draw from",
    }


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
