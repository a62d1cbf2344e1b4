"""Whether the atoms of frames stand in one order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..regions.periodic import PeriodicCell
from .trajectories import Trajectory


#: Å: further than an atom moves into the place of a neighbour, as the two of a dumbbell do that
#: turns round.
FAR = 3.0
#: Å from where another one stood, with what heat does to both.
SAME_PLACE = 0.8
#: How many atoms are looked at, and the share of many of them that must have changed places; of
#: few, all.
ASKED, SHARE, FEW = 200, 0.8, 10


def frames_in_order(trajectory: Trajectory) -> Iterator[tuple[float, Atoms]]:
    """The frames of a trajectory in which single atoms are followed.

    Parameters
    ----------
    trajectory : Trajectory

    Yields
    ------
    float, Atoms
        As :meth:`Trajectory.frames`, which says what else is raised.

    Raises
    ------
    MixpiError
        If the atoms of two frames stand in different order.
    """
    last = None
    for time, atoms in trajectory.frames():
        if last is not None and (changed := have_changed_places(last, atoms)):
            some = ", ".join(map(str, changed[:4])) + (", ..." if len(changed) > 4 else "")
            raise MixpiError(
                f"{trajectory.path}: in the frame at {time:g} fs atoms {some} stand where others "
                "of them stood: are the atoms in another order there? Write them sorted (LAMMPS: "
                "dump_modify ... sort id), or frames more often"
            )
        last = atoms
        yield time, atoms


def have_changed_places(last: Atoms, atoms: Atoms) -> list[int]:
    """Atoms that, from one frame to the next, stand where others of them stood.

    A frame whose atoms are in another order looks as if they had jumped into one another's
    places. Of atoms that do move as far between frames at least one finds a new place.

    Parameters
    ----------
    last, atoms : Atoms
        Two frames of the same n atoms, in a periodic cell or none.

    Returns
    -------
    list of int
        Their numbers; none if any of them has found a place of its own.
    """
    ids = "id" in atoms.arrays and "id" in last.arrays
    if ids and not np.array_equal(atoms.arrays["id"], last.arrays["id"]):
        return np.flatnonzero(atoms.arrays["id"] != last.arrays["id"]).tolist()
    periodic = atoms.pbc.all() and atoms.cell.rank == 3
    fold = PeriodicCell(atoms.cell.array).fold if periodic else np.asarray
    way = fold(atoms.positions - last.positions)
    changed = np.flatnonzero(np.linalg.norm(way, axis=1) > FAR)
    if len(changed) < 2:
        return []
    asked = changed[:ASKED]
    apart = np.linalg.norm(fold(atoms.positions[asked][:, None] - last.positions[changed]), axis=-1)
    taken = set(apart.argmin(axis=1)[apart.min(axis=1) < SAME_PLACE].tolist())
    needed = len(asked) if len(asked) < FEW else SHARE * len(asked)
    return changed.tolist() if len(taken) >= needed else []
