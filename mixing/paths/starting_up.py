"""What all commands on paths begin with: a configuration, its system, its drivers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ..check.overwriting import inputs_of, require_safe_outputs
from ..config import MixingConfig, load_config
from ..errors import MixpiError
from ..files.user_files import special_kind
from ..ipi.input import read_ipi_input
from ..output.continuing import put_aside
from ..run.locking import LOGS, lock
from ..run.own_drivers import OwnDrivers
from ..run.processes import guarded
from ..run.starting import unix_sockets
from ..structure import read_oriented
from .fixed_mixing import FixedMixing, pools_for


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
    given : Path
        The file that was named: the configuration, or an i-PI input.
    """

    config: MixingConfig
    config_path: Path
    atoms: Atoms
    rotation: np.ndarray
    given: Path

    @property
    def folder(self) -> Path:
        """Where results go unless told otherwise."""
        return self.config_path.parent

    def outputs(
        self, output: str, endings: Iterable[str], read: Mapping[Path, str] | None = None
    ) -> dict[str, Path]:
        """The files that a command writes, before it writes any.

        Parameters
        ----------
        output : str
            What all their names begin with; relative to the folder.
        endings : iterable of str
            What follows.
        read : mapping of Path to str, optional
            Further files that the command reads → how messages call them.

        Returns
        -------
        dict of str to Path
            Ending → file.

        Raises
        ------
        MixpiError
            If one is a file that the command reads, a folder or a device, or cannot be there.
        """
        if not Path(output).name or output.endswith("/"):
            raise MixpiError(f"--output must be the beginning of names of files, not '{output}'")
        inputs = {
            **inputs_of(self.config, self.folder),
            self.given: "the i-PI input",
            self.config_path: "the configuration",
            **(read or {}),
        }
        names = {end: f"{output}{end}" for end in endings}
        require_safe_outputs(
            [(name, "a file of --output") for name in names.values()], inputs, self.folder
        )
        return {end: self.folder / name for end, name in names.items()}

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
            require_free(frame, where)
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

    def evaluated(self, atoms: Atoms, mixing: FixedMixing, **info: object) -> Atoms:
        """A structure of the user's, with its weights, regions, and forces (eV/Å).

        Parameters
        ----------
        atoms : Atoms
            In i-PI's orientation, with forces.
        mixing : FixedMixing
            That has evaluated it.
        **info
            For the frame.
        """
        frame = self.frame(atoms.positions, **info)
        frame.arrays["mix_weight"] = mixing.weights
        frame.arrays["mix_region"] = mixing.labels
        frame.arrays["forces"] = atoms.get_forces() @ self.rotation
        return frame

    def about(self, kind: str) -> dict:
        """What a state must have in common with the simulation that goes on from it."""
        return {
            "forces": kind,
            "seeds": self.config.seed_indices,
            "regions": self.config.regions.model_dump(),
            "loads": [load.model_dump() for load in self.config.loads],
            "atoms": str(self.atoms.symbols),
        }


def put_aside_all(files: Iterable[Path]) -> None:
    """Keep, by other names, what an earlier relaxation or path has left that is not gone on with.

    Parameters
    ----------
    files : iterable of Path
        Those that are there are renamed.
    """
    for file in files:
        if file.exists():
            put_aside(file)


def require_free(atoms: Atoms, where: str) -> None:
    """Refuse atoms that are to stay where they are: nobody would hold them.

    Raises
    ------
    MixpiError
        If there are constraints, such as ``move_mask`` in extended XYZ or selective dynamics.
    """
    if atoms.constraints:
        kinds = ", ".join(sorted({type(one).__name__ for one in atoms.constraints}))
        raise MixpiError(
            f"{where} has constraints ({kinds}), and all atoms would move: relaxations and paths "
            "know none. Remove them from the file if all atoms may move"
        )


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
    require_free(atoms, config.structure)
    return Setting(config, config_path, atoms, rotation, path)


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
