"""Whether the extra frames were labelled by the expensive potential itself.

A frame of another potential, another energy zero or another unit would enter the fit
with full weight, and nothing afterwards would tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from ..errors import MixpiError
from ..run.progress import Tell, silent
from .data import labelled


#: eV/atom and eV/Å; labels in float32 are closer to those in float64, and errors of the
#: fit are larger.
ENERGY, FORCES = 1e-3, 1e-2
#: Frames of a file that are evaluated; and how many wrong ones are enough to say why.
CHECKED, TELLING = 100, 4
#: What a label in eV or eV/Å was multiplied with, by mistake.
_ENERGY_UNITS = {
    "Hartree": 1 / units.Hartree,
    "Rydberg": 1 / units.Rydberg,
    "kcal/mol": units.mol / units.kcal,
    "kJ/mol": units.mol / units.kJ,
    "meV": 1000.0,
}
_FORCE_UNITS = {
    "Hartree/bohr": units.Bohr / units.Hartree,
    "Rydberg/bohr": units.Bohr / units.Rydberg,
    "eV/bohr": units.Bohr,
    "Hartree/Å": 1 / units.Hartree,
    "kcal/mol/Å": units.mol / units.kcal,
    "kJ/mol/Å": units.mol / units.kJ,
    "meV/Å": 1000.0,
    "eV/Å with the sign of the gradient": -1.0,
}
#: How close a factor must be to a unit's to be called so.
_CLOSE = 0.01


@dataclass(frozen=True)
class Labels:
    """Labels beside the expensive potential's own values.

    Attributes
    ----------
    energy : float
        Largest difference, eV/atom.
    forces : float
        Largest difference of a component, eV/Å.
    """

    energy: float = 0.0
    forces: float = 0.0

    @property
    def agree(self) -> bool:
        """Whether they are of one potential, in one unit, with one zero of energy."""
        return self.energy <= ENERGY and self.forces <= FORCES


def compare_labels(given: Sequence[Atoms], own: Sequence[Atoms]) -> Labels:
    """How far labels are from the expensive potential's own values.

    Parameters
    ----------
    given, own : sequence of Atoms
        The same structures with energies (eV) and forces (eV/Å): as read, and evaluated.
    """
    pairs = list(zip(given, own, strict=True))
    energy = [abs(a.get_potential_energy() - b.get_potential_energy()) / len(a) for a, b in pairs]
    forces = [np.abs(a.get_forces() - b.get_forces()).max() for a, b in pairs]
    return Labels(float(max(energy, default=0.0)), float(max(forces, default=0.0)))


def check_labels(
    path: Path, frames: Sequence[Atoms], calculator: Calculator, tell: Tell = silent
) -> Labels:
    """Compare the labels of a file with the expensive potential.

    Parameters
    ----------
    path : Path
        Where the frames came from.
    frames : sequence of Atoms
        With energies and forces; :data:`CHECKED` of them, evenly spread, are evaluated.
    calculator : ASE calculator
        The expensive potential.
    tell : callable
        Gets the progress.

    Returns
    -------
    Labels
        The largest differences.

    Raises
    ------
    MixpiError
        If they differ: with the likely reason, and what to do.
    """
    spread = np.linspace(0, len(frames) - 1, min(len(frames), CHECKED))
    given: list[Atoms] = []
    own: list[Atoms] = []
    wrong: list[int] = []
    for count, number in enumerate(map(int, spread), 1):
        given.append(frames[number])
        own.append(labelled(frames[number], calculator))
        if not compare_labels(given[-1:], own[-1:]).agree:
            wrong.append(number)
        if len(wrong) == TELLING:
            break
        tell(f"labels of {path.name} {count}/{len(spread)}", count / len(spread))
    found = compare_labels(given, own)
    if wrong:
        bad = [
            k
            for k in range(len(given))
            if not compare_labels(given[k : k + 1], own[k : k + 1]).agree
        ]
        reason = _reason([given[k] for k in bad], [own[k] for k in bad])
        raise MixpiError(
            f"extra: the labels of frame {wrong[0]} of {path} (and of {len(wrong) - 1} of "
            f"{len(given) - 1} others compared) are not those of the expensive potential: "
            f"energies differ by up to {found.energy:.3g} eV/atom, forces by up to "
            f"{found.forces:.3g} eV/Å; {reason}"
        )
    return found


def _reason(given: list[Atoms], own: list[Atoms]) -> str:
    labels = compare_labels(given, own)
    forces, expected = _forces(given), _forces(own)
    if labels.forces > FORCES:
        factor = _factor(forces, expected)
        unit = _unit(factor, _FORCE_UNITS)
        if unit:
            return (
                f"the forces are {factor:.4g} times its own, as if they were in {unit}: convert "
                "energies to eV and forces to eV/Å"
            )
        if not forces.any():
            return "all their forces are 0, as if they had not been computed: label them again"
        return (
            "they were labelled by another potential: label them with the model of expensive:, or "
            "leave them out"
        )
    energy = np.array([atoms.get_potential_energy() for atoms in given])
    right = np.array([atoms.get_potential_energy() for atoms in own])
    sizes = np.array([len(atoms) for atoms in given])
    if np.abs(energy - right / sizes).max() < ENERGY:
        return "the forces agree, the energies are per atom: give the energy of the whole cell"
    unit = _unit(_factor(energy, right), _ENERGY_UNITS)
    if unit:
        return f"the forces agree, the energies are in {unit}: convert them to eV"
    return _offset(given, energy - right)


def _offset(given: list[Atoms], difference: np.ndarray) -> str:
    """What to say where forces agree and energies differ by something in eV."""
    symbols = sorted({symbol for atoms in given for symbol in atoms.symbols})
    counts = np.array([[sum(a.symbols == s) for s in symbols] for a in given], dtype=float)
    sizes = counts.sum(axis=1)
    zero = "the forces agree, so the energies have another zero (isolated atoms, pseudopotentials):"
    each = float(np.mean(difference / sizes))
    if np.abs(difference / sizes - each).max() < ENERGY:
        return f"{zero} add {-each:+.6g} eV to the energy for each atom, or label them again"
    shifts, _, rank, _ = np.linalg.lstsq(counts, difference, rcond=None)
    if np.abs((counts @ shifts - difference) / sizes).max() > ENERGY:
        return (
            "the forces agree, the energies do not, and no constant per atom explains it: label "
            "them again with the model of expensive:"
        )
    if rank == len(given):  # anything could be explained so
        return f"{zero} label them again with the model of expensive:"
    words = ", ".join(
        f"{-shift:+.6g} eV for each {symbol}" for symbol, shift in zip(symbols, shifts, strict=True)
    )
    return f"{zero} add to the energy {words}, or label them again"


def _forces(frames: Sequence[Atoms]) -> np.ndarray:
    return np.concatenate([atoms.get_forces().ravel() for atoms in frames])


def _factor(given: np.ndarray, own: np.ndarray) -> float:
    """The number that turns the own values into the given ones; 0 if none does."""
    square = float(own @ own)
    if square == 0.0:
        return 0.0
    factor = float(own @ given) / square
    rest = np.linalg.norm(given - factor * own)
    return factor if rest < _CLOSE * np.linalg.norm(given) else 0.0


def _unit(factor: float, table: dict[str, float]) -> str:
    close = [name for name, value in table.items() if abs(factor / value - 1) < _CLOSE]
    return close[0] if close else ""
