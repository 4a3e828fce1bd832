"""The page as a reader meets it, in a browser with no network."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from concord.results import Run

Scheme = Literal["light", "dark"]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
    visit.page.evaluate(
        "document.querySelectorAll('details').forEach(one => { one.open = true })"
    )
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
    assert page.locator(".print-only").is_visible()
