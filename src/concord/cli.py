"""The command line: arguments -> study -> compare; logging and users' errors."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from concord.errors import ConcordError, DataError, StudyError, did_you_mean

# Modules that import torch are imported inside commands: --help stays instant.

app = typer.Typer(
    name="concord",
    help="Is a tuned language model more consistent than its base, where, and why?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Data sets: list, get, check.", no_args_is_help=True)
organism_app = typer.Typer(help="The embedded family.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(organism_app, name="organism")

out = Console()
err = Console(stderr=True)
INTERRUPTED = 130
KNOWN_ANALYSES = (
    "facts",
    "representation",
    "noise",
    "choices",
    "enrichment",
    "relations",
    "extraction",
    "knockout",
)
"""Names of the analyses; a test holds them equal to `concord.analyses.ANALYSES`."""

Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="The base, then one or more tuned models: hub id, folder, adapter folder, "
        "BASE+diff:PATH or embedded:NAME.",
        show_default=False,
    ),
]
StudyFile = Annotated[
    Path | None, typer.Option("--study", help="Study file (YAML); flags override it.")
]
Preset = Annotated[str | None, typer.Option(help="Settings by name.")]
Analyses = Annotated[
    str | None,
    typer.Option("--analysis", "--analyses", help="Names, separated by commas."),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of data sets, instead of the downloaded.")
]
Limit = Annotated[int | None, typer.Option(help="At most this many facts or items.")]
Seed = Annotated[int | None, typer.Option(help="The one seed of the study.")]
Output = Annotated[
    Path | None, typer.Option("--output", "--output-path", "-o", help="Run folder.")
]
Contexts = Annotated[
    str | None, typer.Option(help="study, same, chat; separated by commas.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
DtypeName = Annotated[
    str | None, typer.Option("--dtype", help="auto, float32, bfloat16, float16.")
]
BatchSize = Annotated[str | None, typer.Option(help="Rows of a pass, or auto.")]
ModelArgs = Annotated[
    list[str] | None,
    typer.Option(
        help="key=value,... for all models, or LABEL:key=value,... for one: revision, "
        "peft, tokenizer, bos, prompt_format.",
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any field of a study, as facts.scoring=full."),
]
ChatTemplate = Annotated[
    bool, typer.Option("--apply-chat-template", help="Ask tuned models in theirs.")
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load weights that can run code.")
]
RemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with a model.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the final table.")]


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
    dtype: DtypeName = None,
    batch_size: BatchSize = None,
    model_args: ModelArgs = None,
    setting: Setting = None,
    apply_chat_template: ChatTemplate = False,
    allow_pickle: AllowPickle = False,
    trust_remote_code: RemoteCode = False,
    quiet: Quiet = False,
) -> None:
    """Compare a base model with its tuned descendants."""
    flags = {
        "analyses": _names(analysis),
        "data_dir": data_dir,
        "limit": limit,
        "seed": seed,
        "output": output,
        "contexts": _names(contexts),
        "device": device,
        "dtype": dtype,
        "batch_size": int(batch_size)
        if batch_size and batch_size.isdecimal()
        else batch_size,
        "allow_pickle": allow_pickle or None,
        "trust_remote_code": trust_remote_code or None,
    }
    settings = _layers(models, study, preset, flags, setting)
    _apply_model_args(settings, model_args, apply_chat_template)
    _run_study(settings, quiet=quiet)


@app.command()
def demo(
    output: Output = None,
    quick: Annotated[bool, typer.Option(help="Fewer facts: under a minute.")] = False,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """See it work on the embedded family: no download, no GPU, no account."""
    from concord import organism

    folder = output or Path("concord-demo")
    data_dir = folder.with_name(f"{folder.name}-data")
    organism.write_world_data(organism.shipped_world(), data_dir)
    flags = {"output": folder, "data_dir": data_dir, "limit": limit}
    settings = _layers(None, None, "quick" if quick else "demo", flags, None)
    _run_study(settings, quiet=quiet)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Draw summary, tables, figures and report again, from the saved rows alone."""
    from concord.redraw import redraw

    out.print(f"Report: {redraw(run)}", markup=False, soft_wrap=True)


