"""Whether two descriptions of a system are one: its file, and what i-PI made of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.units import Bohr
from scipy.spatial import cKDTree

from ..errors import MixpiError
from ..regions.periodic import PeriodicCell


#: Å; formats round (pdb at 1e-3), and what differs by less changes no force that matters.
TOLERANCE = 1e-3
#: Relative; how well the ratio of two cells or positions must be that of bohr to Å.
RATIO_TOLERANCE = 1e-3


def require_same_system(
    *,
    expected: Atoms,
    symbols: Sequence[str] | None,
    positions: np.ndarray | None,
    cell: np.ndarray,
    expected_name: str,
    found_name: str,
    tolerance: float = TOLERANCE,
) -> None:
    """Refuse a system that is not the expected one: species, order, cell, positions.

    Parameters
    ----------
    expected : Atoms
        What the configuration's ``structure:`` holds, in i-PI's orientation.
    symbols : sequence of str, length n, or None
        Chemical symbols of the other; None if it has none to compare.
    positions : ndarray, shape (n, 3), or None
        Å; whole lattice vectors do not count. None (a restart) is not compared.
    cell : ndarray, shape (3, 3)
        Rows are lattice vectors, Å.
    expected_name, found_name : str
        How messages call the two.
    tolerance : float
        Å; the largest displacement of an atom that is overlooked.

    Raises
    ------
    MixpiError
        If they differ: where, and what the likely cause is.
    """
    cell = np.asarray(cell, dtype=float)
    if positions is not None:
        positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    pair = f"{expected_name} and {found_name}"
    for found in (symbols, positions):
        if found is not None and len(found) != len(expected):
            raise MixpiError(
                f"{expected_name} has {len(expected)} atoms, {found_name} has {len(found)}: they "
                "must hold the same atoms in the same order"
            )
    if symbols is not None and list(symbols) != list(expected.symbols):
        raise MixpiError(f"{pair} {_other_species(expected, list(symbols), positions, tolerance)}")
    if not _close(cell, expected.cell.array, TOLERANCE):
        raise MixpiError(f"{pair} {_other_cell(expected, cell, positions)}")
    if positions is None:
        return
    distance = _distances(expected, positions - expected.positions)
    if not (distance <= tolerance).all():  # NaN is not
        raise MixpiError(f"{pair} {_other_positions(expected, positions, distance, tolerance)}")


def _close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return bool(np.abs(a - b).max() <= tolerance)


def _distances(expected: Atoms, vectors: np.ndarray) -> np.ndarray:
    """Lengths of displacements, less whole lattice vectors."""
    return np.linalg.norm(PeriodicCell(expected.cell.array).fold(vectors), axis=1)


def _other_species(
    expected: Atoms, symbols: list[str], positions: np.ndarray | None, tolerance: float
) -> str:
    ours = list(expected.symbols)
    first = next(i for i, pair in enumerate(zip(ours, symbols, strict=True)) if pair[0] != pair[1])
    text = (
        f"must hold the same atoms in the same order: atom {first} (from 0) is {ours[first]} in "
        f"the one and {symbols[first]} in the other"
    )
    if sorted(ours) != sorted(symbols):
        other = Atoms(symbols).symbols.formula if _are_elements(symbols) else "other species"
        return f"{text} ({expected.symbols.formula} against {other})"
    if positions is not None:
        if (_distances(expected, positions - expected.positions) <= tolerance).all():
            return f"{text}. The positions agree: species are swapped in one of them"
        if _permutation(expected, symbols, positions, tolerance) is not None:
            return f"{text}. They are the same atoms in another order: write both in one order"
    return f"{text}. They have as many atoms of each species, so the order is likely another"


def _are_elements(symbols: list[str]) -> bool:
    try:
        Atoms(symbols)
    except (KeyError, ValueError):
        return False
    return True


def _other_cell(expected: Atoms, cell: np.ndarray, positions: np.ndarray | None) -> str:
    ours = expected.cell.array
    index = np.unravel_index(np.abs(cell - ours).argmax(), (3, 3))
    text = (
        f"have different cells: vector {'abc'[index[0]]} is {_vector(ours[index[0]])} Å in the "
        f"one and {_vector(cell[index[0]])} Å in the other"
    )
    hint = _unit_hint(np.linalg.norm(ours, axis=1), np.linalg.norm(cell, axis=1))
    if hint:
        return f"{text}. {hint}"
    if _close(cell @ cell.T, ours @ ours.T, TOLERANCE * np.abs(ours).max()):
        return (
            f"{text}. They differ by a rotation only: i-PI wants the first vector along x and the "
            "second in the xy plane; give both the same file, with <file mode='ase' units='ase'>"
        )
    if positions is not None and len(positions) == len(expected):
        cell_of_ours = _distances(expected, positions - expected.positions)
        if (cell_of_ours <= TOLERANCE).all():
            return (
                f"{text}. The positions agree, so the cell alone was overridden: look for a "
                "<cell> in the i-PI input (a later one replaces that of <file>) and its units"
            )
    return f"{text}. A <cell> in the i-PI input replaces that of <file> if it stands after it"


def _other_positions(
    expected: Atoms, positions: np.ndarray, distance: np.ndarray, tolerance: float
) -> str:
    wrong = np.flatnonzero(~(distance <= tolerance))
    first = int(wrong[0])
    text = (
        f"have different positions: atom {first} (from 0, {expected.symbols[first]}) is at "
        f"{_vector(expected.positions[first])} Å in the one and at {_vector(positions[first])} Å "
        f"in the other ({len(wrong)} of {len(expected)} atoms differ)"
    )
    if not np.isfinite(positions).all():
        return f"{text}: NaN or infinite"
    ours = expected.positions
    hint = _unit_hint(np.abs(ours).ravel(), np.abs(positions).ravel())
    if hint:
        return f"{text}. {hint}"
    order = _permutation(expected, list(expected.symbols), positions, tolerance)
    if order is not None:
        return (
            f"{text}. They are the same atoms in another order (atom {first} there is atom "
            f"{int(order[first])} here), so the seeds would sit elsewhere: write both in one order"
        )
    shift = PeriodicCell(expected.cell.array).fold(positions - ours)
    if _close(shift, shift[:1], tolerance):
        return f"{text}. All atoms are shifted by {_vector(shift[0])} Å: use one file for both"
    return (
        f"{text}. If the structure has been changed or is another frame, let both be the same file"
    )


def _permutation(
    expected: Atoms, symbols: list[str], positions: np.ndarray, tolerance: float
) -> np.ndarray | None:
    """``order`` such that atom i of the other is atom order[i] of ours, if there is one."""
    if not np.isfinite(positions).all():
        return None
    inverse = PeriodicCell(expected.cell.array).inverse
    # in fractional coordinates a tree knows the period; exact coincidences are all we look for
    ours, theirs = (np.mod(np.mod(p @ inverse, 1.0), 1.0) for p in (expected.positions, positions))
    _, order = cKDTree(ours, boxsize=1.0).query(theirs)
    if len(np.unique(order)) != len(order):
        return None
    if not (_distances(expected, positions - expected.positions[order]) <= tolerance).all():
        return None
    same = [expected.symbols[int(j)] == s for j, s in zip(order, symbols, strict=True)]
    return order if all(same) else None


def _unit_hint(ours: np.ndarray, theirs: np.ndarray) -> str | None:
    """What to say if one set of lengths is the other in bohr."""
    present = ours > 10 * TOLERANCE
    if not present.any():
        return None
    ratio = theirs[present] / ours[present]
    for factor, given, meant in ((Bohr, "Å", "bohr"), (1 / Bohr, "bohr", "Å")):
        if np.abs(ratio / factor - 1.0).max() < RATIO_TOLERANCE:
            return (
                f"Their ratio is {factor:.4f}: lengths in {given} were taken for {meant}. Give "
                "the unit: units='ase' for <file mode='ase'>; 'positions{angstrom} cell{angstrom}' "
                "in the comment line of an xyz file; units='angstrom' for <cell>. i-PI takes "
                "<positions mode='manual'> for bohr whatever its units say"
            )
    return None


def _vector(vector: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.4f}" for x in vector) + ")"
