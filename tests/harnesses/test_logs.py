"""Runs made of the logs of other tools: the same rows whoever logged, or a refusal."""

import json
from pathlib import Path

import pytest
from written_logs import (
    BASE,
    KEYS,
    OPTIONS,
    RIGHT,
    TUNED,
    inspect_log,
    lm_eval_log,
    lm_eval_row,
    write_any,
    write_lighteval,
    write_lm_eval,
)

from concord.errors import DataError, ResultsError
from concord.harnesses.answers import Keys
from concord.harnesses.imported import find_log, import_logs, read_log
from concord.results import read_json, read_rows

FORMS = ["lm-eval", "lighteval", "lighteval text", "inspect .json", "inspect .eval"]


@pytest.mark.parametrize("form", FORMS)
def test_the_same_answers_give_the_same_rows_whoever_logged_them(
    tmp_path: Path, form: str
):
    logs = [
        find_log(f"{name}={write_any(tmp_path / name, answers, form)}")
        for name, answers in (("base", BASE), ("tuned", TUNED))
    ]
    run = import_logs(logs, KEYS, tmp_path / "run")
    base, tuned = (read_rows(run, "facts", name) for name in ("base", "tuned"))
    assert base is not None and tuned is not None
    assert base["prediction"].to_pylist() == ["smith", "baker", "baker", "baker"]
    assert tuned["prediction"].to_pylist() == ["smith", "smith", "baker", "baker"]
    assert base["is_correct"].to_pylist() == [True, False, True, True]
    assert base["subject"].to_pylist() == ["Ada", "Ada", "Ben", "Ben"]
    assert base["template"].to_pylist() == [0, 1, 0, 1]
    assert base["object"].to_pylist() == ["smith", "smith", "baker", "baker"]
    assert base["prediction_index"].to_pylist() == [2, 1, 1, 1]
    assert base["candidate_count"].to_pylist() == [3] * 4
    if form.startswith("inspect"):
        assert base["score"].null_count == base["margin"].null_count == 4
        assert any("generated text" in n for n in run.info["data"]["facts"]["notes"])
    else:
        assert base["margin"].to_pylist() == pytest.approx([2.0, 1.1, 1.0, 1.0])
        assert tuned["is_tie"].to_pylist() == [False, False, False, True]
    assert base["free_prediction"].null_count == 4


def test_generated_text_is_compared_as_text(tmp_path: Path):
    rows = []
    for i, text in enumerate(["smith", "a smith", "", "baker"]):
        fact, wording, scores = BASE[i]
        row = lm_eval_row(i, fact, wording, scores)
        row |= {"filtered_resps": [text], "metrics": ["exact_match"]}
        row |= {"exact_match": float(i in (0, 3)), "target": OPTIONS[RIGHT[fact]]}
        rows.append(row)
    logs = [find_log(f"{n}={write_lm_eval(tmp_path / n, rows)}") for n in ("a", "b")]
    run = import_logs(logs, KEYS, tmp_path / "run")
    found = read_rows(run, "facts", "a")
    assert found is not None
    assert found["prediction"].to_pylist() == ["smith", "a smith", None, "baker"]
    assert found["prediction_index"].null_count == 1
    assert found["is_correct"].to_pylist() == [True, False, False, True]
    assert found["score"].null_count == 4


def test_letters_are_read_as_the_texts_of_a_field(tmp_path: Path):
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(BASE)]
    for row in rows:
        for letter, request in zip("ABC", row["arguments"].values(), strict=True):
            request["arg_1"] = f" {letter}"
    log = find_log(str(write_lm_eval(tmp_path / "base", rows)))
    cells = read_log(log, Keys("fact", choices="options"))
    assert [one.answer for one in cells.values()][:2] == ["smith", "baker"]


def test_only_the_first_filter_and_the_newest_file_are_read(tmp_path: Path):
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(BASE)]
    again = [row | {"filter": "strict", "filtered_resps": ["x"]} for row in rows]
    folder = write_lm_eval(tmp_path / "base", rows + again)
    (folder / "samples_jobs_2025-01-01T00-00-00.0.jsonl").write_text("broken")
    assert len(read_log(find_log(str(folder)), KEYS)) == 4


