"""Errors of a trained model on held-out configurations, as rows of a model card.

python evaluate.py TRAINED TEST_XYZ [--output MODEL]

Errors are those of the model as users run it (float64, through the driver's engine).
With --output the model is copied there, if it is small enough to be committed.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import read
from mixpi.distil.data import relaxed_crystal
from mixpi.drivers.mace import MaceEngine


LARGEST = 5_000_000  # bytes
CRYSTALS = {"Si": ("diamond", 5.45), "W": ("bcc", 3.19), "Fe": ("bcc", 2.85)}  # Å


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    engine = MaceEngine(arguments.model)

    groups: dict[str, list] = defaultdict(list)
    for frame in read(arguments.test, ":"):
        energy, forces, _ = engine.evaluate(frame.numbers, frame.positions, frame.cell.array)
        de = (energy - frame.info["REF_energy"]) / len(frame)
        df = forces - frame.arrays["REF_forces"]
        groups[frame.info["config_type"]].append((abs(de), np.abs(df).mean(), (df**2).mean()))
        groups["all"].append(groups[frame.info["config_type"]][-1])
    print("| held out | frames | energy MAE (meV/atom) | force MAE (meV/Å) | force RMSE (meV/Å) |")
    print("|---|---|---|---|---|")
    for name, rows in groups.items():
        e, f, f2 = np.mean(rows, axis=0)
        print(f"| {name} | {len(rows)} | {1e3 * e:.2f} | {1e3 * f:.1f} | {1e3 * np.sqrt(f2):.1f} |")

    print(
        f"\ninteraction range {engine.interaction_range} Å, {arguments.model.stat().st_size} bytes"
    )
    for symbol in CRYSTALS:
        if symbol in engine.species.split():
            print(f"lattice constant {lattice_constant(engine, symbol):.4f} Å")
    if arguments.output:
        if arguments.model.stat().st_size > LARGEST:
            raise SystemExit(f"{arguments.model} is larger than {LARGEST} bytes")
        shutil.copy(arguments.model, arguments.output)
        print(f"copied to {arguments.output}")


def lattice_constant(engine: MaceEngine, symbol: str) -> float:
    """Å, of the cubic unit cell at rest."""
    structure, guess = CRYSTALS[symbol]
    crystal = bulk(symbol, structure, a=guess, cubic=True)
    return float(relaxed_crystal(crystal, engine.calculator).cell.lengths()[0])


if __name__ == "__main__":
    main()
