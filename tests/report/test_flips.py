"""Flips against a count made in plain Python, kind by kind."""

import base64
import csv
import json
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_run import write_synthetic_run

from concord.report import flip_list
from concord.report.findings import Findings
from concord.report.flip_list import FlipsInPage, pack
from concord.report.flips import (
    count_flips,
    first_wordings,
    flip_totals,
    flips_for_page,
    write_flips,
)
from concord.results import Run, read_rows

FINDINGS = Findings({"base": "base", "tuned": ["tuned-1", "tuned-2"], "noise": {}})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("flips") / "run"
    return write_synthetic_run(folder, relations=2, facts=12, analyses=("facts",))


def _answers(run: Run, model: str, contexts: str) -> dict:
    table = read_rows(run, "facts", model)
    assert table is not None
    answers = defaultdict(dict)
    for row in table.to_pylist():
        if row["contexts"] == contexts:
            key = (row["context"], row["relation"], row["fact"])
            answers[key][row["template"]] = row["prediction_index"]
    return answers


def _expected_kinds(run: Run, model: str) -> Counter:
    base, tuned = _answers(run, "base", "study"), _answers(run, model, "study")
    kinds = Counter()
    for key, before in base.items():
        after = tuned[key]
        if before != after:
            agreed = len(set(before.values())) == 1
            agrees = len(set(after.values())) == 1
            kinds[
                {
                    (False, True): "to_agree",
                    (True, False): "to_disagree",
                    (True, True): "new_answer",
                    (False, False): "other",
                }[agreed, agrees]
            ] += 1
    return kinds


def test_kinds_are_those_counted_by_hand(run: Run):
    totals = flip_totals(count_flips(run, FINDINGS))
    for model in ("tuned-1", "tuned-2"):
        assert Counter(totals[model]) == _expected_kinds(run, model)
        assert sum(totals[model].values()) > 20


