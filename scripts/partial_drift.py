"""What the error of partial evaluation does to the energy, against that of a carved cluster.

python scripts/partial_drift.py [--case si_vacancy_md] [--steps 600] [--starts 8]
    [--buffers 7] [--radii 4.5/3 5/4] [--dropped]

NVE in which the forces of atoms of weight w are w times the approximate ones and 1 − w times the
exact ones, and all others are exact: without the error, the energy would be conserved. What it
changes by is the work of the error, with its jumps where atoms come and go.

To first order in the error that work is a random walk: forces do not change when time is turned
round, velocities do, so that their mean product vanishes in equilibrium. One start tells the size
of the steps, not the drift, so several are made, the same ones for each way, and their mean is
given with its standard error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from mixpi.calibrate.reference import Clusters
from mixpi.config import load_config
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.periodic import PeriodicCell
from mixpi.structure import read_structure
from partial_evaluation import pair


ROOT = Path(__file__).parent.parent
#: fs at the beginning that do not count.
EQUILIBRATION = 100


class Forces:
    """Approximate forces on the atoms of positive weight, by one way or the other."""

    def __init__(self, clusters: Clusters, engine: SymmetrixEngine, way: tuple, fill) -> None:
        self.clusters, self.engine, self.way, self.fill = clusters, engine, way, fill
        self.cell = clusters.cell
        self.periodic = PeriodicCell(self.cell)

    def __call__(self, positions: np.ndarray, exact: np.ndarray) -> np.ndarray:
        kind, *radii = self.way
        if kind == "exact":
            return exact
        if kind == "carved":
            cluster = self.clusters.carve(positions, radii[0])
            found = self.clusters.forces(positions, cluster)
        else:
            sites, features = radii
            reach = max(radii) + self.engine.cutoff
            cluster = self.clusters.carve(positions, reach + 1e-6)
            mine = cluster.positions(positions)
            distance = self.periodic.nearest(mine, mine[cluster.weights > 0], 2 * reach)
            distance[cluster.weights > 0] = 0.0
            given = {"distance": distance, "sites": sites, "features": features}
            _, found, _ = self.engine.evaluate_partial(
                cluster.numbers, mine, self.cell, fill=self.fill, **given
            )
        mixed, w = exact.copy(), cluster.weights[:, None]
        mixed[cluster.indices] = w * found + (1.0 - w) * exact[cluster.indices]
        return mixed


def run(atoms, engine, forces: Forces, steps: int, time_step: float) -> np.ndarray:
    """Energy in each step, eV."""
    positions, velocities = atoms.positions.copy(), atoms.get_velocities().copy()
    masses, dt = atoms.get_masses()[:, None], time_step * units.fs

    def evaluate():
        energy, exact, _ = engine.evaluate(atoms.numbers, positions, atoms.cell.array)
        return energy, forces(positions, exact)

    energy, pull = evaluate()
    energies = []
    for _ in range(steps):
        velocities += 0.5 * dt * pull / masses
        positions += dt * velocities
        energy, pull = evaluate()
        velocities += 0.5 * dt * pull / masses
        energies.append(energy + 0.5 * float((masses * velocities**2).sum()))
    return np.array(energies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", default="si_vacancy_md")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--buffers", type=float, nargs="*", default=[7.0])
    parser.add_argument("--radii", type=pair, nargs="*", default=[(4.5, 3.0), (5.0, 4.0)])
    parser.add_argument("--dropped", action="store_true", help="the radii without filling, too")
    given = parser.parse_args()
    folder = ROOT / "ipi_inputs" / given.case
    config = load_config(folder / "mixing.yaml")
    atoms = read_structure(folder / "init.extxyz")
    engine = SymmetrixEngine(folder / config.expensive.mace.model)
    radii = config.regions.model_dump(include={"core", "blend", "profile"})
    clusters = Clusters(atoms, config.seed_indices, radii, engine)
    fill = engine.mean_features(atoms.numbers, atoms.positions, atoms.cell.array)
    ways = [
        *(("filled", *r) for r in given.radii),
        *(("dropped", *r) for r in given.radii if given.dropped),
        *(("carved", b) for b in given.buffers),
        ("exact",),
    ]
    time = np.arange(given.steps)[EQUILIBRATION:] * 1e-3
    slopes: dict[tuple, list[float]] = {way: [] for way in ways}
    print(f"{len(atoms)} atoms, {given.steps} fs each; slope of the energy, meV/ps")
    for start in range(given.starts):
        generator = np.random.default_rng(start)
        # at rest in the crystal: half of it becomes potential energy
        MaxwellBoltzmannDistribution(atoms, temperature_K=2 * given.temperature, rng=generator)
        Stationary(atoms)
        for way in ways:
            forces = Forces(clusters, engine, way, fill if way[0] == "filled" else None)
            energies = run(atoms, engine, forces, given.steps, 1.0)[EQUILIBRATION:]
            slopes[way].append(1e3 * float(np.polyfit(time, energies, 1)[0]))
            found = np.array(slopes[way])
            error = found.std(ddof=1) / np.sqrt(len(found)) if start else np.nan
            print(
                f"{' '.join(map(str, way)):18} start {start}: {found[-1]:+7.2f}; so far mean "
                f"{found.mean():+7.2f} +- {error:.2f}, rms {np.sqrt((found**2).mean()):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
