"""``concord import`` and ``concord export``: runs and tasks of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from concord.commands.options import DataDir, Limit, Seed, out, reporter
from concord.commands.places import require_place
from concord.errors import StudyError

export_app = typer.Typer(help="ParaRel as tasks for other tools.", no_args_is_help=True)


def import_runs(
    logs: Annotated[
        list[str],
        typer.Argument(
            help="Logs of the base, then of tuned models: file or folder, or "
            "LABEL=PATH, of lm-eval, lighteval or inspect.",
            show_default=False,
        ),
    ],
    group: Annotated[
        str, typer.Option(help="Field of a question that all its wordings share.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "--output-path", "-o", help="New run folder.")
    ],
    variant: Annotated[
        str | None, typer.Option(help="Field that names the wording.")
    ] = None,
    relation: Annotated[
        str | None, typer.Option(help="Field of questions with the same options.")
    ] = None,
    choices: Annotated[
        str | None, typer.Option(help="Field that lists the options' texts.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The logged 0 or 1 that says right or wrong.")
    ] = None,
    replicates: Annotated[
        int | None,
        typer.Option(help="Bootstrap replicates of the intervals.", min=100),
    ] = None,
    seed: Seed = None,
) -> None:
    """Make a run of logs of lm-eval, lighteval or inspect.

    With agreement, tests and report; flips and gate work on it.
    """
    if len(logs) < 2:
        raise StudyError(
            f"found one log, {logs[0]!r}; needed those of a base and of one or more "
            "tuned models: concord import BASE TUNED... --group FIELD --output RUN"
        )
    require_place(output)
    from concord.harnesses.answers import Keys
    from concord.harnesses.imported import find_log, import_logs
    from concord.progress import Phases
    from concord.redraw import redraw
    from concord.report import console_table
    from concord.results import read_json

    keys = Keys(group, variant, relation, choices, metric)
    run = import_logs(
        [find_log(one) for one in logs],
        keys,
        output,
        statistics={"replicates": replicates} if replicates else None,
        seed=seed or 0,
    )
    with Phases(reporter(quiet=False)) as phases:
        page = redraw(run.path, phases.tell)
    out.print(console_table(read_json(run.path / "summary.json")))
    out.print(f"Report: {page}", markup=False, soft_wrap=True)


@export_app.command("lm-eval")
def export_lm_eval(
    output: Annotated[Path, typer.Argument(help="New folder for the tasks.")],
    source: Annotated[
        str, typer.Option(help="pararel, or a path to facts of your own.")
    ] = "pararel",
    relations: Annotated[
        str, typer.Option(help="paired, n1, all, or names separated by commas.")
    ] = "paired",
    limit: Limit = None,
    seed: Seed = None,
    data_dir: DataDir = None,
) -> None:
    """Write ParaRel as tasks for lm-eval's --include_path."""
    from concord.harnesses.lm_eval_task import export_facts

    names = relations if "," not in relations else tuple(relations.split(","))
    tasks = export_facts(
        output,
        source=source,
        relations=names,
        limit=limit,
        seed=seed or 0,
        data_dir=data_dir,
    )
    for name in tasks:
        out.print(f"group {name}", markup=False, highlight=False)
    out.print(
        f"lm_eval --include_path {output} --tasks {','.join(tasks)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
