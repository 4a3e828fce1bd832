"""Tables: the study's columns, honest dashes, and nothing that breaks a format."""

import csv
import io

import pytest
from finished_run import finished_run, read_json

from concord.report.findings import Findings, read_findings
from concord.report.formats import with_interval
from concord.report.published import published_numbers
from concord.report.table import Column, Table, as_csv, as_latex, as_markdown
from concord.report.tables import all_tables, table1, table2
from concord.results import Run


def _table(cell: object) -> Table:
    columns = (Column("a|b"), Column("gap", with_interval, ("value", "low", "high")))
    return Table("t", "x_y & <z>", columns, ((cell, {"value": 0.5, "low": None}),))


def test_table1_has_the_study_s_rows_and_columns(drawn: Run):
    table = table1(read_findings(drawn), {})
    assert [c.title for c in table.columns] == ["model", "mrpc", "tapaco", "pararel"]
    assert [row[0] for row in table.rows] == ["base", "tuned-1", "tuned-2"]


def test_table2_leaves_out_what_was_not_measured(drawn: Run):
    titles = [column.title for column in table2(read_findings(drawn), {}).columns]
    assert titles == ["model", "ParaRel accuracy", "ParaRel agreement"]


def test_printed_numbers_stand_beside_the_run_s_own(drawn: Run):
    table = table1(read_findings(drawn), {("base", "representation.mrpc.gap"): 0.01})
    assert [c.title for c in table.columns][:3] == ["model", "mrpc", "mrpc, printed"]
    assert [row[2] for row in table.printed()] == [".010", "–", "–"]


def test_csv_holds_the_summary_s_numbers_in_full(drawn: Run):
    rows = csv.DictReader(
        io.StringIO((drawn.path / "tables/scorecard.csv").read_text())
    )
    first = next(rows)
    value = read_json(drawn, "summary.json")["measures"][0]["values"][0]
    assert float(first["Agreement"]) == value["value"]
    assert float(first["Agreement low"]) == value["low"]


def test_a_missing_number_is_empty_in_csv_and_a_dash_in_print():
    table = Table("t", "", (Column("m"), Column("v", with_interval)), (("a", {}),))
    assert as_csv(table) == "m,v\na,\n"
    assert "| a | – |" in as_markdown(table)
    assert "a & -- \\\\" in as_latex(table)


def test_text_cannot_break_a_format():
    hostile = 'a|b, "c"\n<script>\\input{x} 5%_$'
    table = _table(hostile)
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    assert rows[1][0] == hostile
    lines = as_markdown(table).splitlines()
    assert lines[2] == '| a\\|b, "c" &lt;script&gt;\\\\input{x} 5%\\_$ | .500 |'
    latex = as_latex(table)
    assert "\\textbackslash{}input\\{x\\} 5\\%\\_\\$" in latex
    assert "\\input" not in latex


def test_no_cell_of_text_is_a_formula_for_a_spreadsheet():
    for text in ("=1+1", "+1", "-1", "@x", "\t=1", "\r=1"):
        rows = list(csv.reader(io.StringIO(as_csv(_table(text)), newline="")))
        assert len(rows) == 2 and rows[1][0] == f"'{text}".replace("\r", " ")
    columns = (Column("m"), Column("v", with_interval))
    negative = Table("t", "", columns, (("a-b", {"value": -0.5}),))
    assert as_csv(negative) == "m,v\na-b,-0.5\n"


def test_a_first_cell_is_no_option_of_a_latex_row():
    assert "\n{}[2pt] & .500" in as_latex(_table("[2pt]"))
    assert "\n{}* & .500" in as_latex(_table("*"))


@pytest.mark.parametrize(
    ("preset", "model", "gap", "agreement"),
    [
        ("fierro2024", "llama-7b", 0.474, 0.819),
        ("t5", "flan-t5-xl", 0.015, 0.801),
        ("falcon", "falcon-7b", 0.0173, 0.762),
    ],
)
def test_the_study_s_four_tables_are_printed_beside(preset, model, gap, agreement):
    measures = [
        {"key": key, "dataset": "pararel", "values": [{"model": model, "value": 0.5}]}
        for key in ("representation.pararel.gap", "facts.agreement")
    ]
    findings = Findings({"base": model, "tuned": [], "measures": measures})
    printed = published_numbers({"preset": preset})
    for make, expected in ((table1, gap), (table2, agreement)):
        table = make(findings, printed)
        assert [column.title for column in table.columns][2].endswith(", printed")
        value = table.rows[0][2]["value"]
        assert value == expected


def test_a_run_of_representations_alone_has_no_table_of_predictions(tmp_path):
    run = finished_run(tmp_path / "run", analyses=("representation",), facts=6)
    names = [table.name for table in all_tables(read_findings(run), {})]
    assert "representation" in names
    assert "table2" not in names and "predictions" not in names


def test_a_summary_without_measures_has_no_tables():
    assert all_tables(Findings({"base": "b", "tuned": ["t"], "measures": []}), {}) == []