def test_the_file_has_every_changed_wording(run: Run, tmp_path):
    write_flips(run, FINDINGS, tmp_path / "flips.csv")
    with (tmp_path / "flips.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    base = _answers(run, "base", "study")
    expected = 0
    for model in ("tuned-1", "tuned-2"):
        for contexts in ("study", "same"):
            for key, after in _answers(run, model, contexts).items():
                expected += sum(base[key][t] != after[t] for t in after)
    assert len(rows) == expected
    assert all(row["base_prediction"] != row["tuned_prediction"] for row in rows)


def _total(run: Run) -> int:
    return sum(row["flips"] for row in count_flips(run, FINDINGS))


def _page(run: Run, *, budget: int) -> FlipsInPage:
    counts = count_flips(run, FINDINGS)
    wordings = sum(row["wordings"] for row in counts)
    listed = flips_for_page(run, FINDINGS, wordings=wordings, budget=budget)
    return pack(listed, total=_total(run), budget=budget)


def _unpacked(flips: FlipsInPage) -> dict[str, Any]:
    """What the page's script makes of it: a list for each flip."""
    packed = json.loads(flips.json)
    content = {**packed, "words": [], "facts": [], "flips": []}
    for block in packed["blocks"]:
        part = json.loads(zlib.decompress(base64.b64decode(block)))
        content["words"] += part["words"]
        content["facts"] += part["facts"]
        changes = iter(zip(*part["changes"], strict=True))
        for count, *head in zip(part["counts"], *part["flips"], strict=True):
            own = [number for _ in range(count) for number in next(changes)]
            content["flips"].append(head + own)
        assert next(changes, None) is None
    return content


def test_the_page_gets_all_flips_when_they_fit(run: Run):
    flips = _page(run, budget=10_000_000)
    content = _unpacked(flips)
    assert flips.shown == flips.total == _total(run) == len(content["flips"])
    assert content["sets"] == ["study", "same"]


def test_a_page_s_flip_says_what_the_rows_say(run: Run):
    content = _unpacked(_page(run, budget=10_000_000))
    words = content["words"]
    flip = content["flips"][-1]
    fact = content["facts"][flip[0]]
    model, contexts = content["models"][flip[1]], content["sets"][flip[2]]
    table = read_rows(run, "facts", model)
    assert table is not None
    found = {
        row["template"]: row
        for row in table.to_pylist()
        if (row["relation"], row["subject"]) == (words[fact[0]], words[fact[1]])
        and (row["contexts"], row["context"]) == (contexts, flip[3])
    }
    for at in range(8, len(flip), 4):
        template, prediction, _, margin = flip[at : at + 4]
        assert words[prediction] == found[template]["prediction"]
        assert margin == round(100 * found[template]["margin"])


@pytest.mark.parametrize("budget", [0, 1_500, 4_000])
def test_the_page_s_list_keeps_to_its_budget(run: Run, budget: int):
    flips = _page(run, budget=budget)
    assert flips.shown < flips.total
    assert len(flips.json.encode()) <= budget + 200  # names around empty lists
    content = _unpacked(flips)
    assert len(content["flips"]) == flips.shown
    assert {flip[0] for flip in content["flips"]} == set(range(len(content["facts"])))


def _told(content: dict[str, Any]) -> list[list[Any]]:
    """Every flip and its fact, with texts in the place of numbers."""
    words, told = content["words"], []
    for place, *head in content["flips"]:
        *names, contexts = content["facts"][place]
        wordings = [
            [one if at % 3 == 0 else words[one] for at, one in enumerate(own)]
            for own in contexts.values()
        ]
        changes = [words[one] for one in head[8::4]]
        told.append([*(words[name] for name in names), *wordings, *head[:7], changes])
    return told


def test_blocks_share_their_words_and_count_their_facts_on(run: Run, monkeypatch):
    whole = _unpacked(_page(run, budget=10_000_000))
    monkeypatch.setattr(flip_list, "FLIPS_AT_ONCE", 7)
    flips = _page(run, budget=10_000_000)
    content = _unpacked(flips)
    assert len(content["blocks"]) > 10 == 10 * len(whole["blocks"])
    assert sorted(content["words"]) == sorted(whole["words"])
    assert _told(content) == _told(whole)


def _noisy(base: float, tuned: float) -> Findings:
    deltas = {"base": base, "tuned-1": tuned, "tuned-2": tuned}
    noise = {model: {"delta": delta} for model, delta in deltas.items()}
    return Findings({**FINDINGS.content, "noise": noise})


def test_flips_inside_the_noise_floor_are_marked(run: Run):
    counted = count_flips(run, _noisy(1e9, 1e9))
    assert all(row["within_noise"] == row["flips"] for row in counted)
    assert all(row["within_noise"] == 0 for row in count_flips(run, FINDINGS))


@pytest.mark.parametrize(
    ("base", "tuned", "is_near"),
    [(1.0, 0.0, True), (0.0, 1.0, True), (0.7, 0.7, False)],
)
def test_a_margin_under_twice_the_noise_of_its_model_is_a_near_tie(
    tmp_path: Path, base: float, tuned: float, *, is_near: bool
):
    run = write_synthetic_run(
        tmp_path, models=2, relations=1, facts=10, analyses=("facts",)
    )
    for model in run.models():
        table = _facts(run, model)
        margins = pa.array(np.full(table.num_rows, 1.5), pa.float32())
        _put(run, model, "margin", margins)
    findings = Findings({**_noisy(base, tuned).content, "tuned": ["tuned-1"]})
    counted = count_flips(run, findings)
    assert counted
    for row in counted:
        assert row["within_noise"] == (row["flips"] if is_near else 0)


def test_answers_that_could_not_be_read_agree_with_none(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path,
        **{"models": 2, "relations": 1, "facts": 10, "templates": 3},
        analyses=("facts",),
        contexts=("study",),
    )
    # The base reads 2 - -, the tuned model 3 - 3: only two of the three answers differ.
    for model, answers in (("base", [2, None, None]), ("tuned-1", [3, None, 3])):
        templates = _facts(run, model)["template"].to_pylist()
        given = pa.array([answers[template] for template in templates], pa.int32())
        _put(run, model, "prediction_index", given)
    findings = Findings({**FINDINGS.content, "tuned": ["tuned-1"]})
    (row,) = count_flips(run, findings)
    assert (row["kind"], row["flips"], row["wordings"]) == ("other", 30, 60)
    write_flips(run, findings, tmp_path / "flips.csv")
    with (tmp_path / "flips.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    unread = [row for row in rows if row["template"] == "2"]
    assert {row["base_prediction"] for row in unread} == {"no answer"}
    listed = flips_for_page(run, findings, wordings=60, budget=10_000_000)
    words = _unpacked(pack(listed, total=30, budget=10_000_000))["words"]
    assert "no answer" in words and None not in words


def test_one_wording_can_neither_agree_nor_disagree(tmp_path: Path):
    run = write_synthetic_run(
        tmp_path, relations=1, facts=12, templates=1, analyses=("facts",)
    )
    counted = count_flips(run, FINDINGS)
    assert {row["kind"] for row in counted} == {"one_wording"}
    totals = flip_totals(counted)["tuned-1"]
    assert totals["one_wording"] > 0 and totals["new_answer"] == 0


def _facts(run: Run, model: str) -> pa.Table:
    table = read_rows(run, "facts", model)
    assert table is not None
    return table


def _put(run: Run, model: str, name: str, values: pa.Array) -> None:
    """Give a model's rows another column, in the order in which they are read."""
    (part,) = run.parts("facts", model)
    table = pq.read_table(part)
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, values), part)


def test_first_wordings_show_the_slot(run: Run):
    assert first_wordings(run, FINDINGS)["P100"] == "[X] wording 0 is"


def test_without_predictions_of_the_base_there_are_no_flips(tmp_path):
    run = write_synthetic_run(
        tmp_path / "run", facts=4, analyses=("facts",), without=[("facts", "base")]
    )
    assert count_flips(run, FINDINGS) == []
    assert _page(run, budget=1000).json == "null"
    write_flips(run, FINDINGS, tmp_path / "flips.csv")
    assert len((tmp_path / "flips.csv").read_text().splitlines()) == 1
