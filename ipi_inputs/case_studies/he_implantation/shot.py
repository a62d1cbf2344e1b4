"""Put a helium atom above a hot slab, on its way down.

python shot.py STATES SKIP NUMBER ENERGY FOLDER

STATES are frames of the slab with velocities (mix.extxyz), of which those of the first SKIP fs are
left out. Shot NUMBER of that ENERGY (eV) begins with one of them, 5 Å above its highest atom, at
normal incidence and a random place. FOLDER gets the atoms as init.extxyz and all velocities as
velocities.xyz, which i-PI reads. Printed is where the shot is over, for 'end: where'.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.units import fs


#: Å above the highest atom of the slab.
HEIGHT = 5.0
#: Å from its site, where an atom has left it: half of the way to the next.
FAR = 1.37


def shot(states: list[Atoms], number: int, energy: float) -> Atoms:
    """The atoms with their velocities; each number has a place of its own.

    Parameters
    ----------
    states : list of Atoms
        Of the slab, with the array ``velocities`` (Å/fs); taken in turns.
    number : int
        From 1.
    energy : float
        Of the helium, eV.
    """
    state = states[number % len(states)]
    atoms = Atoms(state.numbers, state.positions, cell=state.cell, pbc=True)
    atoms.set_velocities(state.arrays["velocities"] / fs)
    random = np.random.default_rng([number, round(1000.0 * energy)])
    place = random.uniform(size=2) @ atoms.cell.array[:2]
    place[2] = state.positions[:, 2].max() + HEIGHT
    helium = Atoms("He", positions=[place])
    helium.set_velocities([[0.0, 0.0, -np.sqrt(2.0 * energy / helium.get_masses()[0])]])
    return atoms + helium


def require_order(states: list[Atoms], slab: Atoms) -> None:
    """Refuse states in which an atom has left its site: the potential bears no surface.

    Parameters
    ----------
    states : list of Atoms
    slab : Atoms
        All at their sites.
    """
    for state in states:
        moved = np.linalg.norm(state.positions - slab.positions, axis=1)
        if moved.max() > FAR:
            raise SystemExit(
                f"the slab has lost its order: at {state.info['time']:g} fs atom {moved.argmax()} "
                f"(from 0) is {moved.max():.1f} Å from its site. Is the surface stable with these "
                "potentials?"
            )


def write(atoms: Atoms, folder: Path) -> None:
    """Write what i-PI reads: it takes velocities from a file of their own."""
    velocities = atoms.get_velocities()
    rows = zip(atoms.symbols, velocities.tolist(), strict=True)
    text = "".join(f"{symbol} {x!r} {y!r} {z!r}\n" for symbol, (x, y, z) in rows)
    (folder / "velocities.xyz").write_text(f"{len(atoms)}\nvelocities in ASE's units\n{text}")
    still = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    still.write(folder / "init.extxyz")


def main() -> None:
    path, skip, number, energy, folder = sys.argv[1:]
    states = [frame for frame in read(path, ":") if frame.info["time"] >= float(skip)]
    require_order(states, read(Path(path).with_name("init.extxyz")))
    write(shot(states, int(number), float(energy)), Path(folder))
    heights = states[int(number) % len(states)].positions[:, 2]
    # beyond where a shot counts as reflected or passed, and above its start
    print(f"z > {heights.max() + HEIGHT + 2.0:.2f} or z < {heights.min() - 4.0:.2f}")


if __name__ == "__main__":
    main()
