"""Tables: the study's columns, honest dashes, and nothing that breaks a format."""

import csv
import io

import pytest
from finished_run import finished_run, read_json

from concord.report.findings import Findings, read_findings
from concord.report.formats import change, with_interval
from concord.report.published import published_numbers
from concord.report.study_tables import (
    correlation_table,
    finetuned_table,
    gap_table,
    prediction_table,
    study_tables,
)
from concord.report.table import Cell, Column, Table, as_csv, as_latex, as_markdown
from concord.report.tables import all_tables
from concord.results import Run


def _table(cell: object) -> Table:
    columns = (Column("a|b"), Column("gap", with_interval, ("value", "low", "high")))
    return Table("t", "x_y & <z>", columns, ((cell, {"value": 0.5, "low": None}),))


def test_table1_has_the_study_s_rows_and_columns(drawn: Run):
    table = gap_table(read_findings(drawn), {})
    assert [c.title for c in table.columns] == ["model", "mrpc", "tapaco", "pararel"]
    assert [row[0] for row in table.rows] == ["base", "tuned-1", "tuned-2"]


def test_table2_has_every_column_and_says_why_cells_are_empty(drawn: Run):
    table = prediction_table(read_findings(drawn), {})
    assert [column.title for column in table.columns] == [
        "model",
        "MMLU accuracy",
        "MMLU spread",
        "ParaRel accuracy",
        "ParaRel agreement",
        "BECEL accuracy",
        "BECEL semantic",
        "BECEL negation",
        "not measured",
    ]
    row = table.printed()[0]
    assert row[1] == row[5] == "–" and row[3].startswith(".")
    assert "MMLU accuracy, MMLU spread: the analysis choices was not run" in row[-1]
    assert "BECEL negation: the analysis finetuned was not run" in row[-1]
    csv_row = next(csv.DictReader(io.StringIO(as_csv(table))))
    assert csv_row["BECEL semantic"] == "" and "finetuned" in csv_row["not measured"]


def test_table6_has_four_measures_for_each_task_beside_the_printed_ones():
    measures = [
        {
            "key": "finetuned.wic.negational_paper",
            "values": [{"model": "llama-7b", "value": 0.25, "low": 0.2, "high": 0.3}],
        }
    ]
    findings = Findings({"base": "llama-7b", "tuned": [], "measures": measures})
    table = finetuned_table(findings, published_numbers({"preset": "fierro2024"}))
    titles = [column.title for column in table.columns]
    assert titles[:5] == [
        "model",
        "snli symmetric",
        "snli symmetric, printed",
        "snli semantic",
        "snli semantic, printed",
    ]
    assert len(titles) == 2 + 2 * 16
    cells = dict(zip(titles, table.printed()[0], strict=True))
    assert cells["snli symmetric, printed"] == ".737"
    assert cells["wic negation"] == ".250 [.200, .300]"
    assert "wic negation:" not in cells["not measured"]
    assert "not measured in this run" in cells["not measured"]


def test_table7_has_the_printed_layers_and_those_of_the_run():
    test = {"key": "extraction.mlp", "layer": 19, "r": 0.5, "low": 0.1, "high": 0.8}
    tests = [test | {"p": 0.02, "p_adjusted": 0.3, "n": 10, "reason": None}]
    tests.append(tests[0] | {"layer": 5, "r": -0.2})
    measures = [{"key": "extraction.mlp", "values": []}]
    findings = Findings(
        {"base": "b", "tuned": [], "measures": measures, "correlations": tests}
    )
    table = correlation_table(findings, published_numbers({"preset": "fierro2024"}))
    rows = {(row[0], row[1]): row for row in table.printed()}
    assert len(rows) == 14  # 7 printed of attention, 6 of the MLP, and layer 5
    assert rows["mlp", "19"][2:8] == [
        ".500 [.100, .800]",
        ".020",
        ".300",
        "10",
        ".937",
        "< .001",
    ]
    assert rows["mlp", "5"][6] == "–"
    assert "hardly any event" in rows["mhsa", "13"][-1]


def test_a_run_without_extraction_has_a_table7_that_says_so(drawn: Run):
    table = correlation_table(read_findings(drawn), {})
    assert table.printed()[0][-1] == "the analysis extraction was not run"


