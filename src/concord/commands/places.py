"""Where commands write: refused at once where nothing can be written."""

from pathlib import Path
from tempfile import TemporaryDirectory

from concord.errors import ResultsError


def require_place(folder: Path) -> None:
    """Refuse a folder that cannot be made, or written into; none is left behind.

    Tried in the nearest folder above that there is, for rights alone do not tell.

    Raises:
        ResultsError: A file stands in its way, or the system says no.
    """
    above = (folder.absolute(), *folder.absolute().parents)
    nearest = next(place for place in above if place.exists())
    if not nearest.is_dir():
        raise ResultsError(
            f"{folder}: found no folder but a file at {nearest}; needed a folder to "
            "write into; give another place"
        )
    try:
        with TemporaryDirectory(prefix=".concord-", dir=nearest):
            pass
    except OSError as error:
        raise ResultsError(
            f"{folder}: cannot write in {nearest} ({error.strerror or error}); needed "
            "a folder to write into; give another place, or mend that one"
        ) from error
