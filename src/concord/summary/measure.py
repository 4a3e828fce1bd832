"""What a reader needs to know of one key of ``summary.json``."""

from dataclasses import dataclass
from typing import Literal

Words = tuple[str, str]
CONSISTENT: Words = ("more consistent", "less consistent")
ACCURATE: Words = ("more accurate", "less accurate")
NEUTRAL: Words = ("higher", "lower")


@dataclass(frozen=True)
class Measure:
    """What a reader needs to know of one key."""

    title: str
    meaning: str
    """One sentence."""
    formula: str
    unit: str = "share"
    lowest: float | None = 0.0
    highest: float | None = 1.0
    better: Literal["higher", "lower"] | None = "higher"
    words: Words = CONSISTENT
    """What a difference above 0, and below 0, is called."""
    headline: bool = False
    by_relation: bool = False
