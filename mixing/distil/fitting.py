"""Data and a basis → coefficients, without and with the constraint.

What is minimised is a sum of mean squares,

    w_E² mean((ΔE/n)²) + w_F² mean(ΔF²) + w_S² mean(ΔF_strained²) + regularisation,

over the frames and the force components, subject to a mean square,

    mean over strained cells of ((ΔE − ΔE₀) / n)² ≤ α = tolerance²   (eV²/atom²),

where Δ is cheap minus expensive and E₀ the energy of the unstrained crystal. The
constant energy of each species is a coefficient of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..run.progress import Tell, silent
from .basis import Basis
from .config import WeightsConfig
from .least_squares import ConstrainedLeastSquares, Solution, Triangle


#: eV/atom; how well the energies of the strained cells are known, whose atoms are relaxed
#: to a small force: as good as equal.
DATA_NOISE = 1e-9


@dataclass(frozen=True)
class Fit:
    """Coefficients of a basis.

    Attributes
    ----------
    coefficients : ndarray, shape (p,)
        Of the basis.
    offsets : dict of str to float
        Constant energy of an atom of each species, eV.
    solution : Solution
        Of the least-squares problem.
    """

    coefficients: np.ndarray
    offsets: dict[str, float]
    solution: Solution

    def predict(self, basis: Basis, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Energy (eV) and forces (n, 3) (eV/Å) from the design rows."""
        rows = basis.rows(atoms)
        constant = sum(self.offsets[symbol] for symbol in atoms.symbols)
        energy = float(rows.energy @ self.coefficients) + constant
        return energy, (rows.forces @ self.coefficients).reshape(-1, 3)


class Problem:
    """The design rows of all data, reduced; any tolerance is then a matter of milliseconds.

    Parameters
    ----------
    basis : Basis
        p functions.
    hard : sequence of Atoms
        The unstrained crystal first, then strained ones; with energies and forces.
    soft : sequence of Atoms
        Snapshots with energies and forces.
    weights : WeightsConfig
        What counts how much.
    tell : callable
        Gets the progress.

    Attributes
    ----------
    rank, size : int
        Directions of the coefficients that the data determine, of all.
    least_squares : ConstrainedLeastSquares
        The solver.

    Raises
    ------
    MixpiError
        If there are too few data for the basis.
    """

    def __init__(
        self,
        basis: Basis,
        hard: Sequence[Atoms],
        soft: Sequence[Atoms],
        weights: WeightsConfig,
        tell: Tell = silent,
    ) -> None:
        self.basis, self._species = basis, basis.species
        self.size = basis.size
        require_enough(basis, [len(atoms) for atoms in soft], weights)
        force_rows = sum(3 * len(atoms) for atoms in soft)
        total = self.size + len(self._species)
        triangle = Triangle(total)
        count, frames = 0, len(soft) + len(hard)
        strained_rows = sum(3 * len(atoms) for atoms in hard)
        for atoms in soft:
            self._add(
                triangle,
                atoms,
                # without any weight the constant energies would be undetermined
                energy=max(weights.energy, 1e-6) / np.sqrt(len(soft)),
                forces=weights.forces / np.sqrt(force_rows),
            )
            count += 1
            tell(f"rows of frame {count}/{frames}", count / frames)
        differences = []
        for atoms in hard:
            row = self._add(
                triangle, atoms, energy=0.0, forces=weights.strained_forces / np.sqrt(strained_rows)
            )
            differences.append(np.append(row, atoms.get_potential_energy()) / len(atoms))
            count += 1
            tell(f"rows of frame {count}/{frames}", count / frames)
        table = np.array(differences)
        # of the unstrained crystal: the constant energy cancels
        table = (table[1:] - table[0]) / np.sqrt(len(table) - 1)
        self.rank = self._regularise(triangle, weights)
        hard_rows = np.column_stack([table[:, :-1], np.zeros((len(table), len(self._species)))])
        self.least_squares = ConstrainedLeastSquares(triangle, hard_rows, table[:, -1])

    def _add(self, triangle: Triangle, atoms: Atoms, *, energy: float, forces: float) -> np.ndarray:
        """Add a frame's rows with these weights; its energy row (p,)."""
        rows = self.basis.rows(atoms)
        kinds = len(self._species)
        if forces:
            triangle.add(
                forces * np.column_stack([rows.forces, np.zeros((len(rows.forces), kinds))]),
                forces * atoms.get_forces().ravel(),
            )
        if energy:
            counts = [sum(atoms.symbols == symbol) for symbol in self._species]
            weight = energy / len(atoms)
            triangle.add(
                weight * np.append(rows.energy, counts)[None],
                [weight * atoms.get_potential_energy()],
            )
        return rows.energy

    def _regularise(self, triangle: Triangle, weights: WeightsConfig) -> int:
        """Add the regularisation; the rank that the data have without it."""
        data = triangle.result()[0]
        scale = np.linalg.norm(data, axis=0)
        kinds = len(self._species)
        ridge = np.diag(weights.ridge * scale)[: self.size]
        triangle.add(ridge, np.zeros(len(ridge)))
        strength = self.basis.smoothness if weights.smoothness is None else weights.smoothness
        penalty = strength * self.basis.penalty()
        if penalty.any():
            triangle.add(
                np.column_stack([penalty, np.zeros((len(penalty), kinds))]), np.zeros(len(penalty))
            )
        return _rank(data[: self.size, : self.size], scale[: self.size])

    def unconstrained(self) -> Fit:
        """The fit to the soft data alone."""
        return self._fit(self.least_squares.unconstrained)

    def constrained(self, tolerance: float) -> Fit:
        """The fit that reproduces the hard data to ``tolerance`` (eV/atom, rms).

        Raises
        ------
        InfeasibleError
            If the basis cannot.
        """
        return self._fit(self.least_squares.solve(tolerance**2, slack=DATA_NOISE**2))

    def _fit(self, solution: Solution) -> Fit:
        values = solution.coefficients
        offsets = dict(zip(self._species, map(float, values[self.size :]), strict=True))
        return Fit(values[: self.size], offsets, solution)

    @property
    def floor(self) -> float:
        """The smallest rms error (eV/atom) of the hard data that the basis can reach."""
        return float(np.sqrt(self.least_squares.floor))


def require_enough(basis: Basis, sizes: Sequence[int], weights: WeightsConfig) -> None:
    """Refuse soft data that are too few for a basis.

    Parameters
    ----------
    basis : Basis
        p functions.
    sizes : sequence of int
        Atoms of each frame.
    weights : WeightsConfig
        Says whether energies and forces count.

    Raises
    ------
    MixpiError
        If they are fewer than 2 p.
    """
    rows = (len(sizes) if weights.energy else 0) + (3 * sum(sizes) if weights.forces else 0)
    if rows < 2 * basis.size:
        raise MixpiError(
            f"too few snapshots: {len(sizes)} with {rows} energies and forces for the "
            f"{basis.size} coefficients of the basis; there should be twice as many: raise soft: "
            "snapshots or soft: repeat, or take a smaller basis"
        )


def _rank(matrix: np.ndarray, scale: np.ndarray) -> int:
    """Directions that data determine, each function measured in its own size."""
    seen = scale > 0.0
    singular = np.linalg.svd(matrix[:, seen] / scale[seen], compute_uv=False)
    return int(np.sum(singular > 1e-10 * singular[0]))
