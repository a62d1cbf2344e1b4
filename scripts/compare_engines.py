"""MACE by mace-torch and by symmetrix: times, differences, what a call is made of, start.

python scripts/compare_engines.py times      a cluster of each example, in turns, one thread
python scripts/compare_engines.py start      seconds and memory until a driver can answer

Times are those of the processor, which other programs on the machine lengthen little.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from mixpi import build_regions, extract_cluster
from mixpi.config import load_config
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.neighbours import neighbour_graph
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.structure import read_structure


ROOT = Path(__file__).parent.parent
CASES = {
    "si_vacancy_md_8000": "si-small",
    "w_he_md": "w-he-small",
    "fe_dumbbell_md": "fe-small",
}


def cluster_of(case: str):
    """Species, positions and cell of the cluster that an example sends, displaced by 0.06 Å."""
    folder = ROOT / "ipi_inputs" / case
    config, atoms = load_config(folder / "mixing.yaml"), read_structure(folder / "init.extxyz")
    atoms.positions += np.random.default_rng(0).normal(0, 0.06, atoms.positions.shape)
    regions = build_regions(atoms.positions, atoms.cell.array, config.seeds, **config.regions.radii)
    cluster = extract_cluster(regions, atoms.numbers)
    return cluster.numbers, cluster.positions(atoms.positions), atoms.cell.array


def in_turns(calls: dict, *, repeats: int = 7, first: int = 2) -> dict[str, float]:
    """Median ms of the processor of each call, in turns, the first few left out."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(first + repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            spent[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(values[first:])) for name, values in spent.items()}


def compare(case: str, model: Path) -> None:
    structure = cluster_of(case)
    engines = {
        "mace-torch float64": MaceEngine(model, threads=1),
        "mace-torch float32": MaceEngine(model, threads=1, dtype="float32"),
        "symmetrix float64": SymmetrixEngine(model),
        "symmetrix float32": SymmetrixEngine(model, dtype="float32"),
        "symmetrix float64 direct": SymmetrixEngine(model, mode="direct", threads=1),
        "symmetrix float32 direct": SymmetrixEngine(
            model, dtype="float32", mode="direct", threads=1
        ),
    }
    plain = engines["symmetrix float64"]
    types, graph = plain._read(*structure)
    calls = {
        **{name: functools.partial(e.evaluate, *structure) for name, e in engines.items()},
        "edges": lambda: neighbour_graph(*structure[1:], plain.cutoff),
        "C++": lambda: plain._network.everything(types, graph),
    }
    ms = in_turns(calls)
    energy, forces, virial = engines["mace-torch float64"].evaluate(*structure)
    print(f"{case}: {len(structure[0])} atoms, {len(graph.senders)} edges")
    for name, engine in engines.items():
        e, f, v = engine.evaluate(*structure)
        difference = np.abs(f - forces)
        print(
            f"  {name:26} {ms[name]:8.1f} ms  x{ms['mace-torch float64'] / ms[name]:4.1f}  "
            f"dE {abs(e - energy):.1e} eV  dF rms {np.sqrt(np.mean(difference**2)):.1e} "
            f"max {difference.max():.1e} eV/Å  dV {np.abs(v - virial).max():.1e} eV",
            flush=True,
        )
    rest = ms["symmetrix float64"] - ms["edges"] - ms["C++"]
    print(
        f"  of a float64 call: edges {ms['edges']:.2f} ms, C++ with its arrays {ms['C++']:.2f} ms, "
        f"rest {rest:.2f} ms"
    )


def times() -> None:
    for case, name in CASES.items():
        compare(case, ROOT / "ipi_inputs" / "models" / f"{name}.model")


def start() -> None:
    model = ROOT / "ipi_inputs" / "models" / "si-small.model"
    code = """
import resource, sys, time
begin = time.perf_counter()
from mixpi.drivers.{module} import {engine}
made = {engine}({model!r})
made.evaluate([14], [[0, 0, 0]], [[9, 0, 0], [0, 9, 0], [0, 0, 9]])
print("%.2f s, %.0f MiB" % (time.perf_counter() - begin,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""
    engines = {"mace": "MaceEngine", "symmetrix_engine": "SymmetrixEngine"}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "MIXPI_CACHE": cache}
        for turn in ("first", "second", "third"):
            for module, engine in engines.items():
                text = code.format(module=module, engine=engine, model=str(model))
                done = subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", text],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                print(f"{turn} start, {engine}: {done.stdout.strip().splitlines()[-1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["times", "start"])
    {"times": times, "start": start}[parser.parse_args().what]()
