"""The section that describes a pool of drivers; its kinds are the registry of drivers."""

from __future__ import annotations

from typing import Any, Self, get_args

from pydantic import Field, model_validator

from ..files.yaml_files import Section
from ..sockets.config import SocketConfig
from .ase_driver import AseDriver
from .command_driver import CommandDriver, ExternalDriver
from .driver import Driver
from .lammps_cluster_driver import LammpsClusterDriver
from .lammps_driver import LammpsDriver
from .mace_driver import MaceDriver


class DriverConfig(Section):
    """One pool of drivers: what to start, how many, where they connect.

    Exactly one of the kinds; a further one is a line here.
    """

    lammps: LammpsDriver | None = Field(None, description="LAMMPS through fix ipi.")
    mace: MaceDriver | None = Field(None, description="A MACE model.")
    lammps_cluster: LammpsClusterDriver | None = Field(
        None, description="Any LAMMPS potential on clusters."
    )
    ase: AseDriver | None = Field(None, description="Any ASE calculator.")
    command: str | None = Field(None, description=CommandDriver.model_fields["command"].description)
    external: bool = Field(
        False,
        description="true: mixpi starts nothing, the drivers are started by hand. What is said of "
        "a command holds for them too.",
    )
    count: int = Field(
        1,
        ge=1,
        le=1024,
        description="Drivers of this kind: so many are started (external: expected), and no more "
        "may be connected at a time. With 'devices' the default is one for each of them.",
    )
    max_restarts: int = Field(
        3,
        ge=0,
        description="How often each driver of this pool may be replaced within an hour, "
        "when it has died or hangs, before the run stops.",
    )
    socket: SocketConfig = Field(
        default_factory=SocketConfig, description="Where the drivers connect."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_for_each_device(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "count" in data:
            return data
        sections = [data[name] for name in KINDS if isinstance(data.get(name), dict)]
        several = [section["devices"] for section in sections if section.get("devices")]
        if several and isinstance(several[0], list):
            return {**data, "count": len(several[0])}
        return data

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in (*KINDS, *BARE) if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of {', '.join((*KINDS, *BARE))} (found: {given or 'none'})"
            )
        return self

    @property
    def kind(self) -> str:
        """The key of the kind that is given."""
        return next(name for name in (*KINDS, *BARE) if getattr(self, name))

    @property
    def driver(self) -> Driver:
        """The kind that is given, with its section."""
        if self.external:
            return ExternalDriver()
        if self.command:
            return CommandDriver(command=self.command)
        return getattr(self, self.kind)

    def on_cluster(self) -> Self | None:
        """One driver of the same potential for clusters; None if this kind has none."""
        driver = self.driver.on_cluster()
        return None if driver is None else type(self)(**{driver.kind: driver})


def _sections() -> dict[str, type[Driver]]:
    """The kinds that have a section of their own."""
    found = {}
    for name, info in DriverConfig.model_fields.items():
        for option in get_args(info.annotation):
            if isinstance(option, type) and issubclass(option, Driver):
                found[name] = option
    return found


#: Key → kind, of those with a section; and the keys of the others.
KINDS = _sections()
BARE = ("command", "external")
