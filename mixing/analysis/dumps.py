"""LAMMPS's dumps, as ASE reads them: what it would take for something else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ase import Atoms

from ..errors import MixpiError
from .motion import has_velocities, kinetic_temperature, velocities_of


#: Lines of a dump among which its first frame says what its columns are.
_HEADER = 40
#: K; moving atoms that are colder were written in other units than they are read in.
COLDEST = 0.01


def is_dump(path: Path) -> bool:
    """Whether a file begins as LAMMPS's text dumps do."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(5) == b"ITEM:"


def require_known_columns(path: Path) -> None:
    """Refuse a dump whose units, elements or order of atoms ASE cannot know.

    Parameters
    ----------
    path : Path
        A dump.

    Raises
    ------
    MixpiError
        If it says that it is in other units than metal, or lacks ``id`` or ``element``.
    """
    header = dict(_items(path))
    units = header.get("UNITS", "metal")
    if units != "metal":
        raise MixpiError(
            f"{path} is in LAMMPS's units '{units}', but would be read as 'metal' (Å, ps, eV): "
            "write it anew in metal units"
        )
    columns = header.get("ATOMS", "").split()
    if "id" not in columns:
        raise MixpiError(
            f"{path} has no column 'id', and LAMMPS writes atoms in any order: nobody can tell "
            "which is which (dump ... custom ... id element x y z)"
        )
    if "element" not in columns:
        raise MixpiError(
            f"{path} has no column 'element': types would be taken for atomic numbers, and masses "
            "would be wrong (dump ... custom ... id element x y z; dump_modify ... element W He)"
        )


def _items(path: Path) -> Iterator[tuple[str, str]]:
    """What the header of the first frame says: the line itself, or the one below it."""
    with path.open(errors="replace") as stream:
        lines = list(islice(stream, _HEADER))
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("ITEM: ATOMS"):
            yield "ATOMS", line.removeprefix("ITEM: ATOMS").strip()
            return
        if line.startswith("ITEM:"):
            yield line.removeprefix("ITEM:").strip(), below.strip()


def drop_placeholder(atoms: Atoms) -> None:
    """Take the energy off a frame of a dump, which has none: ASE puts a zero beside its forces."""
    if atoms.calc is not None:
        atoms.calc.results.pop("energy", None)


def require_metal(atoms: Atoms, path: Path) -> None:
    """Refuse a frame that is too cold to be in the units that it was read in.

    Dumps rarely name their units. Velocities in LAMMPS's ``real`` are a thousandth of those in
    ``metal``, and temperatures a millionth.

    Parameters
    ----------
    atoms : Atoms
        A frame of a dump.
    path : Path
        For the message.

    Raises
    ------
    MixpiError
        If it has velocities, and these are of less than a hundredth of a kelvin.
    """
    if not has_velocities(atoms):
        return
    kelvin = kinetic_temperature(atoms, velocities_of(atoms, path, 0.0), fixed_centre=False)
    if kelvin < COLDEST:
        raise MixpiError(
            f"{path}: its atoms have {kelvin:.1g} K if it is in LAMMPS's units 'metal' (Å, ps, "
            "eV), as which it is read. Was it written in others ('real')? Write it anew in metal"
        )
