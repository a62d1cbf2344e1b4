"""The LAMMPS program on inputs written out here, as an oracle for what drives its library."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.lammpsdata import write_lammps_data
from mixpi.drivers import lammps


def run_lammps(folder: Path, atoms: Atoms, commands: list[str]) -> None:
    """Run commands on a system, types in alphabetical order; dumps lie in the folder."""
    folder.mkdir(exist_ok=True)
    wrapped = atoms.copy()
    wrapped.wrap()
    write_lammps_data(folder / "oracle.data", wrapped, masses=True, atom_style="atomic",
                      specorder=sorted(set(atoms.symbols)))  # fmt: skip
    head = ["units metal", "atom_style atomic", "atom_modify map yes", "box tilt large",
            "read_data oracle.data"]  # fmt: skip
    (folder / "oracle.in").write_text("\n".join([*head, *commands]) + "\n")
    env = lammps.environment() | {"LAMMPS_POTENTIALS": str(lammps.potential_folders()[0])}
    done = subprocess.run(
        lammps.command("oracle.in"), cwd=folder, env=env, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def read_dump(path: Path) -> dict[int, np.ndarray]:
    """Step → columns of a dump sorted by id, without the id."""
    frames = {}
    for text in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        step, body = int(text.split()[0]), text.split("ITEM: ATOMS")[1].split("\n", 1)[1]
        table = np.loadtxt(body.splitlines(), ndmin=2)
        frames[step] = table[np.argsort(table[:, 0])][:, 1:]
    return frames


def computed(
    folder: Path,
    atoms: Atoms,
    compute: str,
    potential: tuple[str, ...] = ("pair_style zero 9.0", "pair_coeff * *"),
    column: str = "",
) -> np.ndarray:
    """The values of a compute."""
    commands = [
        *potential,
        "comm_modify cutoff 20.0",
        f"compute v all {compute}",
        f"dump d all custom 1 v.dump id c_v{column}",
        "dump_modify d format float %.17g sort id",
        "run 0",
    ]
    run_lammps(folder, atoms, commands)
    return read_dump(folder / "v.dump")[0][:, 0]
