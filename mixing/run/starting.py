"""One driver process of a run: where it is needed, and its start."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from ..drivers.config import DriverConfig
from ..drivers.driver import Place
from ..ipi.input import IpiInput
from .processes import Child


def place_of(pool: str, ipi_input: IpiInput, atoms: Atoms, *, number: int = 0) -> Place:
    """Where the drivers of a pool are needed.

    Parameters
    ----------
    pool : {"cheap", "expensive"}
        Which.
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.
    number : int
        Of the driver within the pool.
    """
    config = ipi_input.config
    driver: DriverConfig = getattr(config, pool)
    home = ipi_input.config_path.parent
    buffer = config.regions.buffer
    return Place(pool, driver.socket, home, config.structure, atoms, buffer, number)


def number_in(name: str) -> int:
    """The number at the end of a driver's name: 1 of "expensive-1", 0 of one without."""
    last = name.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def start_driver(pool: str, ipi_input: IpiInput, atoms: Atoms, *, name: str, logs: Path) -> Child:
    """Start one driver, in a folder of its own and with a log of its own, both of its name.

    Parameters
    ----------
    pool : {"cheap", "expensive"}
        Which pool the driver is for.
    ipi_input : IpiInput
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
    driver = getattr(ipi_input.config, pool).driver
    place = place_of(pool, ipi_input, atoms, number=number_in(name))
    argv = driver.argv(place, folder)
    env = driver.environment()
    return Child(name, argv, cwd=folder, log=logs / f"{name}.log", env=env)
