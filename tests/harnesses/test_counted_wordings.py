"""Wordings that have no name are counted by the ids of their questions."""

from pathlib import Path

import pytest
from written_logs import BASE, KEYS, lm_eval_log, lm_eval_row, write_lm_eval

from concord.errors import DataError
from concord.harnesses.answers import Keys
from concord.harnesses.imported import find_log, import_logs, read_log
from concord.results import read_rows


def test_wordings_without_names_are_counted(tmp_path: Path):
    log = find_log(str(lm_eval_log(tmp_path / "base", BASE)))
    cells = read_log(log, Keys("fact"))
    assert [cell[:3] for cell in cells] == [
        ("jobs", "Ada", "0"),
        ("jobs", "Ada", "1"),
        ("jobs", "Ben", "0"),
        ("jobs", "Ben", "1"),
    ]


def counted_log(folder: Path, order: str, *, without: int | None = None) -> Path:
    """Every wording has its own answer, whatever the fact; written in some order."""
    rows = []
    for fact in ("Ada", "Ben"):
        for wording in order:
            best = "abc".index(wording)
            scores = [-1.0 if place == best else -5.0 for place in range(3)]
            rows.append(lm_eval_row(len(rows), fact, wording, scores))
    numbers = {"Ada": 0, "Ben": 3}
    for row in rows:
        doc = row["doc"]
        row["doc_id"] = numbers[doc["fact"]] + "abc".index(doc["wording"])
    kept = [row for row in rows if row["doc_id"] != without]
    return write_lm_eval(folder, kept)


def test_wordings_are_counted_by_their_ids_not_by_the_order_of_lines(tmp_path: Path):
    logs = [
        find_log(f"{name}={counted_log(tmp_path / name, order)}")
        for name, order in (("base", "abc"), ("tuned", "cab"))
    ]
    run = import_logs(logs, Keys("fact"), tmp_path / "run")
    by_cell = [
        {(r["fact"], r["template"]): r["prediction"] for r in found.to_pylist()}
        for name in ("base", "tuned")
        if (found := read_rows(run, "facts", name)) is not None
    ]
    assert by_cell[0] == by_cell[1] and len(by_cell[0]) == 6


def test_a_missing_line_shifts_no_wording_into_anothers_place(tmp_path: Path):
    base = counted_log(tmp_path / "base", "abc")
    tuned = counted_log(tmp_path / "tuned", "abc", without=1)
    logs = [find_log(str(base)), find_log(str(tuned))]
    words = "wording 1 of group 'Ada' is question 2 .* it is 1 .* --variant"
    with pytest.raises(DataError, match=words):
        import_logs(logs, Keys("fact"), tmp_path / "run")
    run = import_logs(logs, KEYS, tmp_path / "run")
    found = read_rows(run, "facts", "tuned")
    assert found is not None and found.num_rows == 5


def test_a_question_logged_twice_is_no_other_wording(tmp_path: Path):
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(BASE)]
    folder = write_lm_eval(tmp_path / "base", [*rows, rows[0]])
    with pytest.raises(DataError, match=r"jsonl:5: question 0 of jobs was at .*:1 al"):
        read_log(find_log(str(folder)), Keys("fact"))
    rows[1]["doc_id"] = None
    folder = write_lm_eval(tmp_path / "base", rows)
    with pytest.raises(DataError, match=r"jsonl:2: found no id .* --variant"):
        read_log(find_log(str(folder)), Keys("fact"))
