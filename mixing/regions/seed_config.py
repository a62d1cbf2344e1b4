"""The ``seeds:`` of the configuration: a list, words, or a section that classifies in time."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from ..errors import MixpiError
from ..files.yaml_files import Positive, Section, as_yaml
from .averaging import require_consistent
from .seeds import understood


#: The ways to say what is measured of each atom; one of them is needed.
KINDS = ("lammps", "coordination", "function")
#: ``module:function``.
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def selection(value: Any) -> Any:
    """Words of the grammar that can be understood, or indices that can be such.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, str):
        try:
            understood(value)
        except MixpiError as error:
            raise ValueError(str(error).removeprefix("seeds: ")) from None
        return value
    if not isinstance(value, list):
        raise ValueError(
            f"{as_yaml(value)} is no list of atoms: write 'seeds: [3, 17]', or 'seeds: none'"
        )
    if not value:
        raise ValueError("an empty list: write none where no atoms are meant")
    seen = set()
    for seed in value:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f"{as_yaml(seed)} is no index of an atom: whole numbers from 0 are")
        if seed < 0:
            raise ValueError(f"seed {seed} is negative: atoms are numbered from 0")
        if seed in seen:
            raise ValueError(f"seed {seed} stands twice: is one of them another atom?")
        seen.add(seed)
    return value


#: Atoms in words, or their indices.
SelectionWords = Annotated[list[int] | str, BeforeValidator(selection)]


def _start(value: Any) -> Any:
    return value if value in ("now", "all") else selection(value)


class AverageConfig(Section):
    """When values are taken, and over how many they are averaged: LAMMPS's ``fix ave/atom``."""

    every: int = Field(1, ge=1, description="Steps between values (Nevery of 'fix ave/atom').")
    repeat: int = Field(1, ge=1, description="Values that are averaged (Nrepeat).")
    frequency: int = Field(
        1, ge=1, description="Steps between averages (Nfreq), a multiple of 'every'."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_consistent(self.every, self.repeat, self.frequency)
        return self


class SeedsConfig(Section):
    """Seeds that are found by a value of each atom, again and again as the atoms move."""

    lammps: str | None = Field(
        None,
        min_length=1,
        description="A compute of LAMMPS that has a value for each atom, without 'compute ID "
        "group': 'coord/atom cutoff 2.0', 'cna/atom 3.838', 'centro/atom bcc', 'pe/atom'; of "
        "several values a column, 'stress/atom[1] NULL virial'. 'mixpi check' lets LAMMPS read it.",
    )
    coordination: Positive | None = Field(
        None, description="Å; instead of a compute, the number of neighbours closer than this."
    )
    function: str | None = Field(
        None,
        min_length=1,
        description="Instead of a compute, module:function of Python, a file beside this one; it "
        "gets positions (n, 3), atomic numbers (n,) and the cell (3, 3; rows are vectors), Å, and "
        "returns a number for each atom, which depends on nothing else. 'mixpi check' runs it.",
    )
    potential: list[str] | None = Field(
        None,
        min_length=1,
        description="With 'lammps': the pair_style and pair_coeff lines of a compute that needs "
        "forces or energies (default: those of 'cheap'); a compute of geometry needs none.",
    )
    bounds: list[float] = Field(
        min_length=2,
        max_length=2,
        description="[lower, upper]; an atom is a seed if lower <= value <= upper, both ends "
        "included; -.inf and .inf for no bound.",
    )
    average: AverageConfig = Field(
        default_factory=AverageConfig,
        description="In time, as LAMMPS's 'fix ave/atom every repeat frequency' in a run from "
        "step 0. Seeds are those of the newest average.",
    )
    initial: Annotated[list[int] | str, BeforeValidator(_start)] = Field(
        "now",
        description="Seeds until the first average: 'now' for those of the first geometry, 'all' "
        "for everything expensive, or a selection in words or indices, as for 'seeds'.",
    )
    among: SelectionWords | None = Field(
        None,
        description="Only these atoms can be seeds: a selection in words or indices, of the "
        "structure's file.",
    )

    @field_validator("lammps")
    @classmethod
    def _bare_compute(cls, value: str | None) -> str | None:
        words = (value or "").split()
        if words[:1] == ["compute"]:
            raise ValueError(
                "leave out 'compute', its name and the group: "
                f"'{' '.join(words[3:]) or 'coord/atom cutoff 2.0'}'"
            )
        return value

    @field_validator("function")
    @classmethod
    def _named_function(cls, value: str | None) -> str | None:
        if value is not None and not TARGET.fullmatch(value):
            raise ValueError(f"{value!r} is not of the form module:function")
        return value

    @field_validator("bounds")
    @classmethod
    def _sensible_bounds(cls, value: list[float]) -> list[float]:
        lower, upper = value
        if math.isnan(lower) or math.isnan(upper):
            raise ValueError("a bound is a number, or -.inf or .inf for none")
        if lower > upper:
            raise ValueError(
                f"[{as_yaml(lower)}, {as_yaml(upper)}] holds no value: the lower bound comes first"
            )
        if math.isinf(lower) and math.isinf(upper):
            which = "every" if lower < upper else "no"
            raise ValueError(f"with these bounds {which} atom is a seed: give one that is finite")
        return value

    @field_validator("among")
    @classmethod
    def _somebody(cls, value: list[int] | str | None) -> list[int] | str | None:
        if isinstance(value, str) and value.strip().lower() == "none":
            raise ValueError("among no atoms there are no seeds: leave it out, or 'seeds: none'")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)} (found: {given or 'none'})")
        if self.potential is not None and self.lammps is None:
            raise ValueError("potential is for a compute of LAMMPS (lammps)")
        if self.initial != "now" and self.average.repeat == 1:
            raise ValueError(
                "initial has no effect: with 'repeat: 1' the first average is that of step 0: "
                "leave it out, or average over more values"
            )
        return self

    def inputs(self, home: Path) -> list[str]:
        """Words that may be names of files that it reads."""
        words = (self.lammps or "").split()
        if self.function is not None:
            module = self.function.partition(":")[0]
            words.append(f"{module.replace('.', '/')}.py")
        if self.potential is not None:
            from ..drivers.lammps_driver import potential_words

            words += potential_words(self.potential, home)
        return words

    @property
    def measure(self) -> str:
        """What is compared with the bounds, for people."""
        if self.coordination is not None:
            return f"neighbours within {self.coordination:g} Å"
        return f"LAMMPS's {self.lammps}" if self.lammps else f"{self.function}"


def _written_as(value: Any) -> str:
    if isinstance(value, dict | SeedsConfig):
        return "[section]"
    return "[words]" if isinstance(value, str) else "[list]"


#: Tags in brackets: messages leave such parts of a key's place out.
Seeds = Annotated[
    Annotated[list[int], Tag("[list]")]
    | Annotated[str, Tag("[words]")]
    | Annotated[SeedsConfig, Tag("[section]")],
    Discriminator(_written_as),
]
