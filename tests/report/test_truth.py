"""The page parts seen from unseen where the run knows it, and only there."""

from pathlib import Path

import pyarrow as pa
import pytest
from synthetic_run import write_synthetic_run

from concord.report import write_report
from concord.report.findings import Findings, read_findings
from concord.report.truth import truth_figures, truth_tables
from concord.results import Run, read_rows, write_part
from concord.summary import Settings, summarise, write_summary
from concord.summary.truth import TOLD


def _summarised(run: Run) -> Findings:
    write_summary(run, summarise(run, Settings(100, 100, level=0.95, seed=0)))
    return read_findings(run)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The base was told wordings 0 and 1 of each fact, tuned-1 2 of every other."""
    run = write_synthetic_run(tmp_path, relations=2, facts=8, analyses=("facts",))
    table = read_rows(run, "facts", "base", columns=["fact"])
    assert table is not None
    facts = sorted(set(table["fact"].to_pylist()))
    told = {
        "base": [(fact, place) for fact in facts for place in (0, 1)],
        "tuned-1": [(fact, 2) for fact in facts[::2]],
    }
    schema = pa.schema([("fact", pa.string()), ("template", pa.int16())])
    for model, rows in told.items():
        cells = [{"fact": fact, "template": place} for fact, place in rows]
        rows_of_model = pa.Table.from_pylist(cells, schema=schema)
        write_part(run, TOLD, model, name="told", key="k", table=rows_of_model)
    return run


def test_tables_name_what_was_told_and_leave_out_what_is_unknown(run: Run):
    values, changes = truth_tables(_summarised(run))
    titles = [column.title for column in values.columns]
    assert "accuracy, seen wordings" in titles
    # Nothing is known of tuned-2, and no fact was told in one wording alone.
    assert "agreement, told in one wording" not in titles
    assert [row[0] for row in values.rows] == ["base", "tuned-1", "tuned-2"]
    assert values.rows[2][1]["value"] is None
    assert changes.rows[0][1]["value"] is not None


def test_the_figure_has_a_panel_for_wordings_and_one_for_subjects(run: Run):
    (figure,) = truth_figures(_summarised(run))
    assert [panel.title.split(" (")[0] for panel in figure.panels] == [
        "Agreement, wordings unseen",
        "Accuracy, wordings unseen",
        "Agreement, subjects held out",
        "Accuracy, subjects held out",
    ]


def test_the_page_has_the_section_only_where_it_is_known(run: Run, tmp_path: Path):
    _summarised(run)
    assert "Seen and unseen" in write_report(run).read_text("utf-8")
    other = write_synthetic_run(
        tmp_path / "other", relations=2, facts=6, analyses=("facts",)
    )
    assert truth_figures(_summarised(other)) == []
    assert "Seen and unseen" not in write_report(other).read_text("utf-8")
