"""Whether the kinetic energy of a run is distributed as it should be, and equally.

python scripts/kinetic_distribution.py FOLDER [--skip 1000]

FOLDER is that of a run with velocities in its frames, such as of ``scripts/zone_temperatures.py``.
The test is that of physical_validation (P. T. Merz, M. R. Shirts, PLoS ONE 13, e0202764, 2018) on
all atoms, on those that were always in one zone, and on two halves: mean and width of the
distribution as temperatures, each with its distance from the target in standard errors, from
bootstrapping of frames that are far enough apart to be independent, and the p value of the whole
distribution (Kolmogorov-Smirnov).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase.io import iread
from ase.units import fs, kB
from physical_validation.data import (
    EnsembleData,
    ObservableData,
    SimulationData,
    SystemData,
    UnitData,
)
from physical_validation.kinetic_energy import distribution


#: eV, Å, K and ps; no pressure is looked at.
UNITS = UnitData(kB, 96.485, 0.1, 1e-3, 1.0, 1.0, 1.0, "eV", "Å", "Å^3", "K", "-", "ps")
SEED = 2026


def zones(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (n,) by the weights (n,) of the atoms."""
    core, cheap = weights == 1.0, weights == 0.0
    masks = (core, ~core & ~cheap, cheap, core | True)
    return dict(zip(("core", "blend", "cheap", "all"), masks, strict=True))


def groups_of(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Atoms that were always in one zone, by their weights (frames, n); all; two halves."""
    masks = [zones(frame) for frame in weights]
    found = {zone: np.all([mask[zone] for mask in masks], axis=0) for zone in masks[0]}
    half = np.arange(weights.shape[1]) % 2 == 0
    found |= {"a half": half, "the other half": ~half}
    return {name: mask for name, mask in found.items() if mask.any()}


def of_group(squares: np.ndarray, masses: np.ndarray, group: np.ndarray, target: float):
    """Kinetic energies (eV) of some atoms, as physical_validation takes them.

    ``squares`` are those of the velocities, (frames, n). The centre of mass of all atoms is at
    rest: of its three degrees of freedom a group misses as much as it has of the mass.
    """
    n = int(group.sum())
    return SimulationData(
        units=UNITS,
        system=SystemData(
            natoms=n,
            nconstraints=0,
            ndof_reduction_tra=3.0 * masses[group].sum() / masses.sum(),
            ndof_reduction_rot=0,
        ),
        ensemble=EnsembleData("NVT", natoms=n, volume=1.0, temperature=target),
        observables=ObservableData(kinetic_energy=0.5 * squares[:, group] @ masses[group]),
    )


def deviations(
    folder: Path, skip: float, target: float
) -> dict[str, tuple[int, float, float, float]]:
    """Group → its number of atoms, how far mean and width are from the target, p value."""
    frames = [atoms for atoms in iread(folder / "mix.extxyz", ":") if atoms.info["time"] > skip]
    masses = frames[0].get_masses()
    squares = np.array([np.sum((a.arrays["velocities"] / fs) ** 2, axis=1) for a in frames])
    found = {}
    for name, group in groups_of(np.array([a.arrays["mix_weight"] for a in frames])).items():
        data = of_group(squares, masses, group, target)
        away = distribution(data, verbosity=0, bootstrap_seed=SEED)
        whole = distribution(data, strict=True, verbosity=0)
        found[name] = int(group.sum()), *away, whole
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skip", type=float, default=1000.0, help="fs at the beginning")
    parser.add_argument("--target", type=float, default=300.0, help="K")
    given = parser.parse_args()
    found = deviations(given.folder, given.skip, given.target)
    print("| atoms | number | mean (standard errors away) | width (standard errors away) | p |")
    print("|---|---|---|---|---|")
    for name, (number, mean, width, whole) in found.items():
        print(f"| {name} | {number} | {mean:.1f} | {width:.1f} | {whole:.2f} |")


if __name__ == "__main__":
    main()
