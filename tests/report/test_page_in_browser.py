"""The page as a reader meets it, in a browser with no network."""

import base64
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from finished_run import finished_run
from playwright.sync_api import Browser, Page, sync_playwright

from concord.report import write_report
from concord.results import Run

Scheme = Literal["light", "dark"]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


_OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true })"
_LABELS_OUTSIDE = """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("svg text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
  }).map((text) => text.textContent);
})"""
"""The labels of charts that are cut by the chart's edge."""


@dataclass
class Visit:
    """An open page and what went wrong on it."""

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs a browser: no chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def _visit(
    browser: Browser,
    run: Run,
    *,
    width: int = 1400,
    scheme: Scheme = "light",
) -> Visit:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.faults.append(message.text))
    visit.page.on("pageerror", lambda error: visit.faults.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.goto((run.path / "report.html").as_uri())
    visit.page.wait_for_selector("html[data-charts=drawn]", state="attached")
    return visit


@pytest.fixture(scope="module")
def visit(browser: Browser, drawn: Run) -> Iterator[Visit]:
    visit = _visit(browser, drawn)
    yield visit
    visit.page.context.close()


def test_nothing_is_fetched_and_nothing_is_complained_of(visit: Visit):
    assert len(visit.requests) == 1 and visit.requests[0].startswith("file:")
    assert visit.faults == []


@pytest.mark.parametrize(
    ("width", "scheme"), [(1400, "light"), (1400, "dark"), (400, "light")]
)
def test_a_page_with_every_section_is_drawn_without_a_warning(
    browser: Browser, whole: Run, width: int, scheme: Scheme
):
    visit = _visit(browser, whole, width=width, scheme=scheme)
    page = visit.page
    for name in ("choices", "answers", "told", "finetuned", "inside"):
        assert page.locator(f"#{name} svg").count() > 0, name
    assert visit.faults == [] and len(visit.requests) == 1
    page.evaluate(_OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_no_chart_is_called_a_visualization_only(browser: Browser, whole: Run):
    page = _visit(browser, whole).page
    names = page.evaluate(
        "[...document.querySelectorAll('[aria-roledescription=visualization]')]"
        ".map(one => one.ariaLabel)"
    )
    assert len(names) == page.locator("[data-chart]").count() > 20
    assert all("?" in name and ": " in name for name in names)
    assert any("Accuracy" in name and "tuned-1 .900" in name for name in names)


def test_axis_labels_are_whole_and_end_within_the_chart(browser: Browser, whole: Run):
    for width in (1400, 400):
        outside = _visit(browser, whole, width=width).page.evaluate(_LABELS_OUTSIDE)
        assert outside == []


def test_every_entry_of_the_navigation_can_be_seen_or_is_announced(
    browser: Browser, whole: Run
):
    wide = _visit(browser, whole).page
    for link in wide.locator("nav a").all():
        box = link.bounding_box()
        assert box and box["x"] + box["width"] < 1280
    narrow = _visit(browser, whole, width=400).page
    mask = "getComputedStyle(document.querySelector('nav')).maskImage"
    assert "gradient" in narrow.evaluate(mask)


def test_a_word_explains_itself_to_mouse_keyboard_and_finger(
    browser: Browser, whole: Run
):
    page = _visit(browser, whole).page
    box = page.locator("#explanation")
    head = page.locator("#scorecard .term").first
    head.hover()
    assert "sum_v n_v" in box.inner_text() and "from 0 to 1" in box.inner_text()
    page.mouse.move(2, 500)
    assert not box.is_visible()
    head.focus()
    assert box.is_visible() and head.get_attribute("aria-describedby") == "explanation"
    page.keyboard.press("Escape")
    assert not box.is_visible()
    context = browser.new_context(has_touch=True, offline=True)
    page = context.new_page()
    page.goto((whole.path / "report.html").as_uri())
    page.wait_for_selector("html[data-charts=drawn]", state="attached")
    page.locator("#finetuned h4 .term").first.tap()
    assert "Share of scored rows" in page.locator("#explanation").inner_text()
    assert "#measure" not in page.url
    context.close()


def test_a_dash_says_why_to_the_keyboard(browser: Browser, whole: Run):
    page = _visit(browser, whole).page
    gap = page.locator("#told .gap").first
    assert gap.get_attribute("aria-label") == "no such prompt"
    gap.focus()
    assert page.locator("#explanation").inner_text() == "no such prompt"


def test_every_figure_is_drawn(visit: Visit):
    charts = visit.page.locator("[data-chart]")
    assert charts.count() == 18
    for index in range(charts.count()):
        marks = charts.nth(index).locator(
            "svg g.mark-symbol path, svg g.mark-rule line"
        )
        assert marks.count() > 2
        box = charts.nth(index).locator("svg").bounding_box()
        assert box and box["width"] > 200 and box["height"] > 60


def _first_row(page: Page) -> str:
    return page.locator("#flip-rows .row").first.inner_text()


def test_search_and_filters_narrow_the_list(browser: Browser, drawn: Run):
    page = _visit(browser, drawn).page
    count = page.locator("#flip-count")
    before = count.inner_text()
    page.fill("#flip-search", "subject 17")
    assert "Subject 17" in _first_row(page)
    searched = int(count.inner_text().split(" of ")[0].replace(",", ""))
    assert 0 < searched < int(before.split(" of ")[0].replace(",", ""))
    page.select_option("#flip-model", label="tuned-2")
    page.select_option("#flip-kind", label="now agrees")
    for row in page.locator("#flip-rows .row").all():
        text = row.inner_text()
        assert "Subject 17" in text and "tuned-2" in text and "now agrees" in text
    page.fill("#flip-search", "no such subject")
    assert count.inner_text().startswith("0 of")
    assert "No flip fits" in page.locator("#flip-detail").inner_text()


def test_unknown_noise_is_neither_inside_nor_outside_a_floor(
    browser: Browser, tmp_path: Path
):
    analyses = ("facts", "representation")
    run = finished_run(tmp_path / "run", facts=4, relations=2, analyses=analyses)
    write_report(run)
    visit = _visit(browser, run)
    margins = visit.page.locator("#flip-margin option").all_inner_texts()
    assert len(margins) > 2 and not any("noise" in text for text in margins)
    assert "near tie" not in visit.page.locator("#flip-rows").inner_text()
    assert visit.faults == []


def test_a_run_of_one_subject_is_drawn_without_a_warning(
    browser: Browser, tmp_path: Path
):
    analyses = ("facts", "noise")
    run = finished_run(tmp_path / "run", facts=1, relations=1, analyses=analyses)
    write_report(run)
    assert _visit(browser, run).faults == []


def test_flips_of_very_many_words_are_unpacked(browser: Browser, tmp_path: Path):
    """More strings in one block than a function takes arguments."""
    run = finished_run(tmp_path / "run", facts=4, relations=2)
    write_report(run)
    page = run.path / "report.html"
    text = page.read_text(encoding="utf-8")
    start = text.index(">", text.index('id="flip-data"')) + 1
    packed = json.loads(text[start : text.index("</script>", start)])
    block = json.loads(zlib.decompress(base64.b64decode(packed["blocks"][0])))
    block["words"] += [f"word {number}" for number in range(200_000)]
    packed["blocks"][0] = base64.b64encode(
        zlib.compress(json.dumps(block).encode())
    ).decode()
    end = text.index("</script>", start)
    page.write_text(text[:start] + json.dumps(packed) + text[end:], encoding="utf-8")
    visit = _visit(browser, run)
    assert visit.page.locator("#flip-rows .row").count() > 3
    assert visit.faults == []


def test_a_list_that_cannot_be_unpacked_is_said_to_be_elsewhere(
    browser: Browser, tmp_path: Path
):
    run = finished_run(tmp_path / "run", facts=4, relations=2)
    write_report(run)
    page = run.path / "report.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace('"blocks":["', '"blocks":["AAAA'), encoding="utf-8")
    visit = _visit(browser, run)
    assert visit.page.locator("#flip-missing").is_visible()
    assert not visit.page.locator("#flip-browser").is_visible()


def test_only_the_rows_in_view_are_in_the_page(visit: Visit):
    assert visit.page.locator("#flip-rows .row").count() < 40
    visit.page.locator("#flip-list").evaluate("list => { list.scrollTop = 20000 }")
    visit.page.wait_for_timeout(200)
    assert visit.page.locator("#flip-rows .row").count() < 40
    assert (
        int(
            visit.page.locator("#flip-rows .row").first.get_attribute("aria-posinset")
            or 0
        )
        > 300
    )


def test_arrow_keys_choose_a_flip(browser: Browser, drawn: Run):
    page = _visit(browser, drawn).page
    page.locator("#flip-list").focus()
    first = page.locator("#flip-detail").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator("#flip-list").get_attribute("aria-activedescendant") == "flip-1"
    assert page.locator("#flip-1").get_attribute("aria-selected") == "true"
    assert page.locator("#flip-detail").inner_text() != first
    page.keyboard.press("End")
    last = page.locator("#flip-list").get_attribute("aria-activedescendant")
    assert page.locator(f"#{last}").is_visible()


def test_hostile_text_is_shown_as_text(browser: Browser, hostile: Run):
    visit = _visit(browser, hostile)
    assert visit.page.evaluate("window.hacked === undefined")
    assert visit.page.locator("img").count() == 0
    assert "<script>window.hacked" in _first_row(visit.page)
    assert "<script>window.hacked" in visit.page.locator("#flip-detail").inner_text()
    assert visit.faults == [] and len(visit.requests) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_downwards_only(browser: Browser, drawn: Run, scheme: Scheme):
    visit = _visit(browser, drawn, width=400, scheme=scheme)
    visit.page.evaluate(_OPEN_ALL)
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width == 400
    assert visit.faults == []


def test_dark_follows_the_system_and_the_button_turns_it(browser: Browser, drawn: Run):
    page = _visit(browser, drawn, scheme="dark").page
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    mark = page.locator("[data-chart] g.mark-symbol path").first
    before = mark.evaluate("node => getComputedStyle(node).fill")
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    assert mark.evaluate("node => getComputedStyle(node).fill") != before


def test_print_is_light_and_without_the_list(browser: Browser, drawn: Run):
    page = _visit(browser, drawn, scheme="dark").page
    page.emulate_media(media="print")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert not page.locator("#flip-browser").is_visible()
    assert page.locator("#flips .print-only").is_visible()


def test_a_link_to_a_measure_opens_the_group_in_which_it_stands(
    browser: Browser, drawn: Run
):
    page = _visit(browser, drawn).page
    entry = page.locator("[id='measure-facts.agreement']")
    assert not entry.is_visible()
    page.locator("#scorecard a[href='#measure-facts.agreement']").first.click()
    assert entry.is_visible()
    place = entry.bounding_box()
    assert place is not None and 0 <= place["y"] < page.evaluate("innerHeight")


def test_what_words_mean_is_printed_though_it_is_folded(browser: Browser, drawn: Run):
    page = _visit(browser, drawn).page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("[id='measure-facts.agreement']").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#glossary details[open]").count() == 0


def test_paper_has_whole_tables_no_empty_boxes_and_few_rows(
    browser: Browser, whole: Run
):
    page = _visit(browser, whole, width=1032).page
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 1032
    tables = "[...document.querySelectorAll('table.numbers, table.score')]"
    shown = f"{tables}.filter(one => one.offsetParent)"
    wide = f"{shown}.filter(one => one.getBoundingClientRect().width > 1032)"
    assert page.evaluate(f"{wide}.length") == 0
    assert page.locator("details:not([open])").first.is_hidden()
    page.evaluate(_OPEN_ALL)
    rows = page.locator("#inside details tbody tr").all()
    assert len(rows) > 100 and sum(row.is_visible() for row in rows[:100]) == 20
