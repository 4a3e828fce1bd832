"""The committed pages of terms and measures say what the code says."""

from pathlib import Path

from concord.summary.glossary import TERMS, glossary_page, main, measures_page
from concord.summary.measures import MEASURES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_committed_pages_are_up_to_date():
    for name, page in (("glossary", glossary_page()), ("measures", measures_page())):
        found = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        assert found == page, "write them anew: python -m concord.summary.glossary docs"


def test_every_measure_has_an_entry_with_range_and_formula():
    page = measures_page()
    for key, measure in MEASURES.items():
        entry = page.partition(f"### `{key}`\n")[2].partition("\n### ")[0]
        assert f"`{measure.formula}`" in entry
        assert "range: " in entry and measure.unit in entry


def test_terms_stand_in_the_order_of_the_alphabet():
    assert list(TERMS) == sorted(TERMS)


def test_pages_are_written_where_asked(tmp_path: Path):
    main([str(tmp_path)])
    assert (tmp_path / "glossary.md").read_text(encoding="utf-8") == glossary_page()
    assert (tmp_path / "measures.md").read_text(encoding="utf-8") == measures_page()
