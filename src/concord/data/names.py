"""Names of data sets: their rows, keys and fingerprints go by them."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from concord.errors import StudyError


def data_set_name(path: Path) -> str:
    """The file's name as it can stand in a key: letters, digits, - and _."""
    return re.sub(r"[^\w-]+", "-", path.stem)


def refuse_equal_names(
    setting: str, what: str, names: Sequence[str], *, taken: Collection[str] = ()
) -> None:
    """Refuse a name that stands for two, for one would replace the other.

    Args:
        setting: Where the user names them.
        what: Their kind, in the plural.
        names: Of all of them.
        taken: Names that concord uses itself.

    Raises:
        StudyError: Two have one name, or one has a name that is taken.
    """
    for name in names:
        if names.count(name) > 1:
            raise StudyError(
                f"{setting}: two {what} are called {name!r}; needed a name for each; "
                "rename a file or folder, or name it once"
            )
        if name in taken:
            raise StudyError(
                f"{setting}: {name!r} found, but the name is taken by concord; needed "
                "another; rename the file or folder"
            )
