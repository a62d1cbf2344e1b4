"""Any ASE calculator as driver engine.

This module, and what it imports, needs ase and numpy alone: it also runs in environments
without mixpi (:mod:`mixpi.drivers.ase_client`).
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import ArrayLike

from ..errors import MixpiError
from ..files.user_code import words_of


#: Of what a calculator prints, characters that are kept for messages.
_KEPT = 1000
#: Of the energy, how much the energies of the atoms may differ in their sum; float32 models.
_SAME_SUM = 1e-5
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class AseEngine:
    """Evaluates an ASE calculator on whatever arrives.

    The calculator gets a new ``Atoms`` object in each call, periodic in all directions.

    Parameters
    ----------
    calculator : str
        "module:factory": a class or function that returns the calculator. The module is an
        installed one, or a file in the folder.
    arguments : mapping, optional
        What the factory is called with.
    folder : path-like
        Where a module is looked for that is not installed: the folder of the configuration.
    species : sequence of str, optional
        Chemical symbols that the calculator knows; ASE itself does not tell.
    interaction_range : float, optional
        Å; how far the force on an atom depends on others.
    stress : bool
        Ask for the stress, also where it does not come with the forces by itself. Only i-PI
        without mixing needs it.

    Attributes
    ----------
    numbers : tuple of int or None
        Atomic numbers that the calculator knows; None if that is not known.
    interaction_range : float or None
        Å.
    has_site_energies : bool
        Whether the calculator declares ``energies``; some (CHGNet) do, and give none.
    has_masked_forces : bool
        False.
    calculator
        The ASE calculator.

    Raises
    ------
    MixpiError
        If there is no such module or factory, it does not take the arguments or raises, or
        what it returns gives no energies and forces.
    """

    has_masked_forces = False

    def __init__(
        self,
        calculator: str,
        *,
        arguments: Mapping[str, object] | None = None,
        folder: str | Path = ".",
        species: Sequence[str] | None = None,
        interaction_range: float | None = None,
        stress: bool = False,
    ) -> None:
        self.name = calculator
        unknown = [symbol for symbol in species or () if symbol not in atomic_numbers]
        if unknown:
            raise MixpiError(f"species: {' '.join(unknown)}: no chemical symbol")
        self.numbers = tuple(atomic_numbers[symbol] for symbol in species) if species else None
        self.interaction_range = interaction_range
        self._printed = _Printed()
        self.calculator = self._made(dict(arguments or {}), Path(folder))
        declared = getattr(self.calculator, "implemented_properties", None)
        declared = set(declared) if declared is not None else {"energy", "forces"}
        for wanted in ("energy", "forces", *(("stress",) if stress else ())):
            if wanted not in declared:
                raise MixpiError(
                    f"ASE calculator {calculator} gives no {wanted}, only "
                    f"{', '.join(sorted(declared)) or 'nothing'}"
                )
        self.has_site_energies = "energies" in declared
        self._has_free_energy = "free_energy" in declared
        self._asks_stress = stress

    @property
    def force_range(self) -> float | None:
        """The interaction range, Å, if it is known."""
        return self.interaction_range

    def facts(self) -> dict:
        """What the calculator is, in plain values."""
        names = ("numbers", "interaction_range", "has_site_energies")
        facts = {name: getattr(self, name) for name in names}
        return facts | {"evaluated_by": type(self.calculator).__name__}

    def require(self, symbols: Iterable[str]) -> None:
        """Refuse species that are not among the known ones, if these are known.

        Raises
        ------
        MixpiError
            If there is one.
        """
        if self.numbers is None:
            return
        known = [chemical_symbols[z] for z in self.numbers]
        unknown = [symbol for symbol in symbols if symbol not in known]
        if unknown:
            raise MixpiError(
                f"ASE calculator {self.name} is not for {' '.join(unknown)}, only for "
                f"{' '.join(known)} (species)"
            )

    def evaluate(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, mask: None = None
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (eV/Å) and virial (eV) of a periodic structure.

        The energy is the one that belongs to the forces (``free_energy``) where the
        calculator has it.

        Parameters
        ----------
        numbers : array_like of int, shape (m,)
            Atomic numbers.
        positions : array_like, shape (m, 3)
            Å.
        cell : array_like, shape (3, 3)
            Rows are lattice vectors, Å.
        mask : None
            ASE has no derivatives of single site energies.

        Returns
        -------
        energy : float
        forces : ndarray, shape (m, 3)
        virial : ndarray, shape (3, 3)
            NaN where the calculator gives no stress.

        Raises
        ------
        MixpiError
            If the calculator raises, or returns what no forces can be; or there is a mask.
        """
        if mask is not None:
            raise MixpiError(
                "ASE calculators have no derivatives of single site energies: evaluate all atoms"
            )
        atoms = self._atoms(numbers, positions, cell)
        if not len(atoms):
            return 0.0, np.zeros((0, 3)), np.zeros((3, 3))
        with self._told(atoms):
            forces = atoms.get_forces(apply_constraint=False)
            energy = self._energy(atoms)
            stress = self._stress(atoms)
        forces = self._numbers_of("forces", forces, (len(atoms), 3))
        energy = float(self._numbers_of("energy", np.asarray(energy).reshape(-1), (1,))[0])
        virial = np.full((3, 3), np.nan)
        if stress is not None:
            virial = -atoms.get_volume() * _tensor(stress)
        return energy, forces, virial

    def site_energies(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> np.ndarray:
        """What each atom contributes to the energy (eV), shape (m,).

        Parameters
        ----------
        numbers, positions, cell
            As for :meth:`evaluate`.

        Raises
        ------
        MixpiError
            As :meth:`evaluate`; or if the calculator has none, or their sum is not the energy.
        """
        if not self.has_site_energies:
            raise MixpiError(f"ASE calculator {self.name} declares no energies of atoms")
        atoms = self._atoms(numbers, positions, cell)
        if not len(atoms):
            return np.zeros(0)
        with self._told(atoms):
            energy = float(np.asarray(atoms.get_potential_energy()).reshape(-1)[0])
            try:
                sites = atoms.get_potential_energies()
            except NotImplementedError:
                raise MixpiError(
                    f"ASE calculator {self.name} declares energies of atoms, but gives none"
                ) from None
        sites = self._numbers_of("energies", sites, (len(atoms),))
        if not abs(sites.sum() - energy) <= _SAME_SUM * max(1.0, np.abs(sites).sum()):
            raise MixpiError(
                f"ASE calculator {self.name}: the energies of the atoms sum up to "
                f"{sites.sum():.9g} eV, the energy is {energy:.9g} eV"
            )
        return sites

    def _atoms(self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike) -> Atoms:
        numbers = np.asarray(numbers, dtype=int).reshape(-1)
        self.require(chemical_symbols[z] for z in np.unique(numbers))
        atoms = Atoms(numbers, np.reshape(positions, (-1, 3)), cell=cell, pbc=True)
        # plain i-PI sends atoms any number of cells from home, where float32 loses digits
        atoms.wrap()
        atoms.calc = self.calculator
        return atoms

    def _energy(self, atoms: Atoms) -> float:
        if self._has_free_energy:
            try:
                return atoms.get_potential_energy(force_consistent=True)
            except NotImplementedError:  # some declare it and have it not
                self._has_free_energy = False
        return atoms.get_potential_energy()

    def _stress(self, atoms: Atoms) -> Any:
        if self._asks_stress:
            return atoms.get_stress(voigt=False)
        # what came with the forces; to ask for it could cost a second calculation
        results = getattr(self.calculator, "results", None)
        return results.get("stress") if isinstance(results, dict) else None

    def _numbers_of(self, what: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Values as an array, refused unless they are numbers in that shape."""
        try:
            array = np.array(values, dtype=float)
        except (TypeError, ValueError):
            raise MixpiError(
                f"ASE calculator {self.name} returned {what} that are no numbers "
                f"({type(values).__name__})"
            ) from None
        if array.shape != shape:
            raise MixpiError(
                f"ASE calculator {self.name} returned {what} of shape {array.shape}; "
                f"{shape} is expected"
            )
        if not np.isfinite(array).all():
            raise MixpiError(f"ASE calculator {self.name} returned {what} with NaN or infinity")
        return array

    @contextlib.contextmanager
    def _told(self, atoms: Atoms) -> Iterator[None]:
        """Turn what a calculator raises into a message; silence what it prints."""
        try:
            with contextlib.redirect_stdout(self._printed):
                yield
        except MixpiError:
            raise
        except (Exception, SystemExit) as error:
            raise MixpiError(
                f"ASE calculator {self.name} failed for {len(atoms)} atoms "
                f"({atoms.get_chemical_formula()}): {words_of(error)}{self._printed.tail()}"
            ) from None

    def _made(self, arguments: dict[str, object], folder: Path) -> Any:
        """The calculator that the factory returns."""
        factory = _factory(self.name, folder, self._printed)
        try:
            inspect.signature(factory).bind(**arguments)
        except TypeError as error:
            raise MixpiError(
                f"ASE calculator {self.name}: {error}; its arguments are "
                f"{inspect.signature(factory)}"
            ) from None
        except ValueError:
            pass  # it has no signature; Python will say what it misses
        try:
            with contextlib.redirect_stdout(self._printed):
                made = factory(**arguments)
        except (Exception, SystemExit) as error:
            given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            raise MixpiError(
                f"ASE calculator {self.name}({given}) cannot be made: "
                f"{words_of(error)}{self._printed.tail()}"
            ) from None
        methods = ("get_potential_energy", "get_forces")
        if isinstance(made, type) or not all(callable(getattr(made, m, None)) for m in methods):
            what = made.__name__ if isinstance(made, type) else type(made).__name__
            raise MixpiError(
                f"{self.name} returned {'the class ' * isinstance(made, type)}{what}, which is no "
                "ASE calculator: name the class or a function that returns a calculator"
            )
        return made


class _Printed:
    """Takes what is printed, and keeps the end."""

    def __init__(self) -> None:
        self._text = ""

    def write(self, text: str) -> int:
        self._text = (self._text + text)[-_KEPT:]
        return len(text)

    def flush(self) -> None:
        """As files have it."""

    def tail(self) -> str:
        """For the end of a message."""
        text = self._text.strip()
        return f"\nIt had printed:\n{text}" if text else ""


def _factory(target: str, folder: Path, printed: _Printed) -> Callable[..., Any]:
    """What "module:name" stands for."""
    if not _TARGET.fullmatch(target):
        raise MixpiError(
            f"calculator {target!r} is not of the form module:factory, such as "
            "ase.calculators.emt:EMT"
        )
    module_name, _, name = target.partition(":")
    place = str(folder.absolute())
    if place not in sys.path:
        # behind what is installed: a file of the name of an installed module is not meant
        sys.path.append(place)
    importlib.invalidate_caches()
    found: Any
    try:
        with contextlib.redirect_stdout(printed):
            found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise MixpiError(
                f"there is no module {error.name!r} for the calculator {target}: neither a file "
                f"in {place} nor installed in the environment of {sys.executable}"
            ) from None
        raise MixpiError(
            f"module {module_name} of the calculator needs {error.name!r}, which is not installed "
            f"in the environment of {sys.executable}"
        ) from None
    except (Exception, SystemExit) as error:
        raise MixpiError(
            f"module {module_name} of the calculator cannot be imported: "
            f"{words_of(error)}{printed.tail()}"
        ) from None
    for part in name.split("."):
        inside, found = found, getattr(found, part, None)
        if found is None:
            near = difflib.get_close_matches(part, dir(inside), 1)
            file = getattr(sys.modules[module_name], "__file__", None)
            raise MixpiError(
                f"module {module_name} ({file or 'built in'}) has no {name!r}"
                + (f"; do you mean {near[0]!r}?" if near else "")
            )
    if not callable(found):
        raise MixpiError(
            f"{target} is no class or function but of type {type(found).__name__}: name what "
            "returns the calculator"
        )
    return found


def _tensor(stress: Any) -> np.ndarray:
    """Stress (3, 3), NaN where it is not that; from ASE's six numbers or a tensor."""
    try:
        values = np.array(stress, dtype=float)
    except (TypeError, ValueError):
        return np.full((3, 3), np.nan)
    if values.shape == (6,):
        return values[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return values if values.shape == (3, 3) else np.full((3, 3), np.nan)
