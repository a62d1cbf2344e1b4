"""Temperature of the core, the blend and the cheap zone in a run, with error bars.

python scripts/zone_temperatures.py FOLDER [--steps 24000] [--acts-on cheap] [--skip 1000]

FOLDER is made from ``ipi_inputs/si_vacancy_thermostat`` if it is not there, and run until it has so
many steps (with ``--acts-on everywhere`` by i-PI's own thermostat). A run that was stopped goes on.
What is averaged are the velocities in the frames of ``mix.extxyz``; the zone of an atom is that of
its weight in the frame. Standard errors are from the autocorrelation
(:mod:`mixpi.analysis.statistics`).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from ase.io import iread
from ase.units import fs, kB
from mixpi.analysis.statistics import Estimate, mean


CASE = Path(__file__).parent.parent / "ipi_inputs" / "si_vacancy_thermostat"
ZONES = ("core", "blend", "cheap", "all")


def prepare(folder: Path, acts_on: str) -> None:
    """Copy the case, with the thermostat where it is wanted."""
    shutil.copytree(CASE, folder)
    path = folder / "mixing.yaml"
    config = yaml.safe_load(path.read_text())
    config["thermostat"] = {"acts_on": acts_on}
    if acts_on == "everywhere":
        del config["thermostat"]
    path.write_text(yaml.safe_dump(config))


def run(folder: Path, steps: int) -> None:
    """Begin the run, or go on with it, until so many steps are done."""
    name = "RESTART" if (folder / "RESTART").exists() else "input.xml"
    path = folder / name
    text = re.sub(r"<total_steps>\s*\d+\s*<", f"<total_steps>{steps}<", path.read_text())
    if name == "RESTART" and int(re.search(r"<step>\s*(\d+)", text)[1]) >= steps:
        return
    path.write_text(text)
    command = [sys.executable, "-m", "mixpi.cli", "run", name, "--no-reference", "--quiet"]
    subprocess.run(command, cwd=folder, check=True)


def zones(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (n,) by the weights (n,) of the atoms."""
    core, cheap = weights == 1.0, weights == 0.0
    return dict(zip(ZONES, (core, ~core & ~cheap, cheap, core | True), strict=True))


def temperatures(folder: Path, skip: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times (frames,), fs, and of each zone number of atoms and temperature (frames, 2), K.

    i-PI keeps the centre of mass at rest, so that atom i has 3 (1 − m_i/M) degrees of freedom.
    """
    times, found = [], {name: [] for name in ZONES}
    for atoms in iread(folder / "mix.extxyz", ":"):
        if atoms.info["time"] <= skip:
            continue
        times.append(atoms.info["time"])
        masses = atoms.get_masses()
        twice = masses * np.sum((atoms.arrays["velocities"] / fs) ** 2, axis=1)
        freedom = 3.0 * (1.0 - masses / masses.sum())
        for name, mask in zones(atoms.arrays["mix_weight"]).items():
            found[name].append((mask.sum(), twice[mask].sum() / freedom[mask].sum() / kB))
    return np.array(times), {name: np.array(rows) for name, rows in found.items()}


def describe(name: str, atoms: float, found: Estimate, target: float) -> str:
    away = (found.value - target) / found.error
    return (
        f"| {name} | {atoms:.1f} | {found.value:.2f} ± {found.error:.2f} | {away:+.1f} | "
        f"{found.independent:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=24_000)
    parser.add_argument("--acts-on", default="cheap", help="cheap, expensive, everywhere, ...")
    parser.add_argument("--skip", type=float, default=1000.0, help="fs at the beginning")
    parser.add_argument("--target", type=float, default=300.0, help="K")
    given = parser.parse_args()
    if not given.folder.exists():
        prepare(given.folder, given.acts_on)
    run(given.folder, given.steps)
    times, found = temperatures(given.folder, given.skip)
    print(f"{given.folder.name}: {np.ptp(times) / 1e3:.1f} ps, target {given.target:g} K\n")
    print("| zone | atoms | temperature (K) | standard errors away | independent samples |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        print(describe(name, rows[:, 0].mean(), mean(rows[:, 1]), given.target))


if __name__ == "__main__":
    main()
