"""The analyses: each takes a model and data, and yields rows."""

from concord.analyses import (
    choices,
    enrichment,
    extraction,
    facts,
    knockout,
    noise,
    relations,
    representation,
)
from concord.analyses.part import Analysis, Part, Task

ANALYSES: dict[str, Analysis] = {
    "facts": facts.run,
    "noise": noise.run,
    "representation": representation.run,
    "choices": choices.run,
    "enrichment": enrichment.run,
    "relations": relations.run,
    "extraction": extraction.run,
    "knockout": knockout.run,
}
"""Every analysis by name; one of your own is a function like these."""

__all__ = ["ANALYSES", "Analysis", "Part", "Task"]
