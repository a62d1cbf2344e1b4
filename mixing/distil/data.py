"""The data of a distillation, from the expensive potential: strained cells, MD snapshots.

Each set is one ASE trajectory file that is rewritten, atomically, whenever a frame is
added, and that an interrupted command continues. A folder belongs to one structure,
one model and one choice of settings: its name holds their hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.optimize import LBFGS

from ..errors import MixpiError
from ..progress import Tell
from .config import HardConfig, SoftConfig


#: eV/Å; forces that remain after a relaxation.
FMAX = 1e-4


def _unit(*direction: float) -> np.ndarray:
    return np.array(direction) / np.linalg.norm(direction)


def _uniaxial(*n: float) -> np.ndarray:
    return np.outer(_unit(*n), _unit(*n))


def _shear(m: tuple[float, ...], n: tuple[float, ...]) -> np.ndarray:
    product = np.outer(_unit(*m), _unit(*n))
    return (product + product.T) / 2


#: The six types of strain of Birks et al., as symmetric (3, 3) tensors of unit size; they
#: determine the elastic constants of a cubic crystal.
STRAINS = {
    "hydrostatic": np.eye(3) / 3,
    "uniaxial [100]": _uniaxial(1, 0, 0),
    "uniaxial [111]": _uniaxial(1, 1, 1),
    "shear [100][010]": _shear((1, 0, 0), (0, 1, 0)),
    "shear [110][001]": _shear((1, 1, 0), (0, 0, 1)),
    "shear [110][1-12]": _shear((1, 1, 0), (1, -1, 2)),
}


class Cache:
    """A folder with the frames of one crystal, one potential and one choice of settings.

    Parameters
    ----------
    root : Path
        Parent of the folder.
    identity : dict
        What the data depend on; JSON values.
    """

    def __init__(self, root: Path, identity: dict) -> None:
        text = json.dumps(identity, indent=1, sort_keys=True)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:10]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "settings.json").write_text(text + "\n")

    def frames(self, name: str) -> list[Atoms]:
        """The frames of a set so far, with energies and forces as they were computed.

        Raises
        ------
        MixpiError
            If the file is damaged.
        """
        path = self.folder / f"{name}.traj"
        if not path.exists():
            return []
        try:
            return read(path, ":")
        except Exception as error:
            raise MixpiError(
                f"cannot read the data in {path} ({type(error).__name__}: {error}): delete that "
                "file to compute them again"
            ) from None

    def extend(
        self, name: str, total: int, make: Callable[[list[Atoms]], Iterator[Atoms]], tell: Tell
    ) -> list[Atoms]:
        """The whole set; what is missing is computed and kept frame by frame.

        Parameters
        ----------
        name : str
            Of the set.
        total : int
            Number of frames of the whole set.
        make : callable
            Given the frames so far, yields the following ones.
        tell : callable
            Gets the progress.
        """
        frames = self.frames(name)
        tell(f"{name} {len(frames)}/{total}", len(frames) / total)
        if len(frames) < total:
            for frame in make(list(frames)):
                frames.append(frame)
                partial = self.folder / f"{name}.part"
                write(partial, frames, format="traj")
                partial.rename(self.folder / f"{name}.traj")
                tell(f"{name} {len(frames)}/{total}", len(frames) / total)
        return frames[:total]


def labelled(atoms: Atoms, calculator) -> Atoms:
    """A copy that carries energy (eV) and forces (eV/Å), without the calculator.

    Raises
    ------
    MixpiError
        If a value is not finite.
    """
    result = atoms.copy()
    result.calc = calculator
    energy, forces = result.get_potential_energy(), result.get_forces()
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise MixpiError("the expensive potential returned values that are not finite")
    result.calc = SinglePointCalculator(result, energy=float(energy), forces=np.array(forces))
    return result


def relaxed_crystal(atoms: Atoms, calculator) -> Atoms:
    """The crystal with its cell and positions at the minimum of the potential.

    Raises
    ------
    MixpiError
        If that is not reached, or lies more than 10 % in length from the start.
    """
    moving = atoms.copy()
    moving.calc = calculator
    before = moving.cell.lengths()
    if not LBFGS(FrechetCellFilter(moving), logfile=None).run(fmax=FMAX, steps=300):
        raise MixpiError(
            "the crystal does not relax under the expensive potential in 300 steps: "
            "is it the crystal that the model knows?"
        )
    change = moving.cell.lengths() / before - 1
    if np.abs(change).max() > 0.1:
        raise MixpiError(
            f"relaxing changed the cell by {100 * change[np.abs(change).argmax()]:+.0f} %: "
            "give a structure closer to the model's own lattice constant"
        )
    return moving


def strained_cells(
    crystal: Atoms, calculator, settings: HardConfig, *, done: int = 0
) -> Iterator[Atoms]:
    """The hard set: the unstrained crystal, then every type and size of strain.

    Atoms are relaxed where strain leaves forces on them. Each frame says in
    ``info["strain"]`` what it is. The first ``done`` frames are left out.
    """
    sizes = np.linspace(-settings.strain, settings.strain, settings.points)
    wanted = [("none", 0.0, np.zeros((3, 3)))]
    wanted += [
        (f"{name} {size:+.5f}", size, tensor)
        for name, tensor in STRAINS.items()
        for size in sizes[np.abs(sizes) > 1e-12]
    ]
    for name, size, tensor in wanted[done:]:
        atoms = crystal.copy()
        atoms.set_cell(crystal.cell.array @ (np.eye(3) + size * tensor), scale_atoms=True)
        if size:
            atoms.calc = calculator
            LBFGS(atoms, logfile=None).run(fmax=FMAX, steps=200)
        frame = labelled(atoms, calculator)
        frame.info["strain"] = name
        yield frame


def count_strained_cells(settings: HardConfig) -> int:
    """Frames of the hard set."""
    return 1 + len(STRAINS) * (settings.points - settings.points % 2)


def supercell_repeats(crystal: Atoms, settings: SoftConfig) -> tuple[int, int, int]:
    """Repeats of the crystal in the snapshots: the given ones, or 10 Å each way at least."""
    if settings.repeat is not None:
        return tuple(settings.repeat)
    heights = 1.0 / np.linalg.norm(crystal.cell.reciprocal(), axis=1)
    return tuple(int(np.ceil(10.0 / height - 1e-9)) for height in heights)


def count_segments(settings: SoftConfig) -> tuple[int, int]:
    """Pieces of the trajectory before the first snapshot, and all of them."""
    before = int(np.ceil(settings.equilibrate / settings.spacing))
    return before, before + settings.snapshots + settings.held_out


def snapshots(crystal: Atoms, calculator, settings: SoftConfig, done: list[Atoms]):
    """The soft set: the ends of the pieces of one Langevin trajectory.

    The noise of each piece has a seed of its own, so that a continued trajectory is
    the uninterrupted one. The pieces before the first snapshot belong to the set, so
    that they need not be run again.
    """
    if done:
        atoms = done[-1].copy()
    else:
        atoms = crystal * supercell_repeats(crystal, settings)
        rng = np.random.default_rng([settings.seed, 0])
        # half of the kinetic energy goes into the bonds
        width = np.sqrt(2 * settings.temperature * units.kB * atoms.get_masses())
        atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * width[:, None])
    steps = max(1, round(settings.spacing / settings.timestep))
    for piece in range(len(done), count_segments(settings)[1]):
        atoms.calc = calculator
        Langevin(
            atoms,
            settings.timestep * units.fs,
            temperature_K=settings.temperature,
            friction=settings.friction / units.fs,
            rng=np.random.default_rng([settings.seed, piece + 1]),
            fixcm=False,
        ).run(steps)
        # far more than any crystal holds: the model has left its ground
        if atoms.get_temperature() > 20 * settings.temperature + 1000:
            raise MixpiError(
                f"molecular dynamics of the expensive potential blew up at {settings.temperature} "
                f"K ({atoms.get_temperature():.0f} K after {(piece + 1) * settings.spacing:.0f} "
                "fs): lower soft: timestep or temperature"
            )
        yield labelled(atoms, calculator)


def extra_frames(paths: list[Path]) -> list[Atoms]:
    """Labelled frames from files.

    Raises
    ------
    MixpiError
        If a file cannot be read, or a frame has no energy or forces.
    """
    frames = []
    for path in paths:
        try:
            found = read(path, ":")
        except Exception as error:
            raise MixpiError(f"extra: cannot read {path}: {error}") from None
        for number, atoms in enumerate(found):
            energy, forces = atoms.info.get("REF_energy"), atoms.arrays.get("REF_forces")
            results = atoms.calc.results if atoms.calc else {}
            energy = results.get("energy") if energy is None else energy
            forces = results.get("forces") if forces is None else forces
            if energy is None or forces is None:
                raise MixpiError(
                    f"extra: frame {number} of {path} has no energy or no forces (keys energy "
                    "and forces, or REF_energy and REF_forces)"
                )
            atoms.calc = SinglePointCalculator(
                atoms, energy=float(energy), forces=np.array(forces, dtype=float)
            )
            frames.append(atoms)
    return frames
