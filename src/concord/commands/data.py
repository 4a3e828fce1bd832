"""``concord data``: list, get and check data sets."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from concord.commands.options import DataDir, Quiet, out, reporter
from concord.errors import DataError

data_app = typer.Typer(help="Data sets: list, get, check.", no_args_is_help=True)


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """Data sets, their homes and licences, and which are here.

    What was not fetched by concord may be anything: no home or licence is told.
    """
    from concord.data.fetch import SOURCES, list_data, was_fetched

    table = Table("data set")
    for name in ("where", "licence", "home"):
        table.add_column(name, overflow="fold")
    for name, place in list_data(data_dir).items():
        source = SOURCES.get(name)
        is_own = place is not None and not was_fetched(place)
        home = source.home if source and not is_own else "not fetched by concord"
        licence = source.licence if source and not is_own else "–"
        table.add_row(name, Text(str(place or "not here")), Text(licence), Text(home))
    out.print(table)


@data_app.command("get")
def data_get(
    names: Annotated[list[str], typer.Argument(help="pararel, mrpc, tapaco or mmlu.")],
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Download data sets: pinned revisions, checked, resumed where cut."""
    from concord.data.fetch import SOURCES, get_data

    for name in names:
        source = SOURCES.get(name)
        if source and source.notice:
            out.print(f"{name}: {source.notice}", markup=False, soft_wrap=True)
        with reporter(quiet).step(f"get {name}", None, "bytes") as advance:
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


def _bytes_done(
    advance: Callable[[int], None],
) -> Callable[[str, int, int | None], None]:
    """Turn "so many bytes of this file so far" into "so many more"."""
    seen: dict[str, int] = {}

    def progress(file: str, done: int, total: int | None) -> None:
        advance(max(0, done - seen.get(file, 0)))
        seen[file] = done

    return progress
