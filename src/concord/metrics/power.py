"""How many facts do I need? From the measured variance of the paired difference."""

import math

from scipy.stats import t


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


def subjects_needed(
    difference: float, smallest: float, subject_count: int
) -> int | None:
    """Subjects needed to find a given difference, drawn like those measured.

    The standard error falls with the square root of their number.

    Args:
        difference: The true difference to be found, > 0, in the measure's unit.
        smallest: The `smallest_difference` that those measured find.
        subject_count: Their number.

    Returns:
        At least 2; None without a smallest difference.
    """
    if math.isnan(smallest):
        return None
    return max(2, math.ceil(subject_count * (smallest / difference) ** 2))
