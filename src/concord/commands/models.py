"""``concord models``: look at a model, or recover one published as a difference."""

from pathlib import Path
from typing import Annotated, Any

import typer

from concord.commands.options import (
    ONE_MODEL,
    AllowPickle,
    Quiet,
    RemoteCode,
    out,
    reporter,
)
from concord.commands.places import require_place
from concord.errors import StudyError, did_you_mean

models_app = typer.Typer(help="Models: inspect, recover.", no_args_is_help=True)

_DTYPES = ("float32", "bfloat16", "float16")


@models_app.command("inspect")
def models_inspect(
    model: Annotated[str, typer.Argument(help=ONE_MODEL, show_default=False)],
    base: Annotated[
        str | None,
        typer.Option(help="What an adapter or a difference is put on."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub model.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Another tokenizer than the model's own.")
    ] = None,
    allow_pickle: AllowPickle = False,
    trust_remote_code: RemoteCode = False,
) -> None:
    """Show what a model is and how it would be asked; load no weights."""
    from dataclasses import asdict

    from pydantic import ValidationError

    from concord.models.inspection import inspect_model
    from concord.models.quiet import quiet_libraries
    from concord.study import ModelEntry
    from concord.study.faults import explain

    quiet_libraries()
    try:
        entry = ModelEntry(
            source=model, label="m", revision=revision, tokenizer=tokenizer
        )
        below = ModelEntry(source=base, label="b") if base else None
    except ValidationError as error:
        raise StudyError(explain(error, "the model")) from error
    found = inspect_model(
        entry,
        below,
        allow_pickle=allow_pickle,
        trust_remote_code=trust_remote_code,
    )
    for name, value in asdict(found).items():
        if value is not None:
            text = f"{value:,}" if isinstance(value, int) else value
            line = f"{name + ':':<12} {text}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)


@models_app.command("recover")
def models_recover(
    base: Annotated[str, typer.Argument(help="The base: folder or hub id.")],
    diff: Annotated[str, typer.Argument(help="The difference: folder or hub id.")],
    output: Annotated[Path, typer.Argument(help="New folder for the tuned model.")],
    dtype: Annotated[
        str, typer.Option(help="Of the saved weights; summed in float32.")
    ] = "float32",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of the difference.")
    ] = None,
    shard_size: Annotated[
        float, typer.Option(help="Gigabytes of one file at most.", min=0.001)
    ] = 5.0,
    allow_large: Annotated[
        bool,
        typer.Option("--allow-large", help="Take a difference as large as a model."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Save base + difference as a model of its own."""
    if dtype not in _DTYPES:
        raise StudyError(f"--dtype {dtype!r}: {did_you_mean(dtype, _DTYPES)}")
    require_place(output)
    from concord.models.recovery import recover

    with reporter(quiet).step("recover", None, "tensors") as advance:
        found = recover(
            base,
            diff,
            output,
            dtype=dtype,
            revision=revision,
            shard_bytes=round(shard_size * 1e9),
            allow_large=allow_large,
            advance=advance,
        )
    for line in _told(found):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _told(found: Any) -> list[str]:
    """What the user should know of a recovered model."""
    lines = [
        f"{found.parameters:,} numbers in {found.tensors} tensors, norm of the "
        f"difference {found.relative_norm:.4f} of the base's",
        f"checksum (sum of all numbers) {found.checksum:.4f}"
        + (
            "; agrees with its authors'"
            if found.checked_by_authors
            else "; none came with the difference, so that another base of this shape "
            "would not be noticed"
        ),
    ]
    if found.has_padding_row:
        lines.append(
            "the embeddings got one row for a padding token; that row means nothing"
        )
    if found.skipped:
        lines.append(
            f"skipped {len(found.skipped)} tensors that are no parameters, as "
            f"{found.skipped[0]}"
        )
    return [*lines, f"Tuned model: {found.folder}"]
