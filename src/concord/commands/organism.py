"""``concord organism``: the embedded family, built anew."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from concord.commands.options import Quiet, Seed, out, reporter
from concord.commands.places import require_place

organism_app = typer.Typer(
    help="The embedded family, built anew.", no_args_is_help=True
)


@organism_app.command("build")
def organism_build(
    folder: Annotated[Path, typer.Argument(help="Folder to build in.")],
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Make world, base and tuned models from nothing.

    Takes about ten minutes on two cores, and ends with a comparison with the models
    that are shipped.
    """
    require_place(folder)
    from concord.organism import SHIPPED_SEED, shipped_world
    from concord.organism.build import build_family
    from concord.organism.likeness import compare_with_shipped
    from concord.progress import Phases

    chosen = SHIPPED_SEED if seed is None else seed
    with Phases(reporter(quiet)) as phases:
        folders = build_family(folder, seed=chosen, progress=phases.show)
    out.print(f"Built {', '.join(folders)} in {folder}", markup=False, soft_wrap=True)
    if chosen != SHIPPED_SEED:
        return
    table = Table("model", "agreement", "shipped", "accuracy", "shipped", "weights")
    for row in compare_with_shipped(folders, shipped_world()):
        numbers = (
            row.built_agreement,
            row.shipped_agreement,
            row.built_accuracy,
            row.shipped_accuracy,
        )
        same = "the same" if row.has_same_weights else "other"
        table.add_row(row.name, *(f"{number:.3f}" for number in numbers), same)
    out.print(table)
