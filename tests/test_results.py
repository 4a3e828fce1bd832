import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from concord import results
from concord.errors import ResultsError
from concord.results import (
    Run,
    claim,
    finished_parts,
    named_differences,
    open_run,
    query,
    read_rows,
    remove_temporaries,
    require_space,
    write_json,
    write_part,
    write_table,
    write_text,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    write_text(tmp_path / "study.yaml", "seed: 0\n")
    write_json(tmp_path / "run.json", {"base": "b", "tuned": ["t"]})
    return open_run(tmp_path)


def _write(run: Run, model: str, name: str, values: list[int], key: str) -> Path:
    table = pa.table({"x": values})
    return write_part(run, "facts", model, name=name, key=key, table=table)


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(ResultsError, match=r"found no study\.yaml"):
        open_run(tmp_path)


def test_parts_come_back_in_order_with_their_model(run: Run):
    key = claim(run, "facts", "b", {"seed": 0})
    _write(run, "b", "00001", [3], key)
    _write(run, "b", "00000", [1, 2], key)
    rows = read_rows(run, "facts", "b")
    assert rows is not None
    assert rows.to_pydict() == {"model": ["b", "b", "b"], "x": [1, 2, 3]}
    assert finished_parts(run, "facts", "b", key) == {"00000", "00001"}


def test_no_parts_are_none_not_empty(run: Run):
    assert read_rows(run, "facts", "t") is None


def test_another_key_is_refused_by_the_field_that_differs(run: Run):
    claim(run, "facts", "b", {"seed": 0, "model": {"fingerprint": "aa"}})
    with pytest.raises(ResultsError) as caught:
        claim(run, "facts", "b", {"seed": 0, "model": {"fingerprint": "bb"}})
    assert 'model.fingerprint: "aa" -> "bb"' in str(caught.value)
    assert "seed" not in str(caught.value)


def test_a_foreign_part_is_an_error(run: Run):
    key = claim(run, "facts", "b", {"seed": 0})
    _write(run, "b", "00000", [1], "another key")
    with pytest.raises(ResultsError, match="part of another run"):
        finished_parts(run, "facts", "b", key)


@pytest.mark.parametrize("broken", ["cut", "garbled", "empty"])
def test_a_broken_part_is_measured_again_and_named(
    run: Run, broken: str, caplog: pytest.LogCaptureFixture
):
    key = claim(run, "facts", "b", {"seed": 0})
    path = _write(run, "b", "00000", [1, 2, 3], key)
    whole = path.read_bytes()
    garbled = whole[:-60] + bytes(52) + whole[-8:]
    path.write_bytes({"cut": whole[:-20], "garbled": garbled, "empty": b""}[broken])
    assert finished_parts(run, "facts", "b", key) == set()
    assert f"{path}: cut or broken" in caplog.text


def test_a_part_that_may_not_be_read_is_never_measured_twice(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    key = claim(run, "facts", "b", {"seed": 0})
    path = _write(run, "b", "00000", [1], key)

    def forbidden(*given: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(pq, "read_metadata", forbidden)
    with pytest.raises(ResultsError, match=f"{path.name}: cannot read .Permission"):
        finished_parts(run, "facts", "b", key)


def test_a_full_disk_leaves_what_was_there(run: Run, monkeypatch: pytest.MonkeyPatch):
    key = claim(run, "facts", "b", {"seed": 0})
    _write(run, "b", "00000", [1], key)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(results.pq, "write_table", full)
    with pytest.raises(ResultsError, match="No space left"):
        _write(run, "b", "00001", [2], key)
    monkeypatch.undo()
    assert finished_parts(run, "facts", "b", key) == {"00000"}
    assert not list(run.path.rglob("*.tmp"))


def test_too_little_space_is_seen_before_the_start(tmp_path: Path):
    require_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(ResultsError, match="MB free"):
        require_space(tmp_path, 10**18)


def test_a_part_that_is_cut_is_named_where_rows_are_read(run: Run):
    key = claim(run, "facts", "b", {})
    path = _write(run, "b", "00000", [1, 2, 3], key)
    path.write_bytes(path.read_bytes()[:20])
    for read in (
        lambda: read_rows(run, "facts", "b"),
        lambda: query(run, "select * from facts"),
    ):
        with pytest.raises(ResultsError, match=r"part-00000\.parquet"):
            read()


def test_sql_sees_every_analysis_and_model(run: Run):
    for model in ("b", "t"):
        key = claim(run, "facts", model, {"model": model})
        _write(run, model, "00000", [1, 2], key)
    found = query(run, "select model, sum(x) as s from facts group by model order by 1")
    assert found.to_pydict() == {"model": ["b", "t"], "s": [3, 3]}


def test_a_folder_may_be_called_as_a_pattern(tmp_path: Path):
    run = Run(tmp_path / "run[1] *?'")
    write_json(run.path / "run.json", {"base": "b", "tuned": []})
    _write(run, "b", "00000", [1, 2], claim(run, "facts", "b", {}))
    assert query(run, "select sum(x) as s from facts").to_pydict() == {"s": [3]}


@pytest.mark.parametrize("name", ["study.yaml", "run.json"])
@pytest.mark.parametrize("content", [b"base: [unclosed", b'"\xff"', b"[1]", b""])
def test_a_damaged_file_of_a_run_is_named(run: Run, name: str, content: bytes):
    (run.path / name).write_bytes(content)
    with pytest.raises(ResultsError, match=name.replace(".", r"\.")):
        assert run.study and run.info


def test_sql_finds_an_analysis_of_any_spelling(run: Run):
    key = claim(run, "Lengths", "b", {})
    rows = pa.table({"x": [1, 2]})
    write_part(run, "Lengths", "b", name="00000", key=key, table=rows)
    assert query(run, "select sum(x) as s from Lengths").to_pydict() == {"s": [3]}
    assert query(run, "select sum(x) as s from LENGTHS").to_pydict() == {"s": [3]}


def test_sql_that_is_wrong_is_a_users_error(run: Run):
    key = claim(run, "facts", "b", {})
    _write(run, "b", "00000", [1], key)
    with pytest.raises(ResultsError, match="Known: facts"):
        query(run, "select * from factz")


def test_differences_name_nested_fields():
    found = {"a": {"b": 1, "c": 2}, "d": 3}
    wanted = {"a": {"b": 1, "c": 5}, "e": 4}
    text = named_differences(found, wanted)
    assert text == "a.c: 2 -> 5; d: 3 -> null; e: null -> 4"


def test_leftovers_of_a_kill_are_removed(run: Run):
    leftover = run.path / "rows" / "facts" / "b" / "part-0.123.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    remove_temporaries(run)
    assert not leftover.exists()


def test_not_a_number_never_reaches_json(tmp_path: Path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_a_file_in_the_way_of_a_folder_is_a_user_s_mistake(tmp_path: Path):
    (tmp_path / "file").touch()
    table = pa.table({"x": [1]})
    with pytest.raises(ResultsError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "text")
    with pytest.raises(ResultsError, match="cannot write"):
        write_table(tmp_path / "file" / "below.parquet", table)
