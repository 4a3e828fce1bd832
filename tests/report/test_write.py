"""A drawn run as a whole: complete, small, repeatable, and safe."""

import re
from html import unescape

import pytest
from finished_run import HOSTILE, change_json, finished_run, read_json

from concord.errors import ResultsError
from concord.report import write_report
from concord.results import Run


def _page(run: Run) -> str:
    return (run.path / "report.html").read_text(encoding="utf-8")


def test_page_tables_and_figures_are_written(drawn: Run):
    names = {path.name for path in (drawn.path / "tables").iterdir()}
    for name in (
        "table1",
        "table2",
        "scorecard",
        "differences",
        "relations",
        "measures",
    ):
        assert {f"{name}.csv", f"{name}.md", f"{name}.tex"} <= names
    assert "flips.csv" in names
    assert "tuned-2" in _page(drawn)


def test_the_same_run_gives_the_same_bytes(drawn: Run):
    def contents() -> dict[str, bytes]:
        files = [drawn.path / "report.html"]
        files += sorted((drawn.path / "tables").iterdir())
        files += sorted((drawn.path / "figures").iterdir())
        return {file.name: file.read_bytes() for file in files}

    before = contents()
    write_report(drawn)
    assert contents() == before


def test_the_page_names_nothing_to_fetch(drawn: Run):
    page = _page(drawn)
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!#)""", markup)
    assert "default-src 'none'" in unescape(markup) and "@import" not in markup


def test_the_page_has_every_section_and_model(drawn: Run):
    page = _page(drawn)
    for name in ("verdict", "compared", "scorecard", "predictions", "flips", "limits"):
        assert f'<section id="{name}"' in page
    assert "arXiv 2404.15206" in page and "Seed 0" in page


def test_hostile_text_is_text(hostile: Run):
    page = _page(hostile)
    assert "<script>window.hacked" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;window.hacked" in page
    assert "\u2028" not in page.split('id="flip-data"')[1].split("</script>")[0]
    assert page.count("</script>") == 4


def test_hostile_text_reaches_the_list_of_flips_whole(hostile: Run):
    text = (hostile.path / "tables" / "flips.csv").read_text(encoding="utf-8")
    assert HOSTILE in text


def test_eleven_models_stay_below_three_megabytes(tmp_path):
    run = finished_run(tmp_path / "run", models=11, relations=5, facts=15, layers=32)
    assert write_report(run).stat().st_size < 3_000_000


def test_a_page_too_small_for_all_flips_says_how_many_it_has(
    drawn: Run, monkeypatch: pytest.MonkeyPatch
):
    whole = (drawn.path / "report.html").read_bytes()
    monkeypatch.setattr("concord.report.write.PAGE_LIMIT", len(whole) - 10_000)
    cut = write_report(drawn).read_text(encoding="utf-8")
    monkeypatch.undo()
    shown, total = re.findall(r"carries ([\d,]+) of ([\d,]+) flips", cut)[0]
    assert 0 < int(shown.replace(",", "")) < int(total.replace(",", ""))
    assert len(cut.encode()) < len(whole) - 10_000
    assert "The complete list is tables/flips.csv" in cut
    assert "concord flips RUN --search TEXT looks through all" in cut
    assert write_report(drawn).read_bytes() == whole


ANALYSES = ("facts", "representation", "noise")


@pytest.mark.parametrize(
    "options",
    [
        {"analyses": ()},
        {"analyses": ("facts",), "contexts": ("study",)},
        {"analyses": ("representation",), "datasets": ("tapaco",)},
        {"without": [("facts", "tuned-1"), ("representation", "base")]},
        {"templates": 1, "relations": 1, "facts": 2},
        {"facts": 1},
        {"models": 2, "without": [(name, "tuned-1") for name in ANALYSES]},
    ],
    ids=["nothing", "facts", "representation", "gaps", "tiny", "subject", "model"],
)
def test_a_run_with_gaps_still_has_a_whole_page(tmp_path, options):
    run = finished_run(tmp_path / "run", **({"facts": 6, "relations": 2} | options))
    write_report(run)
    page = _page(run)
    assert page.rstrip().endswith("</html>")
    assert ">None<" not in page and ">nan" not in page.lower()


def test_a_dash_has_its_reason(tmp_path):
    run = finished_run(
        tmp_path / "run", facts=6, without=[("facts", "tuned-1")], datasets=("mrpc",)
    )
    write_report(run)
    summary = read_json(run, "summary.json")
    reason = summary["measures"][0]["values"][1]["reason"]
    assert reason and reason in _page(run).replace("&#39;", "'")


def test_the_embedded_family_is_called_small(tmp_path):
    run = finished_run(tmp_path / "run", facts=4, analyses=("facts",))
    change_json(run, "run.json", embedded=True)
    write_report(run)
    assert "say nothing about language models at large" in _page(run)


def test_printed_numbers_appear_for_the_study_s_preset_alone(tmp_path):
    run = finished_run(tmp_path / "run", facts=4, analyses=("facts",))
    study = run.path / "study.yaml"
    study.write_text(study.read_text().replace("preset: null", "preset: fierro2024"))
    write_report(run)
    assert "CC BY 4.0" in _page(run)


def test_a_run_without_summary_is_refused(tmp_path):
    run = finished_run(tmp_path / "run", facts=2, analyses=())
    (run.path / "summary.json").unlink()
    with pytest.raises(ResultsError, match=r"summary.json: cannot read"):
        write_report(run)


def test_progress_is_told_each_step(tmp_path):
    run = finished_run(tmp_path / "run", facts=2, analyses=())
    steps: list[str] = []
    write_report(run, progress=steps.append)
    assert steps == ["tables", "figures", "flips", "page"]
