"""`concord flips`: filters, counts and files against the rows themselves."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from finished_run import change_json, finished_run, read_json
from rich.console import Console

from concord.cli import main
from concord.errors import ResultsError, StudyError
from concord.report.findings import Findings, read_findings
from concord.report.flip_search import (
    FlipFilter,
    find_flips,
    flips_table,
    write_found_flips,
)
from concord.results import Run, read_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("flips") / "run"
    run = finished_run(folder, facts=12, analyses=("facts", "noise"))
    noise = read_json(run, "summary.json")["noise"]
    # Wide enough that some flips are near ties.
    change_json(
        run, "summary.json", noise={m: n | {"delta": 0.3} for m, n in noise.items()}
    )
    return run


@pytest.fixture(scope="module")
def findings(run: Run) -> Findings:
    return read_findings(run)


def _changed(run: Run, model: str, contexts: str) -> list[dict]:
    """Changed wordings in plain Python."""
    base, tuned = (read_rows(run, "facts", one) for one in ("base", model))
    assert base is not None and tuned is not None

    def key(row: dict) -> tuple:
        return (row["context"], row["relation"], row["fact"], row["template"])

    before = {key(row): row for row in base.to_pylist() if row["contexts"] == "study"}
    return [
        row
        for row in tuned.to_pylist()
        if row["contexts"] == contexts
        and row["prediction_index"] != before[key(row)]["prediction_index"]
    ]


@pytest.mark.parametrize("contexts", ["study", "same"])
@pytest.mark.parametrize("relation", [None, "P101"])
def test_counts_are_those_of_plain_python(run, findings, contexts, relation):
    wanted = FlipFilter(model="tuned-1", relation=relation, contexts=contexts)
    found = find_flips(run, findings, wanted, limit=3)
    expected = [
        row
        for row in _changed(run, "tuned-1", contexts)
        if relation in (None, row["relation"])
    ]
    assert found.wordings == len(expected) > 3
    assert found.facts == len({(row["relation"], row["fact"]) for row in expected})
    assert len(found.rows) == 3


def test_near_ties_and_others_share_out_all_flips(run, findings):
    counts = {
        ties: find_flips(run, findings, FlipFilter(near_ties=ties), limit=1).wordings
        for ties in (None, True, False)
    }
    assert counts[True] > 0 and counts[False] > 0
    assert counts[None] == counts[True] + counts[False]


def test_search_finds_answers_in_any_case(run, findings):
    found = find_flips(run, findings, FlipFilter(search="OBJECT 3"), limit=10_000)
    assert 0 < len(found.rows) == found.wordings
    for row in found.rows:
        texts = (row["object"], row["base_prediction"], row["tuned_prediction"])
        assert any("object 3" in text for text in texts)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal_and_cuts_nothing(run, findings, width):
    found = find_flips(run, findings, FlipFilter(), limit=3)
    named = [row | {"model": "unnatural-instructions-7b"} for row in found.rows]

    def printed(width: int) -> str:
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(flips_table(replace(found, rows=named)))
        return console.export_text()

    def signs(text: str) -> list[str]:
        return sorted("".join(text.replace("─", "").split()))

    text = printed(width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert signs(text) == signs(printed(500))
    margins = [line.split()[-3:] for line in text.splitlines() if "→ " in line[-9:]]
    assert [f"{row['tuned_margin']:.2f}".lstrip("0") for row in named] == [
        after for _, _, after in margins
    ]


def test_contexts_of_two_kinds_of_prompts_are_said_to_be_no_pair(run, findings):
    for contexts, is_told in (("study", True), ("same", False), (None, True)):
        found = find_flips(run, findings, FlipFilter(contexts=contexts), limit=3)
        caption = str(flips_table(found).caption or "")
        assert ("are no pair" in caption) == is_told
        assert ("--contexts same" in caption) == is_told
    without = replace(found, has_same_prompts=False)
    assert "--contexts same" not in str(flips_table(without).caption)


def test_a_run_without_the_base_s_prompts_is_known_as_such(tmp_path):
    run = finished_run(tmp_path / "run", facts=3, analyses=("facts",))
    for model in ("tuned-1", "tuned-2"):
        for part in run.parts("facts", model):
            table = pq.read_table(part)
            pq.write_table(table.filter(pc.field("contexts") == "study"), part)
    found = find_flips(run, read_findings(run), FlipFilter(), limit=1)
    assert not found.has_same_prompts


def test_what_no_longer_agrees_comes_first(run, findings):
    rows = find_flips(run, findings, FlipFilter(), limit=10_000).rows
    kinds = [row["kind"] for row in rows]
    first = kinds.count("to_disagree")
    assert set(kinds[:first]) == {"to_disagree"} and first < len(kinds)
    margins = [row["margin"] for row in rows[:first]]
    assert margins == sorted(margins, reverse=True)


def test_no_flip_is_an_empty_table_and_not_an_error(run, findings):
    found = find_flips(run, findings, FlipFilter(search="' or true --"), limit=5)
    assert (found.rows, found.wordings, found.facts) == ([], 0, 0)


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        (FlipFilter(model="tuned1"), "tuned-1"),
        (FlipFilter(kind="to_agre"), "to_agree"),
        (FlipFilter(relation="P10"), "P10"),
        (FlipFilter(contexts="studi"), "study"),
    ],
)
def test_an_unknown_name_gets_a_near_match(run, findings, wanted, near):
    with pytest.raises(StudyError, match=f"did you mean '{near}"):
        find_flips(run, findings, wanted, limit=1)


def test_near_ties_need_a_noise_sample(run, findings):
    silent = Findings({**findings.content, "noise": {}})
    with pytest.raises(ResultsError, match="no noise sample for base, tuned-1"):
        find_flips(run, silent, FlipFilter(near_ties=True), limit=1)
    assert find_flips(run, silent, FlipFilter(), limit=1).wordings > 0


def test_the_file_has_what_was_counted_and_no_formula(tmp_path):
    run = finished_run(tmp_path / "run", facts=5, analyses=("facts",))
    (part,) = run.parts("facts", "tuned-1")
    table = pq.read_table(part)
    texts = [f"=1+{text}" for text in table["prediction"].to_pylist()]
    place = table.column_names.index("prediction")
    pq.write_table(table.set_column(place, "prediction", pa.array(texts)), part)
    findings, wanted = read_findings(run), FlipFilter(model="tuned-1", kind="other")
    path = tmp_path / "flips.csv"
    write_found_flips(run, findings, wanted, path)
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == find_flips(run, findings, wanted, limit=1).wordings > 0
    assert all(row["tuned_prediction"].startswith("'=1+") for row in rows)
    assert {row["kind"] for row in rows} == {"other"}


def _code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as exit:
        main(["flips", *arguments])
    return exit.value.code


def test_the_command_prints_writes_and_explains(run: Run, tmp_path: Path, capsys):
    file = tmp_path / "all.csv"
    assert _code(str(run.path), "--model", "tuned-1", "--csv", str(file)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "changed wordings" in printed and "what no longer agrees first" in printed
    assert "tuned-1: no longer agrees" in printed
    assert len(file.read_text().splitlines()) == 1 + len(
        _changed(run, "tuned-1", "study")
    )
    assert _code(str(run.path), "--model", "tund-1") == 2
    assert "did you mean 'tuned-1'" in capsys.readouterr().err
    assert _code(str(run.path), "--search", "no such text") == 0
    assert capsys.readouterr().out == "No changed wording fits; nothing to list.\n"


def test_no_folder_is_made_for_the_list(run: Run, tmp_path: Path, capsys):
    file = tmp_path / "missing" / "all.csv"
    assert _code(str(run.path), "--csv", str(file)) == 2
    assert "found no folder" in capsys.readouterr().err
    assert not file.parent.exists()