def test_other_families_have_tables_4_and_5_for_1_and_2(drawn: Run):
    findings = read_findings(drawn)
    names = [[t.name for t in study_tables(findings, {}, p)] for p in (None, "t5")]
    assert names[0] == ["table1", "table2", "table6", "table7"]
    assert names[1] == ["table4", "table5", "table6"]


def test_tiny_numbers_get_the_digits_they_need():
    entry = {"value": 1.24e-4, "low": 0.9e-4, "high": 1.6e-4}
    assert with_interval(entry) == ".000124 [.000090, .000160]"
    assert change(entry) == "+.000124 [.000090, .000160]"
    assert with_interval({"value": 0.00371}) == ".00371"
    assert change({"value": 1e-4, "low": -0.02, "high": 0.02}) == ".000 [−.020, .020]"
    assert with_interval({"value": 0.0, "low": 0.0, "high": 0.0}) == ".000 [.000, .000]"
    columns = (Column("m"), Column("gap", with_interval, ("value", "low", "high")))
    table = Table("t", "", columns, (("t5", entry),))
    assert ".000124 [.000090" in as_latex(table)
    assert ".000124 " in as_markdown(table)


def test_numbers_of_a_column_have_the_precision_that_half_of_them_need():
    tiny = {"value": 2.1e-5, "low": -4.73e-4, "high": 4.61e-4}
    plain = {"value": 0.003, "low": -0.012, "high": 0.017}
    columns = (Column("set"), Column("gap", with_interval, ("value", "low", "high")))
    rows = (("a", plain), ("a", tiny), ("a", plain), ("b", tiny), ("b", {}))
    whole = Table("t", "", columns, rows)
    assert [row[1] for row in whole.printed()] == [
        ".003 [−.012, .017]",
        ".000 [.000, .000]",
        ".003 [−.012, .017]",
        ".000 [.000, .000]",
        "–",
    ]
    blocks = Table("t", "", columns, rows, block=0)
    assert blocks.printed()[3][1] == ".000021 [−.000473, .000461]"
    assert blocks.printed()[1][1] == ".000 [.000, .000]"
    finer = Table("t", "", columns, (("a", plain), ("a", tiny), ("a", tiny)))
    assert finer.printed()[1][1] == ".00002 [−.00047, .00046]"
    assert finer.printed()[0][1] == ".00300 [−.01200, .01700]"


def test_a_cell_knows_why_it_has_no_number_or_no_interval():
    columns = (Column("m"), Column("v", with_interval))
    why = {"value": None, "reason": "too few subjects to draw from"}
    row = Table("t", "", columns, (("a", why), ("b", {"value": 0.5}))).cells()
    assert row[0][1] == Cell("–", "too few subjects to draw from")
    assert row[1][1] == Cell(".500")


def test_columns_of_measures_name_them(drawn: Run):
    tables = {table.name: table for table in all_tables(read_findings(drawn), {})}
    keys = [column.key for column in tables["predictions"].columns]
    assert keys[:3] == ["", "facts.agreement", "facts.accuracy"]
    assert tables["representation"].columns[2].key == "representation.mrpc.gap"


def test_printed_numbers_stand_beside_the_run_s_own(drawn: Run):
    printed = {("base", "representation.mrpc.gap"): 0.01}
    table = gap_table(read_findings(drawn), printed)
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
    for make, title, expected in (
        (gap_table, "pararel", gap),
        (prediction_table, "ParaRel agreement", agreement),
    ):
        table = make(findings, printed)
        place = [column.title for column in table.columns].index(f"{title}, printed")
        assert table.rows[0][place]["value"] == expected


def test_a_run_of_representations_alone_has_no_table_of_its_predictions(tmp_path):
    run = finished_run(tmp_path / "run", analyses=("representation",), facts=6)
    names = [table.name for table in all_tables(read_findings(run), {})]
    assert "representation" in names
    assert "table2" in names and "predictions" not in names


def test_a_summary_without_measures_has_no_tables():
    assert all_tables(Findings({"base": "b", "tuned": ["t"], "measures": []}), {}) == []
