"""What a distillation starts from: everything checked, and the data of the expensive potential."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ..check.overwriting import require_safe_outputs
from ..drivers.mace_files import file_hash
from ..errors import MixpiError
from ..extras import needs
from ..files.ase_files import read_atoms
from ..run.progress import Tell, silent
from ..structure import require_periodic
from .bases import make_basis
from .bonds import shortest_distance
from .config import BasisConfig, DistilConfig, RepulsionConfig, load_distil_config
from .data import (
    Cache,
    count_segments,
    count_strained_cells,
    extra_frames,
    labelled,
    relaxed_crystal,
    snapshots,
    strained_cells,
    supercell_repeats,
)
from .fitting import require_enough
from .labels import Labels, check_labels
from .lammps_engine import require_pair_styles
from .properties import Crystal, crystal_of
from .repulsion import default_repulsion


#: How the names of what is written end: the potential's files, the report, its pictures.
WRITTEN = (
    *("uf3", "snapcoeff", "snapparam", "yace", "eam.alloy"),
    *(f"{number}.adp" for number in range(1, 17)),
    *("md", "json", "parity.png", "constraint.png", "acoustic.png"),
    *("scan.md", "scan.json", "scan.png"),
)

#: Which bases are to be fitted, given the configuration and the crystal.
Wanted = Callable[[DistilConfig, Atoms], Sequence[BasisConfig]]


@dataclass
class Prepared:
    """The data, and all that was found out on the way.

    Attributes
    ----------
    config : DistilConfig
        What was asked for.
    home : Path
        Files are named relative to it.
    bases : tuple of BasisConfig
        What is to be fitted.
    calculator : ASE calculator
        The expensive potential.
    identity : dict
        What it is, in words or by its hash.
    hard, fitted, held_out, extra : list of Atoms
        Strained cells, the unstrained one first; snapshots to fit to, and to test with;
        further frames to fit to.
    labels : Labels
        How far the labels of the extra frames are from the expensive potential.
    clock : Clock
        Seconds of each stage.
    """

    config: DistilConfig
    home: Path
    bases: tuple[BasisConfig, ...]
    calculator: Calculator
    identity: dict
    hard: list[Atoms]
    fitted: list[Atoms]
    held_out: list[Atoms]
    extra: list[Atoms]
    labels: Labels
    clock: Clock

    @property
    def species(self) -> list[str]:
        """Chemical symbols of the crystal."""
        return sorted(set(self.hard[0].symbols))

    @property
    def crystal(self) -> Atoms:
        """The relaxed crystal, without labels."""
        return self.hard[0].copy()

    @property
    def folder(self) -> Path:
        """Where the potential goes."""
        return self.home / self.config.output

    @cached_property
    def repulsion(self) -> RepulsionConfig:
        """Out of reach of all data."""
        return _repulsion(self.config, [*self.fitted, *self.held_out, *self.extra, *self.hard])

    @cached_property
    def expensive(self) -> Crystal:
        """What the expensive potential makes of the crystal."""
        return crystal_of(self.crystal, self.calculator)


def prepare(
    path: str | Path,
    wanted: Wanted,
    *,
    calculator: Calculator | None = None,
    identity: str | None = None,
    tell: Tell = silent,
) -> Prepared:
    """Check all that can be wrong, then get the data.

    Parameters
    ----------
    path, calculator, identity, tell
        As of :func:`mixpi.distil.distil`.
    wanted : callable
        The bases that will be fitted, which are checked too.

    Returns
    -------
    Prepared

    Raises
    ------
    MixpiError
        If an input is wrong, or there are too few data for all of the bases.
    """
    path = Path(path)
    config = load_distil_config(path)
    home, clock = path.parent, Clock()
    # what can be wrong is looked for before hours are spent
    with needs("distil", "mixpi distil"):
        import_module("matscipy.elasticity")
        import_module("spglib")
    structure = _read_crystal(home / config.structure)
    species = sorted(set(structure.symbols))
    files = {home / name: extra_frames([home / name]) for name in config.extra}
    extra = [frame for frames in files.values() for frame in frames]
    _check_species(config, species, extra)
    _make_folder(home / config.output, "output")
    models = [home / name for name in config.expensive.models]
    inputs = [path, home / config.structure, *models, *files]
    what = f"a file of the potential {config.name}"
    require_safe_outputs(
        [(f"{config.name}.{suffix}", what) for suffix in WRITTEN],
        {name: f"{name.name}, which is read" for name in inputs},
        home / config.output,
        (),
    )
    _repulsion(config, [structure])
    bases = tuple(wanted(config, structure))
    for basis in bases:
        _check_basis(config, basis, structure, extra)
    source, calculator = _expensive(config, home, species, calculator, identity)
    checked = [check_labels(name, frames, calculator, tell) for name, frames in files.items()]
    labels = Labels(
        max((found.energy for found in checked), default=0.0),
        max((found.forces for found in checked), default=0.0),
    )
    clock.lap("labels of extra frames")
    hard, soft = _data(config, home, structure, source, calculator, tell)
    clock.lap("data")
    return Prepared(
        config,
        home,
        bases,
        calculator,
        source,
        hard,
        soft[: -config.soft.held_out],
        soft[-config.soft.held_out :],
        extra,
        labels,
        clock,
    )


def _check_basis(
    config: DistilConfig, chosen: BasisConfig, structure: Atoms, extra: Sequence[Atoms]
) -> None:
    basis = make_basis(chosen, sorted(set(structure.symbols)))
    basis.everyone(config.inert)
    if basis.needs_lammps:
        require_pair_styles(*basis.pair_styles)
    basis.prepared([structure]).rows(structure)
    atoms = len(structure) * int(np.prod(supercell_repeats(structure, config.soft)))
    sizes = [atoms] * config.soft.snapshots + [len(frame) for frame in extra]
    require_enough(basis, sizes, config.weights)


def _read_crystal(path: Path) -> Atoms:
    try:
        frames = read_atoms(path, ":")
    except Exception as error:
        raise MixpiError(f"structure: cannot read {path}: {error}") from None
    if len(frames) != 1:
        raise MixpiError(f"structure {path} has {len(frames)} frames: give the crystal alone")
    atoms = frames[0]
    require_periodic(atoms, path)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def _check_species(config: DistilConfig, species: Sequence[str], extra: Sequence[Atoms]) -> None:
    both = sorted(set(config.inert) & set(species))
    if both:
        raise MixpiError(
            f"inert: {' '.join(both)} is in the structure, so the potential is for it: take it "
            "out of inert"
        )
    unknown = sorted({str(s) for atoms in extra for s in atoms.symbols} - set(species))
    if unknown:
        raise MixpiError(
            f"extra: frames have {' '.join(unknown)}, the structure only {' '.join(species)}: the "
            "potential is fitted for the species of the structure"
        )


def _make_folder(folder: Path, key: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".mixpi-test").touch()
        (folder / ".mixpi-test").unlink(missing_ok=True)  # of another command, too
    except OSError as error:
        raise MixpiError(
            f"{key}: cannot write into {folder} ({error.strerror}): name another folder"
        ) from None


def _expensive(
    config: DistilConfig,
    home: Path,
    species: Sequence[str],
    calculator: Calculator | None,
    identity: str | None,
) -> tuple[dict[str, Any], Calculator]:
    """What identifies the expensive potential, and its calculator."""
    if calculator is not None:
        if not identity:
            raise MixpiError("a calculator needs an identity, which its data are kept under")
        return {"calculator": identity}, calculator
    mace = config.expensive
    if mace.dtype != "float64":
        raise MixpiError(
            "expensive: dtype must be float64: the constraint is finer than float32 can tell"
        )
    engine = mace.load(home)
    engine.require(species)
    files = mace.located(home).models
    digest, *others = (file_hash(Path(one)) if Path(one).is_file() else one for one in files)
    committee = {"committee": others} if others else {}
    # a file with several heads holds several potentials
    head = {"head": mace.head} if mace.head else {}
    return {"model": digest, **committee, **head}, engine.calculator


def _data(
    config: DistilConfig,
    home: Path,
    structure: Atoms,
    source: dict[str, Any],
    calculator: Calculator,
    tell: Tell,
) -> tuple[list[Atoms], list[Atoms]]:
    """Hard and soft frames, from the cache as far as they are there."""
    source = {
        **source,
        "structure": hashlib.sha256(
            b"".join(
                np.round(x, 8).tobytes()
                for x in (structure.numbers, structure.positions, structure.cell.array)
            )
        ).hexdigest(),
    }
    root = home / config.cache
    strained = Cache(
        root, {**source, "set": "strained", **config.hard.model_dump(exclude={"tolerance"})}
    )
    # what strains it needs depends on the symmetry that the relaxed crystal has
    crystal = strained.extend(
        "relaxed",
        1,
        lambda _: iter([labelled(relaxed_crystal(structure, calculator), calculator)]),
        tell,
    )[0]
    hard = strained.extend(
        "strained",
        count_strained_cells(crystal, config.hard),
        lambda done: strained_cells(crystal.copy(), calculator, config.hard, done=len(done)),
        tell,
    )
    settings = config.soft.model_copy(
        update={"repeat": list(supercell_repeats(structure, config.soft))}
    )
    # how many there are, and which are used, does not change the trajectory
    dynamics = settings.model_dump(exclude={"snapshots", "held_out", "equilibrate"})
    thermal = Cache(root, {**source, "set": "snapshots", **dynamics})
    before, total = count_segments(settings)
    soft = thermal.extend(
        "snapshots",
        total,
        lambda done: snapshots(hard[0].copy(), calculator, settings, done),
        tell,
    )
    return hard, soft[before:]


def _repulsion(config: DistilConfig, frames: Sequence[Atoms]) -> RepulsionConfig:
    shortest = min(shortest_distance(atoms, 4.0) for atoms in frames)
    if config.repulsion is None:
        return default_repulsion(shortest)
    if config.repulsion.outer > shortest:
        raise MixpiError(
            f"repulsion: outer ({config.repulsion.outer} Å) is longer than the shortest distance "
            f"there ({shortest:.3f} Å): it would change the fitted potential"
        )
    return config.repulsion


class Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """What was done since the last lap was this."""
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now
