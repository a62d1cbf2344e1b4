"""Whether the kinetic energy of a run is distributed as it should be, and equally.

python scripts/kinetic_distribution.py FOLDER [--skip 1000]

FOLDER is that of a run with velocities in its frames, such as of ``scripts/zone_temperatures.py``.
The tests are those of physical_validation (P. T. Merz, M. R. Shirts, PLoS ONE 13, e0202764, 2018):
mean and width of the distribution as temperatures, of all atoms, of those that were always in one
zone, and of two random halves, each with its distance from the target in standard errors from
bootstrapping of frames that are far enough apart to be independent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import physical_validation
from ase.io import iread
from physical_validation.data import (
    EnsembleData,
    ObservableData,
    SimulationData,
    SystemData,
    TrajectoryData,
    UnitData,
)
from zone_temperatures import zones


#: Å/fs in nm/ps, and Å in nm: in these and in u and kJ/mol kinetic energies need no factor.
VELOCITY, LENGTH = 100.0, 0.1
SEED = 2026


def read_run(folder: Path, skip: float, target: float) -> tuple[SimulationData, dict]:
    """A run as physical_validation takes it, and the atoms that were always in one zone."""
    frames = [atoms for atoms in iread(folder / "mix.extxyz", ":") if atoms.info["time"] > skip]
    velocities = VELOCITY * np.array([atoms.arrays["velocities"] for atoms in frames])
    masses, n = frames[0].get_masses(), len(frames[0])
    data = SimulationData(
        units=UnitData.units("GROMACS"),
        dt=1e-3,
        system=SystemData(
            natoms=n,
            nconstraints=0,
            ndof_reduction_tra=3,  # i-PI keeps the centre of mass at rest
            ndof_reduction_rot=0,
            mass=masses,
            molecule_idx=np.arange(n),
            nconstraints_per_molecule=np.zeros(n),
        ),
        ensemble=EnsembleData(
            "NVT", natoms=n, volume=frames[0].get_volume() * LENGTH**3, temperature=target
        ),
        observables=ObservableData(
            kinetic_energy=0.5 * np.einsum("i,tik,tik->t", masses, velocities, velocities)
        ),
        trajectory=TrajectoryData(
            position=LENGTH * np.array([atoms.positions for atoms in frames]), velocity=velocities
        ),
    )
    masks = [zones(atoms.arrays["mix_weight"]) for atoms in frames]
    always = {
        zone: np.flatnonzero(np.all([mask[zone] for mask in masks], axis=0))
        for zone in ("core", "blend", "cheap")
    }
    return data, {zone: atoms for zone, atoms in always.items() if len(atoms)}


def deviations(data: SimulationData, groups: dict) -> dict[str, tuple[float, float]]:
    """What is tested → how far mean and width are from the target, in standard errors."""
    energies = physical_validation.kinetic_energy
    found = {"all": energies.distribution(data, verbosity=0, bootstrap_seed=SEED)}
    parts = energies.equipartition(
        data,
        molec_groups=list(groups.values()),
        random_divisions=1,
        random_groups=2,
        random_division_seed=SEED,
        bootstrap_seed=SEED,
        verbosity=0,
    )
    names = [*groups, "a half", "the other half"]
    # before them come all atoms once more
    return found | dict(zip(names, parts[-len(names) :], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skip", type=float, default=1000.0, help="fs at the beginning")
    parser.add_argument("--target", type=float, default=300.0, help="K")
    given = parser.parse_args()
    data, groups = read_run(given.folder, given.skip, given.target)
    found = deviations(data, groups)
    print(f"{given.folder.name}: {len(data.trajectory.velocity)} frames\n")
    print("| atoms | number | mean (standard errors away) | width (standard errors away) |")
    print("|---|---|---|---|")
    for name, (mean, width) in found.items():
        number = len(groups[name]) if name in groups else "-"
        print(f"| {name} | {number} | {mean:.1f} | {width:.1f} |")


if __name__ == "__main__":
    main()
