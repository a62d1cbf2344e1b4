"""Images of a path as they were given: made continuous, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz

from ..files.replacing import replace_file
from ..regions.periodic import PeriodicCell


#: Å; more than an atom moves from one image to the next, where it hops with one image between.
LONG_STEP = 1.5
#: eV/Å, and multiples of what the band comes to rest to: ends with larger forces are spoken of.
RESTLESS, RESTLESS_BAND = 0.05, 5.0


def continuous(geometries: Sequence[np.ndarray], cell: np.ndarray) -> list[np.ndarray]:
    """The same images, each atom in the periodic image nearest to where it was in the one before.

    Programs wrap atoms into the cell, each image for itself: differences of positions would then
    hold lattice vectors.

    Parameters
    ----------
    geometries : sequence of ndarray, shape (n, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows are lattice vectors, Å.

    Returns
    -------
    list of ndarray, shape (n, 3)
        The first as it was.
    """
    periodic = PeriodicCell(cell)
    found = [geometries[0]]
    for positions in geometries[1:]:
        found.append(found[-1] + periodic.shortest(positions - found[-1]))
    return found


def look_at_steps(
    geometries: Sequence[np.ndarray], symbols: Sequence[str], say: Callable[[str], None]
) -> None:
    """Say so where an atom jumps from one image to the next: atoms may have been renumbered.

    Parameters
    ----------
    geometries : sequence of ndarray, shape (n, 3)
        Of :func:`continuous`, Å.
    symbols : sequence of str
        Of the atoms.
    say : callable
        Told.
    """
    moved = np.array([np.linalg.norm(b - a, axis=1) for a, b in pairwise(geometries)])
    image, atom = (int(i) for i in np.unravel_index(moved.argmax(), moved.shape))
    if moved[image, atom] <= LONG_STEP:
        return
    jumps = int((moved[image] > LONG_STEP).sum())
    say(
        f"atom {atom} (from 0, {symbols[atom]}) moves by {moved[image, atom]:.3g} Å from image "
        f"{image} to image {image + 1}"
        + (f", and {jumps - 1} more jump there" if jumps > 1 else "")
        + ": are the atoms of all images in the same order? If so, the path needs more images"
    )


def look_at_ends(
    ends: Sequence[Atoms], fmax: float, say: Callable[[str], None]
) -> tuple[float, ...]:
    """Say so where an end is not at rest: barriers are counted from there.

    Parameters
    ----------
    ends : sequence of Atoms
        First and last image, with their forces (eV/Å).
    fmax : float
        Largest force of a band at rest, eV/Å.
    say : callable
        Told.

    Returns
    -------
    tuple of float
        Largest force of each, eV/Å.
    """
    found = tuple(largest_force(end.get_forces()) for end in ends)
    for name, force in zip(("first", "last"), found, strict=True):
        if force > max(RESTLESS, RESTLESS_BAND * fmax):
            say(
                f"the {name} end is not at rest on the forces of this band (largest force "
                f"{force:.3g} eV/Å), and ends do not move: the barrier is not that of a hop "
                "between places of rest. 'mixpi path --relax' begins with ends at rest"
            )
    return found


def largest_force(forces: np.ndarray) -> float:
    """The largest force on an atom, of forces (n, 3); same unit."""
    return float(np.linalg.norm(forces, axis=1).max())


def write_frames(path: Path, frames: Sequence[Atoms]) -> None:
    """Write structures as extended XYZ, in place of what is there once all are written."""

    def write(part: Path) -> None:
        with part.open("w") as stream:
            write_extxyz(stream, frames, write_results=False)

    replace_file(path, write)
