"""How many facts do I need? From the measured variance of the paired difference."""

import math
from bisect import bisect_left
from itertools import count

from scipy.stats import t

from concord.metrics.few_clusters import FEWEST_DEGREES
from concord.metrics.significance import smallest_p


def smallest_difference(
    standard_error: float,
    *,
    level: float,
    tests: int = 1,
    degrees: float = math.inf,
    power: float = 0.8,
) -> float:
    """The smallest true difference that a run like this one finds with this chance.

    (t_{1 - alpha / (2 tests)} + t_power) times the standard error of the paired
    difference. A difference is announced when its p-value, adjusted for all tuned
    models, is at most alpha; alpha / tests is what the smallest of them is held to, so
    that the chance is at least this large whatever the other models do.

    Args:
        standard_error: Of tuned minus base, clustered and paired, as measured.
        level: 1 - alpha of the two-sided tests.
        tests: Tuned models tested together.
        degrees: Degrees of freedom of the standard error.
        power: Chance of finding it.

    Returns:
        In the measure's unit, > 0; NaN without a standard error.

    Source:
        Bloom (1995), Minimum detectable effects.
    """
    tail = 1 - (1 - level) / (2 * tests)
    return float((t.ppf(tail, degrees) + t.ppf(power, degrees)) * standard_error)


def is_announceable(
    subject_count: int, *, level: float, tests: int = 1, permutations: int = 10_000
) -> bool:
    """Whether any difference could be announced: one that all subjects share.

    Args:
        subject_count: Those measured.
        level: 1 - alpha of the two-sided tests.
        tests: Tuned models tested together.
        permutations: Sign patterns drawn where there are too many to count.
    """
    if subject_count <= FEWEST_DEGREES:
        return False
    return smallest_p(subject_count, permutations) * tests <= 1 - level


def subjects_needed(
    difference: float,
    standard_error: float,
    subject_count: int,
    *,
    level: float,
    tests: int = 1,
    degrees: float = math.inf,
    permutations: int = 10_000,
) -> int | None:
    """Subjects needed to find a given difference, drawn like those measured.

    The fewest that can announce any difference and whose `smallest_difference` is no
    larger: the standard error falls with the square root of their number, and degrees
    of freedom rise with it.

    Args:
        difference: The true difference to be found, > 0, in the measure's unit.
        standard_error: As measured on ``subject_count`` subjects.
        subject_count: Their number.
        level: 1 - alpha of the two-sided tests.
        tests: Tuned models tested together.
        degrees: Degrees of freedom of the standard error measured.
        permutations: Sign patterns drawn where there are too many to count.

    Returns:
        None without a standard error, or where the permutations are too few for any
        number of subjects to announce it.
    """
    if math.isnan(standard_error):
        return None

    def seen(subjects: int) -> float:
        return smallest_difference(
            standard_error * math.sqrt(subject_count / subjects),
            level=level,
            tests=tests,
            degrees=degrees * (subjects - 1) / max(subject_count - 1, 1),
        )

    fewest = next(n for n in count(2) if smallest_p(n, 10**9) * tests <= 1 - level)
    fewest = max(fewest, FEWEST_DEGREES + 1)
    # With the degrees of the fewest subjects: more than enough.
    most = math.ceil(fewest * (seen(fewest) / difference) ** 2)
    enough = range(fewest, max(fewest, most) + 2)
    found = enough[bisect_left(enough, True, key=lambda n: seen(n) <= difference)]
    is_told = is_announceable(
        found, level=level, tests=tests, permutations=permutations
    )
    return found if is_told else None
