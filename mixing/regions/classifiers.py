"""What is measured of each atom, to find the seeds by it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import MixpiError
from ..files.user_code import words_of
from .pairs import neighbour_counts


class Classifier(Protocol):
    """A value for each atom."""

    def values(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """The value of each atom, which depends on nothing but the arguments.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å; atoms may be any number of cells from home.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        ndarray, shape (n,)
            Finite; NaN for atoms that are known not to be asked for.

        Raises
        ------
        MixpiError
            If there is none.
        """

    @property
    def note(self) -> str:
        """What the user should know of how it is found; empty for nothing."""


class CoordinationNumber:
    """How many neighbours an atom has, images counted one by one.

    Parameters
    ----------
    cutoff : float
        Å; neighbours are closer.
    """

    note = ""

    def __init__(self, cutoff: float) -> None:
        self._cutoff = cutoff

    def values(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """See :meth:`Classifier.values`."""
        return neighbour_counts(positions, cell, self._cutoff).astype(float)


class UserFunction:
    """A Python function of the user's.

    Parameters
    ----------
    target : str
        ``module:function``. A file of that name in the folder is meant; without one, what is
        installed.
    folder : Path
        Of the configuration.
    numbers : ndarray of int, shape (n,)
        Atomic numbers.
    rotation : ndarray, shape (3, 3)
        Row vectors in i-PI's frame times this are those in the user's, which the function is
        given.

    Raises
    ------
    MixpiError
        If there is no such function, or its module cannot be imported.
    """

    note = ""

    def __init__(
        self, target: str, folder: Path, numbers: np.ndarray, rotation: np.ndarray
    ) -> None:
        self._rotation = rotation
        self._target, self._folder, self._numbers = target, folder.absolute(), np.array(numbers)
        with _importable(self._folder):
            self._function = self._found()

    def values(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """See :meth:`Classifier.values`."""
        try:
            with _importable(self._folder):
                # copies: what it does with them is no matter
                found = self._function(
                    np.asarray(positions) @ self._rotation,
                    self._numbers.copy(),
                    np.asarray(cell) @ self._rotation,
                )
        except (Exception, SystemExit) as error:
            raise MixpiError(f"seeds: function {self._target} failed: {words_of(error)}") from None
        return self._checked(found)

    def _checked(self, found: Any) -> np.ndarray:
        number = len(self._numbers)
        try:
            values = np.asarray(found)
            if values.dtype.kind not in "biuf":
                raise TypeError(f"values of type {values.dtype}")
            if values.shape != (number,):
                raise TypeError(f"an array of shape {values.shape}")
        except (TypeError, ValueError) as error:
            said = "nothing" if found is None else " ".join(str(error).split())[:200]
            raise MixpiError(
                f"seeds: function {self._target} returned {said}: it must return one number for "
                f"each of {number} atoms, shape ({number},)"
            ) from None
        return require_finite(values.astype(float), f"function {self._target}")

    def _found(self) -> Callable[..., Any]:
        module_name, _, name = self._target.partition(":")
        try:
            module = self._module(module_name)
        except ModuleNotFoundError as error:
            if error.name and f"{module_name}.".startswith(f"{error.name}."):
                raise MixpiError(
                    f"seeds: function {self._target}: there is no module {module_name}: neither "
                    f"{self._file(module_name)} nor installed"
                ) from None
            raise MixpiError(
                f"seeds: module {module_name} needs {error.name!r}, which is not installed in the "
                f"environment of {sys.executable}"
            ) from None
        except (Exception, SystemExit) as error:
            raise MixpiError(
                f"seeds: module {module_name} cannot be imported: {words_of(error)}"
            ) from None
        function = getattr(module, name, None)
        if not callable(function):
            what = "no" if function is None else "no function, but a value"
            raise MixpiError(f"seeds: module {module_name} ({module.__file__}) has {what} {name!r}")
        return function

    def _module(self, name: str) -> Any:
        file = self._file(name)
        spec = spec_from_file_location(f"mixpi_user_{name}", file) if file.is_file() else None
        if spec is None or spec.loader is None:
            return import_module(name)
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and the like look for it there
        spec.loader.exec_module(module)
        return module

    def _file(self, module_name: str) -> Path:
        return self._folder.joinpath(*module_name.split(".")).with_suffix(".py")


def require_finite(values: np.ndarray, what: str, among: np.ndarray | None = None) -> np.ndarray:
    """The values, if each is a number, or each of those among some atoms (a mask).

    Raises
    ------
    MixpiError
        Whose is none.
    """
    wrong = ~np.isfinite(values)
    wrong = np.flatnonzero(wrong if among is None else wrong & among)
    if len(wrong):
        raise MixpiError(
            f"seeds: {what} gives {values[wrong[0]]:g} for atom {wrong[0]} (from 0"
            f"{f'; {len(wrong)} such atoms' if len(wrong) > 1 else ''}): a number is needed"
        )
    return values


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """What lies in a folder can be imported, where nothing of that name is installed."""
    place = str(folder)
    added = place not in sys.path
    if added:
        sys.path.append(place)
    try:
        yield
    finally:
        if added and place in sys.path:
            sys.path.remove(place)
