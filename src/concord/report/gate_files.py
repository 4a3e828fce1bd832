"""The outcome of a gate for people and for machines: lines, Markdown, JUnit XML."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from concord.report.findings import Findings
from concord.report.formats import percent
from concord.report.gate import Check, passes
from concord.report.table import Column, Table, as_markdown

_WORDS = {"met": "pass", "undecided": "undecided", "broken": "FAIL", "missing": "skip"}
"""A strict gate fails what is undecided."""
_COUNTED = {"pass": "passed", "undecided": "undecided", "FAIL": "failed"}
_COUNTED |= {"skip": "skipped"}
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Signs that no XML file may hold, not even escaped."""


def check_line(check: Check) -> str:
    """One condition as one line for the console."""
    return (
        f"{word_of(check)}  {check.condition.text}  {check.model}  {check.number}  "
        f"{check.explanation}"
    )


def word_of(check: Check) -> str:
    """``pass``, ``undecided``, ``FAIL`` or ``skip``."""
    return _WORDS[check.outcome] if check.passes else "FAIL"


def gate_markdown(findings: Findings, checks: Sequence[Check]) -> str:
    """A heading that says whether the gate is open, and a table of the conditions.

    The heading counts the checks by outcome: an open gate may hold undecided ones.
    """
    columns = ("condition", "model", "outcome", "measured", "what is shown")
    rows = tuple(
        (
            check.condition.text,
            check.model,
            word_of(check),
            check.number,
            check.explanation,
        )
        for check in checks
    )
    caption = (
        f"Differences are tuned minus base ({findings.base}), with "
        f"{percent(findings.level)} intervals."
    )
    table = Table("gate", caption, tuple(map(Column, columns)), rows)
    heading = "passed" if passes(checks) else "failed"
    words = [word_of(check) for check in checks]
    found = [
        f"{words.count(word)} {told}"
        for word, told in _COUNTED.items()
        if word in words
    ]
    return f"## concord gate: {heading} ({', '.join(found)})\n\n{as_markdown(table)}"


def gate_junit(checks: Sequence[Check]) -> str:
    """JUnit XML: one test case per condition and model, as build servers read it."""
    words = [word_of(check) for check in checks]
    suite = ElementTree.Element(
        "testsuite",
        name="concord gate",
        tests=str(len(checks)),
        failures=str(words.count("FAIL")),
        skipped=str(words.count("skip")),
        errors="0",
    )
    for check, word in zip(checks, words, strict=True):
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_clean(check.model),
            name=_clean(check.condition.text),
        )
        text = _clean(f"{word}: {check.number}: {check.explanation}")
        if word == "FAIL":
            ElementTree.SubElement(case, "failure", message=text)
        elif word == "skip":
            ElementTree.SubElement(case, "skipped", message=text)
        else:
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(suite)
    document = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document.decode() + "\n"


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
