"""The report page: one HTML file that needs nothing from anywhere.

Text from models and data is untrusted. Jinja escapes it in the page; JSON is embedded
with the signs that could end a script escaped; the page's own script writes text nodes
only; and a content policy lets run no script but the two whose hashes it names, and
fetch nothing.
"""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import altair
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from concord.report import formats
from concord.report.answers import answer_warnings
from concord.report.caveats import EMBEDDED, caveats, same_weights
from concord.report.choice_warnings import position_warnings
from concord.report.compared import compared_models
from concord.report.figure import Figure
from concord.report.findings import CONTEXT_SETS, Findings, is_number
from concord.report.finetuned import classifier_warnings
from concord.report.flip_list import FlipsInPage
from concord.report.palette import SHAPE_PATHS, THEMES, painted
from concord.report.prompts import PromptPair
from concord.report.table import Table
from concord.report.tables import headline_title
from concord.report.verdict import arrow_of, direction_of, verdict_of
from concord.report.words import HOW_TO_CITE, LIMITS, measure_words
from concord.summary import Measure
from concord.summary.glossary import TERMS, group_title

_BUNDLER = """
import sys
import vl_convert
text = vl_convert.javascript_bundle(
    "window.vegaEmbed = vegaEmbed;", vl_version=sys.argv[1]
)
sys.stdout.buffer.write(text.encode())
"""
ROW_LIMIT = 300
"""Rows of one table on the page at most; the files hold all."""
PRINTED_ROWS = 20
"""Rows of one table on paper at most."""
PAGE_LIMIT = 3_000_000
"""Bytes of the page at most; the list of flips is cut to fit."""


@dataclass(frozen=True)
class Page:
    """All that the page shows but the list of flips."""

    findings: Findings
    info: Mapping[str, Any]
    study: Mapping[str, Any]
    pairs: Sequence[PromptPair]
    predictions: Sequence[Figure]
    representations: Sequence[Figure]
    others: Sequence[Figure]
    tables: Mapping[str, Table]
    wordings: Mapping[str, str]
    attribution: str
    flip_totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    has_flip_file: bool = False
    choices: Sequence[Figure] = ()
    answers: Sequence[Figure] = ()
    told: Sequence[Figure] = ()
    finetuned: Sequence[Figure] = ()

    @property
    def figures(self) -> list[Figure]:
        """Every figure, in the order of the page."""
        return [
            *self.predictions,
            *self.representations,
            *self.choices,
            *self.answers,
            *self.told,
            *self.finetuned,
            *self.others,
        ]


def render(page: Page, flips: FlipsInPage) -> str:
    """The page as HTML, the same bytes for the same run."""
    return renderer(page)(flips)


