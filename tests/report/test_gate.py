"""Gate: only what the interval shows breaks a condition, and codes say which."""

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest
from finished_run import finished_run

from concord.cli import main
from concord.errors import ResultsError, StudyError
from concord.report.findings import Findings, read_findings
from concord.report.gate import Condition, Kind, judge, parse_condition, passes
from concord.report.gate_files import check_line, gate_junit, gate_markdown

MARGIN = 0.01


def _findings(
    low: float | None,
    high: float | None,
    *,
    better: str | None = "higher",
    model: str = "tuned",
    ends: tuple[float | None, float | None] = (0.0, 1.0),
) -> Findings:
    value = None if low is None or high is None else (low + high) / 2
    entry = {"model": model, "value": value, "low": low, "high": high, "reason": "why"}
    measure = {"key": "facts.agreement", "better": better, "differences": [entry]}
    measure["values"] = [entry]
    measure |= {"unit": "share", "lowest": ends[0], "highest": ends[1]}
    return Findings({"base": "base", "tuned": [model], "measures": [measure]})


def _outcome(low: float, high: float, *, better: str = "higher") -> str:
    (check,) = judge(
        _findings(low, high, better=better),
        [Condition("max-drop", "facts.agreement", MARGIN)],
    )
    return check.outcome


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.05, -0.02, "broken"),  # the whole interval is beyond the margin
        (-0.05, -0.01, "undecided"),  # its end touches the margin
        (-0.05, -0.005, "undecided"),  # a drop is shown, a drop beyond .01 is not
        (-0.02, 0.03, "undecided"),
        (-0.0101, 0.03, "undecided"),
        (-0.01, 0.03, "met"),  # no larger drop than the one that is tolerated
        (-0.01, -0.01, "met"),
        (-0.009, 0.03, "met"),
        (0.02, 0.05, "met"),
    ],
)
def test_the_interval_decides_not_the_point(low: float, high: float, outcome: str):
    assert _outcome(low, high) == outcome


def test_two_models_that_answer_alike_have_dropped_by_nothing():
    nothing = [Condition("max-drop", "facts.agreement", 0.0)]
    (check,) = judge(_findings(0.0, 0.0), nothing, strict=True)
    assert (check.outcome, check.passes) == ("met", True)
    (check,) = judge(_findings(-0.001, 0.0), nothing, strict=True)
    assert (check.outcome, check.passes) == ("undecided", False)


def test_a_rise_is_a_drop_where_lower_is_better():
    assert _outcome(0.02, 0.05, better="lower") == "broken"
    assert _outcome(-0.05, -0.02, better="lower") == "met"


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.7, 0.79, "broken"), (0.7, 0.8, "undecided"), (0.8, 0.9, "met")],
)
def test_a_minimum_is_of_the_value(low: float, high: float, outcome: str):
    (check,) = judge(_findings(low, high), [Condition("min", "facts.agreement", 0.8)])
    assert check.outcome == outcome


def test_undecided_passes_unless_strict():
    asked = [Condition("max-drop", "facts.agreement", MARGIN)]
    findings = _findings(-0.02, 0.03)
    assert passes(judge(findings, asked))
    assert not passes(judge(findings, asked, strict=True))


def test_a_strict_gate_passes_nothing_that_a_plain_one_fails():
    asked = [Condition("max-drop", "facts.agreement", MARGIN)]
    ends = [-0.03, -0.01, -0.005, 0.0, 0.02]
    for low, high in itertools.combinations(ends, 2):
        plain, strict = (
            passes(judge(_findings(low, high), asked, strict=s)) for s in (False, True)
        )
        assert plain or not strict


def test_a_missing_number_is_refused_unless_passed_over():
    findings, asked = _findings(None, None), [Condition("min", "facts.agreement", 0)]
    with pytest.raises(ResultsError, match=r"for tuned \(why\).*--allow-missing"):
        judge(findings, asked)
    with pytest.raises(ResultsError, match="nothing judged"):
        judge(findings, asked, allow_missing=True)
    entry = {"model": "other", "value": 0.5, "low": 0.4, "high": 0.6}
    (measure,) = findings.measures
    both = {**measure, "values": [*measure["values"], entry]}
    tuned = ["tuned", "other"]
    findings = Findings({"base": "base", "tuned": tuned, "measures": [both]})
    missing, met = judge(findings, asked, allow_missing=True)
    assert missing.outcome == "missing" and check_line(missing).startswith("skip")
    assert met.outcome == "met"


def test_a_drop_needs_a_direction():
    asked = [Condition("max-drop", "facts.agreement", MARGIN)]
    with pytest.raises(StudyError, match="needed a direction"):
        judge(_findings(-0.02, 0.03, better=None), asked)


def test_what_is_undecided_is_not_called_passed():
    asked = [Condition("max-drop", "facts.agreement", MARGIN)]
    findings = _findings(-0.02, 0.03)
    checks = judge(findings, asked)
    assert check_line(checks[0]).startswith("undecided")
    assert "concord gate: passed (1 undecided)" in gate_markdown(findings, checks)
    case = ElementTree.fromstring(gate_junit(checks).partition("\n")[2])[0]
    assert str(case.findtext("system-out")).startswith("undecided")
    strict = judge(findings, asked, strict=True)
    assert check_line(strict[0]).startswith("FAIL")
    assert "concord gate: failed (1 failed)" in gate_markdown(findings, strict)


@pytest.mark.parametrize("text", ["facts.agreement", "=0.1", "a=", "a=b", "a=nan"])
def test_a_condition_needs_key_and_number(text: str):
    with pytest.raises(StudyError, match="KEY=NUMBER"):
        parse_condition("min", text)