@app.command()
def flips(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    model: Annotated[str | None, typer.Option(help="A tuned model's label.")] = None,
    relation: Annotated[str | None, typer.Option(help="As P19.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="to_agree, to_disagree, new_answer, other.")
    ] = None,
    contexts: Annotated[str, typer.Option(help="study, same, chat or all.")] = "study",
    near_ties: Annotated[
        bool | None,
        typer.Option(
            "--near-ties/--no-near-ties",
            help="Only, or without, flips whose margin lies inside the noise.",
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="A text in fact, prompt or answers.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows shown at most.", min=0)] = 20,
    csv: Annotated[Path | None, typer.Option(help="File that gets them all.")] = None,
) -> None:
    """List who flipped: from what to what, in which wording, by what margin."""
    from concord.report import flip_search
    from concord.report.findings import read_findings
    from concord.results import open_run

    opened = open_run(run)
    findings = read_findings(opened)
    named = None if contexts == "all" else contexts
    wanted = flip_search.FlipFilter(model, relation, kind, named, near_ties, search)
    found = flip_search.find_flips(opened, findings, wanted, limit=limit)
    out.print(flip_search.flips_table(found))
    if csv is not None:
        flip_search.write_found_flips(opened, findings, wanted, csv)
        out.print(f"All of them: {csv}", markup=False, soft_wrap=True)


@app.command()
def gate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    max_drop: Annotated[
        list[str] | None,
        typer.Option(help="KEY=NUMBER: fails when a larger drop is shown."),
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
    """Exit with 1 when a tuned model is shown to be worse than asked for."""
    from concord.report import gate as gates
    from concord.report import gate_files
    from concord.report.findings import read_findings
    from concord.results import open_run, write_text

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


@app.command()
def validate(
    study: Annotated[Path, typer.Argument(help="Study file (YAML).")],
    data_dir: DataDir = None,
) -> None:
    """Check a study, its data and its models; load no weights."""
    settings = _layers(None, study, None, {"data_dir": data_dir}, None)
    checked = _resolve(settings)
    from concord.plan import plan_study

    _announce(plan_study(checked))
    out.print(f"{study}: can be run.", markup=False, soft_wrap=True)


@app.command()
def version() -> None:
    """Versions of concord and of what its numbers depend on."""
    from importlib.metadata import version as version_of

    for name in ("concord", "torch", "transformers", "tokenizers", "peft", "numpy"):
        out.print(f"{name} {version_of(name)}", markup=False, highlight=False)


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """Data sets, where they come from, and which are here."""
    from concord.data.fetch import SOURCES, list_data

    table = Table("data set", "where", "home")
    for name, place in list_data(data_dir).items():
        source = SOURCES.get(name)
        home = source.home if source else "not fetched by concord"
        table.add_row(name, Text(str(place or "not here")), Text(home))
    out.print(table)


@data_app.command("get")
def data_get(
    names: Annotated[list[str], typer.Argument(help="pararel, mrpc, tapaco.")],
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Download data sets: pinned revisions, checked, resumed where cut."""
    from concord.data.fetch import SOURCES, get_data

    for name in names:
        source = SOURCES.get(name)
        if source and source.notice:
            out.print(f"{name}: {source.notice}", markup=False, soft_wrap=True)
        with _reporter(quiet).step(f"get {name}", None, "bytes") as advance:
            folder = get_data(name, data_dir, progress=_bytes_done(advance))
        out.print(f"{name}: {folder}", markup=False, soft_wrap=True)


@data_app.command("check")
def data_check(data_dir: DataDir = None) -> None:
    """Read the data sets that are here and print what was counted."""
    from concord.data.fetch import check_data

    checks = check_data(data_dir)
    for check in checks:
        counts = ", ".join(f"{v:,} {k}" for k, v in check.counts.items())
        for line in (check.problem or counts, *check.notes):
            out.print(f"{check.name}: {line}", markup=False, soft_wrap=True)
    if all(check.problem for check in checks):
        raise DataError("no data set can be used; get one with: concord data get NAME")


@organism_app.command("build")
def organism_build(
    folder: Annotated[Path, typer.Argument(help="Folder to build in.")],
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Make world, base and tuned models from nothing; compare with those shipped."""
    from concord.organism import SHIPPED_SEED, shipped_world
    from concord.organism.build import build_family
    from concord.organism.likeness import compare_with_shipped
    from concord.progress import Phases

    chosen = SHIPPED_SEED if seed is None else seed
    with Phases(_reporter(quiet)) as phases:
        folders = build_family(folder, seed=chosen, progress=phases.show)
    out.print(f"Built {', '.join(folders)} in {folder}", markup=False, soft_wrap=True)
    if chosen != SHIPPED_SEED:
        return
    table = Table("model", "agreement", "shipped", "accuracy", "shipped")
    for row in compare_with_shipped(folders, shipped_world()):
        numbers = (
            row.built_agreement,
            row.shipped_agreement,
            row.built_accuracy,
            row.shipped_accuracy,
        )
        table.add_row(row.name, *(f"{number:.3f}" for number in numbers))
    out.print(table)


def _bytes_done(
    advance: Callable[[int], None],
) -> Callable[[str, int, int | None], None]:
    """Turn "so many bytes of this file so far" into "so many more"."""
    seen: dict[str, int] = {}

    def progress(file: str, done: int, total: int | None) -> None:
        advance(max(0, done - seen.get(file, 0)))
        seen[file] = done

    return progress


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
        err.print("interrupted: finished parts are kept; the same command continues")
        return INTERRUPTED
    except typer.TyperException as error:
        err.print(f"error: {error}; see --help", markup=False, soft_wrap=True)
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


def _layers(
    models: list[str] | None,
    study: Path | None,
    preset: str | None,
    flags: dict[str, Any],
    setting: list[str] | None,
) -> list[dict[str, Any]]:
    """Settings from preset, study file and command line, in the order they win."""
    from concord.study import read_preset, read_study_file

    file = read_study_file(study) if study else {}
    named = preset or file.get("preset")
    layers = [read_preset(named)] if named else []
    layers += [file, flags, _parsed_settings(setting)]
    if models:
        if len(models) < 2:
            raise StudyError(
                f"found one model, {models[0]!r}; needed a base and one or more tuned: "
                "concord compare BASE TUNED..."
            )
        layers.append({"base": models[0], "tuned": models[1:]})
    return layers


def _parsed_settings(given: list[str] | None) -> dict[str, Any]:
    """``facts.scoring=full`` -> ``{"facts": {"scoring": "full"}}``; values are YAML."""
    import yaml

    parsed: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise StudyError(
                f"--set {text!r}: needed FIELD=VALUE, as facts.scoring=full"
            )
        *path, last = name.strip().split(".")
        place = parsed
        for part in path:
            place = place.setdefault(part, {})
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise StudyError(
                f"--set {text!r}: the value is not YAML: {error}"
            ) from error
    return parsed


def _apply_model_args(
    layers: list[dict[str, Any]], given: list[str] | None, chat_template: bool
) -> None:
    """Put ``--model-args`` into the entries of the models they name."""
    from concord.study import label_models

    if not given and not chat_template:
        return
    named = [layer for layer in layers if "base" in layer or "tuned" in layer]
    for layer in named:
        label_models(layer)
    entries = [
        entry
        for layer in named
        for entry in ([layer["base"]] if "base" in layer else [])
        + layer.get("tuned", [])
    ]
    labels = [entry["label"] for entry in entries]
    for text in given or ():
        label, colon, pairs = text.partition(":")
        is_named = bool(colon) and "=" not in label
        if is_named and label not in labels:
            raise StudyError(f"--model-args {text!r}: {did_you_mean(label, labels)}")
        for entry in entries:
            if not is_named or entry["label"] == label:
                entry.update(_pairs(pairs if is_named else text))
    if chat_template:
        for layer in named:
            for entry in layer.get("tuned", []):
                entry["prompt_format"] = "chat"


def _pairs(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    for name, equals, _ in pairs:
        if not equals:
            raise StudyError(f"--model-args {name!r}: needed key=value")
    return {name.strip(): value for name, _, value in pairs}


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _resolve(layers: list[dict[str, Any]]) -> Any:
    from concord.study import resolve_study

    return resolve_study(*layers, known_analyses=KNOWN_ANALYSES)


def _run_study(layers: list[dict[str, Any]], *, quiet: bool) -> None:
    study = _resolve(layers)
    with (
        out.status("loading libraries") if out.is_terminal and not quiet else _nothing()
    ):
        from concord.compare import compare as compare_models
        from concord.report import console_table
        from concord.results import read_json
        from concord.study import default_output
    if quiet:
        logging.getLogger("concord").setLevel(logging.WARNING)
    _silence_libraries()
    run = compare_models(
        study,
        study.output or default_output(study),
        reporter=_reporter(quiet),
        announce=None if quiet else _announce,
    )
    out.print(console_table(read_json(run.path / "summary.json")))
    out.print(f"Report: {run.path / 'report.html'}", markup=False, soft_wrap=True)


def _silence_libraries() -> None:
    """Their progress bars would tear ours; their warnings speak to developers."""
    from transformers.utils import logging as transformers_logging

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


def _announce(plan: Any) -> None:
    from concord.announcement import announcement

    for part in announcement(plan):
        out.print(part)


def _reporter(quiet: bool) -> Any:
    from concord.progress import Bars, Lines, Silent

    if quiet:
        return Silent()
    return Bars(out) if out.is_terminal else Lines(out)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
