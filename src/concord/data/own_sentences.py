"""A user's own sentences: paraphrase groups or labelled pairs, by their columns."""

from pathlib import Path

from concord.data.groups import read_groups
from concord.data.mrpc import FIRST_COLUMNS, is_headerless, read_pairs
from concord.data.records import SentenceData
from concord.data.rows import column_names
from concord.errors import DataError


def read_own_sentences(path: Path) -> SentenceData:
    """Read groups (``group``, ``text``) or pairs (``first``, ``second``, a label).

    Raises:
        DataError: The file is missing or faulty, or has the columns of neither.
    """
    names = column_names(path)
    if not {"group", "text"}.isdisjoint(names):
        return read_groups(path)
    if not set(FIRST_COLUMNS).isdisjoint(names) or is_headerless(names):
        return read_pairs(path)
    found = ", ".join(names) if len(names) < 9 else f"{', '.join(names[:8])}, ..."
    raise DataError(
        f"{path}, line 1: columns {found} found; needed 'group' and 'text' (one "
        "sentence a row, paraphrases in one group), or 'first', 'second' and "
        "'is_paraphrase' (one labelled pair a row). Rename the columns."
    )
