"""Answers, targets and scores are read as the log itself judged them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written_logs import (
    BASE,
    KEYS,
    lm_eval_row,
    write_any,
    write_lighteval,
    write_lm_eval,
)

from concord.errors import DataError
from concord.harnesses.answers import Keys
from concord.harnesses.imported import find_log, import_logs, read_log
from concord.results import read_rows


def of_lm_eval(
    path: Path, rows: list[Any], keys: Keys = KEYS
) -> list[tuple[str | None, str | None, bool | None]]:
    """Answer, target and verdict of every sample."""
    cells = read_log(find_log(str(write_lm_eval(path, rows))), keys)
    return [(one.answer, one.target, one.is_correct) for one in cells.values()]


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
