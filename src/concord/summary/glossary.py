"""The pages ``docs/glossary.md`` and ``docs/measures.md``, made from one source.

``python -m concord.summary.glossary docs`` writes both anew; a test holds the files to
what this makes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from concord.results import write_text
from concord.summary.measures import MEASURES, SUFFIXES, Measure

TERMS: dict[str, str] = {
    "agreement": "Share of pairs of wordings that get the same answer, right or wrong.",
    "base": "The model before tuning; every difference is tuned minus base.",
    "candidates": "The closed list among which a relation's answers are chosen: all "
    "its distinct objects.",
    "chance-corrected": "Freed of the agreement that the frequencies of a model's own "
    "answers give by chance; a model with one favourite answer gains nothing by it.",
    "cluster": "What is drawn as a whole when intervals are made: a subject with all "
    "its facts, or sets that share a sentence.",
    "consistent": "Doing the same when the input is reworded without a change of "
    "meaning. Not the same as right.",
    "context": "The text around a prompt, such as an instruction or the marks of a "
    "chat; the study uses three of each kind.",
    "contexts, chat": "The tuned model asked in its own chat template.",
    "contexts, same": "The tuned model asked in the base's contexts: what is left of a "
    "difference is due to the weights.",
    "contexts, study": "Each model asked in its own kind of context, as in the study.",
    "fact": "Subject, relation and object: Paris, capital of, France.",
    "flip": "A fact in one context for which at least one wording's answer differs "
    "between base and tuned model.",
    "free prediction": "The most likely token of the whole vocabulary, candidates or "
    "not.",
    "gap": "Mean cosine of paraphrases minus mean cosine of other sentences.",
    "interval": "Where the number would lie if other subjects had been drawn, with the "
    "run's level; with relations drawn too, it speaks of other relations as well.",
    "lexical gap": "The gap that shared last tokens alone would give, without a model. "
    "In figures of gaps by layer it is the dashed line.",
    "macro": "Mean over the facts of a relation first, then over relations.",
    "margin": "How far, in nats, the best answer's score lies above the runner-up's.",
    "micro": "Mean over all facts, so that large relations count more.",
    "nat": "Unit of log-probability to the base e: one nat more is 2.7 times as "
    "probable.",
    "near tie": "A flip that noise could make: in every changed wording the margin of "
    "the base or of the tuned model is under twice that model's noise floor, since the "
    "best answer may fall and the runner-up rise.",
    "noise floor": "How far a score moves at most when the same prompts are scored in "
    "another batch: measured, not assumed.",
    "non-inferior": "Not worse by more than a margin, shown by the whole interval.",
    "paired": "Base and tuned model answer the same prompts, and differences are taken "
    "before anything is averaged or drawn.",
    "partial correlation": "Correlation of two quantities that is left when a third, "
    "here accuracy, has been accounted for in both.",
    "rank correlation (Spearman)": "Correlation of ranks, which a single far-off model "
    "hardly moves.",
    "relation": "What holds between subject and object, such as place of birth.",
    "same prompts": "See contexts, same.",
    "set": "Sentences of one meaning; on facts, the wordings of one fact.",
    "template": "One wording of a relation with a slot for the subject, cut before the "
    "object.",
    "trivial fact": "A fact whose object stands in its subject, so that copying it is "
    "enough.",
    "tuned": "A model made from the base by further training.",
    "verdict": "What an interval allows to be said of a difference, in words.",
}
"""Words of the field as they are used here, in alphabetical order."""

GROUPS = {
    "facts": "Predictions",
    "pararel": "ParaRel's own measures",
    "mpararel": "mParaRel's own measures",
    "choices": "Multiple choice",
    "finetuned": "Fine-tuned classifiers",
    "representation": "Representations",
}
"""Titles of groups of measures, by the first part of their keys."""
_BY_FACT = (
    "Where facts and mechanisms were both measured, `tables/mechanism-by-fact.parquet` "
    "has every fact by itself: a row for each tuned model and set of contexts, with "
    "agreement, accuracy and the rates of `mechanism-link`, each as `_base` and "
    "`_tuned`, and what became of its consistency. A rate that was not measured is "
    "null.\n"
)
_MADE = "<!-- Made by: python -m concord.summary.glossary docs -->"


def glossary_page() -> str:
    """``docs/glossary.md``."""
    lines = [f"**{_plain(term)}**: {_plain(text)}\n" for term, text in TERMS.items()]
    return "\n".join([_MADE, "# Glossary\n", *lines])


def measures_page() -> str:
    """``docs/measures.md``: every key of ``summary.json`` that has a value."""
    parts = [
        _MADE,
        "# Measures\n",
        "Keys of `summary.json`, of the tables and of `concord gate`; `*` stands for a "
        "data set or a form. A missing number is null and has a reason.\n",
        "After a key may stand:\n",
        *(f"- `@{suffix}`: {meaning}" for suffix, meaning in SUFFIXES.items()),
        "",
        _BY_FACT,
    ]
    groups: dict[str, list[str]] = {}
    for key, measure in MEASURES.items():
        groups.setdefault(group_title(key), []).append(_entry(key, measure))
    for title, entries in groups.items():
        parts += [f"## {title}\n", *entries]
    return "\n".join(parts)


def group_title(key: str) -> str:
    """Title of the group of measures in which a key stands."""
    name = key.partition(".")[0]
    return GROUPS.get(name, name.capitalize())


def main(arguments: Sequence[str]) -> None:
    """Write both pages into a folder."""
    folder = Path(arguments[0] if arguments else "docs")
    write_text(folder / "glossary.md", glossary_page())
    write_text(folder / "measures.md", measures_page())


def _entry(key: str, measure: Measure) -> str:
    better = {
        "higher": "higher is better",
        "lower": "lower is better",
        None: "neither direction is better",
    }[measure.better]
    note = ", headline" if measure.headline else ""
    return (
        f"### `{key}`\n\n"
        f"{_plain(measure.title)}{note}. {_plain(measure.meaning)}\n\n"
        f"- formula: `{measure.formula}`\n"
        f"- range: {_end(measure.lowest, 'no lower end')} to "
        f"{_end(measure.highest, 'no upper end')}, in {measure.unit}; {better}\n"
    )


def _end(value: float | None, nothing: str) -> str:
    return nothing if value is None else f"{value:g}"


def _plain(text: str) -> str:
    """Text whose signs Markdown leaves alone."""
    return "".join(f"\\{sign}" if sign in "*_|<`" else sign for sign in text)


if __name__ == "__main__":
    main(sys.argv[1:])
