"""Logs of two models on four questions, as each of the tools writes them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from concord.harnesses.answers import Keys

KEYS = Keys("fact", "wording")
OPTIONS = ["baker", "smith", "actor"]
# Ada is a smith, Ben a baker; each line: fact, wording, scores of the options.
BASE = [
    ("Ada", "a", [-6.9, -4.9, -38.0]),
    ("Ada", "b", [-7.5, -8.6, -41.0]),
    ("Ben", "a", [-1.0, -2.0, -3.0]),
    ("Ben", "b", [-1.5, -2.5, -3.5]),
]
TUNED = [
    ("Ada", "a", [-6.0, -4.0, -9.0]),
    ("Ada", "b", [-6.0, -5.0, -9.0]),
    ("Ben", "a", [-1.0, -2.0, -3.0]),
    ("Ben", "b", [-1.0, -1.0, -3.0]),
]
RIGHT = {"Ada": 1, "Ben": 0}


def lm_eval_row(number: int, fact: str, wording: str, scores: list[float]) -> Any:
    """A line of ``samples_jobs_*.jsonl``, as lm-eval 0.4.13 writes it."""
    prompt = f"{fact} in wording {wording} works as a"
    pairs = [[str(score), "False"] for score in scores]
    return {
        "doc_id": number,
        "doc": {"fact": fact, "wording": wording, "options": OPTIONS},
        "target": str(RIGHT[fact]),
        "arguments": {
            f"gen_args_{i}": {"arg_0": prompt, "arg_1": f" {option}"}
            for i, option in enumerate(OPTIONS)
        },
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "acc": float(scores.index(max(scores)) == RIGHT[fact]),
        "acc_norm": 0.0,
    }


def write_lm_eval(folder: Path, rows: list[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "samples_jobs_2026-11-20T16-09-23.480466.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def lm_eval_log(folder: Path, answers: list[Any]) -> Path:
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(answers)]
    return write_lm_eval(folder, rows)


def write_lighteval(folder: Path, answers: list[Any], *, as_text: bool = False) -> Path:
    """Details as lighteval 0.13 saves them: doc, model_response and metric."""
    rows = []
    for number, (fact, wording, scores) in enumerate(answers):
        row: dict[str, Any] = {
            "doc": {
                "query": f"{fact} in wording {wording} works as a",
                "choices": [f" {option}" for option in OPTIONS],
                "gold_index": [RIGHT[fact]],
                "specific": {"fact": fact, "wording": wording},
                "id": str(number),
                "task_name": "jobs|0",
            },
            "model_response": {
                "input": f"{fact} in wording {wording} works as a",
                "text": [],
                "logprobs": scores,
                "argmax_logits_eq_gold": [False] * 3,
            },
            "metric": {"acc": float(scores.index(max(scores)) == RIGHT[fact])},
        }
        rows.append({k: str(v) for k, v in row.items()} if as_text else row)
    folder.mkdir(parents=True)
    path = folder / "details_jobs|0_2026-11-20T16-09-23.480466.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return folder


def inspect_log(answers: list[Any]) -> dict[str, Any]:
    """A log of inspect, version 2; the model answered with a letter."""
    samples = []
    for number, (fact, wording, scores) in enumerate(answers):
        place = scores.index(max(scores))
        samples.append(
            {
                "id": number,
                "epoch": 1,
                "input": f"{fact} in wording {wording} works as a",
                "choices": OPTIONS,
                "target": "ABC"[RIGHT[fact]],
                "metadata": {"fact": fact, "wording": wording},
                "output": {
                    "choices": [{"message": {"content": f"ANSWER: {'ABC'[place]}"}}],
                    "completion": f"ANSWER: {'ABC'[place]}",
                },
                "scores": {
                    "choice": {
                        "value": "C" if place == RIGHT[fact] else "I",
                        "answer": "ABC"[place],
                    }
                },
            }
        )
    return {
        "version": 2,
        "status": "success",
        "eval": {"task": "jobs", "model": "local/base"},
        "samples": samples,
    }


def write_inspect(folder: Path, answers: list[Any], *, end: str) -> Path:
    folder.mkdir(parents=True)
    path = folder / f"2026-11-20T16-09-23+00-00_jobs_Xy{end}"
    log = inspect_log(answers)
    if end == ".json":
        path.write_text(json.dumps(log))
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        samples = log.pop("samples")
        for one in samples:
            archive.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
        archive.writestr("header.json", json.dumps(log))
    return path


def write_any(folder: Path, answers: list[Any], form: str) -> Path:
    if form == "lm-eval":
        return lm_eval_log(folder, answers)
    if form.startswith("lighteval"):
        return write_lighteval(folder, answers, as_text="text" in form)
    return write_inspect(folder, answers, end=form.removeprefix("inspect "))
