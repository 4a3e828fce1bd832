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

from concord.metrics.bootstrap import Clusters

Spread = Callable[
    [Float[np.ndarray, "*batch instruction order"]], Float[np.ndarray, "*batch"]
]
_BLOCK = 1 << 22
_MOST_SUBSETS = 4096
_MOST_EXCHANGES = 720
_ROUNDING = 1e-9
"""Points of accuracy by which equal spreads may differ."""


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
    """Mean spread when what is compared is exchanged at random within every cluster:
    instructions in all orders alike, orders in all instructions, or all settings."""
    expected_high: float
    """Upper end of that, at the same level: a spread below it may be noise alone."""

    @property
    def exceeds_noise(self) -> bool:
        """The spread is larger than equal settings would give at this level."""
        return self.value - self.expected_high > _ROUNDING


def estimate_spread(
    is_right: Bool[np.ndarray, "question instruction order"],
    spread: Spread = spread_over_instructions,
    *,
    clusters: Clusters | None = None,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> SpreadEstimate:
    """A spread with its bootstrap interval and its noise level.

    Questions of one cluster may favour the same setting by chance, all together: they
    are drawn, and their settings exchanged, together.

    Args:
        is_right: Whether each question is answered rightly in each setting.
        spread: One of the three spreads.
        clusters: Of the questions; without it each stands alone.
        level: Coverage of the interval, and of the bound on noise.
        replicates: Resamples of clusters, and permutations of settings.
        seed: Of both.

    Raises:
        ValueError: With fewer than two settings nothing can spread.
    """
    question_count, instructions, orders = is_right.shape
    if instructions * orders < 2:
        raise ValueError(f"spread needs 2 or more settings, got {is_right.shape[1:]}")
    if question_count == 0:
        return SpreadEstimate(*[float("nan")] * 5)
    rights = is_right.reshape(question_count, -1).astype(np.float64)
    sizes = np.ones((question_count, 1))
    if clusters is not None:
        rights, sizes = clusters.sums(rights), clusters.sums(sizes)
    shape = (replicates, instructions, orders)
    rng = np.random.default_rng(seed)
    tail = (1 - level) / 2
    resampled = 100 * _resampled_means(rights, sizes, replicates, rng)
    low, high = np.quantile(spread(resampled.reshape(shape)), [tail, 1 - tail])
    right_counts = rights.reshape(-1, instructions, orders)
    moved = _noise_sums(right_counts, spread, replicates, rng)
    shuffled = spread(100 * moved / question_count)
    return SpreadEstimate(
        float(spread(accuracy_by_setting(is_right))),
        float(low),
        float(high),
        float(shuffled.mean()),
        float(np.quantile(shuffled, level)),
    )


def _resampled_means(
    rights: Float[np.ndarray, "cluster setting"],
    sizes: Float[np.ndarray, "cluster 1"],
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate setting"]:
    """Mean of each setting over clusters drawn with replacement.

    Clusters answered alike in all settings are one kind; only how often each kind is
    drawn matters.
    """
    rows = np.concatenate([rights, sizes], axis=1)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    drawn = rng.multinomial(len(rows), counts / len(rows), size=replicates) @ kinds
    return drawn[:, :-1] / drawn[:, -1:]


def _noise_sums(
    rights: Float[np.ndarray, "cluster instruction order"],
    spread: Spread,
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate instruction order"]:
    """Sums if what the spread compares were equally good, and all else as it is."""
    if spread is spread_over_instructions:
        return _exchanged_sums(rights, replicates, rng)
    if spread is spread_over_orders:
        return _exchanged_sums(rights.swapaxes(1, 2), replicates, rng).swapaxes(1, 2)
    flat = rights.reshape(len(rights), -1)
    if flat.max() > 1:
        found = _exchanged_sums(flat[:, :, None], replicates, rng)
    else:
        found = _shuffled_sums(flat, replicates, rng)
    return found.reshape(replicates, *rights.shape[1:])


def _exchanged_sums(
    rights: Float[np.ndarray, "cluster setting fixed"],
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate setting fixed"]:
    """Sums after whole settings are exchanged at random within every cluster.

    Clusters answered alike are one kind: how often each exchange falls to them is one
    draw; where they are fewer than the exchanges, each is dealt one.
    """
    _, setting_count, fixed_count = rights.shape
    exchanges = _exchanges(setting_count, rng)
    kinds, sizes = np.unique(rights, axis=0, return_counts=True)
    total = np.zeros((replicates, setting_count * fixed_count))
    for kind, size in zip(kinds, sizes.tolist(), strict=True):
        moved = kind[exchanges].reshape(len(exchanges), -1)
        if size < len(exchanges):
            dealt = rng.integers(len(exchanges), size=(size, replicates))
            for row in dealt:
                total += moved[row]
        else:
            even = np.full(len(exchanges), 1 / len(exchanges))
            total += rng.multinomial(size, even, size=replicates) @ moved
    return total.reshape(replicates, setting_count, fixed_count)


def _exchanges(
    count: int, rng: np.random.Generator
) -> Int[np.ndarray, "exchange setting"]:
    """All orders of so many settings; drawn ones where they are too many.

    Each is drawn with all its rotations, so that every setting stands in every place
    equally often.
    """
    if factorial(count) <= _MOST_EXCHANGES:
        return np.array(list(permutations(range(count))))
    drawn = [rng.permutation(count) for _ in range(_MOST_EXCHANGES // count)]
    return np.array([np.roll(one, by) for one in drawn for by in range(count)])


def _shuffled_sums(
    flat: Float[np.ndarray, "question setting"],
    replicates: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "replicate setting"]:
    """Sum of each setting after settings are exchanged within every question.

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
    return total


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
