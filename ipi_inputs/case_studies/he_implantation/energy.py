"""How much energy a collision gains or loses by its time steps, as JSON and as a table.

python energy.py [SHOTS]

Helium of 80 eV on 72 W at rest, on the cheap potential, and ZBL between He and W, which reaches
further than in mixing.yaml: so energies are true ones, and as stiff as a collision is. Velocity
Verlet with steps by the rule of 'time_step:', of several lengths, for the same shots; and without
the part of the rule by which no step is much longer than the one before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms, units
from ase.build import bcc100
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup
from mixpi.ipi.time_step import GROWTH
from shot import HEIGHT, shot


HERE = Path(__file__).resolve().parent
POTENTIALS, TARGET = HERE.parents[1] / "potentials", HERE / "results" / "energy.json"
#: eV; fs that a shot takes, and that its longest step takes; Å that the fastest atom moves in one.
ENERGY, TIME, LONGEST, DISPLACEMENTS = 80.0, 60.0, 1.0, (0.01, 0.02, 0.04, 0.08)
#: The same, and that rule in words.
FREE, RULES = (0.02, 0.04), {GROWTH: "limited", np.inf: "free"}
#: Å; where ZBL between He and W is switched off.
SWITCHED = "zbl 1.3 2.2"


def calculator() -> LammpsCalculator:
    """The cheap potential of mixing.yaml with helium in it."""
    lammps = yaml.safe_load((HERE / "mixing.yaml").read_text())["cheap"]["lammps"]
    lines = [line.replace("zbl 0.84 1.4", SWITCHED) for line in lammps["potential"]]
    return LammpsCalculator(LammpsSetup(lines, lammps["species"], POTENTIALS))


def slab() -> Atoms:
    """At rest."""
    atoms = bcc100("W", (3, 3, 8), a=3.198, vacuum=10.0, periodic=True)
    atoms.arrays["velocities"] = np.zeros((len(atoms), 3))
    return atoms


def fly(atoms: Atoms, displacement: float, growth: float) -> dict[str, float]:
    """One shot: its steps, how close helium came, and what became of the energy (eV)."""
    masses, top = atoms.get_masses()[:, None], atoms.positions[-1, 2]
    others, closest, changes = range(len(atoms) - 1), np.inf, []
    x, v, forces = atoms.positions.copy(), atoms.get_velocities(), atoms.get_forces()
    start = atoms.get_total_energy()
    time, dt = 0.0, LONGEST * units.fs
    while time < TIME * units.fs and -HEIGHT < x[-1, 2] < top + 0.1:
        fastest = np.linalg.norm(v, axis=1).max()
        dt = min(dt * growth, LONGEST * units.fs, displacement / fastest)
        v += 0.5 * dt * forces / masses
        x += dt * v
        atoms.positions = x
        forces = atoms.get_forces()
        v += 0.5 * dt * forces / masses
        time += dt
        kinetic = 0.5 * float(np.sum(masses * v**2))
        changes.append(atoms.get_potential_energy() + kinetic - start)
        closest = min(closest, atoms.get_distances(-1, others, mic=True).min())
    return {"steps": len(changes), "closest_A": closest, "end_eV": changes[-1],
            "largest_eV": float(np.abs(changes).max())}  # fmt: skip


def main() -> None:
    shots, lammps, found = int(sys.argv[1]) if len(sys.argv) > 1 else 4, calculator(), {}
    print("| Å in a step | growth | steps | energy at the end, rms (eV) | largest change (eV) |")
    print("|---|---|---|---|---|")
    for growth, rule in RULES.items():
        for displacement in DISPLACEMENTS if rule == "limited" else FREE:
            some = []
            for number in range(1, shots + 1):
                atoms = shot([slab()], number, ENERGY)
                atoms.calc = lammps
                some.append(fly(atoms, displacement, growth))
            found[f"{displacement:g} {rule}"] = some
            print(f"| {displacement:g} | {rule} | {in_words(some)} |", flush=True)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(found, indent=1) + "\n")


def in_words(shots: list[dict[str, float]]) -> str:
    """Cells of the table."""
    steps, end, largest = (
        np.array([one[key] for one in shots]) for key in ("steps", "end_eV", "largest_eV")
    )
    return f"{steps.mean():.0f} | {np.sqrt(np.mean(end**2)):.3f} | {largest.max():.3f}"


if __name__ == "__main__":
    main()
