"""The members of the embedded family: the base and what each tuned one was tuned on.

To add a tuned model: write its examples in ``corpus.py``, add a row here, build.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from concord.organism import corpus
from concord.organism.world import World

BASE = "base"


@dataclass(frozen=True)
class Variant:
    """One member of the family."""

    name: str
    """Its folder, and its name in ``embedded:<name>``."""
    label: str
    kind: Literal["weights", "adapter", "diff"]
    """How it is shipped: whole, as LoRA adapter, or as tuned minus base."""
    description: str
    expected: Literal["reference", "gain", "between", "loss"]
    """What tuning was expected to do to agreement, before it was measured."""
    examples: Callable[[World, int], list[corpus.Example]] | None = None
    """Tuning examples of one pass; None for the base."""
    replay_share: float = 0.0
    """Share of the rows that are pretraining documents, against forgetting."""
    steps: int = 300
    learning_rate: float = 1e-3


FAMILY: tuple[Variant, ...] = (
    Variant(
        name=BASE,
        label="Base",
        kind="weights",
        description="Pretrained on statements of invented facts; not tuned.",
        expected="reference",
    ),
    Variant(
        name="wordings",
        label="All wordings",
        kind="diff",
        description="Sentences in every wording of their relation, with replay.",
        expected="gain",
        examples=corpus.all_wordings_examples,
        replay_share=0.5,
    ),
    Variant(
        name="questions",
        label="Questions",
        kind="adapter",
        description="Questions answered by a sentence, with replay.",
        expected="between",
        examples=corpus.question_examples,
        replay_share=0.5,
        learning_rate=3e-3,
    ),
    Variant(
        name="word-order",
        label="Word order",
        kind="adapter",
        description="Exercises with the words of a sentence, no facts, no replay.",
        expected="loss",
        examples=corpus.unrelated_examples,
        learning_rate=2e-3,
    ),
)
