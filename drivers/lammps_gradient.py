"""Whether the forces of a LAMMPS are the gradient of its energy, and those of the plain style.

Styles for accelerators are other code than the plain ones: the three-body forces of ``uf3/kk``
were seen to be off by 3.8e-5 eV/Å. Any program can be asked, with any flags: it runs as the
driver does, on one small structure.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..run.processes import run_to_end
from .lammps import LammpsSetup, failure
from .lammps_commands import ACCELERATED
from .programs import split_words


#: Å; small, because the third derivative of a cubic spline jumps at its knots.
STEP = 2e-4
#: Central differences of fourth order: places in steps, and their weights.
_PLACES, _WEIGHTS = (-2, -1, 1, 2), (1 / 12, -8 / 12, 8 / 12, -1 / 12)
#: eV/Å; larger differences are a fault. Plain styles were seen to be within 3e-9.
TOLERANCE = 5e-6
#: Flags that choose an accelerator, and what follows them.
_FLAGS = ("-k", "-kokkos", "-sf", "-suffix", "-pk", "-package")
#: Lines that do so.
_LINES = ("suffix", "package")
#: Atoms of a piece that is looked at, Å of empty space around it, and Å that its atoms are moved.
PIECE, EMPTY, DISPLACED = 64, 12.0, 0.05
#: s.
PATIENCE = 600.0


@dataclass(frozen=True)
class Consistency:
    """What a comparison of forces has found; eV/Å.

    Attributes
    ----------
    gradient : float
        Largest difference from −dE/dx, of the components that were looked at.
    plain : float or None
        Largest difference of any component from the plain style; None if that is what was asked.
    largest : float
        Largest force component.
    components : int
        That were compared with the gradient.
    """

    gradient: float
    plain: float | None
    largest: float
    components: int

    @property
    def fault(self) -> str:
        """What is wrong, for a warning; empty if nothing is."""
        if not self.gradient <= TOLERANCE:
            found = f"the forces are off by {self.gradient:.1e} eV/Å from the gradient"
            plain = self.plain is None or self.plain <= TOLERANCE
            also = "" if plain else f", and by {self.plain:.1e} eV/Å from the plain style"
            return f"{found} of the energy{also}: dynamics will not conserve it"
        if self.plain is not None and not self.plain <= TOLERANCE:
            return f"the forces are off by {self.plain:.1e} eV/Å from those of the plain style"
        return ""


def compare_forces(
    setup: LammpsSetup,
    atoms: Atoms,
    command: Callable[[str], Sequence[str]],
    arguments: str = "",
    *,
    environment: Mapping[str, str],
    probes: int = 4,
    seed: int = 1,
) -> Consistency:
    """Compare the forces of a LAMMPS program with the gradient and with the plain style.

    Parameters
    ----------
    setup : LammpsSetup
        Potential and species.
    atoms : Atoms
        Small, and without symmetry: at rest all forces vanish, and nothing is seen.
    command : callable
        The command line for given flags, such as ``lambda flags:
        lammps.command(executable=..., arguments=flags)``.
    arguments : str
        The flags that are asked about, e.g. "-k on t 2 -sf kk".
    environment : mapping
        Of the program.
    probes : int
        Atoms that are moved, each in three directions.
    seed : int
        Which ones.

    Returns
    -------
    Consistency

    Raises
    ------
    MixpiError
        If LAMMPS fails: with its own words.
    """
    rng = np.random.default_rng(seed)
    moved = rng.choice(len(atoms), size=min(probes, len(atoms)), replace=False).tolist()
    forces, slopes = _forces(setup, atoms, command(arguments), environment, moved)
    plain_setup = LammpsSetup(plain_lines(setup.potential), setup.species, setup.folder)
    plain_flags = plain_arguments(arguments)
    plain = None
    if plain_flags != arguments or list(plain_setup.potential) != list(setup.potential):
        wanted, _ = _forces(plain_setup, atoms, command(plain_flags), environment, [])
        plain = float(np.abs(forces - wanted).max())
    return Consistency(
        gradient=float(np.abs(forces[moved] + slopes).max()),
        plain=plain,
        largest=float(np.abs(forces).max()),
        components=slopes.size,
    )


def piece_of(atoms: Atoms) -> Atoms:
    """A small piece of a system around an atom of its rarest species, out of equilibrium.

    Parameters
    ----------
    atoms : Atoms
        Of any size.

    Returns
    -------
    Atoms
        The whole of a small one; of a large one the atoms nearest to that one, in empty space.
    """
    kinds, counts = np.unique(atoms.numbers, return_counts=True)
    centre = int(np.flatnonzero(atoms.numbers == kinds[np.argmin(counts)])[0])
    piece = atoms.copy()
    if len(atoms) > PIECE:
        away = atoms.get_distances(centre, range(len(atoms)), mic=True, vector=True)
        nearest = np.sort(np.argsort(np.linalg.norm(away, axis=1))[:PIECE])
        piece = atoms[nearest]
        piece.positions = away[nearest]
        piece.center(vacuum=EMPTY)
    piece.set_constraint()
    piece.rattle(DISPLACED, seed=1)
    return piece


def plain_arguments(arguments: str) -> str:
    """Flags without those that choose an accelerator."""
    kept: list[str] = []
    skipped = False
    for word in split_words(arguments, "arguments"):
        if re.match(r"-+[A-Za-z]", word):
            skipped = word.replace("--", "-", 1) in _FLAGS
        kept += [] if skipped else [word]
    return " ".join(kept)


def plain_lines(potential: Sequence[str]) -> list[str]:
    """Lines of a potential with the plain styles in the place of those for accelerators."""
    plain = []
    for line in "\n".join(potential).split("\n"):
        words = line.split()
        if words[:1] and words[0] in _LINES:
            continue
        if words[:1] in (["pair_style"], ["pair_coeff"]):
            line = " ".join(ACCELERATED.sub("", word) for word in words)
        plain.append(line)
    return plain


def _forces(
    setup: LammpsSetup,
    atoms: Atoms,
    argv: Sequence[str],
    environment: Mapping[str, str],
    moved: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Forces (n, 3) and dE/dx of the moved atoms (k, 3) in LAMMPS's frame; eV/Å."""
    commands = [
        "thermo_style custom pe",
        "thermo_modify norm no format float %.17g",
        "run 0",
        "write_dump all custom forces.dump id fx fy fz modify sort id format float %.17g",
    ]
    for k in moved:
        commands += [f"group probe id {k + 1}"]
        for a in range(3):
            at = 0
            for place in (*_PLACES, 0):
                step = np.zeros(3)
                step[a] = (place - at) * STEP
                x, y, z = (f"{value:.17g}" for value in step)
                commands += [f"displace_atoms probe move {x} {y} {z} units box"]
                commands += ["run 0"] if place else []
                at = place
        commands += ["group probe delete"]
    with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
        setup.write(atoms, Path(folder), commands)
        done = run_to_end(argv, PATIENCE, "LAMMPS", env=environment, cwd=folder)
        if done.returncode:
            raise failure(done.stdout + done.stderr)
        text = (Path(folder) / "forces.dump").read_text().splitlines()
    start = next(k for k, line in enumerate(text) if line.startswith("ITEM: ATOMS")) + 1
    forces = np.loadtxt(text[start:], ndmin=2)[:, 1:]
    rows = re.findall(r"^\s*PotEng\s*\n\s*(\S+)\s*$", done.stdout, re.M)
    if len(rows) != 1 + 3 * len(_PLACES) * len(moved):
        raise MixpiError("LAMMPS did not print the energies that were asked for (-screen none?)")
    energies = np.array(rows[1:], dtype=float).reshape(len(moved), 3, len(_PLACES))
    return forces, energies @ np.array(_WEIGHTS) / STEP
