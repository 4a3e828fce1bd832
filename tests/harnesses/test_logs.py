import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from concord.errors import DataError, ResultsError
from concord.harnesses.answers import Keys
from concord.harnesses.imported import find_log, import_logs, read_log
from concord.results import read_json, read_rows

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


def test_wordings_without_names_are_counted(tmp_path: Path):
    log = find_log(str(lm_eval_log(tmp_path / "base", BASE)))
    cells = read_log(log, Keys("fact"))
    assert [cell[:3] for cell in cells] == [
        ("jobs", "Ada", "0"),
        ("jobs", "Ada", "1"),
        ("jobs", "Ben", "0"),
        ("jobs", "Ben", "1"),
    ]


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


def of_lm_eval(
    path: Path, rows: list[Any], keys: Keys = KEYS
) -> list[tuple[str | None, str | None, bool | None]]:
    """Answer, target and verdict of every sample."""
    cells = read_log(find_log(str(write_lm_eval(path, rows))), keys)
    return [(one.answer, one.target, one.is_correct) for one in cells.values()]


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


def numeric(number: int, target: str, best: int, acc: float | None) -> Any:
    """A question with the options 1, 2 and 3."""
    scores = [-1.0 if place == best else -5.0 for place in range(3)]
    row = lm_eval_row(number, "Ada", "ab"[number], scores)
    for option, request in zip("123", row["arguments"].values(), strict=True):
        request["arg_1"] = f" {option}"
    row |= {"target": target, "metrics": [] if acc is None else ["acc"], "acc": acc}
    return row


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        # Nothing settles it: a target that is an option's text is that.
        ([("1", 0, None)], [("1", "1", True)]),
        ([("1", 0, 1.0)], [("1", "1", True)]),
        # The log says that the second option was right: 1 was its place.
        ([("1", 1, 1.0)], [("2", "2", True)]),
        # A wrong answer that neither reading makes right is read as the other line is.
        ([("1", 1, 1.0), ("1", 2, 0.0)], [("2", "2", True), ("3", "2", False)]),
        ([("1", 0, 1.0), ("2", 0, 0.0)], [("1", "1", True), ("1", "2", False)]),
        # No option is called 0: only the place is left.
        ([("0", 0, None)], [("1", "1", True)]),
        ([("3", 2, None)], [("3", "3", True)]),
    ],
)
def test_targets_that_are_numbers_are_read_as_the_log_judged(
    tmp_path: Path, rows: list[Any], found: list[Any]
):
    lines = [numeric(number, *row) for number, row in enumerate(rows)]
    assert of_lm_eval(tmp_path / "base", lines) == found


@pytest.mark.parametrize(
    "rows",
    [
        [("1", 2, 1.0)],
        [("1", 0, 0.0), ("1", 1, 0.0)],
        [("1", 0, 1.0), ("1", 1, 1.0)],
    ],
)
def test_a_log_that_contradicts_its_targets_is_refused(tmp_path: Path, rows: list[Any]):
    lines = [numeric(number, *row) for number, row in enumerate(rows)]
    with pytest.raises(DataError, match=r"jsonl:\d: found acc [01], but the best"):
        of_lm_eval(tmp_path / "base", lines)


def test_options_that_are_all_one_text_are_refused(tmp_path: Path):
    """As where options stand in the prompt, and one ending is scored behind each."""
    row = lm_eval_row(0, "Ada", "a", [-3.0, -5.0, -4.0])
    for request in row["arguments"].values():
        request["arg_1"] = " smith"
    row |= {"target": "smith", "acc": 0.0}
    with pytest.raises(DataError, match="options that can be told apart"):
        of_lm_eval(tmp_path / "base", [row])


