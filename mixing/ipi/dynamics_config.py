"""The sections of the configuration that change what i-PI's dynamics does, or stop it."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from ..errors import MixpiError
from ..files.yaml_files import Positive, Section, as_yaml
from ..regions.expression import Condition


def _condition(text: str) -> str:
    try:
        Condition(text)
    except MixpiError as error:
        raise ValueError(str(error)) from None
    return text


class ThermostatConfig(Section):
    """Where the thermostat of the i-PI input (langevin, or pile_l) acts, and how much."""

    acts_on: str | list[int] = Field(
        description="cheap: friction and noise with the weight 1 - w, so that the core is left "
        "alone; expensive: with w; or the atoms that are thermostatted, in words ('species W', "
        "'near 0 0 0 within 12', ...) or by number (from 0)."
    )

    @field_validator("acts_on", mode="before")
    @classmethod
    def _words_or_numbers(cls, value: Any) -> Any:
        whole = isinstance(value, list) and all(isinstance(n, int) for n in value)
        if not (isinstance(value, str) or whole) or not value:
            raise ValueError(
                f"{as_yaml(value)} is none of these: cheap, expensive, atoms in words ('species "
                "W'), a list of their numbers ([3, 17])"
            )
        return value


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


class LimitsConfig(Section):
    """Numbers that no sane run meets: it stops, with RESTART, before it takes such a step.

    Violent but sane ones do not meet the defaults: in a collision at keV energies forces are
    thousands of eV/Å, and a few atoms have 1e5 K.
    """

    force: Positive = Field(1e6, description="eV/Å; largest force of either potential on an atom.")
    temperature: Positive = Field(
        1e6, description="K; highest temperature of all atoms together (1e6 K: 129 eV an atom)."
    )
    position: float = Field(
        1e6,
        gt=0.0,
        le=1e8,
        description="Å; largest coordinate of an atom (i-PI does not wrap; further out digits get "
        "lost).",
    )
    warn_temperature: Positive | None = Field(
        None,
        description="K; above it is said that the run is hot (default: five times the "
        "temperature of the thermostat or of the first velocities, at least 5,000 K).",
    )
    warn_drift: Positive = Field(
        0.1,
        description="eV an atom; it is said that i-PI's conserved quantity has moved by more than "
        "this since the run began.",
    )
