"""Whether the region of a run has followed its defect.

python scripts/region_follows.py dumbbell FOLDER    a self-interstitial (Wigner-Seitz)
python scripts/region_follows.py helium FOLDER      the helium atom

FOLDER holds a finished run of ipi_inputs/fe_dumbbell_md or w_he_md. The defect is found by other
means than the run's own: who shares a site of the perfect crystal, or who is helium.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import read
from mixpi.regions.periodic import PeriodicCell
from scipy.spatial import cKDTree


def sharing_a_site(atoms: Atoms) -> np.ndarray:
    """The atoms that are nearest to a site of the bcc crystal to which others are nearest, too."""
    edge = atoms.cell.lengths()
    cells = round((len(atoms) // 2) ** (1 / 3))
    sites = (bulk("Fe", "bcc", a=edge[0] / cells, cubic=True) * (cells, cells, cells)).positions
    tree, offset = cKDTree(sites % edge, boxsize=edge), np.zeros(3)
    for _ in range(2):  # the crystal drifts, and its middle is where its atoms are
        _, nearest = tree.query((atoms.positions - offset) % edge)
        offset = PeriodicCell(atoms.cell).fold(atoms.positions - sites[nearest]).mean(axis=0)
    return np.flatnonzero(np.bincount(nearest, minlength=len(sites))[nearest] > 1)


def helium(atoms: Atoms) -> np.ndarray:
    """The helium atoms."""
    return np.flatnonzero(atoms.numbers == 2)


DEFECTS = {"dumbbell": sharing_a_site, "helium": helium}


def followed(frames: list[Atoms], defect: str) -> dict[str, float]:
    """How well a trajectory with ``mix_weight`` has followed: shares of the frames, and Å."""
    found = [DEFECTS[defect](atoms) for atoms in frames]
    lowest = np.array(
        [atoms.arrays["mix_weight"][own].min() for atoms, own in zip(frames, found, strict=True)]
    )
    first, last = (atoms.positions[own].mean(axis=0) for atoms, own in
                   ((frames[0], found[0]), (frames[-1], found[-1])))  # fmt: skip
    changes = sum(set(a) != set(b) for a, b in pairwise(found))
    return {
        "ps": (frames[-1].info["time"] - frames[0].info["time"]) / 1e3,
        "frames": len(frames),
        "weight 1": float(np.mean(lowest == 1.0)),
        "weight 0": float(np.mean(lowest == 0.0)),
        "smallest weight": float(lowest.min()),
        "other atoms than in the frame before": changes,
        "moved": float(np.linalg.norm(PeriodicCell(frames[0].cell).fold(last - first))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("defect", choices=DEFECTS)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    for name, value in followed(read(given.folder / "mix.extxyz", ":"), given.defect).items():
        print(f"{name:38}{value:.6g}")


if __name__ == "__main__":
    main()
