"""Every fact's mechanism numbers beside its agreement, as a file of the run.

What `link` groups, for those who want to group it otherwise: a row for each tuned
model, set of contexts and fact, with base and tuned side by side.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from concord.metrics.rates import mean_present
from concord.results import Run, write_table
from concord.summary.answers import Answers, Facts
from concord.summary.estimates import Outcome

FILE = "tables/mechanism-by-fact.parquet"
Sides = tuple[Float[np.ndarray, " fact"], Float[np.ndarray, " fact"]]
"""A number of every fact in the base, and in the tuned model; NaN: not measured."""


def write_by_fact(run: Run, tables: Sequence[pa.Table]) -> None:
    """Write the rows of all models as one file; without rows there is none.

    Raises:
        ResultsError: The file cannot be written.
    """
    path = run.path / FILE
    if tables:
        write_table(path, pa.concat_tables(tables).unify_dictionaries())
    else:
        path.unlink(missing_ok=True)


def fact_table(
    place: Mapping[str, str],
    facts: Facts,
    answers: tuple[Answers, Answers],
    flips: Mapping[str, Bool[np.ndarray, " fact"]],
    rates: Mapping[str, Sides],
) -> pa.Table:
    """The rows of one model in one set of contexts.

    Args:
        place: The model and its contexts.
        facts: In the order of the answers.
        answers: Of base and tuned model.
        flips: What became of a fact's consistency -> the facts of which it did.
        rates: Key of a measure -> its values; dots become underscores.

    Returns:
        Shares, each with ``_base`` and ``_tuned`` at the end of its name, mean over
        contexts; null where nothing was measured.
    """
    agreement = tuple(mean_present(side.agreement) for side in answers)
    numbers: dict[str, Sides] = {
        "agreement": (agreement[0], agreement[1]),
        "accuracy": (accuracy_by_fact(answers[0]), accuracy_by_fact(answers[1])),
        **{key.replace(".", "_"): sides for key, sides in rates.items()},
    }
    change = np.full(len(facts.fact), None, dtype=object)
    for name, is_own in flips.items():
        change[is_own & ~np.isnan(agreement[0]) & ~np.isnan(agreement[1])] = name
    columns = {name: [value] * len(facts.fact) for name, value in place.items()}
    columns |= {
        "relation": [facts.relations[index] for index in facts.relation],
        "fact": facts.fact,
        "subject": facts.subject.tolist(),
        "object": facts.object.tolist(),
        "consistency": change.tolist(),
    }
    texts = {
        n: pa.array(own, pa.string()).dictionary_encode() for n, own in columns.items()
    }
    return pa.table(texts | dict(_sided(numbers)))


def accuracy_by_fact(answers: Answers) -> Float[np.ndarray, " fact"]:
    """Share of a fact's prompts with the right answer, mean over contexts."""
    asked = answers.asked.sum(axis=1)
    right = (answers.is_right & answers.asked).sum(axis=1)
    return mean_present(right / np.where(asked > 0, asked, np.nan))


def rate_by_fact(
    outcome: Outcome | None, places: Int[np.ndarray, " fact"]
) -> Float[np.ndarray, " fact"]:
    """An outcome's value fact by fact, mean over contexts.

    Args:
        outcome: Of units; None: not measured.
        places: Where each fact stands among the units; -1: nowhere.
    """
    if outcome is None:
        return np.full(len(places), np.nan)
    bottom = outcome.denominator.astype(float)
    values = mean_present(outcome.numerator / np.where(bottom != 0, bottom, np.nan))
    return np.where(places >= 0, values[places], np.nan)


def _sided(numbers: Mapping[str, Sides]) -> Iterable[tuple[str, pa.Array]]:
    for name, sides in numbers.items():
        for side, values in zip(("base", "tuned"), sides, strict=True):
            yield f"{name}_{side}", pa.array(values, pa.float32(), from_pandas=True)
