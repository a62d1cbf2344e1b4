"""Where a defect of a crystal is, frame by frame: by occupied sites, or by coordination."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from scipy.spatial import cKDTree

from ..errors import MixpiError
from ..regions.centre import RegionCentre
from ..regions.pairs import Pairs, pairs_within
from ..regions.periodic import PeriodicCell
from ..structure import read_frames
from .tracks import FAR, FEWEST, Track
from .trajectories import Trajectory, periodic_cell, require_even


#: Atoms in the cubic cell of a crystal.
CRYSTALS = {"sc": 1, "bcc": 2, "fcc": 4, "diamond": 8}
#: Atoms by which a crystal is sought, how many of their guesses are followed up, and how often one
#: is made better.
ASKED, FOLLOWED, ROUNDS = 128, 4, 10
#: Frames at the beginning that are left out where more than one defect seems to be there.
LEADING = 10
#: Share of the frames in which a second defect may be there.
SEVERAL = 0.1
#: By coordination number how much an atom is one of a dumbbell in bcc, where a perfect site has
#: 14 neighbours within 1.15 lattice constants (F. Birks et al., arXiv:2502.19081).
DUMBBELL = {11: 1.0, 12: 1.0, 13: 0.5}
#: Frames that scores are averaged over, as in the paper.
AVERAGED = 3
#: Cutoffs from where a dumbbell was within which it is looked for first.
REACH = 2.0


class Sites:
    """The sites of a perfect crystal, whose occupation tells defects (Wigner and Seitz).

    Parameters
    ----------
    positions : ndarray, shape (m, 3)
        Å.
    cell : PeriodicCell
        With edges at right angles.

    Raises
    ------
    MixpiError
        If the cell is oblique.
    """

    def __init__(self, positions: np.ndarray, cell: PeriodicCell) -> None:
        edges = np.diagonal(cell.vectors)
        if not np.allclose(cell.vectors, np.diag(edges), atol=1e-6 * edges.max()):
            raise MixpiError(
                "sites are occupied in cells with edges along x, y and z only: find the defect "
                "by coordination"
            )
        self.positions, self._cell, self._edges = positions, cell, edges
        self._tree = cKDTree(_into(positions, edges), boxsize=edges)
        self._offset = np.zeros(3)
        self._last: np.ndarray | None = None

    def nearest(self, positions: np.ndarray) -> np.ndarray:
        """The site nearest to each atom (n,), of the crystal where its atoms are.

        It may begin anywhere in the cell, and drift.
        """
        if self._last is None:
            self._offset = self._sought(positions)
        else:
            self._offset = self._offset + self._cell.fold(positions - self._last).mean(axis=0)
        self._last = positions
        settled = self._settled(positions, self._offset)
        self._offset = settled.offset
        return settled.nearest

    def occupation(self, positions: np.ndarray) -> np.ndarray:
        """To how many atoms each site is the nearest (m,)."""
        return np.bincount(self.nearest(positions), minlength=len(self.positions))

    def _sought(self, positions: np.ndarray) -> np.ndarray:
        """Where the crystal is against its sites, Å.

        Who settles from a wrong guess may stay half a lattice constant off, with atoms of one
        sublattice at sites of another. A guess is right that puts the first site at an atom of its
        own sublattice: those of some atoms are judged by all these atoms, the best by all atoms.
        """
        some = np.random.default_rng(0).permutation(positions)[:ASKED]
        guesses = np.vstack([np.zeros(3), some - self.positions[0]])
        away, _ = self._tree.query(_into(some - guesses[:, None], self._edges))
        best = np.argsort(np.mean(away**2, axis=1), kind="stable")[:FOLLOWED]
        settled = [self._settled(positions, guesses[one]) for one in (0, *best)]
        return min(settled, key=lambda one: (one.misfits, one.away)).offset

    def _settled(self, positions: np.ndarray, offset: np.ndarray) -> _Settled:
        """With atoms at their sites on average, from an offset on."""
        found = np.empty(0, dtype=int)
        for _ in range(ROUNDS):
            last = found
            _, found = self._tree.query(_into(positions - offset, self._edges))
            off = self._cell.fold(positions - offset - self.positions[found])
            offset = offset + off.mean(axis=0)
            if np.array_equal(found, last):
                break
        count = np.bincount(found, minlength=len(self.positions))
        misfits = int(np.count_nonzero(count != 1))
        return _Settled(offset, found, misfits, float(np.mean(off**2)))


class _Settled(NamedTuple):
    """Where a crystal may be, Å: the site of each atom, sites without one, mean square off (Å²)."""

    offset: np.ndarray
    nearest: np.ndarray
    misfits: int
    away: float


def _into(positions: np.ndarray, edges: np.ndarray) -> np.ndarray:
    wrapped = positions % edges
    return np.where(wrapped >= edges, 0.0, wrapped)  # −1e-17 % 1 is 1


def lattice(name: str, atoms: Atoms) -> np.ndarray:
    """Sites of the perfect crystal in the cell of a frame.

    Parameters
    ----------
    name : str
        ``sc``, ``bcc``, ``fcc`` or ``diamond``, its cubic axes along those of the cell; or the
        file of a structure in the same cell.
    atoms : Atoms
        A frame: about as many atoms as sites.

    Returns
    -------
    ndarray, shape (m, 3)
        Å.

    Raises
    ------
    MixpiError
        If the file has another cell, or no whole number of cubic cells fits.
    """
    if name not in CRYSTALS:
        perfect = read_frames(Path(name))[0]
        if not np.allclose(perfect.cell.array, atoms.cell.array, rtol=1e-5, atol=1e-4):
            raise MixpiError(
                f"{name} has another cell than the trajectory: a perfect crystal in the cell of "
                f"the run is needed, or one of {', '.join(CRYSTALS)}"
            )
        return perfect.positions
    edges = atoms.cell.lengths()
    edge = (atoms.cell.volume * CRYSTALS[name] / len(atoms)) ** (1.0 / 3.0)
    cells = np.round(edges / edge).astype(int)
    if (cells < 1).any() or np.ptp(edges / np.maximum(cells, 1)) > 0.01 * edge:
        raise MixpiError(
            f"{len(atoms)} atoms in {edges.round(3).tolist()} Å are no whole cubic cells of "
            f"{name}: give a structure file of the perfect crystal"
        )
    unit = bulk("X", name, a=1.0, cubic=True)
    return (unit.repeat(tuple(cells)).get_scaled_positions()) * edges


def follow_by_sites(trajectory: Trajectory, crystal: str, host: str | None = None) -> Track:
    """Follow the one interstitial or vacancy of a crystal, as the site that it is at.

    An interstitial is the site to which two atoms are nearest (so also a split one), a vacancy
    that to which none is: whether it is this or that, the number of atoms tells. Where an atom
    has just left its site and there seem to be several, it is the one nearest to where it was.

    Parameters
    ----------
    trajectory : Trajectory
    crystal : str
        As in :func:`lattice`.
    host : str, optional
        Species that the crystal is of; others are left out.

    Returns
    -------
    Track
        Of one walker, relative to the crystal; ``jumps`` are its changes of site.

    Raises
    ------
    MixpiError
        If there is no defect, or several (in the first frames, or in many), or it is lost between
        frames.
    """
    times: list[float] = []
    places: list[np.ndarray] = []
    cell: PeriodicCell | None = None
    sites: Sites | None = None
    jumps: list[bool] = []
    unclear = left = 0
    here = -1
    for time, atoms in trajectory.frames():
        if host is not None:
            atoms = atoms[np.array(atoms.get_chemical_symbols()) == host]
        cell = periodic_cell(atoms, trajectory.path, cell)
        if sites is None:
            sites = Sites(lattice(crystal, atoms), cell)
            wanted = _occupation(len(atoms), len(sites.positions), trajectory.path)
        count = sites.occupation(atoms.positions)
        found = np.flatnonzero(count > 1) if wanted > 1 else np.flatnonzero(count == 0)
        if here < 0:
            if len(found) > 1 and left < LEADING:
                left += 1
                continue
            here = _only(found, wanted, trajectory, time)
            places.append(np.zeros(3))
        else:
            steps = cell.fold(sites.positions[found] - sites.positions[here])
            shortest = int(np.argmin(np.linalg.norm(steps, axis=1)))
            _not_lost(steps[shortest], cell, trajectory, time)
            jumps.append(bool(found[shortest] != here))
            here = int(found[shortest])
            places.append(places[-1] + steps[shortest])
        unclear += len(found) > 1
        times.append(time)
    even = require_even(trajectory.path, times, FEWEST)
    if unclear > SEVERAL * len(times):
        raise MixpiError(
            f"{trajectory.path}: in {unclear} of {len(times)} frames there is more than one "
            "defect: which of them is followed is not clear. Is the lattice the right one?"
        )
    notes = (
        *(f"{left} frames at the beginning with more than one defect are left out",) * bool(left),
        *(f"{unclear} frames with more than one defect: the nearest was taken",) * bool(unclear),
    )
    who = "an interstitial" if wanted > 1 else "a vacancy"
    name, walk = str(trajectory.path), np.array(places)[:, None]
    return Track(name, even, walk, np.array(jumps), notes, who, trajectory.conditions)


def _occupation(atoms: int, sites: int, path: Path) -> int:
    """How many atoms there are at the site of the defect."""
    if atoms - sites not in (-1, 1):
        raise MixpiError(
            f"{path}: {atoms} atoms on {sites} sites are not one interstitial nor one vacancy: "
            "give the right lattice, and the species that it is of"
        )
    return 2 if atoms > sites else 0


def _only(found: np.ndarray, wanted: int, trajectory: Trajectory, time: float) -> int:
    """The one site of a defect in the first frame: no other frame tells which is followed."""
    if len(found) > 1:
        have = "have more than one atom" if wanted > 1 else "have no atom"
        raise MixpiError(
            f"{trajectory.path}: at {time:g} fs, as in all of the {LEADING} frames before, "
            f"{len(found)} sites {have}: which of them is followed is not clear. If the lattice is "
            "the right one, begin with a frame that has one defect (--skip)"
        )
    return int(found[0])


def follow_by_coordination(
    trajectory: Trajectory,
    cutoff: float,
    scores: dict[int, float] | None = None,
    averaged: int = AVERAGED,
) -> Track:
    """Follow a dumbbell as the middle of the two neighbours whose coordination is most unlike.

    They are looked for near where it was, else everywhere. This and that they are neighbours is
    more than the paper asks: vibrations give many atoms the coordination of a defect.

    Parameters
    ----------
    trajectory : Trajectory
    cutoff : float
        Å; of neighbours.
    scores : dict of int to float, optional
        By coordination number (default: :data:`DUMBBELL`).
    averaged : int
        Frames that scores are averaged over.

    Returns
    -------
    Track
        Of one walker, less the mean step of all atoms.

    Raises
    ------
    MixpiError
        If there are no such atoms in a frame, there are several places, or it is lost.
    """
    table = np.zeros(max(scores or DUMBBELL) + 2)
    for number, share in (scores or DUMBBELL).items():
        table[number] = share
    times: list[float] = []
    places: list[np.ndarray] = []
    cell: PeriodicCell | None = None
    window: list[_Scored] = []
    centre, drift, unclear = RegionCentre(), np.zeros(3), 0
    for time, atoms in trajectory.frames():
        cell = periodic_cell(atoms, trajectory.path, cell)
        pairs = pairs_within(atoms.positions, cell, cutoff)
        count = np.bincount(pairs.first, minlength=len(atoms))
        if window:
            drift = drift + cell.fold(atoms.positions - window[-1].positions).mean(axis=0)
        score = table[np.minimum(count, len(table) - 1)]
        window = [*window, _Scored(time, atoms.positions, drift, pairs, score)][-averaged:]
        if len(window) < averaged:
            continue
        middle = window[averaged // 2]
        mean = np.mean([frame.score for frame in window], axis=0)
        two, agreed = _most_unlike(middle, mean, cell, centre.last, REACH * cutoff)
        unclear += not agreed
        if not len(two) or not mean[two].all():
            raise MixpiError(
                f"{trajectory.path}: no two neighbours have the coordination of a defect at "
                f"{middle.time:g} fs: is the cutoff of {cutoff:g} Å between the shells of "
                "neighbours?"
            )
        weights = np.zeros(len(atoms))
        weights[two] = 1.0
        place = centre.follow(middle.positions, cell.vectors, weights) - middle.drift
        if places:
            _not_lost(place - places[-1], cell, trajectory, middle.time)
        times.append(middle.time)
        places.append(place)
    even = require_even(trajectory.path, times, FEWEST)
    if unclear > SEVERAL * len(times):
        raise MixpiError(
            f"{trajectory.path}: in {unclear} of {len(times)} frames atoms far from one another "
            f"have the coordination of a defect, averaged over {averaged}: average over more "
            "(--averaged), or find the defect by sites"
        )
    name, walk = str(trajectory.path), (np.array(places) - places[0])[:, None]
    return Track(name, even, walk, of="an interstitial", conditions=trajectory.conditions)


class _Scored(NamedTuple):
    """A frame, with how much each atom (n,) looks like a defect's."""

    time: float
    positions: np.ndarray
    drift: np.ndarray
    pairs: Pairs
    score: np.ndarray


