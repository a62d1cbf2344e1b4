"""What all commands on paths begin with: a configuration, its system, its drivers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ..config import MixingConfig, load_config
from ..errors import MixpiError
from ..files.user_files import special_kind
from ..ipi.input import read_ipi_input
from ..run.locking import LOGS, lock
from ..run.own_drivers import OwnDrivers
from ..run.processes import guarded
from ..run.starting import unix_sockets
from ..structure import read_oriented
from .fixed_mixing import pools_for


@dataclass(frozen=True)
class Setting:
    """A configuration and its system.

    Attributes
    ----------
    config : MixingConfig
    config_path : Path
    atoms : Atoms
        In i-PI's orientation.
    rotation : ndarray, shape (3, 3)
        Turns vectors (rows) back to those of the file: ``vectors @ rotation``.
    """

    config: MixingConfig
    config_path: Path
    atoms: Atoms
    rotation: np.ndarray

    @property
    def folder(self) -> Path:
        """Where results go unless told otherwise."""
        return self.config_path.parent

    def turned(self, frames: Sequence[Atoms], what: str) -> list[np.ndarray]:
        """Positions (n, 3) of frames of the user's, Å, in i-PI's orientation.

        Raises
        ------
        MixpiError
            If they are not of this system: other atoms, another order, another cell.
        """
        found = []
        cell = self.atoms.cell.array @ self.rotation
        for number, frame in enumerate(frames):
            where = f"{what}, image {number}" if len(frames) > 1 else what
            if not np.array_equal(frame.numbers, self.atoms.numbers):
                raise MixpiError(
                    f"{where} has other atoms than {self.config.structure} ({_formula(frame)}, "
                    f"{_formula(self.atoms)}), or the same ones in another order"
                )
            if not np.allclose(frame.cell.array, cell, rtol=0, atol=1e-6):
                raise MixpiError(f"{where} has another cell than {self.config.structure}")
            found.append(frame.positions @ self.rotation.T)
        return found

    def frame(self, positions: np.ndarray, **info: object) -> Atoms:
        """Positions (n, 3), Å, as a structure of the user's."""
        frame = Atoms(
            self.atoms.numbers,
            positions @ self.rotation,
            cell=self.atoms.cell.array @ self.rotation,
            pbc=True,
        )
        frame.info = dict(info)
        return frame


def _formula(atoms: Atoms) -> str:
    return str(atoms.symbols.get_chemical_formula())


def read_setting(path: str | Path) -> Setting:
    """Read a configuration, or an i-PI input that names one, and its structure.

    Parameters
    ----------
    path : path-like
        YAML, or XML.

    Raises
    ------
    MixpiError
        If either is wrong.
    """
    path = Path(path)
    if path.suffix.lower() == ".xml":
        ipi_input = read_ipi_input(path)
        config, config_path = ipi_input.config, ipi_input.config_path
    else:
        config, config_path = load_config(path), path.absolute()
    atoms, rotation = read_oriented(config_path.parent / config.structure)
    return Setting(config, config_path, atoms, rotation)


@contextlib.contextmanager
def drivers_of(
    setting: Setting, *, kind: str = "mixed", name: str, pools: Sequence[str] | None = None
) -> Iterator[OwnDrivers]:
    """Start the drivers of a setting, as many as are configured; end them at the end.

    Parameters
    ----------
    setting : Setting
        Says what they are.
    kind : {"mixed", "expensive", "cheap"}
        As for :class:`mixpi.paths.fixed_mixing.FixedMixing`.
    name : str
        How logs are called.
    pools : sequence of str, optional
        Others than these need.

    Yields
    ------
    OwnDrivers

    Raises
    ------
    MixpiError
        If one cannot be started, or another run is active here.
    """
    config = setting.config
    wanted = tuple(pools) if pools is not None else pools_for(config, kind)
    external = [pool for pool in wanted if getattr(config, pool).external]
    if external:
        raise MixpiError(
            f"the {' and '.join(external)} drivers are external: a path needs drivers that mixpi "
            "can start"
        )
    logs = setting.folder / LOGS
    with lock(logs) as locked:
        log_file = logs / f"{name}.log"
        if what := special_kind(log_file):
            raise MixpiError(f"{log_file} is {what}, and a file of that name is to be written")
        with (
            guarded(keep=[locked], sockets=unix_sockets(config, wanted)) as family,
            log_file.open("w") as log,
            contextlib.redirect_stdout(log),  # i-PI's sockets speak of every driver
            OwnDrivers(
                setting,
                wanted,
                setting.atoms,
                logs=logs,
                family=family,
                name=name,
                count={pool: getattr(config, pool).count for pool in wanted},
            ) as drivers,
        ):
            yield drivers
