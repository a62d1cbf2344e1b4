"""``mixpi distil``: data → fit → potential → measured against the one it came from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from matscipy.neighbours import neighbour_list

from ..check.overwriting import require_safe_outputs
from ..errors import MixpiError
from ..run.progress import Tell, silent
from ..structure import require_periodic
from .bases import make_basis
from .basis import Basis
from .config import DistilConfig, RepulsionConfig, load_distil_config
from .cost import Cost, compare_cost, time_calculator, time_lammps
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
from .evidence import gather
from .fitting import Problem, require_enough
from .labels import Labels, check_labels
from .lammps_engine import require_pair_style
from .measuring import Candidate, measure
from .properties import Crystal, crystal_of
from .repulsion import default_repulsion, with_repulsion
from .trial import Trial, allowed_way, run_trial
from .verdict import Verdict, judge


#: How the names of what is written end: the potential's files, the report, its pictures.
WRITTEN = (
    *("uf3", "snapcoeff", "snapparam", "yace"),
    *("md", "json", "parity.png", "constraint.png", "acoustic.png"),
)


@dataclass
class Distilled:
    """The result of a distillation.

    Attributes
    ----------
    config : DistilConfig
        What was asked for.
    basis, problem
        The functions and their design rows.
    expensive : Crystal
        Of the expensive potential.
    free, constrained : Candidate
        The fits without and with the constraint.
    cost : Cost
        Of both potentials.
    trial : Trial or None
        Dynamics of the constrained potential, if LAMMPS can run it.
    frames : dict of str to int
        How many there are of each kind.
    labels : Labels
        How far the labels of the extra frames are from the expensive potential.
    verdict : Verdict
        Whether the constrained potential may be used, and what the user should know.
    seconds : dict of str to float
        Of each stage.
    """

    config: DistilConfig
    basis: Basis
    problem: Problem
    expensive: Crystal
    free: Candidate
    constrained: Candidate
    cost: Cost
    trial: Trial | None
    frames: dict[str, int]
    labels: Labels
    verdict: Verdict
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether the constrained potential may be used."""
        return self.verdict.usable

    @property
    def notes(self) -> list[str]:
        """What the user should know."""
        return list(self.verdict.notes)


