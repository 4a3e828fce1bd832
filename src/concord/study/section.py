"""What all sections of a study have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Fields of a study file: none besides these, and none that change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
