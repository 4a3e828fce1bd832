"""The whole way, from a study to a report, and what happens when it is cut short."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from small_study import write_lines, write_tuned

from concord.analyses import ANALYSES, Part, Task, facts
from concord.cli import KNOWN_ANALYSES
from concord.compare import compare
from concord.errors import DataError, ModelError, ResultsError, StudyError
from concord.results import Run, open_run, query, read_json
from concord.study import Study, resolve_study


def study_of(settings: dict[str, Any], **changes: Any) -> Study:
    return resolve_study(settings, {"facts": {"noise_prompts": 8}}, changes)


def contents(run: Run) -> dict[str, pa.Table]:
    return {
        str(path.relative_to(run.path)): pq.read_table(path)
        for path in sorted((run.path / "rows").rglob("*.parquet"))
    }


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PART_PROMPTS", 8)


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    base_folder: Path,
    tuned_folder: Path,
    data_dir: Path,
) -> Run:
    settings = {
        "base": str(base_folder),
        "tuned": [str(tuned_folder)],
        "data_dir": str(data_dir),
        "statistics": {"replicates": 100, "permutations": 100},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts, "PART_PROMPTS", 8)
        return compare(study_of(settings), tmp_path_factory.mktemp("run") / "r")


def test_a_run_holds_all_that_is_promised(finished: Run):
    for name in ("study.yaml", "run.json", "audit.json", "summary.json", "report.html"):
        assert (finished.path / name).is_file(), name
    assert list((finished.path / "tables").glob("*.csv"))
    assert list((finished.path / "figures").glob("*.svg"))
    assert finished.models() == ["base", "tuned"]
    assert open_run(finished.path).study["base"]["label"] == "base"


def test_the_run_says_what_it_was_made_of(finished: Run):
    info = finished.info
    for label in ("base", "tuned"):
        model = info["models"][label]
        assert len(model["fingerprint"]) == 64
        assert model["dtype"] == "float32"
    assert (
        info["models"]["base"]["fingerprint"] != info["models"]["tuned"]["fingerprint"]
    )
    assert {"torch", "transformers", "concord"} <= set(info["versions"])
    assert info["data"]["facts"]["counts"]["prompts"] == 30
    assert info["timings"]["base"]["facts"] > 0


def test_headline_numbers_equal_a_plain_reference(finished: Run):
    """Agreement and accuracy from the rows, by loops over their definitions."""
    summary = read_json(finished.path / "summary.json")
    found = {
        (measure["key"], value["model"]): value["value"]
        for measure in summary["measures"]
        for value in measure["values"]
    }
    for model in ("base", "tuned"):
        sql = f"select * from facts where model = '{model}' and contexts = 'study'"
        rows = query(finished, sql).to_pylist()
        expected = plain_reference(rows)
        assert found["facts.agreement", model] == pytest.approx(expected[0])
        assert found["facts.accuracy", model] == pytest.approx(expected[1])


def plain_reference(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean over contexts, then facts of a relation, then relations."""
    agreement: dict[str, dict[str, list[float]]] = {}
    accuracy: dict[str, dict[str, list[float]]] = {}
    by_fact: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        key = row["relation"], row["fact"], row["context"]
        by_fact.setdefault(key, []).append(row)
    for (relation, fact, _), own in by_fact.items():
        equal = pairs = 0
        for i, first in enumerate(own):
            for second in own[i + 1 :]:
                pairs += 1
                equal += first["prediction"] == second["prediction"]
        right = sum(row["is_correct"] for row in own) / len(own)
        agreement.setdefault(relation, {}).setdefault(fact, []).append(equal / pairs)
        accuracy.setdefault(relation, {}).setdefault(fact, []).append(right)
    return _macro(agreement), _macro(accuracy)


def _macro(values: dict[str, dict[str, list[float]]]) -> float:
    def mean(numbers: list[float]) -> float:
        return sum(numbers) / len(numbers)

    return mean([mean([mean(v) for v in facts.values()]) for facts in values.values()])


def test_the_same_call_measures_nothing_twice(
    finished: Run,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch,
):
    before = {
        path: path.stat().st_mtime_ns for path in finished.path.rglob("*.parquet")
    }

    def never(*arguments: object) -> None:
        raise AssertionError("a finished model was loaded again")

    monkeypatch.setattr("concord.models.loader.load_model", never)
    with caplog.at_level(logging.INFO, "concord"):
        compare(study_of(settings), finished.path)
    after = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.parquet")}
    assert before == after
    assert "base: all analyses finished before; kept" in caplog.text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"limit": 3}, "limit: null -> 3"),
        ({"facts": {"scoring": "full"}}, 'facts.scoring: "top" -> "full"'),
    ],
)
def test_a_changed_study_is_refused_by_name(
    finished: Run, settings: dict[str, Any], changes: dict[str, Any], named: str
):
    settings["facts"] = {"noise_prompts": 8} | changes.pop("facts", {})
    with pytest.raises(ResultsError) as caught:
        compare(resolve_study(settings, changes), finished.path)
    assert named in str(caught.value)