def distil(
    path: str | Path,
    *,
    calculator=None,
    identity: str | None = None,
    tell: Tell = silent,
) -> Distilled:
    """Distil a cheap potential from an expensive one.

    Parameters
    ----------
    path : path-like
        YAML file (``mixpi config --distil`` lists its keys); others are found
        relative to it.
    calculator : ASE calculator, optional
        The expensive potential instead of the model of the YAML file.
    identity : str, optional
        A name for that calculator: data are kept under it. Required with it.
    tell : callable
        Gets the progress.

    Returns
    -------
    Distilled
        The potential's files, measured; :mod:`mixpi.distil.report` writes it up.

    Raises
    ------
    MixpiError
        If an input is wrong, there are too few data, or the basis cannot meet the
        constraint.
    """
    path = Path(path)
    config = load_distil_config(path)
    home, clock = path.parent, _Clock()
    # what can be wrong is looked for before hours are spent
    structure = _read_crystal(home / config.structure)
    species = sorted(set(structure.symbols))
    files = {home / name: extra_frames([home / name]) for name in config.extra}
    extra = [frame for frames in files.values() for frame in frames]
    _check_species(config, species, extra)
    _make_folder(home / config.output, "output")
    inputs = [path, home / config.structure, home / config.expensive.model, *files]
    what = f"a file of the potential {config.name}"
    require_safe_outputs(
        [(f"{config.name}.{suffix}", what) for suffix in WRITTEN],
        {name: f"{name.name}, which is read" for name in inputs},
        home / config.output,
        (),
    )
    basis = make_basis(config.basis, species)
    basis.everyone(config.inert)
    if basis.needs_lammps:
        require_pair_style(basis.pair_style)
    _repulsion(config, [structure])
    basis.rows(structure)
    atoms = len(structure) * int(np.prod(supercell_repeats(structure, config.soft)))
    sizes = [atoms] * config.soft.snapshots + [len(frame) for frame in extra]
    require_enough(basis, sizes, config.weights)
    source, calculator = _expensive(config, home, species, calculator, identity)
    checked = [check_labels(name, frames, calculator, tell) for name, frames in files.items()]
    labels = Labels(
        max((found.energy for found in checked), default=0.0),
        max((found.forces for found in checked), default=0.0),
    )
    clock.lap("labels of extra frames")

    hard, soft = _data(config, home, structure, source, calculator, tell)
    fitted, held_out = soft[: -config.soft.held_out], soft[-config.soft.held_out :]
    clock.lap("data")

    problem = Problem(basis, hard, [*fitted, *extra], config.weights, tell)
    clock.lap("design rows and factorisation")
    fits = {
        "unconstrained": problem.unconstrained(),
        "constrained": problem.constrained(config.hard.tolerance),
    }
    clock.lap("constrained solution")

    crystal = hard[0].copy()
    repulsion = _repulsion(config, [*soft, *extra, *hard])
    candidates = {}
    for count, (name, fit) in enumerate(fits.items()):
        tell(f"measuring the {name} fit", count / 4)
        folder = home / config.output / ("" if name == "constrained" else name)
        written = basis.write(
            fit.coefficients, fit.offsets, folder / config.name, inert=config.inert
        )
        candidates[name] = measure(
            name,
            basis,
            fit,
            written,
            with_repulsion(written, config.inert, repulsion),
            held_out=held_out,
            checks=[hard[0], hard[-1]],
            crystal=crystal,
        )
    tell("measuring the expensive potential", 2 / 4)
    expensive, best = crystal_of(crystal, calculator), candidates["constrained"]
    cost = _cost(held_out[-1], calculator, best, basis)
    clock.lap("measuring")
    tell("dynamics of the constrained fit", 3 / 4)
    allowed = allowed_way(crystal, soft, supercell_repeats(crystal, config.soft))
    trial = _trial(config, crystal, allowed, best)
    clock.lap("dynamics of the potential")
    return Distilled(
        config,
        basis,
        problem,
        expensive,
        candidates["unconstrained"],
        best,
        cost,
        trial,
        {
            "strained cells": len(hard),
            "snapshots": len(fitted),
            "held out": len(held_out),
            "extra": len(extra),
            "atoms of a snapshot": len(soft[0]),
        },
        labels,
        judge(
            gather(
                problem,
                config.hard.tolerance,
                held_out,
                expensive=expensive,
                free=candidates["unconstrained"],
                best=best,
                trial=trial,
                allowed=allowed,
            )
        ),
        clock.laps,
    )


def _read_crystal(path: Path) -> Atoms:
    try:
        frames = read(path, ":")
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
        (folder / ".mixpi-test").unlink()
    except OSError as error:
        raise MixpiError(
            f"{key}: cannot write into {folder} ({error.strerror}): name another folder"
        ) from None


def _expensive(config: DistilConfig, home: Path, species, calculator, identity: str | None):
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
    path = Path(mace.located(home).model)
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else mace.model
    # a file with several heads holds several potentials
    head = {"head": mace.head} if mace.head else {}
    return {"model": digest, **head}, engine.calculator


def _data(config, home, structure, source, calculator, tell):
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
    shortest = min(float(neighbour_list("d", atoms, 4.0).min(initial=4.0)) for atoms in frames)
    if config.repulsion is None:
        return default_repulsion(shortest)
    if config.repulsion.outer > shortest:
        raise MixpiError(
            f"repulsion: outer ({config.repulsion.outer} Å) is longer than the shortest distance "
            f"there ({shortest:.3f} Å): it would change the fitted potential"
        )
    return config.repulsion


def _trial(config: DistilConfig, crystal: Atoms, allowed: float, best: Candidate):
    """A short dynamics of the constrained potential; None where LAMMPS cannot run it."""
    if not best.in_lammps:
        return None
    return run_trial(
        best.setup,
        crystal,
        supercell_repeats(crystal, config.soft),
        temperature=config.soft.temperature,
        timestep=config.soft.timestep,
        allowed=allowed,
    )


def _cost(frame: Atoms, calculator, candidate: Candidate, basis: Basis) -> Cost:
    """On a snapshot of at least 400 atoms, where a cheap potential's overhead is gone."""
    atoms = frame.copy()
    for axis in (0, 1, 2, 0, 1, 2):
        if len(atoms) < 400:
            atoms = atoms * [2 if k == axis else 1 for k in range(3)]
    cheap = (
        time_lammps(candidate.setup)
        if candidate.in_lammps
        else time_calculator(basis.calculator(candidate.written))
    )
    return compare_cost(atoms, time_calculator(calculator), cheap)


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now
