"""One kind of driver: its section of the configuration, and all that depends on the kind.

A further kind is one module with a subclass of :class:`Driver` (of
:class:`~mixpi.drivers.engine_driver.EngineDriver` if it evaluates in Python), and one line in
:class:`~mixpi.drivers.config.DriverConfig`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ase import Atoms

from ..files.yaml_files import Section
from ..sockets.config import SocketConfig


@dataclass(frozen=True)
class Place:
    """Where a driver is needed.

    Attributes
    ----------
    pool : {"cheap", "expensive"}
        Which pool it is for; the cheap one's structure is always the whole system.
    socket : SocketConfig
        Where it connects.
    home : Path
        Folder of the configuration, where files are looked for.
    structure : str
        The structure's file, as configured.
    atoms : Atoms
        What it holds.
    buffer : float
        Å; of the clusters.
    number : int
        Of the driver within its pool, from 0.
    first : Atoms or None
        What it will evaluate first, if that is known.
    """

    pool: str
    socket: SocketConfig
    home: Path
    structure: str
    atoms: Atoms
    buffer: float
    number: int = 0
    first: Atoms | None = None

    @property
    def structure_path(self) -> str:
        """The structure's file, absolute."""
        return str((self.home / self.structure).resolve())

    @property
    def species(self) -> list[str]:
        """Chemical symbols of the structure, sorted."""
        return sorted(set(self.atoms.symbols))


class Driver(Section):
    """Base of all kinds; what a kind does not define is as for a program that is unknown."""

    #: The key in the configuration.
    kind: ClassVar[str]
    #: Why it cannot compute the cluster, which is another in each step; empty if it can.
    whole_system_only: ClassVar[str] = ""
    #: Whether what it can do is not known.
    unknown: ClassVar[bool] = False

    @property
    def wants_depths(self) -> bool:
        """Whether it must know how far each atom of a cluster is from those that count."""
        return False

    def on_cluster(self) -> Driver | None:
        """What computes the same potential on clusters that change; None if nothing does."""
        return None

    @property
    def cores(self) -> int | None:
        """Cores of this machine that one driver asks for; None if it does not say, or is elsewhere.

        Raises
        ------
        MixpiError
            If its command line is none.
        """
        return None

    def inputs(self, home: Path) -> list[str]:
        """Words of the configuration that may be names of files that it reads."""
        return []

    def argv(self, place: Place, folder: Path) -> list[str]:
        """The command line that starts it.

        Parameters
        ----------
        place : Place
            Where it is needed.
        folder : Path
            Where it will run; files that it needs are written there.

        Raises
        ------
        MixpiError
            If a program or a file is missing.
        """
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The environment that it is started in."""
        return dict(os.environ)

    def look(self, place: Place) -> Iterator[str]:
        """Look at its files without running anything; what was found."""
        yield from ()

    def try_out(self, place: Place) -> Iterator[str]:
        """Let it read its files, or compute once, in a process of its own; what was found."""
        yield from ()

    def ended_in_order(self, log: str) -> bool:
        """Whether its log says that it has ended as it should, whatever its exit code."""
        return False

    def error_in(self, log: str) -> str | None:
        """Its own words in its log for what went wrong; None to show the log's last lines."""
        return None


def known_engines() -> str:
    """The kinds that can be evaluated in this process, for messages."""
    from .config import KINDS
    from .engine_driver import EngineDriver

    return ", ".join(name for name, kind in KINDS.items() if issubclass(kind, EngineDriver))
