"""32 clusters in one call of a MACE engine against 32 calls, on the CPU; medians, in turns.

python scripts/batched_clusters.py [--clusters 32] [--repeats 3] [--cases si_vacancy_md]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from ase import Atoms
from benchmark import ROOT
from mixpi import build_regions
from mixpi.config import load_config
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.neighbours import Graph, neighbour_graph
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.structure import read_structure


MODEL = ROOT / "ipi_inputs" / "models" / "si-small.model"


def clusters(case: str, count: int) -> list[Atoms]:
    """The example's cluster, rattled as beads are."""
    folder = ROOT / "ipi_inputs" / case
    config, atoms = load_config(folder / "mixing.yaml"), read_structure(folder / "init.extxyz")
    regions = build_regions(
        atoms.positions, atoms.cell.array, config.seed_indices, **config.regions.radii
    )
    part, rng = atoms[regions.cluster], np.random.default_rng(0)
    found = []
    for _ in range(count):
        found.append(part.copy())
        found[-1].positions += rng.normal(0.0, 0.05, part.positions.shape)
    return found


def torch_together(engine: MaceEngine, several: list[Atoms]) -> list[np.ndarray]:
    """All in one batch of mace-torch."""
    from mace import data
    from mace.tools import torch_geometric, torch_tools

    calculator = engine.calculator
    with torch_tools.default_dtype(calculator.default_dtype):
        examples = [
            data.AtomicData.from_config(
                data.config_from_atoms(atoms), z_table=calculator.z_table, cutoff=engine.cutoff
            )
            for atoms in several
        ]
    loader = torch_geometric.dataloader.DataLoader(examples, batch_size=len(examples))
    inputs = next(iter(loader)).to_dict()
    forces = calculator.models[0](inputs, compute_force=True)["forces"]
    return np.split(forces.detach().numpy(), len(several))


def symmetrix_together(engine: SymmetrixEngine, several: list[Atoms]) -> list[np.ndarray]:
    """All in one graph without edges between them."""
    m, graphs = len(several[0]), []
    for atoms in several:
        graphs.append(neighbour_graph(atoms.positions, atoms.cell.array, engine.cutoff))
    whole = Graph(
        np.concatenate([g.receivers + np.int32(k * m) for k, g in enumerate(graphs)]),
        np.concatenate([g.senders + np.int32(k * m) for k, g in enumerate(graphs)]),
        *(np.concatenate([getattr(g, name) for g in graphs]) for name in ("vectors", "distances")),
        np.concatenate([g.counts for g in graphs]),
    )
    types = np.concatenate([engine._types(atoms.numbers) for atoms in several])
    return np.split(whole.atom_forces(engine._everything(types, whole)[1]), len(several))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=["si_vacancy_md", "si_vacancy_md_8000"])
    arguments = parser.parse_args()
    engines = {
        "mace-torch": (MaceEngine(MODEL, threads=1), torch_together),
        "symmetrix": (SymmetrixEngine(MODEL), symmetrix_together),
    }
    for case in arguments.cases:
        several = clusters(case, arguments.clusters)
        for name, (engine, together) in engines.items():
            alone, batched = [], []
            for _ in range(arguments.repeats):
                start = time.process_time()
                wanted = [engine.evaluate(a.numbers, a.positions, a.cell.array)[1] for a in several]
                alone.append(time.process_time() - start)
                start = time.process_time()
                found = together(engine, several)
                batched.append(time.process_time() - start)
            error = max(np.abs(f - w).max() for f, w in zip(found, wanted, strict=True))
            one, all_of_them = (1e3 * float(np.median(t)) / len(several) for t in (alone, batched))
            print(
                f"{case}, {len(several[0])} atoms, {name}: one by one {one:.1f} ms of processor a "
                f"cluster, {len(several)} in a call {all_of_them:.1f} ({all_of_them / one:.2f} "
                f"times), forces equal to {error:.1e} eV/Å",
                flush=True,
            )


if __name__ == "__main__":
    main()
