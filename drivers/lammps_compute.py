"""A per-atom compute of LAMMPS on geometry after geometry of one system, in this process."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..regions.classifiers import require_finite
from ..regions.periodic import PeriodicCell
from .config import DriverConfig
from .lammps import LammpsSetup, potential_folders
from .lammps_cluster_driver import LammpsClusterDriver
from .lammps_commands import CODE, PACKED, require_unambiguous
from .lammps_data import lammps_frame
from .lammps_driver import LammpsDriver
from .lammps_library import open_lammps, read_input, words_of
from .lammps_potential import read_lines
from .lammps_species import named_species


#: Computes whose values come from forces or energies, and words of others that do.
FROM_POTENTIAL = re.compile(r"pe/atom|(centroid/)?stress/atom|\w+(/\w+)*/tally")
FORCES = frozenset(("fx", "fy", "fz"))
#: Å; how far lists of neighbours go at first, at most, and the most where the compute asks.
FIRST_REACH, LARGEST_REACH, LARGEST_ASKED = 8.0, 16.0, 30.0
#: By how much they grow.
GROWTH = 1.5
#: Relative; how much values may differ by the order of a sum.
SAME = 1e-9
#: Å/ps; velocities by which it is seen whether values depend on them.
PROBE = 5.0
_VALUE, _SUM = "mixpi_value", "mixpi_sum"
_STYLE = re.compile(r"(?P<style>[\w/]+)(\[(?P<column>\d+)\])?")


class LammpsCompute:
    """The values of a compute, in the order of the atoms.

    They depend on the positions alone, to the last digit: neighbours are found anew each time, in
    an order that is that of the atoms.

    Parameters
    ----------
    command : str
        As in LAMMPS's input, without ``compute ID group``; ``style[k] ...`` for column k of an
        array.
    atoms : Atoms
        The system; any periodic cell.
    setup : LammpsSetup or None
        A potential, for computes that need forces or energies. Without one there are lists of
        neighbours alone, as far as the values depend on.
    folder : Path
        Where files are that the command names.

    Attributes
    ----------
    reach : float or None
        Å; of the lists of neighbours; None if they are those of a potential.

    Raises
    ------
    MixpiError
        If LAMMPS is not installed or refuses the command, with its own words; or the values
        depend on more than positions.
    """

    def __init__(
        self,
        command: str,
        atoms: Atoms,
        *,
        setup: LammpsSetup | None = None,
        folder: Path = Path("."),
    ) -> None:
        self._name = " ".join(command.split())
        self._style, self._column = _parsed(command)
        self._atoms, self._setup, self._folder = atoms.copy(), setup, folder.absolute()
        self._lmp: Any = None
        self.reach: float | None = None
        if setup is None:
            self._find_reach()
        else:
            self._open(None)
        self._require_positions_alone()

    def values(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """The value of each atom.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å; atoms may be any number of cells from home.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        ndarray, shape (n,)
            Finite.

        Raises
        ------
        MixpiError
            If LAMMPS ends with an error, in its own words.
        """
        if self._lmp is None or not np.array_equal(cell, self._atoms.cell.array):
            self._atoms.set_cell(cell)
            self._open(self.reach)
        return self._computed(positions)

    @property
    def note(self) -> str:
        """How far neighbours are listed, for people; empty with a potential."""
        return f"LAMMPS lists neighbours to {self.reach:.3g} Å" if self.reach else ""

    def close(self) -> None:
        """Let LAMMPS go; the next evaluation starts another."""
        lmp, self._lmp = self._lmp, None
        if lmp is not None:
            lmp.close()

    def _find_reach(self) -> None:
        """Open LAMMPS with lists as short as the values allow."""
        spacing = (PeriodicCell(self._atoms.cell.array).volume / len(self._atoms)) ** (1 / 3)
        reach = float(min(2 * spacing, FIRST_REACH))
        shorter: tuple[float, np.ndarray] | None = None
        while True:
            values = self._tried(reach)
            if values is not None and shorter is not None:
                if np.allclose(values, shorter[1], rtol=SAME, atol=SAME * np.abs(values).max()):
                    break
                if reach > LARGEST_REACH:
                    raise MixpiError(
                        f"seeds: the values of '{self._name}' change with how far lists of "
                        f"neighbours go, still at {reach:.3g} Å: give it a cutoff of its own"
                    )
            shorter = (reach, values) if values is not None else None
            reach *= GROWTH
        self.reach = shorter[0]
        self._open(self.reach)

    def _tried(self, reach: float) -> np.ndarray | None:
        """The values with lists to a reach (Å); None if LAMMPS wants longer ones."""
        try:
            self._open(reach)
            return self._computed(self._atoms.positions)
        except MixpiError as error:
            if "cutoff" not in str(error) or reach * GROWTH > LARGEST_ASKED:
                raise
            return None

    def _require_positions_alone(self) -> None:
        """Refuse values that depend on velocities, which nobody gives, or on earlier geometries."""
        positions = self._atoms.positions
        rng = np.random.default_rng(0)
        still = self._computed(positions)
        self._velocities[:] = rng.normal(0.0, PROBE, positions.shape)
        moving = self._computed(positions)
        self._velocities[:] = 0.0
        if not np.array_equal(still, moving):
            raise MixpiError(
                f"seeds: the values of '{self._name}' depend on the velocities of the atoms, which "
                "LAMMPS does not have here"
                + (
                    ": write '... NULL virial' for the part that does not"
                    if "stress/atom" in self._style
                    else ""
                )
            )
        self._computed(positions + rng.normal(0.0, 0.1, positions.shape))
        if not np.array_equal(still, self._computed(positions)):
            raise MixpiError(
                f"seeds: the values of '{self._name}' depend on earlier geometries, which a run "
                "that is continued does not have"
            )

    @property
    def _velocities(self) -> np.ndarray:
        return self._lmp.numpy.extract_atom("v")[: len(self._atoms)]

    def _open(self, reach: float | None) -> None:
        """Start LAMMPS with the system and the compute."""
        self.close()
        setup = self._setup
        if setup is None:
            setup = LammpsSetup([f"pair_style zero {reach!r}", "pair_coeff * *"])
        commands = [
            # lists are new each time, so a skin would be wasted
            "neighbor 0.0 bin",
            "neigh_modify one 10000 page 200000",
            # sums over neighbours are then always in one order
            "atom_modify sort 0 0.0",
        ]
        if reach:  # some computes look at the neighbours of neighbours
            commands.append(f"comm_modify cutoff {2 * reach!r}")
        lmp = open_lammps()
        try:
            with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
                read_input(lmp, setup.write(self._atoms, Path(folder), commands))
            self._box, self._rotation = lammps_frame(self._atoms.cell.array)
            self._place(lmp, self._atoms.positions)
            with chdir(self._folder):
                self._define(lmp)
        except BaseException:
            lmp.close()
            raise
        self._lmp = lmp

    def _define(self, lmp: Any) -> None:
        column = f"[{self._column}]" if self._column else ""
        try:
            lmp.command(f"compute {_VALUE} all {self._style}")
        except Exception as error:  # LAMMPS raises nothing more special
            raise self._refused(error) from None
        try:
            # LAMMPS computes what thermo output asks for, with all that it needs
            lmp.command(f"compute {_SUM} all reduce sum c_{_VALUE}{column}")
            lmp.command(f"thermo_style custom c_{_SUM}")
        except Exception as error:
            raise MixpiError(
                f"seeds: '{self._name}' has no value for each atom: {words_of(error)}. Of several "
                f"values a column is chosen by its number: '{self._style.split()[0]}[1] ...'"
            ) from None

    def _computed(self, positions: np.ndarray) -> np.ndarray:
        lmp, count = self._lmp, len(self._atoms)
        try:
            self._place(lmp, positions)
            lmp.command("run 0 post no")
            values = np.empty(count)
            values[lmp.numpy.extract_atom("id")[:count] - 1] = self._extracted(lmp)
        except BaseException as error:
            # after an error an instance can crash in the next command
            self.close()
            if not isinstance(error, Exception):
                raise
            raise self._refused(error) from None
        return require_finite(values, f"'{self._name}'")

    def _place(self, lmp: Any, positions: np.ndarray) -> None:
        """Put the atoms into the box, and let LAMMPS know in which cell each of them is."""
        turned = positions @ self._rotation
        cells = np.floor(turned @ np.linalg.inv(self._box))
        order = lmp.numpy.extract_atom("id")[: len(positions)] - 1
        lmp.numpy.extract_atom("x")[: len(positions)] = (turned - cells @ self._box)[order]
        packed = lmp.numpy.extract_atom("image")
        bits = 10 if packed.dtype.itemsize == 4 else 21
        fields = (cells[order].astype(np.int64) + (1 << bits - 1)) & ((1 << bits) - 1)
        packed[: len(positions)] = fields @ (1 << bits * np.arange(3))

    def _extracted(self, lmp: Any) -> np.ndarray:
        from lammps import LMP_STYLE_ATOM, LMP_TYPE_ARRAY, LMP_TYPE_VECTOR

        count = len(self._atoms)
        if self._column is None:
            return lmp.numpy.extract_compute(_VALUE, LMP_STYLE_ATOM, LMP_TYPE_VECTOR)[:count]
        found = lmp.numpy.extract_compute(_VALUE, LMP_STYLE_ATOM, LMP_TYPE_ARRAY)
        return found[:count, self._column - 1]

    def _refused(self, error: Exception) -> MixpiError:
        return MixpiError(f"seeds: LAMMPS cannot compute '{self._name}': {words_of(error)}")


def open_compute(
    command: str, potential: Sequence[str] | None, cheap: DriverConfig, home: Path, atoms: Atoms
) -> LammpsCompute:
    """A compute as the configuration has it, with a potential if it needs one.

    Parameters
    ----------
    command : str
        As for :class:`LammpsCompute`.
    potential : sequence of str or None
        Lines that the user gave for it.
    cheap : DriverConfig
        Whose potential is taken if it needs one and none was given.
    home : Path
        Folder of the configuration.
    atoms : Atoms
        The system.

    Raises
    ------
    MixpiError
        As :class:`LammpsCompute`; or if it needs a potential, and the cheap one is none of LAMMPS.
    """
    setup: LammpsSetup | None = None
    if potential is not None:
        setup = LammpsSetup(potential, _species_of(potential, home), home)
    elif needs_potential(command):
        driver = cheap.driver
        if not isinstance(driver, LammpsDriver | LammpsClusterDriver):
            raise MixpiError(
                f"seeds: '{command}' needs a potential, and that of 'cheap: {cheap.kind}' is none "
                "of LAMMPS: give one beside it (potential: [pair_style ..., pair_coeff ...])"
            )
        species = driver.species
        if species is None and isinstance(driver, LammpsClusterDriver):
            species = _species_of(driver.potential, home)
        setup = LammpsSetup(driver.potential, species, home)
    return LammpsCompute(command, atoms, setup=setup, folder=home)


def _species_of(potential: Sequence[str], home: Path) -> list[str] | None:
    """The species of a potential's atom types; None, alphabetical, where it does not name them."""
    try:
        return named_species(read_lines(potential, home, potential_folders()))
    except MixpiError:
        return None


def needs_potential(command: str) -> bool:
    """Whether the values of a compute come from forces or energies.

    Parameters
    ----------
    command : str
        As for :class:`LammpsCompute`.
    """
    style, *words = _parsed(command)[0].split()
    if FROM_POTENTIAL.fullmatch(style):
        return True
    return style == "property/atom" and bool(FORCES & set(words))


def _parsed(command: str) -> tuple[str, int | None]:
    """The command without its column, and that column, from 1.

    Raises
    ------
    MixpiError
        If it could be more than a compute.
    """
    words = require_unambiguous(command).split()
    found = _STYLE.fullmatch(words[0]) if words else None
    if found is None:
        raise MixpiError(f"seeds: '{command}' does not begin with the name of a compute")
    for word in words:
        if word in CODE or word.startswith("mliap"):
            raise MixpiError(
                f"seeds: '{command}': {word} may load code, and 'mixpi check' is to be safe on "
                "files of others: write a Python function instead (function)"
            )
        if PACKED.search(word):
            raise MixpiError(f"seeds: '{command}': unpack the file {word}")
    column = int(found["column"]) if found["column"] else None
    return " ".join([found["style"], *words[1:]]), column
