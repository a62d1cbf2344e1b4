"""Snapshots of one system against its structure and each other: where the atoms really are.

Files of a run may be unwrapped (atoms that diffused or a drift of everything leave them
whole lattice vectors from home), and a run repeats itself where it was restarted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ..regions.pairs import pairs_within
from ..regions.periodic import PeriodicCell


#: Å; rms displacement per coordinate that no thermal snapshot stays below.
COLD = 0.02
#: Of the later displacements: snapshots before any that is so wide are of a warming up.
WARM = 0.7
#: Of the spacing: atoms are at their sites if most are nearer to them.
NEAR = 0.5
#: Å; snapshots this close are one (files have some eight digits).
SAME = 1e-4


def displacements(positions: np.ndarray, home: np.ndarray, cell: PeriodicCell) -> np.ndarray:
    """How far atoms are from home, less what all have in common.

    Parameters
    ----------
    positions, home : ndarray, shape (n, 3)
        Å, wrapped into the cell or not.
    cell : PeriodicCell
        Of both.

    Returns
    -------
    ndarray, shape (n, 3)
        Å, folded; their mean is zero.
    """
    # a mean on the circle: half of the atoms may be folded to the other side
    turns = np.exp(2j * np.pi * ((positions - home) @ cell.inverse))
    drift = np.angle(turns.mean(axis=0)) / (2.0 * np.pi)
    moved = cell.fold(positions - home - drift @ cell.vectors)
    return moved - moved.mean(axis=0)


def widths(frames: Sequence[np.ndarray], home: np.ndarray, cell: PeriodicCell) -> np.ndarray:
    """Rms displacement per coordinate (Å) of each snapshot."""
    moved = (displacements(frame, home, cell) for frame in frames)
    return np.array([np.sqrt(np.mean(move**2)) for move in moved])


def typical_distance(positions: np.ndarray, home: np.ndarray, cell: PeriodicCell) -> float:
    """Median distance (Å) of the atoms from home, less what all have in common."""
    return float(np.median(np.linalg.norm(displacements(positions, home, cell), axis=1)))


def nearest_distances(positions: np.ndarray, cell: PeriodicCell) -> np.ndarray:
    """Distance (n,) from each atom to the nearest image of any, Å.

    At most one and a half times the edge of the cube that an atom has for itself.
    """
    volume = abs(np.linalg.det(cell.vectors))
    furthest = 1.5 * (volume / len(positions)) ** (1.0 / 3.0)
    pairs = pairs_within(positions, cell, furthest)
    nearest = np.full(len(positions), furthest)
    np.minimum.at(nearest, pairs.first, pairs.distances)
    return nearest


def distinct(frames: Sequence[np.ndarray], cell: PeriodicCell) -> list[int]:
    """Indices of the snapshots that are no copy of an earlier one.

    Parameters
    ----------
    frames : sequence of ndarray, shape (n, 3)
        Å, wrapped into the cell or not.
    cell : PeriodicCell
        Of all.

    Returns
    -------
    list of int
        Ascending.
    """
    kept: list[int] = []
    few = np.array([frame[:4] for frame in frames])
    for number, frame in enumerate(frames):
        alike = np.abs(cell.fold(few[kept] - few[number])).max(axis=(1, 2)) < SAME
        earlier = np.array(kept, dtype=int)[alike]
        if not any(np.abs(cell.fold(frames[i] - frame)).max() < SAME for i in earlier):
            kept.append(number)
    return kept


def correlation(frames: Sequence[np.ndarray], cell: PeriodicCell) -> float | None:
    """How alike a snapshot is to the one after it, of the displacements: 1 equal, 0 not at all.

    1 − ⟨|x(i + 1) − x(i)|²⟩ / ⟨|x(i + n/2) − x(i)|²⟩: neighbours in the file against snapshots
    half the file apart.

    Parameters
    ----------
    frames : sequence of ndarray, shape (n, 3)
        Å, in the order of time.
    cell : PeriodicCell
        Of all.

    Returns
    -------
    float or None
        None with fewer than four snapshots, too few to tell.
    """
    if len(frames) < 4:
        return None

    def apart(steps: int) -> float:
        pairs = zip(frames[:-steps], frames[steps:], strict=True)
        return float(np.mean([np.mean(displacements(b, a, cell) ** 2) for a, b in pairs]))

    far = apart(len(frames) // 2)
    return float(np.clip(1.0 - apart(1) / far, 0.0, 1.0)) if far else None


def doubts(frames: Sequence[np.ndarray], atoms: Atoms) -> list[str]:
    """Why errors on snapshots may be no thermal ones of this system.

    Parameters
    ----------
    frames : sequence of ndarray, shape (n, 3)
        Å, in the order of time.
    atoms : Atoms
        The structure.

    Returns
    -------
    list of str
        Empty if all is well.
    """
    cell, home = PeriodicCell(atoms.cell.array), atoms.positions
    wide = widths(frames, home, cell)
    cold = int(np.sum(wide < COLD))
    found = []
    if cold:
        which = f"{cold} of {len(frames)} snapshots" if len(frames) > 1 else "the snapshot"
        found.append(
            f"the atoms of {which} hardly left the sites of the structure: errors there cancel "
            "by symmetry; give thermal snapshots only"
        )
    later = float(np.median(wide[len(wide) // 2 :]))
    early = int(np.argmax(wide >= WARM * later))
    if early and len(frames) >= 4:
        found.append(
            f"the first {early} of {len(frames)} snapshots are nearer to the structure (rms "
            f"{wide[0]:.2g} Å) than the later ones ({later:.2g} Å): if the run began at rest "
            "there, they are from its warming up, and their errors too small: leave them out "
            f"(--frame FILE@{early}:)"
        )
    spacing = float(np.median(nearest_distances(home, cell)))
    away = [typical_distance(frame, home, cell) for frame in frames]
    gone = sum(distance > NEAR * spacing for distance in away)
    if gone:
        found.append(
            f"in {gone} of {len(frames)} snapshots most atoms are far from the structure's sites "
            f"(median {max(away):.2g} Å): right for a liquid; of a solid the cheap potential "
            "does not hold it, or the file has its atoms in another order"
        )
    return found