def test_a_tolerated_drop_is_not_negative():
    with pytest.raises(StudyError, match="0 or more"):
        parse_condition("max-drop", "facts.agreement=-0.01")


def test_unknown_names_get_a_near_match():
    findings = _findings(0, 1)
    with pytest.raises(StudyError, match="did you mean 'facts.agreement'"):
        judge(findings, [Condition("min", "fact.agreement", 0)])
    with pytest.raises(StudyError, match="did you mean 'tuned'"):
        judge(findings, [Condition("min", "facts.agreement", 0)], models=["tund"])
    with pytest.raises(StudyError, match="--max-drop or --min"):
        judge(findings, [])


@pytest.mark.parametrize(
    ("kind", "bound", "ends", "words"),
    [
        ("max-drop", 5, (0.0, 1.0), r"found 5; .* lies in 0 to 1.*did you mean 0\.05"),
        ("min", 50, (0.0, 1.0), r"found 50; .* lies in 0 to 1; did you mean 0\.5\?"),
        ("min", -0.1, (0.0, 1.0), "found -0.1; .*give a bound in that range"),
        ("max-drop", 2.5, (-1.0, 1.0), r"is larger than 2; did you mean 0\.025"),
        ("min", 2, (None, 1.0), r"no lower end to 1; did you mean 0\.02\?"),
    ],
)
def test_a_bound_that_no_value_can_reach_is_refused(
    kind: Kind, bound: float, ends: tuple[float | None, float], words: str
):
    findings = _findings(-0.02, 0.03, ends=ends)
    with pytest.raises(StudyError, match=words):
        judge(findings, [Condition(kind, "facts.agreement", bound)])


def test_the_ends_of_a_range_are_bounds():
    for bound in (0, 1):
        judge(_findings(0.2, 0.3), [Condition("min", "facts.agreement", bound)])
        judge(_findings(0.2, 0.3), [Condition("max-drop", "facts.agreement", bound)])
    open_ended = _findings(0.2, 0.3, ends=(0.0, None))
    judge(open_ended, [Condition("max-drop", "facts.agreement", 7)])


def test_a_measure_that_was_not_asked_for_is_told_how_to_ask():
    with pytest.raises(StudyError, match=r"under measures: .*\[format_spread\]"):
        judge(_findings(0, 1), [Condition("min", "facts.format_spread", 0)])


def test_a_slip_among_many_keys_names_the_nearest_few():
    findings = _findings(0, 1)
    (measure,) = findings.measures
    many = [measure, *({**measure, "key": f"relations.k{i}"} for i in range(200))]
    findings = Findings({**findings.content, "measures": many})
    with pytest.raises(StudyError, match="docs/measures.md") as caught:
        judge(findings, [Condition("min", "facts.agremnt", 0)])
    assert "Among the 201 known: facts.agreement, " in str(caught.value)
    assert len(str(caught.value)) < 300


def test_files_survive_hostile_labels():
    label = '<a>|"&\x00\ud800'
    findings = _findings(-0.05, -0.02, model=label)
    checks = judge(findings, [Condition("max-drop", "facts.agreement", MARGIN)])
    suite = ElementTree.fromstring(gate_junit(checks).partition("\n")[2])
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert suite[0].get("classname") == '<a>|"&\ufffd\ufffd'
    failure = suite[0].find("failure")
    assert failure is not None
    assert "a larger drop is shown" in str(failure.get("message"))
    assert "&lt;a&gt;\\|" in gate_markdown(findings, checks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("gate") / "run", facts=12).path


def _code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as exit:
        main(["gate", *arguments])
    return exit.value.code


def test_exit_codes_are_0_1_and_2(folder: Path, tmp_path: Path, capsys):
    run = str(folder)
    assert _code(run, "--max-drop", "facts.agreement=0.01") == 0
    assert capsys.readouterr().out.count("  --max-drop") == 2
    files = ("--junit", str(tmp_path / "g.xml"), "--markdown", str(tmp_path / "g.md"))
    assert _code(run, "--min", "facts.agreement=0.99", *files) == 1
    assert "FAIL  --min facts.agreement=0.99  tuned-1" in capsys.readouterr().out
    assert "concord gate: failed" in (tmp_path / "g.md").read_text()
    assert ElementTree.parse(tmp_path / "g.xml").getroot().get("failures") == "2"
    assert _code(run, "--min", "facts.agrement=0.99") == 2
    assert "did you mean 'facts.agreement'" in capsys.readouterr().err
    assert _code(run) == 2
    assert _code(str(tmp_path), "--min", "facts.agreement=0") == 2


def test_no_folder_is_made_for_a_file(folder: Path, tmp_path: Path, capsys):
    for option in ("--junit", "--markdown"):
        path = tmp_path / "missing" / "file"
        asked = ("--max-drop", "facts.agreement=0.5", option, str(path))
        assert _code(str(folder), *asked) == 2
        assert f"found no folder {path.parent}" in capsys.readouterr().err.replace(
            "\n", " "
        )
        assert not path.parent.exists()


@pytest.mark.parametrize(
    "damage",
    [b"[]", b"{}", b"\xff", b"{", b'{"base": "b", "tuned": [], "measures": [1]}'],
)
def test_a_damaged_summary_is_refused_with_a_remedy(tmp_path: Path, damage: bytes):
    run = finished_run(tmp_path / "run", facts=3, relations=1, analyses=("facts",))
    (run.path / "summary.json").write_bytes(damage)
    with pytest.raises(ResultsError, match=r"summary\.json: .*`concord report` again"):
        read_findings(run)
