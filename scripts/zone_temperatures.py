"""Temperature of the core, the blend and the cheap zone in a run, with error bars.

python scripts/zone_temperatures.py FOLDER [--steps 24000] [--acts-on cheap] [--skip 1000]

FOLDER is made from ``ipi_inputs/si_vacancy_thermostat`` if it is not there, and run until it has so
many steps (with ``--acts-on everywhere`` by i-PI's own thermostat). A run that was stopped goes on.
What is averaged are the velocities in the frames of ``mix.extxyz``, as by ``mixpi analyse
temperature FOLDER/mix.extxyz``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from mixpi.analysis.trajectories import Trajectory
from mixpi.analysis.zones import temperature


CASE = Path(__file__).parent.parent / "ipi_inputs" / "si_vacancy_thermostat"


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
    print(
        temperature(Trajectory(given.folder / "mix.extxyz", skip=given.skip), target=given.target)
    )


if __name__ == "__main__":
    main()
