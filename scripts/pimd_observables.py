"""Observables of quantum helium in tungsten, from runs of ``ipi_inputs/he_in_w_pimd``.

python scripts/pimd_observables.py FOLDER...  [--skip 200] [--picture g.png]

Each folder holds one run (i-PI's ``md.out`` and ``md.pos_*.extxyz``); the first one is what the
others are compared with. Printed are kinetic energy of He (centroid virial), radius of gyration of
its ring polymer, and the He-W radial distribution, each with its standard error from the
autocorrelation (:mod:`mixpi.analysis.statistics`), and how many standard errors apart they are.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ipi.scripting import read_output
from mixpi.analysis.statistics import Estimate, mean, slope
from mixpi.files.ase_files import read_atoms


#: Å.
EDGES = np.linspace(1.2, 5.2, 41)
#: i-PI's names of what is averaged → how it is called, and what it is multiplied by.
SCALARS = {
    "kinetic_cv(He)": ("kinetic energy of He (meV)", 1e3),
    "r_gyration(He)": ("radius of gyration of He (Å)", 1.0),
    "kinetic_cv": ("kinetic energy of all (meV)", 1e3),
    "temperature": ("temperature (K)", 1.0),
}


@dataclass(frozen=True)
class Run:
    """What was found in a folder.

    Attributes
    ----------
    name : str
        The folder's.
    span : float
        ps that were averaged over.
    scalars : dict of str to Estimate
        By i-PI's names.
    drift : Estimate
        Of the conserved quantity, meV an atom in a ps.
    rdf : list of Estimate
        g(r) in each bin.
    shell : Estimate
        Mean distance of He from the nearest four W, Å.
    """

    name: str
    span: float
    scalars: dict[str, Estimate]
    drift: Estimate
    rdf: list[Estimate]
    shell: Estimate


def distances(frames: list[Atoms]) -> np.ndarray:
    """He-W, Å, shape (frames, W), sorted."""
    helium = int(np.flatnonzero(frames[0].symbols == "He")[0])
    cell, inverse = frames[0].cell.array, np.linalg.inv(frames[0].cell.array)
    found = []
    for frame in frames:
        apart = np.delete(frame.positions, helium, axis=0) - frame.positions[helium]
        scaled = apart @ inverse
        found.append(np.sort(np.linalg.norm((scaled - np.round(scaled)) @ cell, axis=1)))
    return np.array(found)


def read_run(folder: Path, skip: float) -> Run:
    """Averages over a run, without its first ``skip`` fs."""
    columns, _ = read_output(str(folder / "md.out"))
    kept = columns["time"] > skip
    times = columns["time"][kept]
    scalars = {name: mean(columns[name][kept]) for name in SCALARS}
    beads = [read_atoms(path, ":") for path in sorted(folder.glob("md.pos_*.extxyz"))]
    number = min(map(len, beads))
    first = int(np.searchsorted(np.linspace(0.0, columns["time"][-1], number), skip))
    atoms = beads[0][0]
    density = (len(atoms) - 1) / atoms.get_volume()
    shells = 4.0 / 3.0 * np.pi * np.diff(EDGES**3) * density
    counts, nearest = [], []
    for frame in range(first, number):
        found = distances([bead[frame] for bead in beads])
        counts.append(np.histogram(found, EDGES)[0] / len(beads) / shells)
        nearest.append(found[:, :4].mean())
    energies = 1e3 * columns["conserved"][kept] / len(atoms)
    return Run(
        folder.name,
        float(np.ptp(times)) / 1e3,
        scalars,
        slope(times / 1e3, energies),
        [mean(column) for column in np.array(counts).T],
        mean(nearest),
    )


def apart(one: Estimate, other: Estimate) -> float:
    """Difference in standard errors."""
    return (one.value - other.value) / float(np.hypot(one.error, other.error))


def print_table(runs: list[Run]) -> None:
    """A column a run; in brackets how many standard errors it is from the first."""
    print("| | " + " | ".join(run.name for run in runs) + " |")
    print("|---" * (len(runs) + 1) + "|")
    print("| averaged over (ps) | " + " | ".join(f"{run.span:.2f}" for run in runs) + " |")

    def line(name: str, found: list[Estimate], scale: float, digits: int) -> None:
        texts = []
        for estimate in found:
            text = f"{scale * estimate.value:.{digits}f} ± {scale * estimate.error:.{digits}f}"
            if estimate is not found[0]:
                text += f" ({apart(estimate, found[0]):+.1f})"
            texts.append(text)
        print(f"| {name} | " + " | ".join(texts) + " |")

    for key, (name, scale) in SCALARS.items():
        digits = 4 if "Å" in name else 1
        line(name, [run.scalars[key] for run in runs], scale, digits)
    line("mean distance to the four nearest W (Å)", [run.shell for run in runs], 1.0, 4)
    texts = ["-"]
    for run in runs[1:]:
        away = [
            apart(mine, other)
            for mine, other in zip(run.rdf, runs[0].rdf, strict=True)
            if mine.error > 0.0 and other.error > 0.0
        ]
        texts.append(f"{np.sqrt(np.mean(np.square(away))):.2f} (largest {np.abs(away).max():.1f} "
                     f"of {len(away)} bins)")  # fmt: skip
    print("| g(r): rms difference in standard errors | " + " | ".join(texts) + " |")
    line("drift (meV/atom/ps)", [run.drift for run in runs], 1.0, 3)


def draw(runs: list[Run], target: Path) -> None:
    """g(r) of all runs with bands of two standard errors."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    middles = 0.5 * (EDGES[1:] + EDGES[:-1])
    figure, (upper, lower) = plt.subplots(
        2, sharex=True, figsize=(6.4, 5.2), height_ratios=(2, 1), layout="constrained"
    )
    reference = np.array([estimate.value for estimate in runs[0].rdf])
    for number, run in enumerate(runs):
        values = np.array([estimate.value for estimate in run.rdf])
        errors = np.array([estimate.error for estimate in run.rdf])
        colour = f"C{number}"
        upper.plot(middles, values, color=colour, label=run.name, lw=1.2)
        lower.fill_between(
            middles, values - reference - 2 * errors, values - reference + 2 * errors,
            color=colour, alpha=0.25, lw=0,
        )  # fmt: skip
        lower.plot(middles, values - reference, color=colour, lw=1.0)
    upper.set_ylabel("g(r) He-W")
    upper.legend(frameon=False)
    lower.set(xlabel="r (Å)", ylabel=f"difference\nfrom {runs[0].name}")
    figure.savefig(target, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--skip", type=float, default=200.0, help="fs at the beginning")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    runs = [read_run(folder, given.skip) for folder in given.folders]
    print_table(runs)
    if given.picture:
        draw(runs, given.picture)


if __name__ == "__main__":
    main()
