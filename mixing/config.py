"""The YAML file that describes a mixed simulation, validated.

Every field carries its unit, default and help; ``mixpi config`` prints them from
here, so that this file is the reference.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, PrivateAttr, field_validator, model_validator

from .blend.external_forces import LoadConfig
from .blend.levels import EXPENSIVE, LEVELS, PARTS, POOLS, Level
from .drivers.config import DriverConfig
from .errors import MixpiError
from .files.names import FileName, OutputName
from .files.yaml_files import Section, read_yaml
from .ipi.dynamics_config import EndConfig, LimitsConfig, ThermostatConfig, TimeStepConfig
from .regions.region_config import RegionConfig
from .regions.seed_config import Seeds, SeedsConfig, selection
from .regions.seed_rules import classified_now
from .regions.seeds import select_atoms, select_seeds
from .structure import read_frames, read_structure, require_periodic


#: Seeds that leave all forces to one potential → which.
EVERYWHERE = {"none": "cheap", "all": "expensive"}


class OutputConfig(Section):
    """What the mixing layer writes, relative to where i-PI runs."""

    trajectory: OutputName | None = Field(
        "mix.extxyz",
        min_length=1,
        description="A name in the folder (elsewhere: a whole path); extended XYZ with step, "
        "time (fs) and energy estimate, mix_weight and mix_region of every atom, in the frame of "
        "the structure's file; with several beads a file a bead; null for none.",
    )
    stride: int = Field(10, ge=1, description="Steps between frames.")
    forces: bool = Field(
        False,
        description="Mixed forces (eV/Å) in the frames; with 'part: delta' in the i-PI input "
        "the correction alone, as correction_forces.",
    )
    velocities: bool = Field(False, description="Velocities (Å/fs) in the frames.")
    steps: OutputName = Field(
        "mix.steps",
        min_length=1,
        description="A name in the folder (elsewhere: a whole path); columns, one line a force "
        "evaluation.",
    )


class MixingConfig(Section):
    """The whole file."""

    structure: FileName = Field(
        description="Structure with the species and the cell, any format that ASE reads (or a "
        "LAMMPS data file); the same atoms in the same order and the same cell as i-PI has, best "
        "the same file."
    )
    seeds: Seeds = Field(
        description="The seed atoms (required): indices (from 0), [3, 17]; or words, evaluated "
        "once, for the structure's file: 'species He', 'near 5 5 5 within 4', 'undercoordinated', "
        "'where z > 12 and species == He'; 'none' or 'all' for one potential everywhere, the cheap "
        "or the expensive one (a reference); or a section that finds them anew as the atoms move."
    )
    regions: RegionConfig = Field(description="Radii that grow the regions from the seeds.")
    remove_net_force: bool = Field(
        True,
        description="Take the net force from all atoms in proportion to their masses (the blend "
        "of two potentials does not conserve momentum by itself); its size is in the steps file.",
    )
    cheap: DriverConfig = Field(description="Drivers that see the whole system.")
    expensive: DriverConfig = Field(description="Drivers that see the cluster.")
    cheap_cluster: DriverConfig | None = Field(
        None,
        description="Drivers that see the cheap potential's cluster, for 'part: delta' in the i-PI "
        "input alone (default: one, with the potential of 'cheap', if that is of a kind that can).",
    )
    thermostat: ThermostatConfig | None = Field(
        None,
        description="Let the thermostat of the i-PI input act on a part of the atoms (default: on "
        "all alike, as i-PI does).",
    )
    time_step: TimeStepConfig | None = Field(
        None,
        description="Let the time step of <dynamics mode='nve'> follow the fastest atom, for "
        "collisions; <timestep> is what the first one is at most (default: it is constant).",
    )
    end: EndConfig | None = Field(
        None, description="When the run ends, if that is before <total_steps> are done."
    )
    loads: list[LoadConfig] = Field(
        [],
        description="Constant forces on some of the atoms, beside those of the potentials and "
        "whatever the weights; part of the energy. A list of",
    )
    output: OutputConfig = Field(
        default_factory=OutputConfig, description="Files of the mixing layer."
    )
    limits: LimitsConfig = Field(
        default_factory=LimitsConfig, description="When a run stops because it has exploded."
    )

    _home: Path = PrivateAttr(default=Path())
    _found: list[int] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _spread_has_models(self) -> Self:
        mace = self.expensive.mace
        known = not (self.expensive.external or self.expensive.command)
        if self.by_spread and known and not (mace and mace.committee):
            raise ValueError(
                "seeds: spread needs several models that can disagree: name further ones in "
                "'expensive: mace: committee: [b.model]'"
            )
        return self

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_not_empty(cls, value: Any) -> Any:
        if value is None or (isinstance(value, list) and not value):
            raise ValueError(
                "no seeds: list the indices of the atoms the expensive potential is for, "
                "or write 'seeds: none' if you want the cheap potential everywhere"
            )
        if isinstance(value, dict | SeedsConfig):
            return value
        selection(value)
        if isinstance(value, str) and value.strip().lower() in EVERYWHERE:
            return value.strip().lower()
        return value

    @model_validator(mode="after")
    def _something_is_thermostatted(self) -> MixingConfig:
        acts_on = self.thermostat.acts_on if self.thermostat else None
        if self.everywhere and acts_on in EVERYWHERE.values() and acts_on != self.everywhere:
            raise ValueError(
                f"thermostat: acts_on: {acts_on}, with 'seeds: {self.seeds}': no atom is "
                f"{acts_on}, so nothing would be thermostatted"
            )
        return self

    @model_validator(mode="after")
    def _weights_know_the_time(self) -> Self:
        if self.time_step and (self.regions.tau_in or self.regions.tau_out):
            raise ValueError(
                "time_step: the time step changes, and with regions: tau_in, tau_out weights "
                "change by shares of it that are those of the first one: leave either out"
            )
        return self

    @property
    def home(self) -> Path:
        """The folder of the file."""
        return self._home

    @property
    def classified(self) -> bool:
        """Whether the seeds are found anew as the atoms move."""
        return isinstance(self.seeds, SeedsConfig)

    @property
    def everywhere(self) -> str | None:
        """The potential that is meant to compute all forces alone: cheap, expensive, or None."""
        return EVERYWHERE.get(self.seeds) if isinstance(self.seeds, str) else None

    @property
    def mixes(self) -> bool:
        """Whether both potentials can be needed."""
        return self.everywhere is None

    @property
    def by_spread(self) -> bool:
        """Whether the seeds are where a committee disagrees."""
        return isinstance(self.seeds, SeedsConfig) and self.seeds.spread is not None

    @property
    def starts_with_all(self) -> bool:
        """Whether the region is everything until seeds have been found."""
        return isinstance(self.seeds, SeedsConfig) and self.seeds.start == "all"

    @property
    def seed_indices(self) -> list[int]:
        """The seeds at the geometry of the structure's file: no atom for 'none', each for 'all'.

        Of classified seeds those that a run starts with, by values that are not averaged; where
        it starts with everything expensive, those that its first average finds if nothing moves.

        Raises
        ------
        MixpiError
            If they have to be found, and cannot.
        """
        if self._found is None:
            self._found = self._find_seeds()
        return list(self._found)

    def select(self, words: str | list[int], key: str) -> list[int]:
        """Atoms of the structure's file, by words or indices.

        Parameters
        ----------
        words : str or list of int
            As in :data:`mixpi.regions.grammar.GRAMMAR`; places are those in the file.
        key : str
            Where they stand, for messages.

        Raises
        ------
        MixpiError
            If no atom matches.
        """
        path = self.home / self.structure
        atoms = read_frames(path)[0]
        require_periodic(atoms, path)
        try:
            fewer = key == "seeds" and not self.everywhere
            choose = select_seeds if fewer else select_atoms
            return choose(words, atoms).indices
        except MixpiError as error:
            where = key if key == "seeds" else f"seeds.{key}"
            raise MixpiError(f"{where}: {str(error).removeprefix('seeds: ')}") from None

    def _find_seeds(self) -> list[int]:
        if self.seeds == "none":
            return []
        if isinstance(self.seeds, list):
            return list(self.seeds)
        if isinstance(self.seeds, str):
            return self.select(self.seeds, "seeds")
        if self.seeds.start not in ("now", "all"):
            return self.select(self.seeds.start, "initial")
        if self.seeds.spread is not None:
            raise MixpiError(
                "seeds: spread: which atoms are seeds is known in a run alone, after its first "
                "evaluation; for anything else name them, as a list, or as 'initial' of the section"
            )
        atoms = read_structure(self.home / self.structure)
        return np.flatnonzero(classified_now(self, atoms)).tolist()

    def pools(self, parts: Iterable[str]) -> tuple[str, ...]:
        """The driver pools in use, cheapest first; none of a potential that counts nowhere.

        Parameters
        ----------
        parts : iterable of str
            What the mixing layers of the simulation compute (:data:`mixpi.blend.levels.PARTS`).
        """
        wanted = {level for part in parts for level in self._levels(part)}
        return tuple(level.pool for level in LEVELS if level in wanted)

    def _levels(self, part: str) -> tuple[Level, ...]:
        """Who has to be asked for a part of the forces."""
        if self.everywhere == "cheap":
            return tuple(level for level in PARTS[part] if not level.on_cluster)
        if self.everywhere == "expensive" and part == "force":
            return (EXPENSIVE,)
        return PARTS[part]

    def require_pools(self, pools: Iterable[str]) -> None:
        """Refuse a simulation for which drivers are missing.

        Raises
        ------
        MixpiError
            Which, and how to give them.
        """
        for pool in pools:
            if getattr(self, pool) is None:  # only that of the cheap potential on clusters may be
                raise MixpiError(
                    f"the correction (part: delta) needs the cheap potential on clusters, and "
                    f"'cheap: {self.cheap.kind}' is not known to compute any: give it in a section "
                    f"'{pool}:', such as\n  {pool}:\n    lammps_cluster:\n      potential: [...]"
                )


def load_config(path: str | os.PathLike) -> MixingConfig:
    """Read and validate a configuration.

    The default socket names are filled in: they are made from the file's absolute
    path, so that the mixing layer and the launcher agree and two runs do not clash.

    Parameters
    ----------
    path : path-like
        The YAML file.

    Returns
    -------
    MixingConfig

    Raises
    ------
    MixpiError
        If the file cannot be read or does not describe a mixed simulation; the
        message names each field that is wrong.
    """
    path = Path(path)
    config = read_yaml(path, MixingConfig, help_command="mixpi config")
    config._home = path.parent
    if config.cheap_cluster is None:
        config = config.model_copy(update={"cheap_cluster": config.cheap.on_cluster()})
    there = [pool for pool in POOLS if getattr(config, pool) is not None]
    config = config.model_copy(
        update={
            pool: _with_socket(getattr(config, pool), default_address(path, pool), path.parent)
            for pool in there
        }
    )
    taken: dict[tuple, str] = {}
    for pool in there:
        socket = getattr(config, pool).socket
        other = taken.setdefault((socket.mode, socket.address, socket.port), pool)
        if other != pool:
            raise MixpiError(
                f"{path}:\n  {other} and {pool} drivers cannot share an address: give one of them "
                "another 'address' or 'port'"
            )
    return config


def default_address(path: Path, pool: str) -> str:
    """The name of the unix socket of a pool, by the configuration's file."""
    # the folder is resolved, the file is not: two folders may link to one file
    identity = str(path.parent.resolve() / path.name)
    return f"mixpi-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:10]}-{pool}"


def without_quotes(name: str) -> str:
    """A file name of i-PI's ``<parameters>``, where quotes are kept, without them."""
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
        return name[1:-1]
    return name


def _with_socket(driver: DriverConfig, unix_name: str, home: Path) -> DriverConfig:
    """The driver with its default address, and its token's path as seen from here."""
    update: dict[str, str] = {}
    if driver.socket.address is None:
        update["address"] = unix_name if driver.socket.mode == "unix" else "localhost"
    if driver.socket.token is not None:
        update["token"] = str(home.resolve() / driver.socket.token)
    return driver.model_copy(update={"socket": driver.socket.model_copy(update=update)})
