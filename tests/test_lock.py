"""One process at a time writes a run; readers and killed processes are in no way."""

import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from concord import lock
from concord.compare import compare
from concord.errors import ResultsError
from concord.lock import LOCK, sole_writer
from concord.results import Run, query
from concord.study import resolve_study

HOLDS = """
import sys, time
from pathlib import Path
from concord.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_start_is_refused_while_another_process_writes(
    settings: dict[str, Any], tmp_path: Path
):
    study = resolve_study(
        settings, {"analyses": ["facts"], "facts": {"noise_prompts": 0}}
    )
    run = compare(study, tmp_path / "run")
    command = [sys.executable, "-c", HOLDS, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout and other.stdout.readline() == "held\n"
            half = run.folder("facts", "base") / "part-x.1.tmp"
            half.write_bytes(b"half")
            with pytest.raises(ResultsError, match=f"pid {other.pid} on .* is writing"):
                compare(study, run.path)
            assert half.exists()
            assert query(Run(run.path), "select count(*) as n from facts").num_rows
        finally:
            other.send_signal(signal.SIGKILL)
    compare(study, run.path)
    assert not half.exists()


def test_the_lock_is_given_back_after_a_failure(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path):
        raise ZeroDivisionError
    with sole_writer(tmp_path):
        assert f"pid {os.getpid()} on" in (tmp_path / LOCK).read_text()


def test_one_process_cannot_hold_it_twice(tmp_path: Path):
    with (
        sole_writer(tmp_path),
        pytest.raises(ResultsError, match=f"pid {os.getpid()}"),
        sole_writer(tmp_path),
    ):
        pass


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def has_none(*given: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", has_none)
    with caplog.at_level(logging.INFO, "concord"), sole_writer(tmp_path / "run"):
        pass
    assert "its file system has no locks (No locks available)" in caplog.text


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ResultsError, match="cannot write"),
        sole_writer(tmp_path / "file" / "run"),
    ):
        pass