def test_a_changed_model_is_refused_by_name(
    settings: dict[str, Any], base_folder: Path, tmp_path: Path
):
    tuned = write_tuned(base_folder, tmp_path / "model")
    settings["tuned"] = [str(tuned)]
    changes = {"analyses": ["representation"]}
    compare(study_of(settings, **changes), tmp_path / "run")
    write_tuned(base_folder, tuned, size=0.06)
    with pytest.raises(ResultsError, match=r"model\.fingerprint"):
        compare(study_of(settings, **changes), tmp_path / "run")


def test_a_changed_data_set_is_refused_by_name(
    settings: dict[str, Any], tmp_path: Path, data_dir: Path
):
    rows = [
        {"group": str(i), "text": f"{text} {i}"}
        for i in range(3)
        for text in ("a", "b")
    ]
    file = tmp_path / "groups.jsonl"
    write_lines(file, rows)
    changes = {
        "analyses": ["representation"],
        "representation": {"datasets": [str(file)]},
    }
    compare(study_of(settings, **changes), tmp_path / "run")
    rows[0]["text"] = "another sentence"
    write_lines(file, rows)
    with pytest.raises(ResultsError, match=r"data\.groups"):
        compare(study_of(settings, **changes), tmp_path / "run")


def test_a_run_cut_by_kill_9_goes_on_to_the_same_rows(
    finished: Run, settings: dict[str, Any], tmp_path: Path
):
    """Killed between parts of the tuned model, then the same command again."""
    settings["facts"] = {"noise_prompts": 8}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    output = tmp_path / "run"
    command = [sys.executable, "-c", KILLABLE, str(file), str(output)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(list(output.glob("rows/facts/tuned/part-*.parquet"))) < 3:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path for path in output.rglob("part-*.parquet")}
    assert not (output / "report.html").exists()
    times = {path: path.stat().st_mtime_ns for path in kept}
    again = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    assert "kept" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    mine, whole = contents(Run(output)), contents(finished)
    assert mine.keys() == whole.keys()
    for name, table in whole.items():
        assert mine[name].equals(table), name


KILLABLE = """
import logging, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from concord.analyses import facts
from concord.compare import compare
from concord.study import read_study_file, resolve_study
logging.basicConfig(level=logging.INFO)
facts.PART_PROMPTS = 8
compare(resolve_study(read_study_file(Path(sys.argv[1]))), Path(sys.argv[2]))
"""


def test_what_was_measured_survives_a_failure(
    settings: dict[str, Any], tmp_path: Path, monkeypatch
):
    def breaks(task: Task):
        yield Part("one", pa.table({"x": [1]}))
        raise OSError("the disk went away")

    study = resolve_study(settings, {"analyses": ["facts", "own"]})
    with pytest.raises(OSError, match="went away"):
        compare(study, tmp_path / "run", analyses={**ANALYSES, "own": breaks})
    run = Run(tmp_path / "run")
    assert run.parts("facts", "base")
    assert run.parts("own", "base")


def test_an_analysis_of_ones_own_is_a_function(
    settings: dict[str, Any], tmp_path: Path
):
    def lengths(task: Task):
        prompts = task.data.facts.facts if task.data.facts else ()
        yield Part("all", pa.table({"fact": [fact.id for fact in prompts]}))

    study = resolve_study(settings, {"analyses": ["facts", "lengths"]})
    run = compare(study, tmp_path / "run", analyses={**ANALYSES, "lengths": lengths})
    found = query(run, "select count(*) as n from lengths").to_pylist()
    assert found == [{"n": 2 * 12}]


def test_nothing_is_written_before_everything_is_checked(
    settings: dict[str, Any], tmp_path: Path
):
    settings["tuned"] = [str(tmp_path / "nothing")]
    with pytest.raises(ModelError, match="no such folder"):
        compare(study_of(settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_analysis_is_refused_before_anything_is_measured(
    settings: dict[str, Any], tmp_path: Path
):
    study = resolve_study(settings, {"analyses": ["facts", "factz"]})
    with pytest.raises(StudyError, match="'factz'.*did you mean 'facts'"):
        compare(study, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_things_is_left_alone(
    settings: dict[str, Any], tmp_path: Path
):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ResultsError, match="other things in it"):
        compare(study_of(settings), tmp_path)
    with pytest.raises(ResultsError, match="found no folder but a file"):
        compare(study_of(settings), tmp_path / "precious.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_an_empty_data_file_is_named(settings: dict[str, Any], tmp_path: Path):
    empty = tmp_path / "groups.jsonl"
    empty.write_text("")
    settings["representation"] = {"datasets": [str(empty)]}
    with pytest.raises(DataError, match=r"groups\.jsonl"):
        compare(study_of(settings), tmp_path / "run")


def test_two_tokenizers_in_a_same_prompt_control_are_refused(
    settings: dict[str, Any], tmp_path: Path, tuned_folder: Path
):
    import shutil

    other = Path(shutil.copytree(tuned_folder, tmp_path / "other"))
    tokenizer = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:5]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    settings["tuned"] = [str(other)]
    with pytest.raises(ModelError, match="contexts 'same' needs the same ids"):
        compare(study_of(settings), tmp_path / "run")
    run = compare(study_of(settings, contexts=["study"]), tmp_path / "run")
    assert (run.path / "report.html").is_file()


def test_the_command_line_knows_every_analysis():
    assert set(KNOWN_ANALYSES) == set(ANALYSES)
