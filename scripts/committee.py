"""A committee of two silicon models: where it disagrees, and what looking at patches costs.

python scripts/committee.py spread     of thermal silicon, at a vacancy, and in clusters
python scripts/committee.py windows    the same averaged in time, in 0.5 ps of dynamics
python scripts/committee.py patches    atoms, ms and tour of patches of some radii

Times are those of the processor, on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.units import fs
from mixpi import build_regions, extract_cluster
from mixpi.config import load_config
from mixpi.drivers.committee import Committee
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.regions.averaging import TimeAverage
from mixpi.regions.growth import surround
from mixpi.regions.uncertainty import SpreadSeeds
from mixpi.structure import read_structure


ROOT = Path(__file__).parent.parent
CASE = ROOT / "ipi_inputs" / "si_vacancy_md_8000"
#: Å; the classical width of an atom's motion in silicon at 300 K, along an axis.
MOTION = 0.076
BUFFERS = (4.0, 5.0, 6.0, 7.0, 8.0, 10.0)
PATCHES = (4.0, 5.0, 6.0, 8.0, 10.0)


def committee() -> Committee:
    """si-small and si-tiny."""
    models = ROOT / "ipi_inputs" / "models"
    driver = MaceDriver(
        model=str(models / "si-small.model"), committee=[str(models / "si-tiny.model")], threads=1
    )
    found = driver.load(ROOT)
    assert isinstance(found, Committee)
    return found


def thermal():
    """The vacancy in 7,999 atoms, displaced at random, and the four atoms around it."""
    config, atoms = load_config(CASE / "mixing.yaml"), read_structure(CASE / "init.extxyz")
    atoms.positions += np.random.default_rng(0).normal(0, MOTION, atoms.positions.shape)
    return config, atoms


def spread() -> None:
    """How far the models are apart in the whole cell, and how much clusters add."""
    models, (config, atoms) = committee(), thermal()
    cell = atoms.cell.array
    whole = models.evaluate_with_spread(atoms.numbers, atoms.positions, cell)[3]
    far = build_regions(
        atoms.positions, cell, config.seed_indices, core=10.0, blend=0.0, buffer=0.0
    )
    bulk = whole[far.weights == 0.0]
    print("bulk: median, 99 %, 99.9 %, largest (eV/Å):")
    print(
        "  " + "  ".join(f"{x:.3f}" for x in [*np.quantile(bulk, [0.5, 0.99, 0.999]), bulk.max()])
    )
    print(f"around the vacancy: {np.round(whole[config.seed_indices], 3)}")
    print("buffer (Å)  difference from the whole cell, rms and largest (eV/Å)")
    centres = np.random.default_rng(1).choice(len(atoms), 8, replace=False)
    for buffer in BUFFERS:
        found = []
        for centre in centres:
            regions = build_regions(
                atoms.positions, cell, [int(centre)], core=5.0, blend=0.0, buffer=buffer
            )
            cluster = extract_cluster(regions, atoms.numbers)
            own = models.evaluate_with_spread(
                cluster.numbers, cluster.positions(atoms.positions), cell
            )[3]
            counts = cluster.weights > 0.0
            found.append(own[counts] - whole[cluster.indices[counts]])
        away = np.concatenate(found)
        print(f"  {buffer:4.1f}      {np.sqrt(np.mean(away**2)):.4f}  {np.abs(away).max():.3f}")


def windows() -> None:
    """From how long an average on the vacancy stands out; 511 atoms, 300 K, si-small moves them."""
    models, case = committee(), ROOT / "ipi_inputs" / "si_vacancy_md"
    config, atoms = load_config(case / "mixing.yaml"), read_structure(case / "init.extxyz")
    atoms.calc = next(iter(models.members.values())).calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=np.random.default_rng(1))
    dynamics = Langevin(
        atoms, 1 * fs, temperature_K=300, friction=0.01 / fs, rng=np.random.default_rng(2)
    )
    dynamics.run(60)
    found = []
    for _ in range(250):
        dynamics.run(2)
        found.append(models.evaluate_with_spread(atoms.numbers, atoms.positions, atoms.cell.array))
    values = np.array([spread for *_, spread in found])
    around = config.seed_indices
    distance = atoms.get_all_distances(mic=True)[:, around].min(axis=1)
    far = distance > 5.0
    print(
        "fs   around the vacancy: least largest  median largest;  further than 5 Å: 99.9 %  largest"
    )
    for length in (1, 10, 25, 50):
        means = values.reshape(-1, length, len(atoms)).mean(axis=1)
        largest = means[:, around].max(axis=1)
        print(
            f"{2 * length:3d}   {largest.min():.3f}  {np.median(largest):.3f}   "
            f"{np.quantile(means[:, far], 0.999):.3f}  {means[:, far].max():.3f}"
        )


def patches() -> None:
    """What a patch costs, and after how many of them all atoms have been seen."""
    models, (config, atoms) = committee(), thermal()
    cell, positions = atoms.cell.array, atoms.positions
    region = build_regions(positions, cell, config.seed_indices, **config.regions.radii)
    own = extract_cluster(region, atoms.numbers)
    print(f"region: {np.count_nonzero(own.weights)} atoms in a cluster of {len(own)}, "
          f"{_ms(models, own, atoms):.1f} ms")  # fmt: skip
    print("patch (Å)  atoms  cluster     ms  choosing (ms)  patches in a tour (at least)")
    outside = region.weights == 0.0
    for radius in PATCHES:
        rule = SpreadSeeds(
            np.zeros(len(atoms), dtype=bool), (1.0, np.inf), TimeAverage(), patch=radius, every=1
        )
        seen, sizes, chosen = ~outside, [], []
        while not seen.all():
            start = time.process_time()
            patch = rule.probe(len(sizes), outside, [positions], cell)
            chosen.append(1e3 * (time.process_time() - start))
            assert patch is not None  # something is left to be seen
            seen[patch] = True
            looked = np.union1d(patch, np.flatnonzero(~outside))
            rule.observe(len(sizes), looked, np.zeros(len(looked)))
            sizes.append(len(patch))
        weights = np.zeros(len(atoms))
        weights[patch] = 1.0
        cluster = extract_cluster(
            surround(positions, cell, weights, buffer=config.regions.buffer), atoms.numbers
        )
        least = np.count_nonzero(outside) / np.mean(sizes)
        print(
            f"  {radius:4.1f}     {np.mean(sizes):5.0f}  {len(cluster):5d}  "
            f"{_ms(models, cluster, atoms):6.1f}  {np.median(chosen):6.1f}         "
            f"{len(sizes):5d} ({least:.0f})"
        )


def _ms(models: Committee, cluster, atoms) -> float:
    """Median ms of the processor for an evaluation."""
    spent = []
    for _ in range(7):
        start = time.process_time()
        models.evaluate_with_spread(
            cluster.numbers, cluster.positions(atoms.positions), atoms.cell.array
        )
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent[2:]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["spread", "windows", "patches"])
    {"spread": spread, "windows": windows, "patches": patches}[parser.parse_args().what]()