def test_repeats_of_inspect_are_contexts(tmp_path: Path):
    log = inspect_log(BASE)
    log["samples"] += [one | {"epoch": 2} for one in log["samples"]]
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    run = import_logs([find_log(f"{n}={path}") for n in "ab"], KEYS, tmp_path / "run")
    rows = read_rows(run, "facts", "a")
    assert rows is not None
    assert sorted(set(rows["context"].to_pylist())) == [0, 1]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (Keys("fct"), r"\.jsonl:1: found no field 'fct'.*did you mean 'fact'"),
        (Keys("doc_id", "wording"), "no group has two wordings"),
        (Keys("fact", "options"), "was at .*jsonl:1 already"),
        (Keys("fact", metric="f1"), "metric 'f1' is None.*acc, acc_norm"),
        (Keys("fact", choices="wording"), "'wording' is no list"),
    ],
)
def test_a_wrong_key_is_explained(tmp_path: Path, keys: Keys, words: str):
    folder = lm_eval_log(tmp_path / "base", BASE)
    logs = [find_log(f"{name}={folder}") for name in ("a", "b")]
    if words.startswith("no group"):
        rows = [lm_eval_row(i, *one) | {"doc_id": i} for i, one in enumerate(BASE)]
        for i, row in enumerate(rows):
            row["doc"]["wording"] = "a"
            row["doc_id"] = i
        write_lm_eval(folder, rows)
    with pytest.raises(DataError, match=words):
        import_logs(logs, keys, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_logs_of_different_tasks_have_nothing_to_compare(tmp_path: Path):
    base = lm_eval_log(tmp_path / "base", BASE)
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(TUNED)]
    for row in rows:
        row["doc"]["fact"] += " the Great"
    tuned = write_lm_eval(tmp_path / "tuned", rows)
    with pytest.raises(DataError, match="no group is in .* too"):
        import_logs([find_log(str(base)), find_log(str(tuned))], KEYS, tmp_path / "run")


def test_a_folder_without_logs_or_with_two_kinds_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        find_log(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no tool that is known"):
        find_log(str(tmp_path / "empty"))
    write_lighteval(tmp_path / "both", BASE)
    lm_eval_log(tmp_path / "both", BASE)
    with pytest.raises(DataError, match="lm-eval and lighteval"):
        find_log(str(tmp_path / "both"))


def test_nothing_is_written_over(tmp_path: Path):
    folder = lm_eval_log(tmp_path / "base", BASE)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("kept")
    logs = [find_log(f"{name}={folder}") for name in ("a", "b")]
    with pytest.raises(ResultsError, match="something there already"):
        import_logs(logs, KEYS, tmp_path / "run")
    assert (tmp_path / "run" / "mine.txt").read_text() == "kept"


def test_the_prompts_go_into_the_audit(tmp_path: Path):
    logs = [
        find_log(f"{name}={lm_eval_log(tmp_path / name, answers)}")
        for name, answers in (("base", BASE), ("tuned", TUNED))
    ]
    run = import_logs(logs, KEYS, tmp_path / "run")
    (row,) = read_json(run.path / "audit.json")
    assert row["base_text"] == row["tuned_text"] == "Ada in wording a works as a"
    assert row["same_ids"] is None


def test_paths_may_hold_the_sign_that_ends_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    place = lm_eval_log(Path("runs/lr=0.1"), BASE)
    named, bare = find_log(f"tuned={place}"), find_log(str(place))
    assert (named.label, named.path) == ("tuned", place)
    assert (bare.label, bare.path) == ("lr-0.1", place)


def test_logs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path):
    logs = [
        find_log(str(next(lm_eval_log(tmp_path / name, answers).iterdir())))
        for name, answers in (("before", BASE), ("after", TUNED))
    ]
    assert logs[0].label == logs[1].label
    run = import_logs(logs, KEYS, tmp_path / "run")
    assert (run.info["base"], run.info["tuned"]) == ("before", ["after"])
