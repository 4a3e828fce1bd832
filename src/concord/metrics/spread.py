"""How much accuracy moves with the setting: instruction wording and order of choices.

Accuracy in percent over all questions, per instruction i and order o. A spread is a
largest minus a smallest value, so sampling noise alone makes it positive: it is shown
beside the spread expected if all settings were equally good.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
from jaxtyping import Bool, Float, Int

Spread = Callable[
    [Float[np.ndarray, "*batch instruction order"]], Float[np.ndarray, "*batch"]
]
_BLOCK = 1 << 22
_MOST_SUBSETS = 4096
_MOST_EXCHANGES = 720


def accuracy_by_setting(
    is_right: Bool[np.ndarray, "question instruction order"],
) -> Float[np.ndarray, "instruction order"]:
    """Percent of questions answered rightly in each setting, in [0, 100]."""
    if len(is_right) == 0:
        return np.full(is_right.shape[1:], np.nan)
    return 100 * is_right.mean(axis=0)


def spread_over_instructions(
    accuracy: Float[np.ndarray, "*batch instruction order"],
) -> Float[np.ndarray, "*batch"]:
    """Mean over orders of largest minus smallest accuracy over instructions.

    Returns:
        Points in [0, 100]; 0 means that wording does not matter.

    Source:
        Fierro et al. (2024), section 3, where the main text has three instructions.
    """
    return np.asarray(np.ptp(accuracy, axis=-2).mean(axis=-1))


def spread_over_settings(
    accuracy: Float[np.ndarray, "*batch instruction order"],
) -> Float[np.ndarray, "*batch"]:
    """Largest minus smallest accuracy over all settings: their appendix C.1's reading.

    Returns:
        Points in [0, 100]; at least `spread_over_instructions`.
    """
    return np.asarray(np.ptp(accuracy, axis=(-2, -1)))


def spread_over_orders(
    accuracy: Float[np.ndarray, "*batch instruction order"],
) -> Float[np.ndarray, "*batch"]:
    """Mean over instructions of largest minus smallest accuracy over orders.

    Returns:
        Points in [0, 100]; shows preference for a letter.
    """
    return np.asarray(np.ptp(accuracy, axis=-1).mean(axis=-1))


@dataclass(frozen=True)
class SpreadEstimate:
    """A spread, its interval, and what noise alone would give; points of accuracy."""

    value: float
    low: float
    high: float
    expected: float
    """Mean spread when what is compared is exchanged at random within every question:
    instructions in all orders alike, orders in all instructions, or all settings."""
    expected_high: float
    """Upper end of that, at the same level: a spread below it may be noise alone."""

    @property
    def exceeds_noise(self) -> bool:
        """The spread is larger than equal settings would give at this level."""
        return self.value > self.expected_high


def estimate_spread(
    is_right: Bool[np.ndarray, "question instruction order"],
    spread: Spread = spread_over_instructions,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> SpreadEstimate:
    """A spread with its bootstrap interval over questions and its noise level.

    Args:
        is_right: Whether each question is answered rightly in each setting.
        spread: One of the three spreads.
        level: Coverage of the interval, and of the bound on noise.
        replicates: Resamples of questions, and permutations of settings.
        seed: Of both.

    Raises:
        ValueError: With fewer than two settings nothing can spread.
    """
    question_count, instructions, orders = is_right.shape
    if instructions * orders < 2:
        raise ValueError(f"spread needs 2 or more settings, got {is_right.shape[1:]}")
    if question_count == 0:
        return SpreadEstimate(*[float("nan")] * 5)
    flat = is_right.reshape(question_count, -1).astype(np.float64)
    shape = (replicates, instructions, orders)
    rng = np.random.default_rng(seed)
    tail = (1 - level) / 2
    resampled = 100 * _resampled_means(flat, replicates, rng)
    low, high = np.quantile(spread(resampled.reshape(shape)), [tail, 1 - tail])
    shuffled = spread(100 * _noise_means(is_right, spread, replicates, rng))
    return SpreadEstimate(
        float(spread(accuracy_by_setting(is_right))),
        float(low),
        float(high),
        float(shuffled.mean()),
        float(np.quantile(shuffled, level)),
    )


def _resampled_means(
    flat: Float[np.ndarray, "question setting"],
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate setting"]:
    """Mean of each setting over questions drawn with replacement.

    Questions answered alike in all settings are one kind; only how often each kind is
    drawn matters.
    """
    kinds, counts = np.unique(flat, axis=0, return_counts=True)
    drawn = rng.multinomial(len(flat), counts / len(flat), size=replicates)
    return drawn @ kinds / len(flat)


def _noise_means(
    is_right: Bool[np.ndarray, "question instruction order"],
    spread: Spread,
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate instruction order"]:
    """Means if what the spread compares were equally good, and all else as it is."""
    if spread is spread_over_instructions:
        return _exchanged_means(is_right, replicates, rng)
    if spread is spread_over_orders:
        return _exchanged_means(is_right.swapaxes(1, 2), replicates, rng).swapaxes(1, 2)
    flat = is_right.reshape(len(is_right), -1).astype(np.float64)
    shuffled = _shuffled_means(flat, replicates, rng)
    return shuffled.reshape(replicates, *is_right.shape[1:])


def _exchanged_means(
    is_right: Bool[np.ndarray, "question setting fixed"],
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate setting fixed"]:
    """Means after whole settings are exchanged at random within every question.

    Questions answered alike are one kind: how often each exchange falls to them is one
    draw.
    """
    _, setting_count, fixed_count = is_right.shape
    exchanges = _exchanges(setting_count, rng)
    cells = setting_count * fixed_count
    kinds, sizes = np.unique(
        is_right.reshape(len(is_right), cells), axis=0, return_counts=True
    )
    total = np.zeros((replicates, cells))
    for kind, size in zip(kinds, sizes, strict=True):
        moved = kind.reshape(setting_count, fixed_count)[exchanges]
        found, times = np.unique(
            moved.reshape(len(exchanges), cells), axis=0, return_counts=True
        )
        drawn = rng.multinomial(size, times / len(exchanges), size=replicates)
        total += drawn @ found.astype(np.float64)
    shape = (replicates, setting_count, fixed_count)
    return total.reshape(shape) / len(is_right)


def _exchanges(
    count: int, rng: np.random.Generator
) -> Int[np.ndarray, "exchange setting"]:
    """All orders of so many settings; as many drawn ones where they are too many."""
    if factorial(count) <= _MOST_EXCHANGES:
        return np.array(list(permutations(range(count))))
    return np.array([rng.permutation(count) for _ in range(_MOST_EXCHANGES)])


def _shuffled_means(
    flat: Float[np.ndarray, "question setting"],
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate setting"]:
    """Mean of each setting after settings are exchanged within every question.

    Which settings are right is drawn anew for each question, as many as were right. The
    questions with none or all right add a constant. Questions with equally many right
    are one kind: how often each choice of settings falls to them is one draw.
    """
    right_count = flat.sum(axis=1).astype(np.int64)
    setting_count = flat.shape[1]
    total = np.full(
        (replicates, setting_count), float((right_count == setting_count).sum())
    )
    kinds, sizes = np.unique(right_count, return_counts=True)
    for right, size in zip(kinds.tolist(), sizes.tolist(), strict=True):
        if not 0 < right < setting_count:
            continue
        if comb(setting_count, right) <= _MOST_SUBSETS:
            total += _by_subset(size, right, setting_count, replicates, rng)
        else:
            total += _by_question(size, right, setting_count, replicates, rng)
    return total / len(flat)


def _by_subset(
    size: int, right: int, settings: int, replicates: int, rng: np.random.Generator
) -> Float[np.ndarray, "replicate setting"]:
    """Right answers per setting: every choice of settings is equally likely."""
    chosen = list(combinations(range(settings), right))
    subsets = np.zeros((len(chosen), settings))
    subsets[np.arange(len(chosen))[:, None], chosen] = 1.0
    even = np.full(len(chosen), 1 / len(chosen))
    return rng.multinomial(size, even, size=replicates) @ subsets


def _by_question(
    size: int, right: int, settings: int, replicates: int, rng: np.random.Generator
) -> Float[np.ndarray, "replicate setting"]:
    """The same, question by question: where the choices are too many to list."""
    total = np.zeros((replicates, settings))
    step = max(1, _BLOCK // (size * settings))
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        order = rng.random((rows, size, settings)).argsort(axis=-1)
        total[start : start + rows] += (order < right).sum(axis=1)
    return total