@pytest.mark.parametrize(
    ("metric", "answer"), [("acc", "x"), ("acc_norm", "yyyy"), ("acc_bytes", "éééé")]
)
def test_the_metric_that_judges_chooses_too(tmp_path: Path, metric: str, answer: str):
    # Sums: x is best. By character: -2, -1, -1.2. By byte: -2, -1, -0.6.
    options, scores = ["x", "yyyy", "éééé"], [-2.0, -4.0, -4.8]
    rows = [lm_eval_row(i, "Ada", "ab"[i], scores) for i in range(2)]
    for row in rows:
        for option, request in zip(options, row["arguments"].values(), strict=True):
            request["arg_1"] = f" {option}"
        row |= {"target": "1", "acc": 0.0, "acc_norm": 1.0, "acc_bytes": 0.0}
    keys = Keys("fact", "wording", metric=metric)
    found = of_lm_eval(tmp_path / "base", rows, keys)
    assert found == [(answer, "yyyy", answer == "yyyy")] * 2
    logs = [find_log(f"{name}={tmp_path / 'base'}") for name in ("a", "b")]
    table = read_rows(import_logs(logs, keys, tmp_path / "run"), "facts", "a")
    assert table is not None
    margins = {"acc": 2.0, "acc_norm": 0.2, "acc_bytes": 0.4}
    assert table["margin"].to_pylist() == pytest.approx([margins[metric]] * 2)


def test_a_metric_that_judges_something_else_is_refused(tmp_path: Path):
    rows = [lm_eval_row(i, *answer) for i, answer in enumerate(BASE)]
    rows[2]["exact_match"] = 0.0
    for row in (rows[0], rows[1], rows[3]):
        row["exact_match"] = row["acc"]
    keys = Keys("fact", "wording", metric="exact_match")
    with pytest.raises(DataError, match=r"jsonl:3: found exact_match 0, but the best"):
        of_lm_eval(tmp_path / "base", rows, keys)


def test_lighteval_chooses_by_the_metric_that_judges(tmp_path: Path):
    answers = [("Ada", "a", [-6.0, -6.5, -9.0]), ("Ada", "b", [-6.0, -6.5, -9.0])]
    folder = write_lighteval(tmp_path / "base", answers)
    path = next(folder.iterdir())
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["doc"]["choices"] = [" baker", " goldsmith", " actor"]
        row["metric"] |= {"acc_norm": 1.0, "acc_norm_nospace": 1.0}
    pq.write_table(pa.Table.from_pylist(rows), path)
    for metric, answer in ((None, "baker"), ("acc_norm", "goldsmith")):
        keys = Keys("fact", "wording", metric=metric)
        cells = read_log(find_log(str(folder)), keys).values()
        assert {one.answer for one in cells} == {answer}
    # -6.5 by ten characters, and by nine without the blank in front.
    for metric, best in (("acc_norm", -0.65), ("acc_norm_nospace", -6.5 / 9)):
        keys = Keys("fact", "wording", metric=metric)
        cells = read_log(find_log(str(folder)), keys).values()
        assert {max(one.scores) for one in cells} == {best}
    for row in rows:
        row["metric"]["acc"] = 1.0
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match="row 1: found acc 1, but the best"):
        read_log(find_log(str(folder)), KEYS)


@pytest.mark.parametrize("form", ["lm-eval", "lighteval"])
@pytest.mark.parametrize(
    "scores",
    [
        [float("nan"), -1.0, -2.0],
        [-1.0, float("nan"), -2.0],
        [-1.0, float("inf"), -2.0],
        [float("-inf")] * 3,
    ],
)
def test_scores_without_a_best_one_are_refused(
    tmp_path: Path, form: str, scores: list[float]
):
    folder = write_any(tmp_path / "base", [*BASE[:3], ("Ben", "b", scores)], form)
    with pytest.raises(DataError, match=r"(jsonl:| row )4: found scores .*finite"):
        read_log(find_log(str(folder)), KEYS)


@pytest.mark.parametrize("form", ["lm-eval", "lighteval"])
def test_an_impossible_option_is_only_the_last(tmp_path: Path, form: str):
    answers = [*BASE[:3], ("Ben", "b", [-1.5, -2.5, float("-inf")])]
    folder = write_any(tmp_path / "base", answers, form)
    assert len(read_log(find_log(str(folder)), KEYS)) == 4


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
