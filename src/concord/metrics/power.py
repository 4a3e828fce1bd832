"""How many facts do I need? From the measured variance of the paired difference."""

import math

from scipy.stats import norm


def smallest_difference(
    standard_error: float, *, level: float = 0.95, power: float = 0.8
) -> float:
    """The smallest true difference that a run like this one finds with this chance.

    (z_{1 - alpha/2} + z_power) times the standard error of the paired difference.

    Args:
        standard_error: Of tuned minus base, clustered and paired, as measured.
        level: 1 - alpha of the two-sided test.
        power: Chance of finding it.

    Returns:
        In the measure's unit, >= 0; NaN without a standard error.
    """
    return float((norm.ppf((1 + level) / 2) + norm.ppf(power)) * standard_error)


def subjects_needed(
    difference: float,
    standard_error: float,
    subject_count: int,
    *,
    level: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """Subjects needed to find a given difference, drawn like those measured.

    The standard error falls with the square root of their number.

    Args:
        difference: The true difference to be found, > 0, in the measure's unit.
        standard_error: As measured.
        subject_count: Subjects it was measured on.
        level: 1 - alpha of the two-sided test.
        power: Chance of finding it.

    Returns:
        At least 2; None without a standard error.
    """
    found = smallest_difference(standard_error, level=level, power=power)
    if math.isnan(found):
        return None
    return max(2, math.ceil(subject_count * (found / difference) ** 2))
