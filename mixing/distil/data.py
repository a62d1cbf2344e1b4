"""The data of a distillation, from the expensive potential: strained cells, MD snapshots.

Each set is one ASE trajectory file that is rewritten, atomically, whenever a frame is
added, and that an interrupted command continues. A folder belongs to one structure,
one model and one choice of settings: its name holds their hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import LBFGS

from ..errors import MixpiError
from ..extras import needs
from ..files.ase_files import read_atoms
from ..files.replacing import replace_file
from ..run.progress import Tell
from .config import HardConfig, SoftConfig


#: eV/Å; forces that remain after a relaxation.
FMAX = 1e-4
#: Of a relaxation, at most.
STEPS = 300
#: Of the data; another number makes kept data worthless.
FORMAT = 1
#: Number of the first cubic space group in the International Tables.
FIRST_CUBIC_GROUP = 195


def _unit(*direction: float) -> np.ndarray:
    return np.array(direction) / np.linalg.norm(direction)


def _uniaxial(*n: float) -> np.ndarray:
    return np.outer(_unit(*n), _unit(*n))


def _shear(m: tuple[float, ...], n: tuple[float, ...]) -> np.ndarray:
    product = np.outer(_unit(*m), _unit(*n))
    return (product + product.T) / 2


#: The six types of strain of Birks et al., as symmetric (3, 3) tensors of unit size; they
#: determine the elastic constants of a cubic crystal.
CUBIC_STRAINS = {
    "hydrostatic": np.eye(3) / 3,
    "uniaxial [100]": _uniaxial(1, 0, 0),
    "uniaxial [111]": _uniaxial(1, 1, 1),
    "shear [100][010]": _shear((1, 0, 0), (0, 1, 0)),
    "shear [110][001]": _shear((1, 1, 0), (0, 0, 1)),
    "shear [110][1-12]": _shear((1, 1, 0), (1, -1, 2)),
}


def strain_types(crystal: Atoms) -> dict[str, np.ndarray]:
    """The types of strain that determine the elastic constants of a crystal.

    Those of the paper for a cubic one; else the six components and their 15 pairs,
    which determine any.
    """
    if is_cubic(crystal):
        return CUBIC_STRAINS
    names = ("xx", "yy", "zz", "yz", "xz", "xy")
    tensors = []
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        tensor = np.zeros((3, 3))
        tensor[i, j] = tensor[j, i] = 1.0 if i == j else 0.5
        tensors.append(tensor)
    found = dict(zip(names, tensors, strict=True))
    for one, two in combinations(range(6), 2):
        found[f"{names[one]} + {names[two]}"] = (tensors[one] + tensors[two]) / np.sqrt(2)
    return found


def is_cubic(atoms: Atoms) -> bool:
    """Whether the crystal has cubic symmetry and its cell is a cube along x, y, z.

    A cube full of a random alloy is not.
    """
    cell = atoms.cell.array
    if not np.allclose(cell, np.eye(3) * cell[0, 0], atol=1e-3 * abs(cell[0, 0])):
        return False
    with needs("distil", "mixpi distil"):
        import spglib
    with warnings.catch_warnings():  # spglib announces how it will report errors one day
        warnings.simplefilter("ignore", DeprecationWarning)
        symmetry = spglib.get_symmetry_dataset(
            (cell, atoms.get_scaled_positions(), atoms.numbers), symprec=0.01
        )
    return symmetry is not None and symmetry.number >= FIRST_CUBIC_GROUP


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
        text = json.dumps({"format": FORMAT, **identity}, indent=1, sort_keys=True)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:10]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "settings.json").write_text(text + "\n")
        except OSError as error:
            raise MixpiError(
                f"cache: cannot write into {root} ({error.strerror}): name another folder"
            ) from None

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
            return read_atoms(path, ":")
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
            Given the frames so far, yields the missing ones.
        tell : callable
            Gets the progress.
        """
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                tell("waiting for another command that computes the same data", 0.0)
                fcntl.flock(lock, fcntl.LOCK_EX)
            frames = self.frames(name)
            tell(f"{name} {len(frames)}/{total}", len(frames) / total)
            if len(frames) < total:
                missing = range(len(frames), total)
                for frame, _ in zip(make(list(frames)), missing, strict=True):
                    frames.append(frame)
                    target = self.folder / f"{name}.traj"
                    replace_file(target, lambda part: write(part, frames, format="traj"))
                    tell(f"{name} {len(frames)}/{total}", len(frames) / total)
        return frames[:total]


def labelled(atoms: Atoms, calculator: Calculator) -> Atoms:
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


def relax(moving: Any) -> bool:
    """Bring atoms, or a filter of them, to a minimum of their calculator.

    Returns
    -------
    bool
        Whether forces are below :data:`FMAX` after at most :data:`STEPS` steps.
    """
    # Any: ASE's declarations know neither filters nor that None silences the log
    silent: Any = None
    return bool(LBFGS(moving, logfile=silent).run(fmax=FMAX, steps=STEPS))


