"""Options that several commands share, and where commands print."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from concord.progress import Bars, Lines, Reporter, Silent

out = Console()
err = Console(stderr=True)

ONE_MODEL = "Hub id, folder, adapter folder, BASE+diff:PATH or embedded:NAME."
Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="The base, then one or more tuned models: hub id, folder, adapter folder, "
        "BASE+diff:PATH, embedded:NAME or http://HOST/v1#MODEL.",
        show_default=False,
    ),
]
StudyFile = Annotated[
    Path | None, typer.Option("--study", help="Study file (YAML); flags override it.")
]
Preset = Annotated[
    str | None,
    typer.Option(help="fierro2024, t5, falcon, demo or quick."),
]
Analyses = Annotated[
    str | None,
    typer.Option(
        "--analysis",
        "--analyses",
        help="Separated by commas: facts, representation, choices, answers, finetuned, "
        "enrichment, relations, extraction, knockout.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of data sets; else where concord data get puts them."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="At most this many facts or items, the same ones for all models."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Of all that is drawn; 0 unless given.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "--output-path",
        "-o",
        help="Run folder; the same one continues a run.",
    ),
]
Contexts = Annotated[
    str | None, typer.Option(help="study, same, chat; separated by commas.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="auto, balanced or sequential: spread models over devices."),
]
Quantisation = Annotated[
    str | None, typer.Option("--quantisation", "--quantization", help="8bit or 4bit.")
]
DtypeName = Annotated[
    str | None, typer.Option("--dtype", help="auto, float32, bfloat16, float16.")
]
ExecutorName = Annotated[
    str | None,
    typer.Option("--executor", help="Where: here, processes (this machine) or ray."),
]
Workers = Annotated[
    int | None, typer.Option(help="Models, or shares of one, measured at once.", min=1)
]
BatchSize = Annotated[str | None, typer.Option(help="Prompts of one pass, or auto.")]
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
    bool, typer.Option("--apply-chat-template", help="Ask tuned models in their own.")
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load weights that can run code.")
]
RemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with a model.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only what comes out at the end.")
]


def reporter(quiet: bool) -> Reporter:
    """Bars on a terminal, plain lines elsewhere, nothing where that is asked for."""
    if quiet:
        return Silent()
    return Bars(out) if out.is_terminal else Lines(out)
