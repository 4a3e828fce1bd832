"""What is broken in a log is refused, and named by its line or sample."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written_logs import (
    BASE,
    KEYS,
    inspect_log,
    lm_eval_log,
    lm_eval_row,
    write_inspect,
    write_lighteval,
    write_lm_eval,
)

from concord.errors import DataError
from concord.harnesses.imported import find_log, read_log


def test_broken_lines_are_named(tmp_path: Path):
    folder = lm_eval_log(tmp_path / "base", BASE)
    file = next(folder.iterdir())
    file.write_text(file.read_text()[:-200])
    with pytest.raises(DataError, match=r"jsonl:4: not JSON"):
        read_log(find_log(str(folder)), KEYS)
    file.write_text('{"other": 1}\n')
    with pytest.raises(DataError, match=r"jsonl:1: found no 'doc'"):
        read_log(find_log(str(folder)), KEYS)


def test_old_details_of_lighteval_are_refused_by_their_columns(tmp_path: Path):
    path = tmp_path / "details_x_2024.parquet"
    pq.write_table(pa.table({"choices": [1], "predictions": [2]}), path)
    with pytest.raises(DataError, match=r"found columns choices, predictions; needed"):
        read_log(find_log(str(path)), KEYS)


def test_zstandard_inside_an_archive_is_refused_with_the_remedy(tmp_path: Path):
    path = write_inspect(tmp_path / "logs", BASE, end=".eval")
    content = bytearray(path.read_bytes())
    # The compression method stands in the local header and in the directory entry.
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.find(mark)
        while start >= 0:
            content[start + place : start + place + 2] = (93).to_bytes(2, "little")
            start = content.find(mark, start + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match="inspect log convert --to json"):
        read_log(find_log(str(path)), KEYS)


def test_an_unfinished_log_of_inspect_is_refused(tmp_path: Path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(inspect_log(BASE) | {"status": "error"}))
    with pytest.raises(DataError, match="status 'error'"):
        read_log(find_log(str(path)), KEYS)


LM_EVAL_FAULTS: dict[str, dict[str, Any]] = {
    "responses": {"filtered_resps": 5},
    "metrics": {"metrics": 7},
    "no list of numbers": {"arguments": 5},
    "deep": {"target": None, "doc": "DEEP"},
}


@pytest.mark.parametrize("fault", LM_EVAL_FAULTS.values(), ids=LM_EVAL_FAULTS.keys())
def test_damaged_lines_of_lm_eval_are_named(tmp_path: Path, fault: dict[str, Any]):
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(BASE)]
    rows[1] |= fault
    folder = write_lm_eval(tmp_path / "base", rows)
    file = next(folder.iterdir())
    deep = "[" * 100_000 + "]" * 100_000
    file.write_text(file.read_text().replace('"DEEP"', deep))
    with pytest.raises(DataError, match=r"jsonl:2: found .*needed"):
        read_log(find_log(str(folder)), KEYS)


def test_bytes_that_are_no_text_are_named(tmp_path: Path):
    folder = lm_eval_log(tmp_path / "base", BASE)
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes().replace(b"Ben", b"B\xffn"))
    with pytest.raises(DataError, match=r"jsonl:3: found a value .*utf-8"):
        read_log(find_log(str(folder)), KEYS)
    log = tmp_path / "log.json"
    log.write_bytes(json.dumps(inspect_log(BASE)).encode().replace(b"Ben", b"B\xffn"))
    with pytest.raises(DataError, match=r"log\.json: found a value .*utf-8"):
        read_log(find_log(str(log)), KEYS)
    with zipfile.ZipFile(tmp_path / "log.eval", "w") as archive:
        archive.writestr("header.json", b"\xff\xfe{}")
    with pytest.raises(DataError, match=r"header\.json: found a value .*utf-8"):
        read_log(find_log(str(tmp_path / "log.eval")), KEYS)


INSPECT_FAULTS: dict[str, Any] = {
    "metadata": {"metadata": "text"},
    "scores": {"scores": ["x"]},
    "score": {"scores": {"choice": None}},
    "epoch": {"epoch": "one"},
    "input": {"input": ["text"]},
    "output": {"output": "text", "scores": {}},
    "choices": {"choices": 5},
    "sample": None,
}


@pytest.mark.parametrize("fault", INSPECT_FAULTS.values(), ids=INSPECT_FAULTS.keys())
@pytest.mark.parametrize("end", [".json", ".eval"])
def test_damaged_samples_of_inspect_are_named(tmp_path: Path, fault: Any, end: str):
    log = inspect_log(BASE)
    log["samples"][1] = "text" if fault is None else log["samples"][1] | fault
    path = tmp_path / f"log{end}"
    if end == ".json":
        path.write_text(json.dumps(log))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for number, one in enumerate(log.pop("samples"), start=1):
                archive.writestr(f"samples/{number}_epoch_1.json", json.dumps(one))
            archive.writestr("header.json", json.dumps(log))
    with pytest.raises(DataError, match=r"(sample 2|/2_epoch_1\.json): found"):
        read_log(find_log(str(path)), KEYS)


@pytest.mark.parametrize("fault", [{"eval": "text"}, {"samples": 5}])
def test_a_damaged_head_of_inspect_is_named(tmp_path: Path, fault: dict[str, Any]):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(inspect_log(BASE) | fault))
    with pytest.raises(DataError, match=r"log\.json: found a value of another form"):
        read_log(find_log(str(path)), KEYS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("model_response", {"logprobs": [None, -1.0, -2.0]}),
        ("doc", [1]),
        ("metric", [1]),
    ],
)
def test_damaged_rows_of_lighteval_are_named(tmp_path: Path, column: str, value: Any):
    folder = write_lighteval(tmp_path / "base", BASE, as_text=True)
    path = next(folder.iterdir())
    rows = pq.read_table(path).to_pylist()
    rows[2][column] = repr(value)
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match=r"row 3: found a value of another form"):
        read_log(find_log(str(folder)), KEYS)
