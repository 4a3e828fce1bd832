"""TaPaCo (Scherrer 2020): paraphrase sets derived from Tatoeba, CC BY 2.0.

The authors found one half to three quarters of the derived paraphrases right, so a set
holds noise that no model can answer for.
"""

from pathlib import Path

from concord.data.draw import draw
from concord.data.records import SentenceData
from concord.data.rows import read_headerless, read_rows
from concord.data.sets import count_sets, gather_sets, set_notes
from concord.errors import DataError

DEFAULT_SETS = 10_000
TAB_COLUMNS = ("paraphrase_set_id", "sentence_id", "paraphrase", "lists", "tags")


def read_tapaco(
    path: Path,
    *,
    sets: int | None = DEFAULT_SETS,
    seed: int = 0,
    language: str = "en",
) -> SentenceData:
    """Paraphrase sets of one language, a draw of them or all.

    Reads the hub's layout (JSON lines or Parquet, with ``paraphrase_set_id``,
    ``paraphrase`` and, where present, ``language``) and the original one (tabs, no
    header: set id, sentence id, sentence, and perhaps lists and tags).

    Args:
        path: The file of one language, or of several that tell their language.
        sets: How many sets to draw; None takes all.
        seed: The same seed gives the same sets, whatever model reads them.
        language: Rows of other languages are left out and counted.

    Returns:
        Sets of two sentences or more. Clusters are those of the whole file, also when
        the set that joins two others was not drawn.

    Raises:
        DataError: The file is missing, faulty, or holds no set in that language.
        StudyError: The number of sets is not positive.
    """
    is_original = path.suffix in (".txt", ".tsv")
    rows = (
        read_headerless(path, TAB_COLUMNS, required=3)
        if is_original
        else read_rows(path)
    )
    kept = [row for row in rows if row.cells.get("language", language) == language]
    found, counts = gather_sets(
        (row.identifier("paraphrase_set_id"), row.text("paraphrase")) for row in kept
    )
    if not found:
        raise DataError(
            f"{path}: no set of two sentences in language {language!r} among "
            f"{len(rows):,} rows. Choose another language or file."
        )
    counts["rows_in_other_languages"] = len(rows) - len(kept)
    notes = set_notes(counts)
    if "standin" in path.stem:
        notes.append("A stand-in in TaPaCo's format: its numbers are not TaPaCo's.")
    chosen = found
    if sets is not None:
        chosen = tuple(draw(found, sets, seed=seed, key=lambda drawn: drawn.id))
    if len(chosen) < len(found):
        counts["sets_not_drawn"] = len(found) - len(chosen)
        notes.append(f"{len(chosen):,} of {len(found):,} sets drawn, seed {seed}.")
    return SentenceData(
        "tapaco",
        sets=chosen,
        counts={**counts, **count_sets(chosen)},
        notes=tuple(notes),
    )