def _most_unlike(
    frame: _Scored, mean: np.ndarray, cell: PeriodicCell, last: np.ndarray, reach: float
) -> tuple[np.ndarray, bool]:
    """The two neighbours of the largest scores near the last place, and whether all agree.

    They do not where two far away look as much like a defect.
    """
    pairs = frame.pairs
    sums = mean[pairs.first] + mean[pairs.second]
    if not np.isfinite(last).all():
        best = np.argsort(-sums, kind="stable")[:1]
        return np.concatenate([pairs.first[best], pairs.second[best]]), True
    middles = frame.positions[pairs.first] + pairs.vectors / 2.0
    away = np.linalg.norm(cell.fold(middles - last), axis=1)
    near, far = np.where(away < reach, sums, 0.0), np.where(away < reach, 0.0, sums)
    agreed = bool(near.max(initial=0.0) > far.max(initial=0.0) + 1e-9)
    # of equal ones the nearest
    best = np.lexsort((away, -(near if near.any() else sums)))[:1]
    return np.concatenate([pairs.first[best], pairs.second[best]]), agreed


def _not_lost(step: np.ndarray, cell: PeriodicCell, trajectory: Trajectory, time: float) -> None:
    if np.abs(step @ cell.inverse).max() > FAR:
        raise MixpiError(
            f"{trajectory.path}: the defect has moved by {np.linalg.norm(step):.3g} Å up to the "
            f"frame at {time:g} fs, more than {FAR:g} of the cell: it is lost, or there are two. "
            "Write frames more often"
        )