def renderer(page: Page) -> Callable[[FlipsInPage], str]:
    """All of the page but its flips, made once; then the page for a list of flips."""
    environment = Environment(
        loader=PackageLoader("concord.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in ("count", "percent", "probability", "unbroken")
    }
    script, bundle = _read("page.js"), begin_bundle().result()
    charts = _without_repeats(
        {
            panel.name: _in_page_colours(panel.specification)
            for figure in page.figures
            for panel in figure.panels
        }
    )
    glossary, asked = _glossary(page.findings), page.study.get("analyses") or ()
    words = dict(
        page=page,
        findings=page.findings,
        verdict=verdict_of(page.findings),
        scorecard=_scorecard(page.findings),
        caveats=caveats(page.findings, page.info, page.pairs),
        limits=LIMITS,
        glossary=glossary,
        glossary_groups=_grouped(glossary),
        terms=TERMS,
        compared=compared_models(page.findings, page.info),
        embedded=EMBEDDED,
        same_weights=same_weights(page.findings, page.info),
        has_predictions=bool(page.predictions) or "facts" in asked,
        has_representations=bool(page.representations) or "representation" in asked,
        position_warnings=position_warnings(page.findings),
        classifier_warnings=classifier_warnings(page.findings),
        answer_warnings=answer_warnings(page.findings),
        row_limit=ROW_LIMIT,
        printed_rows=PRINTED_ROWS,
        shape_paths=SHAPE_PATHS,
        context_sets=CONTEXT_SETS,
        citation=HOW_TO_CITE,
        charts_json=Markup(
            formats.safe_json(json.dumps(charts, separators=(",", ":")))
        ),
        policy=_policy(bundle, script),
        style=Markup(_theme_style() + _read("page.css")),
        script=Markup(script),
        bundle=Markup(bundle),
    )
    template = environment.get_template("template.html")

    def fill(flips: FlipsInPage) -> str:
        safe = Markup(formats.safe_json(flips.json))
        return template.render(**words, flips=flips, flips_json=safe)

    return fill


@dataclass(frozen=True)
class ScoreCell:
    """A model's number in the scorecard and its difference from the base, printed."""

    value: str
    interval: str
    reason: str
    """Why there is no number, or no interval."""
    difference: str = ""
    mark: str = ""
    """``better``, ``worse``, ``other``, ``same``, or nothing."""
    arrow: str = ""


def _scorecard(findings: Findings) -> dict[str, Any]:
    measures = findings.headlines()
    columns = [_scores(findings, measure) for measure in measures]
    rows = [
        (model, [column[place] for column in columns])
        for place, model in enumerate(findings.models)
    ]
    heads = [(m["key"], headline_title(m), m.get("better")) for m in measures]
    return {"heads": heads, "rows": rows}


def _scores(findings: Findings, measure: Mapping[str, Any]) -> list[ScoreCell]:
    """A column: every model's cell, in one precision."""
    key = measure["key"]
    values = {model: findings.value(key, model) for model in findings.models}
    changes = {model: findings.difference(key, model) for model in findings.tuned}
    digits = formats.common_digits(values.values())
    finest = formats.common_digits(changes.values())
    cells = []
    for model, value in values.items():
        printed = (
            formats.value(value, digits),
            formats.interval(value, digits),
            str(value.get("reason") or ""),
        )
        change = changes.get(model, {})
        if not is_number(change.get("value")):
            cells.append(ScoreCell(*printed))
            continue
        mark, arrow = _mark(measure, change)
        text = formats.change(change, finest)
        cells.append(ScoreCell(*printed, text, mark, arrow))
    return cells


def _mark(measure: Mapping[str, Any], change: Mapping[str, Any]) -> tuple[str, str]:
    """How a difference is shown: its tone and its arrow."""
    direction = direction_of(change)
    better = {"higher": "more", "lower": "less"}.get(str(measure.get("better")))
    if direction in ("more", "less"):
        tone = "other" if better is None else "better" if direction == better else ""
        return tone or "worse", arrow_of(change)
    return ("", "") if direction == "unmeasured" else ("same", arrow_of(change))


@dataclass(frozen=True)
class GlossaryEntry:
    """A measure's words and the place a scorecard's head leads to."""

    key: str
    title: str
    words: Measure | None


def _glossary(findings: Findings) -> dict[str, GlossaryEntry]:
    """An entry for every key; keys that differ in data set or contexts share one."""
    entries: dict[str, GlossaryEntry] = {}
    shared: dict[Any, GlossaryEntry] = {}
    for key in dict.fromkeys([*findings.keys(), *findings.curve_keys()]):
        words = measure_words(key)
        title = words.title if words else str(findings.measure(key).get("title") or key)
        entry = GlossaryEntry(key, title, words)
        entries[key] = shared.setdefault(words or key, entry)
    return entries


def _grouped(glossary: Mapping[str, GlossaryEntry]) -> dict[str, list[GlossaryEntry]]:
    """Each entry once, under the title of its group."""
    groups: dict[str, list[GlossaryEntry]] = {}
    for entry in {entry.key: entry for entry in glossary.values()}.values():
        groups.setdefault(group_title(entry.key), []).append(entry)
    return groups


def _in_page_colours(specification: dict[str, Any]) -> dict[str, Any]:
    """Colours that follow the theme; the page has one legend for all panels."""
    coloured = painted(
        specification, {token: f"var(--{token[1:]})" for token in _TOKENS}
    )
    return _without_legends(coloured)


def _without_repeats(charts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is equal in all charts, once, and the rest of each."""
    first, *others = list(charts.values()) or [{}]
    shared = {
        name: part
        for name, part in first.items()
        if all(name in other and other[name] == part for other in others)
    }
    own = {
        chart: {name: part for name, part in parts.items() if name not in shared}
        for chart, parts in charts.items()
    }
    return {"shared": shared, "charts": own}


def _without_legends(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_legends(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        name: None if name == "legend" else _without_legends(item)
        for name, item in part.items()
    }


_TOKENS = tuple(THEMES["light"])


def _theme_style() -> str:
    def variables(theme: str) -> str:
        return "".join(f"--{t[1:]}:{colour};" for t, colour in THEMES[theme].items())

    light, dark = variables("light"), variables("dark")
    return (
        f":root{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media screen{{:root[data-theme=light]{{{light}}}"
        f":root[data-theme=dark]{{{dark}}}}}\n"
    )


def _policy(*scripts: str) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def begin_bundle() -> Future[str]:
    """Vega, Vega-Lite and vega-embed in one script, as Altair's schema wants them.

    Making it lets nothing else run in its process, so it has one of its own; call this
    as soon as a page is known to be wanted.
    """
    major, minor, *_ = altair.SCHEMA_VERSION.removeprefix("v").split(".")
    command = [sys.executable, "-c", _BUNDLER, f"{major}.{minor}"]
    thread = ThreadPoolExecutor(1)
    text = thread.submit(lambda: subprocess.check_output(command).decode())
    thread.shutdown(wait=False)
    return text


def _read(name: str) -> str:
    return (resources.files("concord.report") / name).read_text(encoding="utf-8")
