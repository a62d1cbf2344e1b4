"""One driver process of a run: where it is needed, and its start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ase import Atoms

from ..config import MixingConfig
from ..drivers.config import DriverConfig
from ..drivers.driver import Place
from ..sockets.addresses import unix_path
from .processes import Child


class Configured(Protocol):
    """Who names a configuration: an i-PI input, or the file itself."""

    @property
    def config(self) -> MixingConfig:
        """The configuration, validated."""
        ...

    @property
    def config_path(self) -> Path:
        """Its file."""
        ...


def unix_sockets(config: MixingConfig, pools: Iterable[str]) -> list[Path]:
    """The socket files of some pools."""
    sockets = [getattr(config, pool).socket for pool in pools]
    return [unix_path(socket.known_address) for socket in sockets if socket.mode == "unix"]


def place_of(pool: str, configured: Configured, atoms: Atoms, *, number: int = 0) -> Place:
    """Where the drivers of a pool are needed.

    Parameters
    ----------
    pool : str
        Which.
    configured : Configured
        The simulation.
    atoms : Atoms
        Its structure.
    number : int
        Of the driver within the pool.
    """
    config = configured.config
    driver: DriverConfig = getattr(config, pool)
    home = configured.config_path.parent
    buffer = config.regions.buffer
    return Place(pool, driver.socket, home, config.structure, atoms, buffer, number)


def number_in(name: str) -> int:
    """The number at the end of a driver's name: 1 of "expensive-1", 0 of one without."""
    last = name.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def start_driver(
    pool: str, configured: Configured, atoms: Atoms, *, name: str, logs: Path
) -> Child:
    """Start one driver, in a folder of its own and with a log of its own, both of its name.

    Parameters
    ----------
    pool : str
        Which pool the driver is for.
    configured : Configured
        The simulation.
    atoms : Atoms
        Its structure.
    name : str
        E.g. "cheap-0".
    logs : Path
        Where folder and log are.

    Raises
    ------
    MixpiError
        If a program or a file is missing.
    """
    folder = logs / name
    folder.mkdir(exist_ok=True)
    driver = getattr(configured.config, pool).driver
    place = place_of(pool, configured, atoms, number=number_in(name))
    argv = driver.argv(place, folder)
    env = driver.environment()
    return Child(name, argv, cwd=folder, log=logs / f"{name}.log", env=env)
