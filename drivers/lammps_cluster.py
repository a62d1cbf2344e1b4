"""A LAMMPS potential as driver engine, in this process: clusters of changing size and species.

Stock LAMMPS (:mod:`mixpi.drivers.lammps`) serves one structure for a whole run. Here an
instance stays open with the potential read, and its atoms are exchanged; its cell, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike

from ..errors import MixpiError
from ..files.working_folder import inside
from . import lammps_sites
from .lammps import LammpsSetup, potential_folders
from .lammps_commands import require_harmless_flags
from .lammps_data import folded, lammps_frame
from .lammps_library import open_lammps, read_input, words_of
from .lammps_potential import read_lines
from .lammps_ranks import of_first_rank
from .lammps_reach import cutoff_in, cutoffs_to_see
from .lammps_species import named_species, require_known
from .programs import split_words


#: Side of the empty box in which a potential is first tried, Å.
_FIRST_BOX = 30.0
#: What is computed in each call. Lists are new each time, so a skin would be wasted.
_COMMANDS = (
    "neighbor 0.0 bin",
    # sums over neighbours have one order, whatever was computed before, be it of another run
    "atom_modify sort 0 0.0",
    "compute virial all pressure NULL virial",
    "compute sites all pe/atom",
    "compute total all reduce sum c_sites",
    "thermo_style custom pe c_virial[1]",
    "run 0 post no",
)
#: Terms of ``compute pressure`` in a tensor.
_VOIGT = [[0, 3, 4], [3, 1, 5], [4, 5, 2]]
#: Of the energy: how much the site energies may differ in their sum.
_SAME_SUM = 1e-9


class LammpsClusterEngine:
    """Evaluates a LAMMPS potential on whatever arrives.

    Where this process is one of several MPI ranks, all of them make the engine and call it
    with the same structures (:mod:`mixpi.drivers.lammps_ranks`), and all get the results.

    Parameters
    ----------
    potential : sequence of str
        pair_style and pair_coeff lines, and other settings that belong to them.
    species : sequence of str, optional
        Chemical symbols in the order of LAMMPS's atom types. Default: as the lines name them.
    folder : path-like
        Where potential files are looked for first.
    arguments : str
        Flags of LAMMPS's command line, such as "-sf opt" or "-k on t 2 -sf kk".

    Attributes
    ----------
    numbers : tuple of int
        Atomic numbers that the potential knows.
    cutoff : float or None
        Å; the largest of the pair styles, as LAMMPS reports it.
    interaction_range : float or None
        Å; the force on an atom depends on no atom further away: the cutoff for pair
        potentials, twice the cutoff for sums over sites (EAM, Tersoff, SNAP, UF3, ACE): an
        atom takes part in sites within the cutoff, and these see as far again. None for
        styles of which that is not known.
    has_site_energies : bool
        True: LAMMPS's ``compute pe/atom``.
    has_masked_forces : bool
        False: LAMMPS does not differentiate single site energies.

    Raises
    ------
    MixpiError
        If LAMMPS is not installed, refuses the potential or the flags, or if species and
        potential contradict each other.
    """

    has_site_energies = True
    has_masked_forces = False

    def __init__(
        self,
        potential: Sequence[str],
        *,
        species: Sequence[str] | None = None,
        folder: str | Path = Path("."),
        arguments: str = "",
    ) -> None:
        folder = Path(folder).absolute()
        lines = read_lines(potential, folder, potential_folders())
        self.species = tuple(named_species(lines) if species is None else species)
        require_known(self.species)
        self.potential = tuple(potential)
        self._lines = lines
        self._setup = LammpsSetup(self.potential, self.species, folder)
        self._flags = split_words(arguments, "arguments")
        require_harmless_flags(self._flags, "arguments")
        self.numbers = tuple(atomic_numbers[symbol] for symbol in self.species)
        self._types = np.zeros(len(chemical_symbols), dtype=int)
        self._types[list(self.numbers)] = np.arange(1, len(self.numbers) + 1)
        self._lmp: Any = None
        self._has_sites = False
        self._cell: np.ndarray | None = None
        self._present = np.zeros(0, dtype=int)
        self.cutoff = self._open()
        factor = cutoffs_to_see(lines)
        self.interaction_range = factor * self.cutoff if factor and self.cutoff else None

    @property
    def force_range(self) -> float | None:
        """The interaction range, Å."""
        return self.interaction_range

    def facts(self) -> dict:
        """What the potential is, in plain values."""
        names = ("numbers", "cutoff", "interaction_range")
        return {name: getattr(self, name) for name in names} | {"evaluated_by": "LAMMPS"}

    def require(self, symbols: Iterable[str]) -> None:
        """Refuse species that are none of LAMMPS's atom types.

        Raises
        ------
        MixpiError
            If there is one.
        """
        unknown = [symbol for symbol in symbols if symbol not in self.species]
        if unknown:
            raise MixpiError(
                f"the potential does not know {' '.join(unknown)}; it is for "
                f"{' '.join(self.species)}"
            )

    def evaluate(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, mask: None = None
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (eV/Å) and virial (eV) of a periodic structure.

        Parameters
        ----------
        numbers : array_like of int, shape (m,)
            Atomic numbers.
        positions : array_like, shape (m, 3)
            Å.
        cell : array_like, shape (3, 3)
            Rows are lattice vectors, Å; any orientation and handedness.
        mask : None
            LAMMPS has no derivatives of single site energies.

        Raises
        ------
        MixpiError
            If the potential lacks a species, the structure or the forces have NaN, LAMMPS
            ends with an error (in its own words), or there is a mask.
        """
        if mask is not None:
            raise MixpiError(
                "LAMMPS has no derivatives of single site energies: evaluate all atoms, or let "
                "another engine do the masked ones"
            )
        numbers, positions, cell = self._checked(numbers, positions, cell)
        if not len(numbers):
            return 0.0, np.zeros((0, 3)), np.zeros((3, 3))
        lmp, rotation = self._computed(numbers, positions, cell, "pe c_virial[1]")
        return self._whole(lmp, rotation, cell)

    def evaluate_with_sites(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate`, and with it :meth:`site_energies`."""
        numbers, positions, cell = self._checked(numbers, positions, cell)
        if not len(numbers):
            return 0.0, np.zeros((0, 3)), np.zeros((3, 3)), np.zeros(0)
        lmp, rotation = self._computed(numbers, positions, cell, "pe c_virial[1] c_total")
        return *self._whole(lmp, rotation, cell), self._sites(lmp)

    def _whole(
        self, lmp: Any, rotation: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        energy, forces = self._results(lmp, rotation)
        # LAMMPS's own constant, which differs from others in the eighth digit
        eV = abs(np.linalg.det(cell)) / lmp.extract_global("nktv2p")
        pressure = np.array(lmp.numpy.extract_compute("virial", 0, 1))
        return energy, forces, eV * rotation @ pressure[_VOIGT] @ rotation.T

    def require_sites(self) -> str:
        """The pair style that is a sum over sites, of which some can be computed alone.

        Raises
        ------
        MixpiError
            If the potential is another.
        """
        return lammps_sites.require_site_styles(self._lines)

    @property
    def reach_of_pairs(self) -> float:
        """Å; how far from the atoms that matter sites must go for the pairs over them."""
        return lammps_sites.reach_of_pairs(self._lines, self.cutoff or 0.0)

    def evaluate_sites(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, counted: ArrayLike
    ) -> tuple[float, np.ndarray]:
        """The energy (eV) of some atoms, and what it exerts on them (eV/Å, shape (m, 3)).

        Only these are computed, at the cost of so many atoms; all others they see. Forces on the
        others are returned as zeros.

        Parameters
        ----------
        numbers, positions, cell
            As for :meth:`evaluate`.
        counted : array_like of bool, shape (m,)
            Whose energies count.

        Raises
        ------
        MixpiError
            As :meth:`evaluate` and :meth:`require_sites`; or if this LAMMPS computes others.
        """
        style = self.require_sites()
        numbers, positions, cell = self._checked(numbers, positions, cell)
        counted = np.asarray(counted, dtype=bool)
        sites = int(counted.sum())
        forces = np.zeros((len(numbers), 3))
        if not sites:
            return 0.0, forces
        order = np.argsort(~counted, kind="stable")
        lmp, rotation = self._computed(numbers[order], positions[order], cell, "pe", sites)
        lammps_sites.require_lists(lmp, style, sites)
        energy, found = self._results(lmp, rotation, sites)
        forces[order[:sites]] = found
        return energy, forces

    def site_energies(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> np.ndarray:
        """What each atom contributes to the energy (eV), shape (m,), by ``compute pe/atom``.

        LAMMPS shares the energy of a pair equally between both atoms, also that of a bond
        order: the share of an atom may then depend on atoms up to two cutoffs away.

        Parameters
        ----------
        numbers, positions, cell
            As for :meth:`evaluate`.

        Raises
        ------
        MixpiError
            As :meth:`evaluate`; or if the pair style does not count what is whose.
        """
        numbers, positions, cell = self._checked(numbers, positions, cell)
        if not len(numbers):
            return np.zeros(0)
        lmp, _ = self._computed(numbers, positions, cell, "pe c_total")
        return self._sites(lmp)

    def _sites(self, lmp: Any) -> np.ndarray:
        sites = np.array(lmp.gather("c_sites", 1, 1))
        energy = lmp.get_thermo("pe")
        if abs(sites.sum() - energy) > _SAME_SUM * max(1.0, np.abs(sites).sum()):
            raise MixpiError(
                f"the energies of the atoms sum up to {sites.sum():.9g} eV, the energy is "
                f"{energy:.9g} eV: this pair style does not say what belongs to which atom"
            )
        return sites

    def close(self) -> None:
        """Let LAMMPS go; the next evaluation starts another."""
        lmp, self._lmp = self._lmp, None
        if lmp is not None:
            lmp.close()

    @staticmethod
    def _results(
        lmp: Any, rotation: np.ndarray, sites: int | None = None
    ) -> tuple[float, np.ndarray]:
        """Energy and forces of what was computed."""
        energy = lmp.get_thermo("pe")
        # for atoms that have no lists LAMMPS adds to what stood there before
        forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)[:sites] @ rotation.T
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise MixpiError(
                "LAMMPS returned energies or forces that are not finite: are atoms on top of each "
                "other?"
            )
        return energy, forces

    def _checked(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What arrived as arrays, refused where LAMMPS could only crash."""
        numbers = np.asarray(numbers, dtype=int).reshape(-1)
        positions = np.asarray(positions, dtype=float).reshape(-1, 3)
        cell = np.asarray(cell, dtype=float)
        if len(numbers) != len(positions):
            raise MixpiError(f"{len(positions)} positions, but the species of {len(numbers)}")
        if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
            raise MixpiError("positions or cell have NaN or infinite values")
        lengths = np.linalg.norm(cell, axis=1)
        if not abs(np.linalg.det(cell)) > 1e-9 * lengths.prod():
            raise MixpiError("the cell has no volume: LAMMPS needs three lattice vectors")
        self.require(chemical_symbols[z] for z in np.unique(numbers))
        return numbers, positions, cell

    def _computed(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray,
        wanted: str,
        sites: int | None = None,
    ) -> tuple[Any, np.ndarray]:
        """LAMMPS after a computation of what is wanted, and the rotation into its frame.

        With ``sites``, the first so many atoms are computed.
        """
        box, rotation = lammps_frame(cell)
        try:
            if self._lmp is None:
                self._open()
            lmp = self._lmp
            if sites is not None and not self._has_sites:
                self._clear(lmp)
                lammps_sites.prepare(lmp)
                self._has_sites = True
            self._set_box(lmp, box)
            self._set_atoms(lmp, numbers, folded(positions @ rotation, box), sites)
            lmp.command(f"thermo_style custom {wanted}")
            lmp.command("run 0 post no")
        except MixpiError:
            raise
        except BaseException as error:
            # after an error an instance can crash in the next command
            self.close()
            if not isinstance(error, Exception):
                raise
            raise MixpiError(f"LAMMPS cannot compute this system: {words_of(error)}") from None
        return lmp, rotation

    def _set_box(self, lmp: Any, box: np.ndarray) -> None:
        if self._cell is not None and np.array_equal(box, self._cell):
            return
        self._clear(lmp)
        tilts = box[1, 0], box[2, 1], box[2, 0]
        is_tilted = bool(lmp.extract_setting("triclinic"))
        if any(tilts) and not is_tilted:
            lmp.command("change_box all triclinic")
        lmp.reset_box([0.0] * 3, box.diagonal().tolist(), *map(float, tilts))
        if is_tilted and not any(tilts):
            lmp.command("change_box all ortho")
        self._cell = box

    def _set_atoms(
        self, lmp: Any, numbers: np.ndarray, positions: np.ndarray, sites: int | None
    ) -> None:
        # with several ranks, atoms that come to those of another than a neighbour would be lost
        alone = lmp.extract_setting("world_size") == 1
        changed = not np.array_equal(numbers, self._present)
        if alone and not changed:
            here = lmp.extract_setting("nlocal")
            order = lmp.numpy.extract_atom("id")[:here] - 1
            lmp.numpy.extract_atom("x")[:here] = positions[order]
        else:
            self._clear(lmp)
            count = len(numbers)
            ids, types = list(range(1, count + 1)), self._types[numbers].tolist()
            made = lmp.create_atoms(count, ids, types, positions.ravel().tolist())
            if made != count:
                raise MixpiError(f"LAMMPS took {made} of {count} atoms into its box")
            self._present = numbers.copy()
        if self._has_sites:
            lammps_sites.choose(lmp, sites)
        if not alone and changed:
            # a cluster fills a part of its cell
            if sites is None:
                lmp.command("balance 1.05 shift xyz 10 1.05")
            else:
                lammps_sites.balance(lmp)

    def _clear(self, lmp: Any) -> None:
        if len(self._present):
            lmp.command("delete_atoms group all compress no")
        self._present = np.zeros(0, dtype=int)

    def _open(self) -> float | None:
        """Start LAMMPS with the potential in an empty box; its cutoff, Å."""
        self._cell, self._present = None, np.zeros(0, dtype=int)
        empty = Atoms(cell=[_FIRST_BOX] * 3, pbc=True)
        with tempfile.TemporaryDirectory(prefix="mixpi-") as folder, inside(folder):
            source = self._setup.write(empty, Path(folder), _COMMANDS)
            # of flags that are there twice LAMMPS takes the last
            flags = [*self._flags, "-screen", "none", "-log", "lammps.log", "-nocite"]
            lmp = open_lammps(flags)
            try:
                read_input(lmp, source)
                lmp.command("log none")
                log = Path("lammps.log")
                cutoff = cutoff_in(log.read_text(errors="replace")) if log.exists() else None
            except BaseException:
                lmp.close()
                raise
        self._lmp, self._has_sites = lmp, False
        # only the first rank has a log
        return cutoff if lmp.extract_setting("world_size") == 1 else of_first_rank(cutoff)
