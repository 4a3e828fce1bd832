"""Commands on a finished run: draw it again, list who flipped, gate a release."""

from pathlib import Path
from typing import Annotated

import typer

from concord.commands.options import out, reporter


def report(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Draw summary, tables and page again from the saved rows.

    No model is loaded and no torch is needed.
    """
    from concord.progress import Phases
    from concord.redraw import redraw

    with Phases(reporter(quiet=False)) as phases:
        page = redraw(run, phases.tell)
    out.print(f"Report: {page}", markup=False, soft_wrap=True)


def flips(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    model: Annotated[str | None, typer.Option(help="A tuned model's label.")] = None,
    relation: Annotated[str | None, typer.Option(help="As P19.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="to_agree: a fact's wordings now agree; to_disagree: they no longer "
            "agree; new_answer: they agree on a new answer; other: they agree neither "
            "before nor after; one_wording: a fact that has one."
        ),
    ] = None,
    contexts: Annotated[str, typer.Option(help="study, same, chat or all.")] = "study",
    near_ties: Annotated[
        bool | None,
        typer.Option(
            "--near-ties/--no-near-ties",
            help="Only, or without, flips that noise could make: a margin of every "
            "changed wording is under twice the noise floor.",
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="A text in fact, prompt or answers.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows shown at most.", min=0)] = 20,
    csv: Annotated[Path | None, typer.Option(help="File that gets them all.")] = None,
) -> None:
    """List who changed an answer, from what to what.

    With the wording, and the margin by which each answer led. What no longer agrees
    comes first, then the widest margin.
    """
    from concord.report import flip_search
    from concord.report.findings import read_findings
    from concord.results import open_run, require_folder_of

    if csv is not None:
        require_folder_of(csv)
    opened = open_run(run)
    findings = read_findings(opened)
    named = None if contexts == "all" else contexts
    wanted = flip_search.FlipFilter(model, relation, kind, named, near_ties, search)
    found = flip_search.find_flips(opened, findings, wanted, limit=limit)
    if found.wordings:
        out.print(flip_search.flips_table(found))
    else:
        out.print("No changed wording fits; nothing to list.", markup=False)
    if csv is not None:
        flip_search.write_found_flips(opened, findings, wanted, csv)
        out.print(f"All of them: {csv}", markup=False, soft_wrap=True)


def gate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    max_drop: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=NUMBER, as facts.agreement=0.01, the largest drop that is "
            "tolerated: fails when a larger drop is shown."
        ),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", help="KEY=NUMBER: fails when a lower value is shown."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A tuned model's label; all unless given.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail also where nothing is shown either way."),
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Pass over what has no number.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="JUnit XML to write.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Summary to write.")] = None,
) -> None:
    """Exit with 1 when a tuned model is shown to be worse.

    Worse than --max-drop or --min allow, by the interval and not by the point.
    """
    from concord.report import gate as gates
    from concord.report import gate_files
    from concord.report.findings import read_findings
    from concord.results import open_run, require_folder_of, write_text

    for path in filter(None, (junit, markdown)):
        require_folder_of(path)
    findings = read_findings(open_run(run))
    conditions = [gates.parse_condition("max-drop", text) for text in max_drop or ()]
    conditions += [gates.parse_condition("min", text) for text in minimum or ()]
    checks = gates.judge(
        findings,
        conditions,
        models=model or (),
        strict=strict,
        allow_missing=allow_missing,
    )
    for check in checks:
        out.print(
            gate_files.check_line(check), markup=False, highlight=False, soft_wrap=True
        )
    if junit is not None:
        write_text(junit, gate_files.gate_junit(checks))
    if markdown is not None:
        write_text(markdown, gate_files.gate_markdown(findings, checks))
    raise typer.Exit(0 if gates.passes(checks) else 1)
