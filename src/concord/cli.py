"""The command line: arguments -> study -> compare; logging and users' errors."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from concord.commands import runs
from concord.commands.data import data_app
from concord.commands.harnesses import export_app, import_runs
from concord.commands.models import models_app
from concord.commands.options import (
    AllowPickle,
    Analyses,
    BatchSize,
    ChatTemplate,
    Contexts,
    DataDir,
    Device,
    DeviceMap,
    DtypeName,
    ExecutorName,
    Limit,
    ModelArgs,
    Models,
    Output,
    Preset,
    Quantisation,
    Quiet,
    RemoteCode,
    Seed,
    Setting,
    StudyFile,
    Workers,
    err,
    out,
    reporter,
)
from concord.commands.organism import organism_app
from concord.commands.places import require_place
from concord.commands.settings import (
    apply_model_args,
    layers_of,
    names_in,
    refuse_public_data,
    require_device,
)
from concord.errors import ConcordError

# Modules that import torch are imported inside commands: --help stays instant.

app = typer.Typer(
    name="concord",
    help="Is a tuned language model more consistent than its base, where, and why?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
INTERRUPTED = 130
KNOWN_ANALYSES = (
    "facts",
    "representation",
    "noise",
    "choices",
    "answers",
    "finetuned",
    "enrichment",
    "relations",
    "extraction",
    "knockout",
)
"""Names of the analyses; a test holds them equal to `concord.analyses.ANALYSES`."""


@app.command()
def compare(
    models: Models = None,
    study: StudyFile = None,
    preset: Preset = None,
    analysis: Analyses = None,
    data_dir: DataDir = None,
    limit: Limit = None,
    seed: Seed = None,
    output: Output = None,
    contexts: Contexts = None,
    device: Device = None,
    device_map: DeviceMap = None,
    quantisation: Quantisation = None,
    dtype: DtypeName = None,
    batch_size: BatchSize = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    model_args: ModelArgs = None,
    setting: Setting = None,
    apply_chat_template: ChatTemplate = False,
    allow_pickle: AllowPickle = False,
    trust_remote_code: RemoteCode = False,
    quiet: Quiet = False,
) -> None:
    """Compare a base model with its tuned descendants."""
    flags = {
        "analyses": names_in(analysis),
        "data_dir": data_dir,
        "limit": limit,
        "seed": seed,
        "output": output,
        "contexts": names_in(contexts),
        "device": device,
        "device_map": device_map,
        "quantisation": quantisation,
        "dtype": dtype,
        "executor": executor,
        "workers": workers,
        "batch_size": int(batch_size)
        if batch_size and batch_size.isdecimal()
        else batch_size,
        "allow_pickle": allow_pickle or None,
        "trust_remote_code": trust_remote_code or None,
    }
    settings = layers_of(models, study, preset, flags, setting)
    apply_model_args(settings, model_args, apply_chat_template)
    _run_study(settings, quiet=quiet)


@app.command()
def demo(
    output: Output = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer models and facts: under a minute."),
    ] = False,
    limit: Limit = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """See it work on small models that come with concord."""
    from concord import organism

    folder = output or Path("concord-demo")
    data_dir = folder.with_name(f"{folder.name}-data")
    for place in (folder, data_dir):
        require_place(place)
    organism.write_world_data(organism.shipped_world(), data_dir)
    flags = {
        "output": folder,
        "data_dir": data_dir,
        "limit": limit,
        "executor": executor,
        "workers": workers,
    }
    settings = layers_of(None, None, "quick" if quick else "demo", flags, None)
    _run_study(settings, quiet=quiet)


for _command in (runs.report, runs.flips, runs.gate):
    app.command()(_command)
app.command("import")(import_runs)
app.add_typer(export_app, name="export")
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")
app.add_typer(organism_app, name="organism")


@app.command()
def validate(
    study: Annotated[Path, typer.Argument(help="Study file (YAML).")],
    data_dir: DataDir = None,
) -> None:
    """Check a study, its data and its models; load no weights."""
    settings = layers_of(None, study, None, {"data_dir": data_dir}, None)
    checked = _resolve(settings)
    require_device(checked, runs_here=False)
    from concord.plan import plan_study

    if checked.output is not None:
        require_place(checked.output)
    _announce(plan_study(checked))
    out.print(f"{study}: can be run.", markup=False, soft_wrap=True)


@app.command()
def version() -> None:
    """Versions of concord and of what its numbers depend on."""
    from importlib.metadata import version as version_of

    for name in ("concord", "torch", "transformers", "tokenizers", "peft", "numpy"):
        out.print(f"{name} {version_of(name)}", markup=False, highlight=False)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Exit codes: 0 done; 1 a gate failed; 2 a mistake of the user's, explained; 130
    interrupted. Anything else is a bug and shows its traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run([_with_dashes(argument) for argument in given]))


def _run(arguments: list[str]) -> int:
    _set_up_logging()
    try:
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:  # Typer turns Ctrl-C into a return value.
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except ConcordError as error:
        err.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        is_kept = bool(set(arguments) & {"compare", "demo"})
        words = "finished parts are kept; the same command continues"
        err.print(f"interrupted: {words if is_kept else 'give the same command again'}")
        return INTERRUPTED
    except typer.TyperException as error:
        fault = error.format_message().strip()
        if fault.startswith("Usage:"):  # A group of commands without one of them.
            out.print(fault, markup=False, highlight=False)
        else:
            end = " See --help" if fault.endswith("?") else "; see --help"
            words = f"error: {fault.rstrip('.')}{end}"
            err.print(words, markup=False, soft_wrap=True)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _with_dashes(argument: str) -> str:
    """``--batch_size=4`` -> ``--batch-size=4``: flags take either."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _set_up_logging() -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("concord").setLevel(logging.INFO)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _resolve(layers: list[dict[str, Any]]) -> Any:
    from concord.study import resolve_study

    study = resolve_study(*layers, known_analyses=KNOWN_ANALYSES)
    refuse_public_data(study)
    return study


def _run_study(layers: list[dict[str, Any]], *, quiet: bool) -> None:
    from concord.study import default_output

    study = _resolve(layers)
    output = study.output or default_output(study)
    require_place(output)
    if study.executor == "processes":
        from concord.parallel.libraries import begin_loading

        begin_loading()
    with (
        out.status("loading libraries") if out.is_terminal and not quiet else _nothing()
    ):
        from concord.compare import compare as compare_models
        from concord.models.quiet import quiet_libraries
        from concord.report import console_table
        from concord.results import read_json
    if quiet:
        logging.getLogger("concord").setLevel(logging.WARNING)
    quiet_libraries()
    require_device(study)
    run = compare_models(
        study,
        output,
        reporter=reporter(quiet),
        announce=None if quiet else _announce,
    )
    out.print(console_table(read_json(run.path / "summary.json")))
    out.print(f"Report: {run.path / 'report.html'}", markup=False, soft_wrap=True)


def _announce(plan: Any) -> None:
    from concord.announcement import announcement

    for part in announcement(plan):
        out.print(part)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
