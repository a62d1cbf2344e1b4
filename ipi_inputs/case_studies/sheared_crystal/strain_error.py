"""How far mixed forces strain a crystal otherwise than all-expensive ones, as JSON.

python strain_error.py FOLDER OUTPUT

With v, the mixed less the all-expensive displacements, the measure of the paper is the norm of
v_i - v_j over all pairs of neighbours, each pair twice as in its script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.neighborlist import neighbor_list


ARMS = ("constrained", "unconstrained")
REFERENCE = "expensive"
#: Å; nearest neighbours alone, which are at 2.37 Å.
CUTOFF = 3.0


def strain_error(mixed: Atoms, reference: Atoms) -> dict[str, float]:
    """The norm (Å), and the rms of |v_i - v_j| (Å) of the pairs within each region.

    Parameters
    ----------
    mixed : Atoms
        With ``mix_weight``.
    reference : Atoms
        The same atoms, not wrapped either.
    """
    first, second = neighbor_list("ij", reference, CUTOFF)
    v = mixed.positions - reference.positions
    off = np.linalg.norm(v[first] - v[second], axis=1)
    weights = mixed.arrays["mix_weight"]
    low, high = (
        np.minimum(weights[first], weights[second]),
        np.maximum(weights[first], weights[second]),
    )
    regions = {"core": low == 1.0, "cheap": high == 0.0}
    regions["seam"] = ~(regions["core"] | regions["cheap"])
    return {
        "norm": float(np.linalg.norm(off)),
        **{name: float(np.sqrt(np.mean(off[mask] ** 2))) for name, mask in regions.items()},
        "largest": float(off.max()),
    }


def main() -> None:
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    reference = read(folder / f"{REFERENCE}.extxyz")
    reports = {arm: json.loads((folder / f"{arm}.json").read_text()) for arm in (*ARMS, REFERENCE)}
    found = {
        "atoms": len(reference),
        "core_blend_buffer": reports[ARMS[0]]["core_blend_buffer"],
        "steps": {arm: report["steps"] for arm, report in reports.items()},
        **{arm: strain_error(read(folder / f"{arm}.extxyz"), reference) for arm in ARMS},
    }
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
