"""What the cheap potential is asked for: thermal snapshots, and its forces on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ..drivers.engine_driver import EngineDriver
from ..drivers.lammps_driver import LammpsDriver
from ..errors import MixpiError
from ..ipi.input import IpiInput
from ..regions.periodic import PeriodicCell
from ..run.progress import Tell
from .reference import Clusters
from .thermal import APART, WARM_UP, lammps_forces, thermal_run, thermal_width, time_step_of


def thermal_snapshots(
    ipi_input: IpiInput,
    atoms: Atoms,
    clusters: Clusters,
    kelvin: float,
    count: int,
    tell: Tell,
) -> tuple[list[np.ndarray], str]:
    """Snapshots at a temperature, and where they are from.

    Parameters
    ----------
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.
    clusters : Clusters
        Of it; without LAMMPS these say how stiff the structure is.
    kelvin : float
        K.
    count : int
        Of snapshots.
    tell : callable
        Gets the progress.

    Returns
    -------
    frames : list of ndarray, shape (n, 3)
        Å.
    source : str
        In words.

    Raises
    ------
    MixpiError
        If the run fails, or the structure is at no minimum.
    """
    config, home = ipi_input.config, ipi_input.config_path.parent
    if config.cheap.lammps:
        frames = thermal_run(
            config.cheap.lammps,
            home,
            atoms,
            temperature=kelvin,
            time_step=time_step_of(ipi_input),
            count=count,
            tell=tell,
        )
        return frames, (
            f"{count} from a run of the cheap potential at {kelvin:g} K, {APART:g} fs apart after "
            f"{WARM_UP:g} fs"
        )
    # without LAMMPS nothing moves the atoms: let each be an oscillator of its own
    rng = np.random.default_rng(20261)
    tell("stiffness of the expensive potential", 0.0)
    cluster = clusters.carve(atoms.positions, config.regions.buffer)
    probe = rng.normal(0.0, 0.01, atoms.positions.shape)
    change = clusters.forces(atoms.positions + probe, cluster)
    change -= clusters.forces(atoms.positions, cluster)
    inside = cluster.weights > 0.0
    steps = probe[cluster.indices][inside]
    stiffness = -float(np.sum(change[inside] * steps) / np.sum(steps**2))
    if not stiffness > 0.0:
        raise MixpiError(
            "the structure is at no minimum of the expensive potential, so its thermal "
            "displacements cannot be guessed: give a snapshot with --frame"
        )
    width = thermal_width(stiffness, kelvin)
    frames = [atoms.positions + rng.normal(0.0, width, probe.shape) for _ in range(count)]
    return frames, (
        f"{count} with random displacements of {width:.3f} Å per coordinate, independent "
        f"oscillators at {kelvin:g} K (the cheap driver is no LAMMPS that could run them)"
    )


def cheap_forces(
    ipi_input: IpiInput, atoms: Atoms, frames: Sequence[np.ndarray], tell: Tell
) -> tuple[list[np.ndarray] | None, str]:
    """The cheap forces on each snapshot.

    Parameters
    ----------
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.
    frames : sequence of ndarray, shape (n, 3)
        Snapshots, Å.
    tell : callable
        Gets the progress.

    Returns
    -------
    forces : list of ndarray, shape (n, 3), or None
        eV/Å; None if only a run knows them.
    why : str
        Why there are none, else empty.
    """
    driver, home = ipi_input.config.cheap.driver, ipi_input.config_path.parent
    if isinstance(driver, LammpsDriver):
        return lammps_forces(driver, home, atoms, frames, tell=tell), ""
    if isinstance(driver, EngineDriver):
        engine = driver.load(home)
        fold, forces = PeriodicCell(atoms.cell.array).fold, []
        for number, positions in enumerate(frames):
            tell("cheap forces", number / len(frames))
            forces.append(engine.evaluate(atoms.numbers, fold(positions), atoms.cell.array)[1])
        return forces, ""
    return None, (
        f"the cheap driver is '{driver.kind}': its forces are known only in a run, so the "
        "two potentials are not compared"
    )


def left_alone(atoms: Atoms, cheap: Sequence[np.ndarray] | None) -> str:
    """Species with atoms on which the cheap potential exerts no forces."""
    if cheap is None:
        return ""
    strength = np.median([np.linalg.norm(forces, axis=1) for forces in cheap], axis=0)
    return " ".join(sorted(set(atoms.symbols[strength == 0.0])))
