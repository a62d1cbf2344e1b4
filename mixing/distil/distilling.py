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

from ..drivers.lammps import LammpsSetup
from ..drivers.mace import MaceEngine
from ..errors import MixpiError
from ..progress import Tell
from .bases import make_basis
from .basis import Basis, Written
from .config import DistilConfig, load_distil_config
from .cost import Cost, compare_cost, time_calculator, time_lammps
from .data import (
    Cache,
    count_segments,
    count_strained_cells,
    extra_frames,
    relaxed_crystal,
    snapshots,
    strained_cells,
)
from .fitting import Fit, Problem
from .lammps_engine import LammpsCalculator
from .properties import Crystal, crystal_of
from .repulsion import default_repulsion, with_repulsion


#: What the written file may differ from the fit by: eV per cell and eV/Å.
READ_BACK = 1e-8


@dataclass(frozen=True)
class Errors:
    """Cheap against expensive on a set of frames.

    Attributes
    ----------
    energy : ndarray, shape (k, 2)
        Expensive and cheap energy per atom of each frame, eV.
    forces : ndarray, shape (m, 2)
        Expensive and cheap force components, eV/Å.
    """

    energy: np.ndarray
    forces: np.ndarray

    @property
    def energy_rmse(self) -> float:
        """eV/atom."""
        return float(np.sqrt(np.mean((self.energy[:, 0] - self.energy[:, 1]) ** 2)))

    @property
    def force_rmse(self) -> float:
        """eV/Å, of components."""
        return float(np.sqrt(np.mean((self.forces[:, 0] - self.forces[:, 1]) ** 2)))


@dataclass
class Candidate:
    """One fitted potential with everything measured of it.

    Attributes
    ----------
    fit : Fit
        Coefficients.
    written : Written
        Its files.
    lammps : tuple of str
        ``pair_style`` and ``pair_coeff`` lines with the repulsion.
    held_out : Errors
        On snapshots that were not fitted to.
    crystal : Crystal or None
        None if it has no stable crystal near the expensive one.
    read_back : tuple of float
        Largest difference of energy (eV) and of force components (eV/Å) between the
        fit and what the file gives.
    """

    fit: Fit
    written: Written
    lammps: tuple[str, ...]
    held_out: Errors
    crystal: Crystal | None
    read_back: tuple[float, float]
    why_no_crystal: str = ""


@dataclass
class Distilled:
    """The result of a distillation."""

    config: DistilConfig
    basis: Basis
    problem: Problem
    expensive: Crystal
    free: Candidate
    constrained: Candidate
    cost: Cost
    frames: dict[str, int]
    seconds: dict[str, float] = field(default_factory=dict)


