"""A per-atom compute of LAMMPS on geometry after geometry of one system, in this process."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..files.working_folder import inside
from ..regions.classifiers import require_finite
from ..regions.periodic import PeriodicCell
from .config import DriverConfig
from .lammps import LammpsSetup, potential_folders
from .lammps_cluster_driver import LammpsClusterDriver
from .lammps_compute_command import ComputeCommand
from .lammps_data import lammps_frame
from .lammps_driver import LammpsDriver
from .lammps_library import open_lammps, read_input, words_of
from .lammps_potential import read_lines
from .lammps_species import named_species
from .lammps_surroundings import Surroundings


#: Å; how far lists of neighbours go at first, and at most: their memory grows with the third power.
FIRST_REACH, LARGEST_REACH = 8.0, 20.0
#: By how much they grow.
GROWTH = 1.5
#: Å; of the atoms, out of their symmetry, to see whether values depend on something.
DISPLACED = 0.1
#: Relative; how much values may differ by the order of a sum.
SAME = 1e-9
#: Å/ps; velocities by which it is seen whether values depend on them.
PROBE = 5.0
#: What LAMMPS says where lists are too short for a compute.
_TOO_FAR = re.compile(r"ERROR.* cutoff (is longer than|exceeds)")
_VALUE, _SUM = "mixpi_value", "mixpi_sum"


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
    among : ndarray of bool, shape (n,), or None
        Whose values are wanted; None for all. Where it is known how far others decide about them
        (:attr:`.ComputeCommand.sees`), and without a potential, LAMMPS then has only these atoms
        and those around them; the values are those that it has with all, to the last bit.

    Attributes
    ----------
    reach : float or None
        Å; of the lists of neighbours; None if they are those of a potential.
    around : Surroundings or None
        Which atoms LAMMPS has; None for all.

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
        among: np.ndarray | None = None,
    ) -> None:
        self._command = ComputeCommand.read(command)
        self._name = self._command.text
        self._atoms, self._setup, self._folder = atoms.copy(), setup, folder.absolute()
        self._here = np.arange(len(atoms))
        self._lmp: Any = None
        self._evaluations = 0
        self._complaint: MixpiError | None = None
        self.reach: float | None = None
        self.around: Surroundings | None = None
        if setup is None:
            self._find_reach()
        else:
            self._open()
        self._require_positions_alone()
        if among is not None and self.reach and self._command.sees:
            self.around = Surroundings(among, self._command.sees * self.reach)

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
            Finite; with :attr:`around` NaN for the atoms that are not ``among``.

        Raises
        ------
        MixpiError
            If LAMMPS ends with an error, in its own words.
        """
        before = len(self._here)
        if self.around is not None:
            self._here = self.around.atoms(positions, cell)
        is_same = len(self._here) == before and np.array_equal(cell, self._atoms.cell.array)
        if self._lmp is None or not is_same:
            self._atoms.set_cell(cell)
            self._open()
        return self._computed(positions)

    @property
    def note(self) -> str:
        """How far neighbours are listed, for people; empty with a potential."""
        if self.reach is None:
            return ""
        lists = f"LAMMPS lists neighbours to {self.reach:.3g} Å"
        if self.around is None:
            return lists
        return f"{lists}, of atoms within {self.around.distance:.3g} Å of those in 'among'"

    def close(self) -> None:
        """Let LAMMPS go; the next evaluation starts another."""
        lmp, self._lmp = self._lmp, None
        if lmp is not None:
            lmp.close()

    def _find_reach(self) -> None:
        """Open LAMMPS with lists as short as the values allow."""
        volume = PeriodicCell(self._atoms.cell.array).volume
        spacing = float((volume / len(self._atoms)) ** (1 / 3))
        start = min(2 * spacing, FIRST_REACH)
        longer, expected = GROWTH * start, self._tried(GROWTH * start)
        # nearly always the start is enough, and is the last that is opened
        reach, values = start, self._tried(start)
        while expected is None or values is None or not _same(values, expected):
            if longer >= LARGEST_REACH:
                raise MixpiError(
                    f"{self._complaint}; here it may be {LARGEST_REACH / GROWTH:.0f} Å at most"
                    if values is None
                    else f"seeds: the values of '{self._name}' depend on how far lists of "
                    f"neighbours go, beyond {reach:.3g} Å: give it a cutoff of its own"
                )
            reach, values, longer = longer, expected, min(GROWTH * longer, LARGEST_REACH)
            expected = self._tried(longer)
        for length in self._command.lengths:
            # lists are made through bins of half their length, which should not be more than atoms
            length = max(length, spacing)
            if length < reach:
                values = self._tried(length)
                if values is not None and _same(values, expected):
                    return
        if self.reach != reach or self._lmp is None:
            self.reach = reach
            self._open()

    def _tried(self, reach: float) -> np.ndarray | None:
        """Values with lists to a reach (Å), shape (2, n); None if LAMMPS wants longer ones."""
        still, rng = self._atoms.positions, np.random.default_rng(0)
        places = still, still + rng.normal(0.0, DISPLACED, still.shape)
        self.reach = reach
        try:
            self._open()
            return np.array([self._computed(positions) for positions in places])
        except MixpiError as error:
            if not _TOO_FAR.search(str(error)):
                raise
            self._complaint = error
            return None

    def _require_positions_alone(self) -> None:
        """Refuse values that depend on earlier geometries, or on velocities, which nobody gives."""
        positions, rng = self._atoms.positions, np.random.default_rng(0)
        still = self._computed(positions)
        self._computed(positions + rng.normal(0.0, DISPLACED, positions.shape))
        if not np.array_equal(still, self._computed(positions)):
            raise MixpiError(
                f"seeds: the values of '{self._name}' depend on earlier geometries, which a run "
                "that is continued does not have"
            )
        self._velocities[:] = rng.normal(0.0, PROBE, positions.shape)
        moving = self._computed(positions)
        self._velocities[:] = 0.0
        if not np.array_equal(still, moving):
            way = ": write '... NULL virial' for the part that does not"
            raise MixpiError(
                f"seeds: the values of '{self._name}' depend on the velocities of the atoms, which "
                f"LAMMPS does not have here{way if 'stress/atom' in self._command.style else ''}"
            )

    @property
    def _velocities(self) -> np.ndarray:
        return self._lmp.numpy.extract_atom("v")[: len(self._atoms)]

    def _open(self) -> None:
        """Start LAMMPS with the system and the compute."""
        self.close()
        commands = [
            # lists are new each time, so a skin would be wasted
            "neighbor 0.0 bin",
            "neigh_modify one 10000 page 200000",
            # sums over neighbours are then always in one order
            "atom_modify sort 0 0.0",
        ]
        setup = self._setup
        if setup is None:
            assert self.reach is not None  # without a potential there is one
            # full lists are what computes want: they then make none of their own
            zero = [f"pair_style zero {self.reach!r} full", "pair_coeff * *"]
            setup = LammpsSetup(zero, sorted(set(self._atoms.symbols)))
            # LAMMPS wants it so for computes that look at the neighbours of neighbours
            commands.append(f"comm_modify cutoff {2 * self.reach!r}")
        species = setup.types_of(self._atoms)
        self._types = 1 + np.array([species.index(symbol) for symbol in self._atoms.symbols])
        lmp = open_lammps()
        try:
            with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
                read_input(lmp, setup.write(self._atoms[self._here], Path(folder), commands))
            self._box, self._rotation = lammps_frame(self._atoms.cell.array)
            self._place(lmp, self._atoms.positions)
            with inside(self._folder):
                self._define(lmp)
        except BaseException:
            lmp.close()
            raise
        self._lmp = lmp

    def _define(self, lmp: Any) -> None:
        wanted = self._command
        column = f"[{wanted.column}]" if wanted.column else ""
        try:
            lmp.command(f"compute {_VALUE} all {wanted.definition}")
        except Exception as error:  # LAMMPS raises nothing more special
            raise self._refused(error) from None
        try:
            # LAMMPS computes what thermo output asks for, with all that it needs
            lmp.command(f"compute {_SUM} all reduce sum c_{_VALUE}{column}")
            lmp.command(f"thermo_style custom c_{_SUM}")
        except Exception as error:
            raise MixpiError(
                f"seeds: '{self._name}' has no value for each atom: {_words_of(error)}. Of several "
                f"values a column is chosen by its number: '{wanted.style}[1] ...'"
            ) from None

    def _computed(self, positions: np.ndarray) -> np.ndarray:
        lmp = self._lmp
        try:
            self._place(lmp, positions)
            # by the step LAMMPS knows which bins and lists are old
            self._evaluations += 1
            lmp.command(f"reset_timestep {self._evaluations}")
            lmp.command("run 0 post no")
            values = self._gathered(lmp)
        except BaseException as error:
            # after an error an instance can crash in the next command
            self.close()
            if not isinstance(error, Exception):
                raise
            raise self._refused(error) from None
        if self.around is None:
            return require_finite(values, f"'{self._name}'")
        # at the rim neighbours are missing
        values[~self.around.among] = np.nan
        return require_finite(values, f"'{self._name}'", self.around.among)

    def _place(self, lmp: Any, positions: np.ndarray) -> None:
        """Put the atoms into the box, and let LAMMPS know in which cell each of them is."""
        turned = positions @ self._rotation
        cells = np.floor(turned @ np.linalg.inv(self._box))
        order, count = self._order(lmp), len(self._here)
        lmp.numpy.extract_atom("x")[:count] = (turned - cells @ self._box)[order]
        lmp.numpy.extract_atom("type")[:count] = self._types[order]
        packed = lmp.numpy.extract_atom("image")
        bits = 10 if packed.dtype.itemsize == 4 else 21
        fields = (cells[order].astype(np.int64) + (1 << bits - 1)) & ((1 << bits) - 1)
        packed[:count] = fields @ (1 << bits * np.arange(3))

    def _order(self, lmp: Any) -> np.ndarray:
        """Which atom stands at each place of LAMMPS's arrays."""
        return self._here[lmp.numpy.extract_atom("id")[: len(self._here)] - 1]

    def _gathered(self, lmp: Any) -> np.ndarray:
        """The values in the order of the atoms.

        Not by LAMMPS's own ways to gather or to view them: of an array that has one column they
        give pointers for numbers, or none.
        """
        from lammps import LMP_SIZE_COLS, LMP_STYLE_ATOM, LMP_TYPE_ARRAY, LMP_TYPE_VECTOR

        count, found = len(self._here), np.full(len(self._atoms), np.nan)
        order = self._order(lmp)
        if self._command.column is None:
            vector = lmp.extract_compute(_VALUE, LMP_STYLE_ATOM, LMP_TYPE_VECTOR)
            found[order] = np.ctypeslib.as_array(vector, (count,))
        else:
            columns = lmp.extract_compute(_VALUE, LMP_STYLE_ATOM, LMP_SIZE_COLS)
            rows = lmp.extract_compute(_VALUE, LMP_STYLE_ATOM, LMP_TYPE_ARRAY)
            table = np.ctypeslib.as_array(rows[0], (count, columns))
            found[order] = table[:, self._command.column - 1]
        return found

    def _refused(self, error: Exception) -> MixpiError:
        return MixpiError(f"seeds: LAMMPS cannot compute '{self._name}': {_words_of(error)}")


def open_compute(
    command: str,
    potential: Sequence[str] | None,
    cheap: DriverConfig,
    home: Path,
    atoms: Atoms,
    *,
    among: np.ndarray | None = None,
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
    among : ndarray of bool, shape (n,), or None
        As for :class:`LammpsCompute`.

    Raises
    ------
    MixpiError
        As :class:`LammpsCompute`; or if it needs a potential, and the cheap one is none of LAMMPS.
    """
    setup: LammpsSetup | None = None
    if potential is not None:
        setup = LammpsSetup(potential, _species_of(potential, home), home)
    elif ComputeCommand.read(command).needs_potential:
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
    return LammpsCompute(command, atoms, setup=setup, folder=home, among=among)


def _species_of(potential: Sequence[str], home: Path) -> list[str] | None:
    """The species of a potential's atom types; None, alphabetical, where it does not name them."""
    try:
        return named_species(read_lines(potential, home, potential_folders()))
    except MixpiError:
        return None


def _words_of(error: Exception) -> str:
    """What LAMMPS says, without the line, in which the user's words have been given a name."""
    return words_of(error).partition("\nLast input line")[0]


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether values are equal, but for the order of sums."""
    return np.allclose(one, other, rtol=SAME, atol=SAME * np.abs(other).max())
