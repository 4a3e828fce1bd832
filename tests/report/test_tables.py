"""Tables: the study's columns, honest dashes, and nothing that breaks a format."""

import csv
import io

from finished_run import finished_run, read_json

from concord.report.findings import Findings, read_findings
from concord.report.formats import with_interval
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


def test_a_run_of_representations_alone_has_no_table_of_predictions(tmp_path):
    run = finished_run(tmp_path / "run", analyses=("representation",), facts=6)
    names = [table.name for table in all_tables(read_findings(run), {})]
    assert "representation" in names
    assert "table2" not in names and "predictions" not in names


def test_a_summary_without_measures_has_no_tables():
    assert all_tables(Findings({"base": "b", "tuned": ["t"], "measures": []}), {}) == []
