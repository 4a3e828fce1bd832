"""The analyses: each takes a model and data, and yields rows."""

from concord.analyses import facts, noise, representation
from concord.analyses.part import Analysis, Part, Task

ANALYSES: dict[str, Analysis] = {
    "facts": facts.run,
    "noise": noise.run,
    "representation": representation.run,
}
"""Every analysis by name; one of your own is a function like these."""

__all__ = ["ANALYSES", "Analysis", "Part", "Task"]