def relaxed_crystal(atoms: Atoms, calculator: Calculator, *, whose: str = "expensive") -> Atoms:
    """The crystal with its cell and positions at the minimum of a potential.

    Raises
    ------
    MixpiError
        If that is not reached, or lies more than 10 % in length from the start.
    """
    moving = atoms.copy()
    moving.calc = calculator
    before = moving.cell.lengths()
    if not relax(FrechetCellFilter(moving)):
        raise MixpiError(
            f"the crystal does not relax under the {whose} potential in {STEPS} steps: is it a "
            "crystal that this potential knows?"
        )
    change = moving.cell.lengths() / before - 1
    if np.abs(change).max() > 0.1:
        raise MixpiError(
            f"relaxing under the {whose} potential changed the cell by "
            f"{100 * change[np.abs(change).argmax()]:+.0f} %: the structure is far from the "
            "potential's own lattice constant"
        )
    return moving


def strained_cells(
    crystal: Atoms, calculator: Calculator, settings: HardConfig, *, done: int = 0
) -> Iterator[Atoms]:
    """The hard set: the unstrained crystal, then every type and size of strain.

    Atoms are relaxed where strain leaves forces on them. Each frame says in
    ``info["strain"]`` what it is. The first ``done`` frames are left out.
    """
    sizes = np.linspace(-settings.strain, settings.strain, settings.points)
    wanted = [("none", 0.0, np.zeros((3, 3)))]
    wanted += [
        (f"{name} {size:+.5f}", size, tensor)
        for name, tensor in strain_types(crystal).items()
        for size in sizes[np.abs(sizes) > 1e-12]
    ]
    for name, size, tensor in wanted[done:]:
        atoms = crystal.copy()
        atoms.set_cell(crystal.cell.array @ (np.eye(3) + size * tensor), scale_atoms=True)
        if size:
            atoms.calc = calculator
            if not relax(atoms):
                raise MixpiError(
                    f"the atoms of the strained cell '{name}' do not relax in {STEPS} steps under "
                    "the expensive potential"
                )
        frame = labelled(atoms, calculator)
        frame.info["strain"] = name
        yield frame


def count_strained_cells(crystal: Atoms, settings: HardConfig) -> int:
    """Frames of the hard set."""
    return 1 + len(strain_types(crystal)) * (settings.points - settings.points % 2)


def supercell_repeats(crystal: Atoms, settings: SoftConfig) -> tuple[int, int, int]:
    """Repeats of the crystal in the snapshots: the given ones, or 10 Å each way at least."""
    if settings.repeat is not None:
        a, b, c = settings.repeat
    else:
        heights = 1.0 / np.linalg.norm(crystal.cell.reciprocal(), axis=1)
        a, b, c = (int(np.ceil(10.0 / height - 1e-9)) for height in heights)
    return a, b, c


def count_segments(settings: SoftConfig) -> tuple[int, int]:
    """Pieces of the trajectory before the first snapshot, and all of them."""
    before = int(np.ceil(settings.equilibrate / settings.spacing))
    return before, before + settings.snapshots + settings.held_out


def snapshots(
    crystal: Atoms, calculator: Calculator, settings: SoftConfig, done: list[Atoms]
) -> Iterator[Atoms]:
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
    frames: list[Atoms] = []
    for path in paths:
        try:
            found = read_atoms(path, ":")
        except Exception as error:
            raise MixpiError(f"extra: cannot read {path}: {error}") from None
        for number, atoms in enumerate(found):
            energy, forces = atoms.info.get("REF_energy"), atoms.arrays.get("REF_forces")
            if energy is None or forces is None:  # both from one source
                results = atoms.calc.results if atoms.calc else {}
                energy, forces = results.get("energy"), results.get("forces")
            if energy is None or forces is None:
                raise MixpiError(
                    f"extra: frame {number} of {path} has no energy or no forces (keys energy "
                    "and forces, or REF_energy and REF_forces)"
                )
            if not (atoms.pbc.all() and atoms.cell.rank == 3):
                raise MixpiError(
                    f"extra: frame {number} of {path} is not periodic in all directions; put it "
                    "into a cell larger than the cutoff"
                )
            values = (energy, forces, atoms.positions)
            if not all(np.isfinite(value).all() for value in values):
                raise MixpiError(f"extra: frame {number} of {path} has NaN or infinite values")
            atoms.set_constraint()  # ASE would set the forces on fixed atoms to 0
            atoms.calc = SinglePointCalculator(
                atoms, energy=float(energy), forces=np.array(forces, dtype=float)
            )
            frames.append(atoms)
    return frames
