"""Texts about subjects, from which their attributes are taken.

Three sources: a file of texts per subject, passages of a local corpus found by BM25, or
none at all. The words of a text that stands about a subject count as its attributes
(`concord.analyses.vocabulary`), so what the texts are decides what the rate means.

Source: Fierro et al. (2024), section 4: search snippets; Geva et al. (2023): BM25.
"""

import html
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bm25s

from concord.data.rows import Row, read_rows
from concord.errors import DataError
from concord.results import fingerprint

PASSAGES_PER_SUBJECT = 100
"""Best passages that name the subject (Geva et al. 2023)."""
_BLOCK = re.compile(
    r"</?(?:blockquote|br|d[dlt]|div|h[1-6r]|li|[ou]l|p|pre|table|t[dhr])\b[^<>]*>",
    re.I,
)
"""Tags that end a line: the words on both sides are two."""
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_SUBJECT = ("subject", "sub_label")
_TEXTS = ("texts", "text", "sentences")


@dataclass(frozen=True)
class AttributeTexts:
    """Texts by subject, and what was counted or left out."""

    texts: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of all texts."""
        return fingerprint(dict(self.texts))


def read_attribute_texts(path: Path) -> AttributeTexts:
    """Texts per subject: one JSON object per subject, or one per text.

    Fields ``subject`` (or ``sub_label``) and ``texts``, ``text`` or ``sentences``, a
    text or a list of them. Tags and entities of HTML are taken out, repeats merged.

    Args:
        path: A ``.jsonl`` file, or a folder that holds exactly one.

    Raises:
        DataError: The file is missing or faulty; file and line are named.
    """
    file = _only_file(path)
    found: dict[str, dict[str, None]] = {}
    rows = read_rows(file)
    for row in rows:
        own = found.setdefault(row.text(*_SUBJECT), {})
        own.update(dict.fromkeys(map(_plain, _texts_of(row))))
    return _counted(found, Counter(rows=len(rows)), f"texts of {file.name}")


def find_attribute_texts(path: Path, subjects: Iterable[str]) -> AttributeTexts:
    """The best passages of a local corpus for each subject, by BM25.

    The query is the subject, and a passage counts only if it holds the subject's name
    as whole words, case aside. A name without a letter or digit finds nothing.

    Args:
        path: Passages, one per row of a file with a column ``text``.
        subjects: Names to look for.

    Raises:
        DataError: The corpus is missing, faulty or without a word.

    Source:
        Geva et al. (2023), appendix: the subject as query, the first 100 passages.
    """
    rows = read_rows(path)
    passages = list(dict.fromkeys(_plain(row.text("text")) for row in rows))
    asked = list(dict.fromkeys(subjects))
    queries = {
        name: words for name, words in zip(asked, _tokens(asked), strict=True) if words
    }
    words = _tokens(passages)
    if not any(words):
        raise DataError(
            f"{path}: found no word in its {len(passages):,} passages; needed passages "
            "that name the subjects; correct the column text, or name another file in "
            "enrichment.passages"
        )
    index = _index_of(words)
    holders = _passages_by_word(words, queries.values())
    found: dict[str, dict[str, None]] = {}
    for name, query in queries.items():
        places = _naming(name, passages, set.intersection(*(holders[w] for w in query)))
        if places:
            scores = index.get_scores(query)
            best = sorted(places, key=lambda place: (-scores[place], place))
            chosen = best[:PASSAGES_PER_SUBJECT]
            found[name] = dict.fromkeys(passages[place] for place in chosen)
    counts = Counter(
        passages=len(passages),
        subjects_asked=len(asked),
        subjects_without_a_word=len(asked) - len(queries),
    )
    return _counted(found, counts, f"passages of {path.name} found by BM25")


def _index_of(words: list[list[str]]) -> bm25s.BM25:
    # Imported, it lets its logger speak of everything.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25()
    index.index(words, show_progress=False)
    return index


def _passages_by_word(
    words: Sequence[Sequence[str]], queries: Iterable[Sequence[str]]
) -> dict[str, set[int]]:
    """The places of the passages that hold each word of a query."""
    found: dict[str, set[int]] = {word: set() for query in queries for word in query}
    for place, own in enumerate(words):
        for word in found.keys() & set(own):
            found[word].add(place)
    return found


def _naming(name: str, passages: Sequence[str], places: Iterable[int]) -> list[int]:
    """The places whose passage holds the name as whole words, case aside."""
    spelled = r"\s+".join(map(re.escape, name.casefold().split()))
    whole = re.compile(rf"(?<!\w){spelled}(?!\w)")
    return [place for place in places if whole.search(passages[place].casefold())]


def _only_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.jsonl"))
    if len(files) != 1:
        raise DataError(
            f"{path}: found {len(files)} files ending in .jsonl; needed exactly one "
            "with subject and texts; name the file in enrichment.texts"
        )
    return files[0]


def _texts_of(row: Row) -> Sequence[str]:
    value = row.cells[row.column(*_TEXTS)]
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise DataError(
        f"{row.place}: found {type(value).__name__} in place of texts; needed a text "
        "or a list of texts; correct the row"
    )


def _plain(text: str) -> str:
    """A snippet without tags and entities of HTML."""
    return html.unescape(_TAG.sub("", _BLOCK.sub(" ", text))).strip()


def _tokens(texts: Iterable[str]) -> list[list[str]]:
    return [re.findall(r"\w+", text.casefold()) for text in texts]


def _counted(
    found: Mapping[str, Mapping[str, None]], counts: Counter[str], what: str
) -> AttributeTexts:
    texts = {name: tuple(filter(None, own)) for name, own in found.items()}
    kept = {name: own for name, own in texts.items() if own}
    counts["subjects"] = len(kept)
    counts["texts"] = sum(map(len, kept.values()))
    note = f"Attributes come from {what}: compare models on the same texts only."
    return AttributeTexts(kept, dict(counts), (note,))
