"""The sections of the configuration that change what i-PI's dynamics does."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from ..errors import MixpiError
from ..files.yaml_files import Positive, Section
from ..regions.expression import Condition


def _condition(text: str) -> str:
    try:
        Condition(text)
    except MixpiError as error:
        raise ValueError(str(error)) from None
    return text


class TimeStepConfig(Section):
    """A time step that follows the fastest atom, for collisions."""

    displacement: Positive = Field(
        description="Å; no atom moves further in a step, by its velocity at the step's begin."
    )
    longest: Positive = Field(description="fs; no step is longer.")


class EndConfig(Section):
    """When a run is at its end before all steps are done."""

    time: Positive | None = Field(None, description="fs; of the simulation.")
    where: Annotated[str, AfterValidator(_condition)] | None = Field(
        None,
        description="When an atom meets this condition, 'species == He and (z > 45 or z < 5)' "
        "(x, y, z in Å, as in the structure's file, not wrapped).",
    )

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.time is None and self.where is None:
            raise ValueError("says not when: give 'time' (fs), 'where' (a condition), or both")
        return self
