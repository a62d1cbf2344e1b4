"""What the engines of trained models have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from ..errors import MixpiError
from .engine import EngineCalculator
from .known_answer import Answer, require_answer


#: eV; of what has none.
NO_VIRIAL = np.full((3, 3), np.nan)


class TrainedEngine:
    """Knows the species that it was trained for, and how long it takes.

    Attributes
    ----------
    numbers : tuple of int
        Their atomic numbers.
    interaction_range : float
        Å.
    heads : list of str
        All that the model has.
    head : str
        The one that is evaluated.
    sha256 : str or None
        Of the model file.
    evaluated_by : str
        The library that computes.
    dtype : {"float64", "float32"}
        What it computes in.
    device : str
        What it computes on.
    known : Answer
        What the model gives for its known structure (:mod:`mixpi.drivers.known_answer`).
    otherwise : str
        What to do where it gives something else.
    notes : tuple of str
        What the user should know.
    """

    numbers: tuple[int, ...]
    interaction_range: float
    heads: list[str]
    head: str
    sha256: str | None
    evaluated_by: str
    dtype: str
    device: str
    known: Answer
    otherwise: str
    notes: tuple[str, ...] = ()

    @property
    def species(self) -> str:
        """The elements that the model knows, for messages."""
        return " ".join(chemical_symbols[z] for z in self.numbers)

    @property
    def force_range(self) -> float:
        """Å; beyond, no atom has a part in the force on another.

        A site sees as far as the interaction range, and an atom has a part in all these sites.
        """
        return 2.0 * self.interaction_range

    def facts(self) -> dict:
        """What the model is, in plain values."""
        names = ("numbers", "interaction_range", "heads", "head", "sha256", "evaluated_by", "notes")
        return {name: getattr(self, name) for name in names}

    @property
    def calculator(self) -> Calculator:
        """The model as an ASE calculator."""
        return EngineCalculator(self)

    def require(self, symbols: Iterable[str]) -> None:
        """Refuse species that the model was not trained for.

        Raises
        ------
        MixpiError
            If there is one.
        """
        known = self.species.split()
        unknown = [symbol for symbol in symbols if symbol not in known]
        if unknown:
            raise MixpiError(
                f"the model does not know {' '.join(unknown)}; it was trained for {self.species}"
            )

    def require_numbers(self, numbers: np.ndarray) -> None:
        """As :meth:`require`, for atomic numbers."""
        if not set(numbers.tolist()) <= set(self.numbers):
            self.require(chemical_symbols[z] for z in np.unique(numbers))

    def require_known(self, evaluate: Callable[..., tuple[Any, ...]]) -> None:
        """Refuse to go on unless the known structure gets the energy and forces it should.

        Parameters
        ----------
        evaluate : callable
            As :meth:`evaluate`, of what is to be tried.

        Raises
        ------
        MixpiError
            With the differences.
        """
        require_answer(
            evaluate,
            self.numbers,
            self.known,
            self.dtype,
            who=f"{self.evaluated_by} on {self.device} in {self.dtype}",
            otherwise=self.otherwise,
        )

    def evaluate(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        mask: ArrayLike | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (eV/Å) and virial (eV) of a periodic structure."""
        raise NotImplementedError

    def time_one_call(self, atoms: Atoms) -> float:
        """Seconds for one evaluation of ``atoms``, after warming up on a few of them.

        Torch optimises a model during its first calls, whatever their size. Short
        calls are repeated, and the median taken.
        """
        few = slice(0, 64)
        for _ in range(3):
            self.evaluate(atoms.numbers[few], atoms.positions[few], atoms.cell.array)
        times: list[float] = []
        while len(times) < 5 and sum(times) < 5.0:
            start = time.perf_counter()
            self.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)
            times.append(time.perf_counter() - start)
        return float(np.median(times))
