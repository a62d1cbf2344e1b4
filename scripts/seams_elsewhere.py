"""The heat of seams in many places of one crystal: which cheap potential makes less of it.

python scripts/seams_elsewhere.py WORK NAME... [--chains 4]

One seam and a few picoseconds tell a ratio of two potentials' rates badly: their walks are nearly
independent. But the forces of both potentials on all atoms tell the work of a seam anywhere. Here:
trajectories of the vacancy in 511 silicon atoms, moved with `si-uf3`, linear 3/4, frozen; of each
potential of ``ipi_inputs/potentials`` the spread of the work for the seam around the vacancy, and
for ten equal ones around four atoms of the crystal. What is found is kept in WORK.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from ase.geometry import get_distances
from energy_walk import spread
from mixed_system import ROOT, Known, System, Way, distilled
from mixed_work import Works, move, settle, thermal
from mixpi import build_regions
from mixpi.blend.blending import without_net_force
from mixpi.drivers.lammps_cluster import LammpsClusterEngine


#: fs, K, steps of a trajectory, and those left out at its beginning.
TIMESTEP, TEMPERATURE, STEPS, SKIPPED = 4.0, 300.0, 625, 125
CORE, BLEND, USUAL = 3.0, 4.0, "si-uf3"
#: Seams in the crystal, and how far from the vacancy at least, Å.
PLACES, AWAY = 10, 10.5


def trajectory(system: System, path: Path, chain: int) -> None:
    """Positions, and the model's forces and site energies, of each step."""
    way = Way(CORE, BLEND, every=0)
    state = thermal(system, 2.0 * TEMPERATURE, [7, chain])
    state = settle(system, way, state, TEMPERATURE, chain, TIMESTEP)
    state.velocities = thermal(system, TEMPERATURE, [8, chain]).velocities
    works = Works(system, [way], system.know(state.positions), TIMESTEP)
    seen: list[Known] = []

    def evaluate(step: int, positions: np.ndarray) -> np.ndarray:
        known = system.know(positions)
        seen.append(known)
        forces = known.cheap_forces[""] + works.add(step + 1, known)
        return without_net_force(forces, system.masses)[0]

    move(state, system.masses, evaluate, steps=STEPS, timestep=TIMESTEP)
    np.savez(
        path,
        positions=[known.positions for known in seen],
        forces=[known.forces.astype(np.float32) for known in seen],
        sites=[known.sites for known in seen],
    )


def asked(system: System, name: str, positions: np.ndarray, path: Path) -> None:
    """Forces and site energies of a cheap potential along a trajectory."""
    engine = LammpsClusterEngine(distilled(name), species=["Si"], folder=path.parent)
    found = [engine.evaluate_with_sites(system.numbers, x, system.cell) for x in positions]
    np.savez(
        path, forces=[one[1].astype(np.float32) for one in found], sites=[one[3] for one in found]
    )


def places(system: System) -> list[np.ndarray]:
    """Seeds of seams: four neighbours of atoms that are far from the vacancy and each other."""
    x = system.atoms.positions
    between = get_distances(x, cell=system.cell, pbc=True)[1]
    from_seeds = between[system.seeds].min(axis=0)
    far = np.flatnonzero(from_seeds > AWAY)
    chosen = [far[np.argmax(from_seeds[far])]]
    while len(chosen) < PLACES:
        chosen.append(far[np.argmax(between[np.ix_(chosen, far)].min(axis=0))])
    return [np.argsort(between[centre])[1:5] for centre in chosen]


def heats(work: Path, system: System, name: str, chain: int, seeds: list) -> list[np.ndarray]:
    """Of each seam, eV, shape (steps,)."""
    model, cheap = np.load(work / f"{chain}.npz"), np.load(work / f"{name}.{chain}.npz")
    x, difference = model["positions"], model["forces"].astype(float) - cheap["forces"]
    sites = model["sites"] - cheap["sites"]
    moved = 0.5 * np.sum((difference[1:] + difference[:-1]) * np.diff(x, axis=0), axis=2)
    found = []
    for around in seeds:
        weights = build_regions(
            x[0], system.cell, around, core=CORE, blend=BLEND, buffer=0.0
        ).weights
        heat = np.append(0.0, np.cumsum(moved @ weights)) + (sites - np.median(sites[0])) @ weights
        found.append(heat[SKIPPED:])
    return found


def compare(walks: dict[str, list[np.ndarray]]) -> None:
    """Rates, and ratios to the usual potential's with errors by jackknife over all walks."""

    def rate(name: str, without: int = -1) -> float:
        some = [walk for k, walk in enumerate(walks[name]) if k != without]
        return 1e3 * spread(some, 1e-3 * TIMESTEP, TEMPERATURE).value

    for name, own in walks.items():
        n = len(own)
        left = np.array([rate(name, k) / rate(USUAL, k) for k in range(n)])
        error = np.sqrt((n - 1) * np.mean((left - left.mean()) ** 2))
        relative = rate(name) / rate(USUAL)
        print(f"  {name:20} {rate(name):6.1f} meV/ps, ratio {relative:.2f} ± {error:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="+", help="of ipi_inputs/potentials")
    parser.add_argument("--chains", type=int, default=4)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    system = System(ROOT / "ipi_inputs" / "si_vacancy_md")
    names = dict.fromkeys((USUAL, *given.names))
    for chain in range(given.chains):
        if not (given.work / f"{chain}.npz").exists():
            trajectory(system, given.work / f"{chain}.npz", chain)
    for chain, name in product(range(given.chains), names):
        path = given.work / f"{name}.{chain}.npz"
        if not path.exists():
            asked(system, name, np.load(given.work / f"{chain}.npz")["positions"], path)
    for where, seeds in (("vacancy", [system.seeds]), ("crystal", places(system))):
        print(where)
        compare(
            {
                name: [
                    h
                    for c in range(given.chains)
                    for h in heats(given.work, system, name, c, seeds)
                ]
                for name in names
            }
        )


if __name__ == "__main__":
    main()
