"""Words that say which atoms are the seeds → their indices."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from ..errors import MixpiError
from .coordination import coordination
from .expression import Condition
from .grammar import GRAMMAR
from .growth import valid_seeds
from .periodic import PeriodicCell
from .search import distance_to_nearest


#: Why there are none, where that is meant.
NOTHING = "none: every force is cheap"
#: Why all, likewise.
EVERYTHING = "all: every force is expensive"
#: Indices of the atoms that are meant, and a phrase that says why these.
Found = tuple[np.ndarray, str]


@dataclass(frozen=True)
class Selection:
    """The seeds, and why these.

    Attributes
    ----------
    indices : list of int
        Ascending, from 0.
    why : str
        A phrase for people.
    """

    indices: list[int]
    why: str


#: What "none" means.
NO_ATOMS = Selection([], "none: every force is cheap")


def select_seeds(words: str | Sequence[int], atoms: Atoms) -> Selection:
    """Choose seed atoms.

    Parameters
    ----------
    words : str or sequence of int
        A selection in the words of :data:`GRAMMAR`, or the indices themselves.
    atoms : Atoms
        Periodic in all directions, any cell; coordinates in the words are in its
        frame.

    Returns
    -------
    Selection

    Raises
    ------
    MixpiError
        If the words are not understood, or no atom or every atom matches.
    """
    found = select_atoms(words, atoms)
    if len(found.indices) == len(atoms):
        raise MixpiError(
            f"seeds: all {len(atoms)} atoms match {_quoted(words)}, which leaves none to the cheap "
            "potential: choose the few atoms that the expensive one is for"
        )
    return found


def select_atoms(words: str | Sequence[int], atoms: Atoms, *, key: str = "seeds") -> Selection:
    """As :func:`select_seeds`, but all atoms may match, and for any key of the configuration."""
    try:
        select = _by_index(words) if not isinstance(words, str) else understood(words)
        indices, why = select(atoms)
    except MixpiError as error:
        raise MixpiError(f"{key}: {str(error).removeprefix('seeds: ')}") from None
    if len(indices) == 0 and why != NOTHING:
        otherwise = " (for no seeds at all write none)" if key == "seeds" else ""
        raise MixpiError(f"{key}: no atom matches {_quoted(words)}{otherwise}")
    return Selection([int(k) for k in indices], why)


def understood(words: str) -> Callable[[Atoms], Found]:
    """What words mean, before there are atoms.

    Parameters
    ----------
    words : str
        A selection in the words of :data:`GRAMMAR`.

    Returns
    -------
    callable
        Finds the atoms that are meant among some.

    Raises
    ------
    MixpiError
        If the words are not understood.
    """
    if condition := re.match(r"\s*where\b", words, re.IGNORECASE):
        return _by_condition(words[condition.end() :])
    parts = re.sub(r"[\[\](),;]", " ", words).split()
    kind = parts[0].lower() if parts else ""
    if kind == "none" and len(parts) == 1:
        return lambda atoms: (np.zeros(0, dtype=int), NOTHING)
    if kind == "all" and len(parts) == 1:
        return lambda atoms: (np.arange(len(atoms)), EVERYTHING)
    if kind == "species" and len(parts) > 1:
        return lambda atoms: (_by_species(parts[1:], atoms), f"all {' and '.join(parts[1:])} atoms")
    if kind == "near" and len(parts) == 6 and parts[4].lower() == "within":
        point, reach = _numbers(parts[1:4], words), _length(parts[5], words)
        why = f"atoms within {reach:g} Å of ({', '.join(f'{x:g}' for x in point)})"
        return lambda atoms: (_near(point, reach, atoms), why)
    if kind in ("undercoordinated", "overcoordinated") and (
        len(parts) == 1 or (len(parts) == 3 and parts[1].lower() == "within")
    ):
        cutoff = _length(parts[2], words) if len(parts) == 3 else None
        return lambda atoms: _by_coordination(kind, cutoff, atoms)
    if re.fullmatch(r"(index |indices )?-?\d+( -?\d+)*", " ".join(parts).lower()):
        return _by_index([int(p) for p in parts if p[-1].isdigit()])
    raise MixpiError(f"seeds: {words!r} is not understood; it can be\n{GRAMMAR}")


def _quoted(words: str | Sequence[int]) -> str:
    return f"'{words.strip()}'" if isinstance(words, str) else "the list of seeds"


def _by_condition(text: str) -> Callable[[Atoms], Found]:
    try:
        condition = Condition(text)
    except MixpiError as error:
        raise MixpiError(f"seeds: {error}") from None

    def select(atoms: Atoms) -> Found:
        try:
            holds = condition.holds(atoms.positions, list(atoms.symbols))
        except MixpiError as error:
            raise MixpiError(f"seeds: {error}") from None
        return np.flatnonzero(holds), f"atoms where {condition.text}"

    return select


def _by_index(indices: Sequence[int]) -> Callable[[Atoms], Found]:
    def select(atoms: Atoms) -> Found:
        try:
            return valid_seeds(list(indices), len(atoms)), "as given"
        except (ValueError, IndexError) as error:
            raise MixpiError(f"seeds: {error}") from None

    return select


def _by_species(symbols: Sequence[str], atoms: Atoms) -> np.ndarray:
    present = sorted(set(atoms.symbols))
    for symbol in symbols:
        if symbol not in atomic_numbers:
            raise MixpiError(f"seeds: {symbol!r} is no chemical symbol (as in 'species He')")
        if symbol not in present:
            raise MixpiError(
                f"seeds: no atom matches 'species {symbol}': the structure has {' '.join(present)}"
            )
    return np.flatnonzero(np.isin(atoms.numbers, [atomic_numbers[s] for s in symbols]))


def _near(point: Sequence[float], reach: float, atoms: Atoms) -> np.ndarray:
    cell, target = PeriodicCell(atoms.cell.array), np.array([point], dtype=float)
    indices = np.flatnonzero(np.isfinite(distance_to_nearest(cell, atoms.positions, target, reach)))
    if len(indices) == 0:
        # no point of a cell is further from another's images than the sum of its edges
        distances = distance_to_nearest(
            cell, atoms.positions, target, float(atoms.cell.lengths().sum())
        )
        raise MixpiError(
            f"seeds: no atom is within {reach:g} Å of ({', '.join(f'{x:g}' for x in point)}): the "
            f"nearest, atom {int(np.argmin(distances))}, is {distances.min():.2f} Å away"
        )
    return indices


def _by_coordination(kind: str, cutoff: float | None, atoms: Atoms) -> Found:
    try:
        found = coordination(atoms.numbers, atoms.positions, atoms.cell.array, cutoff=cutoff)
    except ValueError as error:
        raise MixpiError(f"seeds: {error}; give one: '{kind} within 2.9' (Å)") from None
    usual = ", ".join(f"{n} for {chemical_symbols[z]}" for z, n in found.usual.items())
    fewer = kind == "undercoordinated"
    why = (
        f"{'fewer' if fewer else 'more'} neighbours within {found.cutoff:.2f} Å than usual "
        f"({usual})"
    )
    indices = np.flatnonzero(found.too_few if fewer else found.too_many)
    if len(indices) == 0:
        raise MixpiError(f"seeds: no atom has {why}; another cutoff: '{kind} within 2.9' (Å)")
    return indices, why


def _numbers(parts: Sequence[str], words: str) -> list[float]:
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = [math.nan]
    if not all(math.isfinite(value) for value in values):
        raise MixpiError(f"seeds: {words!r}: {' '.join(parts)} should be numbers, in Å")
    return values


def _length(part: str, words: str) -> float:
    (value,) = _numbers([part], words)
    if value <= 0:
        raise MixpiError(f"seeds: {words!r}: a distance must be positive (Å), got {part}")
    return value