def distil(
    path: str | Path,
    *,
    calculator=None,
    tell: Tell = lambda _what, _share: None,
) -> Distilled:
    """Distil a cheap potential from an expensive one.

    Parameters
    ----------
    path : path-like
        YAML file (``mixpi config --distil`` lists its keys); others are found
        relative to it.
    calculator : ASE calculator, optional
        The expensive potential instead of the model of the YAML file; its class and
        parameters must then identify it.
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
    structure = _read_crystal(home / config.structure)
    species = sorted(set(structure.symbols))
    _check_inert(config, species)
    basis = make_basis(config.basis, species)
    identity, calculator = _expensive(config, home, structure, calculator)

    hard, soft = _data(config, home, structure, identity, calculator, tell)
    fitted, held_out = soft[: -config.soft.held_out], soft[-config.soft.held_out :]
    extra = extra_frames([home / name for name in config.extra])
    _check_extra(extra, species)
    clock.lap("data")

    problem = Problem(basis, hard, [*fitted, *extra], config.weights, tell)
    clock.lap("design rows and factorisation")
    fits = {
        "unconstrained": problem.unconstrained(),
        "constrained": problem.constrained(config.hard.tolerance),
    }
    clock.lap("constrained solution")

    crystal = hard[0].copy()
    repulsion = config.repulsion or default_repulsion(
        _shortest([*soft, *extra, *hard]), inert=bool(config.inert)
    )
    candidates = {}
    for count, (name, fit) in enumerate(fits.items()):
        tell(f"measuring the {name} fit", count / 3)
        folder = home / config.output / ("" if name == "constrained" else name)
        written = basis.write(
            fit.coefficients, fit.offsets, folder / config.name, inert=config.inert
        )
        candidates[name] = _measure(
            basis, fit, written, config, repulsion, held_out, [hard[0], hard[-1]], crystal
        )
    tell("measuring the expensive potential", 2 / 3)
    expensive = crystal_of(crystal, calculator)
    best = candidates["constrained"]
    cost = _cost(held_out[-1], calculator, best, basis)
    clock.lap("measuring")
    return Distilled(
        config,
        basis,
        problem,
        expensive,
        candidates["unconstrained"],
        best,
        cost,
        {
            "strained cells": len(hard),
            "snapshots": len(fitted),
            "held out": len(held_out),
            "extra": len(extra),
            "atoms of a snapshot": len(soft[0]),
        },
        clock.laps,
    )


def _read_crystal(path: Path) -> Atoms:
    try:
        atoms = read(path)
    except Exception as error:
        raise MixpiError(f"structure: cannot read {path}: {error}") from None
    if not atoms.pbc.all() or abs(atoms.get_volume()) < 1e-6:
        raise MixpiError(f"structure {path} must be a crystal, periodic in all directions")
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def _check_inert(config: DistilConfig, species: Sequence[str]) -> None:
    both = sorted(set(config.inert) & set(species))
    if both:
        raise MixpiError(
            f"inert: {' '.join(both)} is in the structure, so the potential is for it: take it "
            "out of inert"
        )


def _check_extra(extra: Sequence[Atoms], species: Sequence[str]) -> None:
    unknown = sorted({str(s) for atoms in extra for s in atoms.symbols} - set(species))
    if unknown:
        raise MixpiError(
            f"extra: frames have {' '.join(unknown)}, the structure only {' '.join(species)}: the "
            "potential is fitted for the species of the structure"
        )


def _expensive(config: DistilConfig, home: Path, structure: Atoms, calculator):
    """What identifies the expensive potential, and its calculator."""
    if calculator is not None:
        name = f"{type(calculator).__module__}.{type(calculator).__name__}"
        return {"calculator": name, "parameters": repr(calculator.parameters)}, calculator
    mace = config.expensive
    path = home / mace.model
    model = path if path.exists() or path.suffix == ".model" else mace.model
    engine = MaceEngine(model, device=mace.device, dtype=mace.dtype, threads=mace.threads)
    engine.require(sorted(set(structure.symbols)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else str(model)
    return {"model": digest, "dtype": mace.dtype}, engine.calculator


def _data(config, home, structure, identity, calculator, tell):
    """Hard and soft frames, from the cache as far as they are there."""
    identity = {
        **identity,
        "structure": hashlib.sha256(
            b"".join(
                np.round(x, 8).tobytes()
                for x in (structure.numbers, structure.positions, structure.cell.array)
            )
        ).hexdigest(),
    }
    root = home / config.cache
    strained = Cache(
        root, {**identity, "set": "strained", **config.hard.model_dump(exclude={"tolerance"})}
    )
    hard = strained.extend(
        "strained",
        count_strained_cells(config.hard),
        lambda done: strained_cells(
            done[0].copy() if done else relaxed_crystal(structure, calculator),
            calculator,
            config.hard,
            done=len(done),
        ),
        tell,
    )
    thermal = Cache(
        root,
        {
            **identity,
            "set": "snapshots",
            **config.soft.model_dump(exclude={"snapshots", "held_out"}),
        },
    )
    before, total = count_segments(config.soft)
    soft = thermal.extend(
        "snapshots",
        total,
        lambda done: snapshots(hard[0].copy(), calculator, config.soft, done),
        tell,
    )
    return hard, soft[before:]


def _shortest(frames: Sequence[Atoms]) -> float:
    """The shortest distance in the frames, Å."""
    return min(float(neighbour_list("d", atoms, 4.0).min(initial=4.0)) for atoms in frames)


def _measure(basis, fit, written, config, repulsion, held_out, checks, crystal) -> Candidate:
    """Everything about one fit that the report says."""
    plain = basis.calculator(written)
    read_back = np.zeros(2)
    for frame in [held_out[0], *checks]:
        energy, forces = fit.predict(basis, frame)
        if not written.has_offset:
            energy -= sum(fit.offsets[symbol] for symbol in frame.symbols)
        fresh = frame.copy()
        fresh.calc = plain
        difference = (
            abs(fresh.get_potential_energy() - energy),
            np.abs(fresh.get_forces() - forces).max(),
        )
        read_back = np.maximum(read_back, difference)
    lines = with_repulsion(written, repulsion)
    errors = held_out_errors(basis, fit, held_out)
    calculator = final_calculator(written, lines) or plain
    try:
        measured, why = crystal_of(crystal, calculator), ""
    except MixpiError as error:
        measured, why = None, str(error)
    return Candidate(fit, written, lines, errors, measured, tuple(read_back), why)


def final_calculator(written: Written, lines: Sequence[str]):
    """LAMMPS with the potential as it is used, None if this LAMMPS does not know its style."""
    if written.lammps[0].split()[1] == "pace":
        return None
    return LammpsCalculator(LammpsSetup(lines, written.species, written.files[0].parent))


def held_out_errors(basis: Basis, fit: Fit, frames: Sequence[Atoms]) -> Errors:
    """Energies and forces of a fit beside those of the frames."""
    energy, forces = [], []
    for atoms in frames:
        predicted = fit.predict(basis, atoms)
        energy.append((atoms.get_potential_energy() / len(atoms), predicted[0] / len(atoms)))
        forces.append(np.column_stack([atoms.get_forces().ravel(), predicted[1].ravel()]))
    return Errors(np.array(energy), np.vstack(forces))


def _cost(frame: Atoms, calculator, candidate: Candidate, basis: Basis) -> Cost:
    """On a snapshot of at least 400 atoms, where a cheap potential's overhead is gone."""
    repeats = 1 if len(frame) >= 400 else 2
    atoms = frame.copy() * (repeats, repeats, 1)
    lammps = final_calculator(candidate.written, candidate.lammps)
    cheap = (
        time_lammps(lammps.setup)
        if lammps
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
