"""The embedded family: a closed world and small models that were told about it.

A laboratory animal, not a claim about large models: every fact is known, and in which
wordings the base has read it. Importing this needs no torch; building does.
"""

from pathlib import Path

from concord.errors import ModelError, did_you_mean
from concord.organism.family import BASE, FAMILY, Variant
from concord.organism.public_formats import write_world_data
from concord.organism.world import World, make_world

__all__ = [
    "BASE",
    "FAMILY",
    "SHIPPED_SEED",
    "Variant",
    "World",
    "shipped_world",
    "weights_folder",
    "write_world_data",
]

SHIPPED_SEED = 0


def shipped_world() -> World:
    """The world that the shipped weights were trained on."""
    return make_world(SHIPPED_SEED)


def weights_folder(name: str) -> Path:
    """Where a member's shipped weights lie.

    Raises:
        ModelError: The family has no such member.
    """
    known = [variant.name for variant in FAMILY]
    if name not in known:
        raise ModelError(f"no member {name!r}; {did_you_mean(name, known)}")
    return Path(__file__).parent / "weights" / name
