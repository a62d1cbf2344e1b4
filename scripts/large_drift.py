"""The energy that a run of ``mixpi`` puts in, 7,999 atoms around a vacancy (docs/drift.md).

python scripts/large_drift.py FOLDER --cheap si-uf3 --core 4 --blend 4 --steps 5000

FOLDER is made from ``ipi_inputs/si_vacancy_md_8000`` if it is not there, and run in NVE until it
has so many steps; a run that was stopped goes on. Then H = K + Σ w e_expensive + (1 − w) e_cheap
is computed of each frame that has none yet: all 7,999 atoms by both potentials.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import numpy as np
import yaml
from ase import units
from energy_walk import climb, write
from mixed_system import ROOT, System, distilled
from mixpi.analysis.statistics import slope
from mixpi.analysis.trajectories import Trajectory
from mixpi.analysis.zones import velocities_of
from zone_temperatures import run


CASE = ROOT / "ipi_inputs" / "si_vacancy_md_8000"
#: fs; steps between frames.
TIMESTEP, STRIDE = 4.0, 25
#: ps left out at the beginning, which is far from equilibrium.
SKIPPED = 1.5


def prepare(folder: Path, given: argparse.Namespace) -> None:
    """Copy the case, with frozen weights as they are wanted, expensive forces to 6e-4 eV/Å."""
    shutil.copytree(CASE, folder)
    path = folder / "mixing.yaml"
    config = yaml.safe_load(path.read_text())
    radii = {"core": given.core, "blend": given.blend, "buffer": 9.5}  # as the partial one needs
    config["regions"] = {**radii, "profile": given.profile, "every": 0}
    config["cheap"] = {"lammps": {"potential": list(distilled(given.cheap))}}
    config["expensive"]["mace"]["partial"] = {"sites": 5.0, "features": 4.0}
    config["output"] = {"trajectory": "mix.extxyz", "stride": STRIDE, "velocities": True}
    path.write_text(yaml.safe_dump(config))
    path = folder / "input.xml"
    text = path.read_text()
    text = re.sub(r"(<timestep[^>]*>)[^<]*", rf"\g<1>{TIMESTEP}", text)
    path.write_text(text.replace("stride='10' overwrite", "stride='250' overwrite"))


def energies(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (ps), H (eV) and temperatures (K) of all frames; kept in ``energies.npz``."""
    kept, found = folder / "energies.npz", []
    if kept.exists():
        found = np.load(kept)["found"].tolist()
    system = System(folder)
    for number, (time, atoms) in enumerate(Trajectory(folder / "mix.extxyz").frames()):
        if number < len(found):
            continue
        known = system.know(atoms.positions)
        velocities = velocities_of(atoms, folder, time)
        kinetic = 0.5 * float(np.sum(system.masses[:, None] * velocities**2))
        weights = atoms.arrays["mix_weight"]
        mixed = known.cheap_energy[""] + weights @ (known.sites - known.cheap_sites[""])
        kelvin = 2.0 * kinetic / ((3 * len(atoms) - 3) * units.kB)
        found.append([1e-3 * time, kinetic + mixed, kelvin])
        np.savez(kept, found=found)
    times, total, temperatures = np.array(found).T
    return times, total, temperatures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cheap", default="si-uf3", help="of ipi_inputs/potentials")
    parser.add_argument("--core", type=float, default=4.0)
    parser.add_argument("--blend", type=float, default=4.0)
    parser.add_argument("--profile", default="linear")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument(
        "--expected", type=float, default=80.0, help="meV/ps of 511 atoms, for the error bar"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not given.folder.exists():
        prepare(given.folder, given)
    run(given.folder, given.steps)
    times, total, temperatures = energies(given.folder)
    begin = int(np.searchsorted(times, SKIPPED))
    times, total, temperatures = times[begin:], total[begin:], temperatures[begin:]
    timestep, kelvin = float(times[1] - times[0]), float(temperatures.mean())
    climbed = climb([total], timestep, kelvin, 1e-3 * given.expected)
    warmed = slope(times, temperatures)
    report = {
        "cheap": given.cheap,
        "weights": f"{given.profile} {given.core:g}/{given.blend:g}, frozen",
        "temperature": kelvin,
        **climbed.values(7999),
        "warming": warmed.value,
        "warming_error": warmed.error,
    }
    print(json.dumps(report, indent=1))
    if given.json:
        write(given.json, {"large": report})


if __name__ == "__main__":
    main()
