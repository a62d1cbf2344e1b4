"""``mixpi distil``: data → fit → potential → measured against the one it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import Calculator

from ..run.progress import Tell, silent
from .bases import make_basis
from .basis import Basis
from .config import BasisConfig, DistilConfig
from .cost import Cost, compare_cost, large_enough, time_calculator, timer_of
from .data import supercell_repeats
from .evidence import gather
from .fitting import Problem
from .labels import Labels
from .measuring import Candidate, measure
from .preparing import Prepared, prepare
from .properties import Crystal
from .repulsion import with_repulsion
from .trial import Trial, allowed_way, run_trial
from .verdict import Verdict, judge


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
    timing : callable
        Measures the costs of both potentials.
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
    timing: Callable[[], Cost]
    trial: Trial | None
    frames: dict[str, int]
    labels: Labels
    verdict: Verdict
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def cost(self) -> Cost:
        """Of both potentials; measured when it is first asked for."""
        return self.timing()

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
    calculator: Calculator | None = None,
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
    prepared = prepare(
        path,
        lambda config, _: [config.basis],
        calculator=calculator,
        identity=identity,
        tell=tell,
    )
    return distil_basis(prepared, prepared.config.basis, prepared.folder, tell)


def distil_basis(
    prepared: Prepared, chosen: BasisConfig, folder: Path, tell: Tell = silent
) -> Distilled:
    """Fit one basis to the data, write the potential and measure it.

    Parameters
    ----------
    prepared : Prepared
        The data.
    chosen : BasisConfig
        The basis.
    folder : Path
        Where the potential goes.
    tell : callable
        Gets the progress.

    Returns
    -------
    Distilled

    Raises
    ------
    MixpiError
        If the basis cannot meet the constraint.
    """
    config = prepared.config.model_copy(update={"basis": chosen})
    clock, hard, held_out = prepared.clock, prepared.hard, prepared.held_out
    soft = [*prepared.fitted, *prepared.extra]
    basis = make_basis(chosen, prepared.species).prepared([*hard, *soft, *held_out])
    problem = Problem(basis, hard, soft, config.weights, tell)
    first = problem.constrained(config.hard.tolerance).coefficients
    if (narrowed := basis.narrowed(first, soft[-1:])) is not basis:
        basis = narrowed
        problem = Problem(basis, hard, soft, config.weights, tell)
    clock.lap("design rows and factorisation")
    fits = {
        "unconstrained": problem.unconstrained(),
        "constrained": problem.constrained(config.hard.tolerance),
    }
    clock.lap("constrained solution")

    crystal = prepared.crystal
    candidates = {}
    for count, (name, fit) in enumerate(fits.items()):
        tell(f"measuring the {name} fit", count / 4)
        place = folder / ("" if name == "constrained" else name)
        written = basis.write(
            fit.coefficients, fit.offsets, place / config.name, inert=config.inert
        )
        candidates[name] = measure(
            name,
            basis,
            fit,
            written,
            with_repulsion(written, config.inert, prepared.repulsion),
            held_out=held_out,
            checks=[hard[0], hard[-1]],
            crystal=crystal,
        )
    tell("measuring the expensive potential", 2 / 4)
    best = candidates["constrained"]
    expensive = prepared.expensive
    clock.lap("measuring")
    tell("dynamics of the constrained fit", 3 / 4)
    allowed = allowed_way(
        crystal, [*prepared.fitted, *held_out], supercell_repeats(crystal, config.soft)
    )
    trial = _trial(config, crystal, allowed, best)
    clock.lap("dynamics of the potential")
    return Distilled(
        config,
        basis,
        problem,
        expensive,
        candidates["unconstrained"],
        best,
        partial(_cost, held_out[-1], prepared.calculator, best, basis),
        trial,
        {
            "strained cells": len(hard),
            "snapshots": len(prepared.fitted),
            "held out": len(held_out),
            "extra": len(prepared.extra),
            "atoms of a snapshot": len(held_out[0]),
        },
        prepared.labels,
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


def _trial(config: DistilConfig, crystal: Atoms, allowed: float, best: Candidate) -> Trial | None:
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


def _cost(frame: Atoms, calculator: Calculator, candidate: Candidate, basis: Basis) -> Cost:
    """On a snapshot of at least 400 atoms, where a cheap potential's overhead is gone."""
    atoms = large_enough(frame, 400)
    return compare_cost(atoms, time_calculator(calculator), timer_of(candidate, basis))
