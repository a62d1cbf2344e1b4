"""Keep what a shot has cost, and how much energy it has gained or lost, as JSON.

python keep.py FOLDER TARGET
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    folder, target = map(Path, sys.argv[1:])
    report = json.loads((folder / "mixpi.report.json").read_text())
    rows = np.loadtxt(folder / "md.out", ndmin=2)
    kept = {
        "atoms": report["atoms"],
        "steps": report["steps"],
        "fs": rows[-1, 1],
        "step_ms": report["evaluation_ms"]["mean"],
        "seconds": report["evaluation_ms"]["mean"] * report["evaluations"] / 1e3,
        "energy_change_eV": rows[-1, 2] - rows[0, 2],
    }
    target.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
