"""The ``regions:`` of the configuration: radii, and how weights change in time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..files.yaml_files import Section
from .growth import valid_leave


Radius = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class RegionConfig(Section):
    """Radii that grow the regions from the seeds."""

    core: Radius = Field(
        description="Å; atoms closer than this to a seed are fully expensive (weight 1)."
    )
    blend: Radius = Field(
        description="Å; atoms closer than this to a core atom are blended (weight falls from 1 "
        "to 0). 0 = abrupt."
    )
    buffer: Radius = Field(
        description="Å; atoms closer than this to an atom of positive weight are shown to the "
        "expensive potential as surroundings. Wider = more exact and more costly."
    )
    profile: Literal["linear", "cubic", "smooth"] = Field(
        "linear",
        description="Shape of the weight across the blend; 'smooth': its distance counts from the "
        "seeds, from 'core' on, and no weight jumps while atoms move.",
    )
    every: int = Field(
        1,
        ge=0,
        description="Steps between rebuilds of the weights; 0: those of the start, throughout. "
        "(The buffer around them is that of each step.)",
    )
    tau_in: Radius = Field(
        0.0, description="fs; how slowly weights rise: by the share every * timestep / tau_in."
    )
    tau_out: Radius = Field(0.0, description="fs; how slowly weights fall.")
    leave: Radius = Field(
        0.0,
        description="Å; atoms that are in the core stay in it as long as they are closer than this "
        "to a seed (0: than 'core').",
    )
    groups: str | None = Field(
        None,
        min_length=1,
        description="An array of the structure file (molecule or residue numbers, from 1; -1: "
        "none): atoms of one group are in a region together, so that no molecule is cut.",
    )

    @property
    def radii(self) -> dict[str, Any]:
        """What regions of one geometry are grown by (:func:`mixpi.build_regions`)."""
        return self.model_dump(include={"core", "blend", "buffer", "profile"})

    @property
    def remember(self) -> bool:
        """Whether weights depend on earlier steps."""
        return self.every != 1 or bool(self.tau_in or self.tau_out or self.leave or self.groups)

    @model_validator(mode="after")
    def _leave_fits(self) -> RegionConfig:
        valid_leave(self.leave, self.core, self.profile)
        return self
