"""How many neighbours atoms have, against the usual number of their kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .pairs import pairs_within


#: A neighbour this near to the cutoff (as a fraction of it) does not decide about an atom.
MARGIN = 0.02
#: Above this share of undecided atoms there are no shells to speak of.
NO_SHELLS = 0.1
#: Up to this share of undecided atoms a cutoff serves to sort out a few atoms.
NEARLY_A_GAP = 0.3
WITHOUT_SHELLS = (
    "the neighbours form no shells (a gas, a liquid, a glass, a hot crystal): no cutoff tells who "
    "is a neighbour"
)


@dataclass(frozen=True)
class Coordination:
    """Neighbours within a cutoff.

    Attributes
    ----------
    cutoff : float
        Å.
    usual : dict of int to int
        The commonest number of neighbours for each atomic number.
    too_few, too_many : ndarray of bool, shape (n,)
        Atoms that have fewer or more than is usual for their kind.
    """

    cutoff: float
    usual: dict[int, int]
    too_few: np.ndarray
    too_many: np.ndarray


def nearest_distance(positions: np.ndarray, cell: np.ndarray) -> float:
    """The typical distance between nearest neighbours: the median over the atoms, Å.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows are the lattice vectors, Å; periodic along all three.

    Returns
    -------
    float
    """
    cutoff = 2.5
    while True:
        first, distances = _pairs(positions, cell, cutoff)
        nearest = np.full(len(positions), np.inf)
        np.minimum.at(nearest, first, distances)
        median = float(np.median(nearest))
        if np.isfinite(median):
            return median
        cutoff *= 1.5


def coordination(
    numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, *, cutoff: float | None = None
) -> Coordination:
    """Count neighbours, and compare with the usual number of each kind of atom.

    Without a cutoff, one is chosen in a gap between shells of neighbours that is a gap
    for nearly all atoms, so that neither thermal motion nor a second shell close to
    the first (bcc) decides: at low temperature that is the gap behind the first
    shell, in a hot bcc crystal the one behind the second.

    Parameters
    ----------
    numbers : ndarray of int, shape (n,)
        Atomic numbers.
    positions : ndarray, shape (n, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows are the lattice vectors, Å; periodic along all three.
    cutoff : float, optional
        Å.

    Returns
    -------
    Coordination

    Raises
    ------
    ValueError
        If there is no gap: a liquid, a gas, a glass.
    """
    if cutoff is not None:
        return _count(numbers, positions, cell, cutoff, margin=0.0)
    trials, undecided = _trials(positions, cell)

    def count(cutoff: float) -> Coordination:
        return _count(numbers, positions, cell, cutoff, margin=MARGIN)

    # of several gaps the one behind which the fewest atoms are odd, the first of equals
    found = min(
        (count(cutoff) for cutoff in _gaps(trials, undecided)),
        key=lambda found: np.count_nonzero(found.too_few | found.too_many),
    )
    odd = np.mean(found.too_few | found.too_many)
    if odd > 0.5 or not any(found.usual.values()):
        raise ValueError(WITHOUT_SHELLS)
    # In a warm bcc crystal the second shell has run into the first, but few atoms have a
    # neighbour just where they meet: who of the odd atoms lacks one of the first shell?
    below = trials < found.cutoff
    cutoffs, share = trials[below], undecided[below]
    rises_behind = np.maximum.accumulate(share[::-1])[::-1] > 2 * share
    meet = rises_behind & (share <= NEARLY_A_GAP)
    if not meet.any():
        return found
    cutoff = float(cutoffs[meet][np.argmin(share[meet])])
    within = _count(numbers, positions, cell, cutoff, margin=0.0)
    both = found.too_few & within.too_few
    return replace(within, too_few=both, too_many=found.too_many) if both.any() else found


def _count(
    numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, cutoff: float, *, margin: float
) -> Coordination:
    first, distances = _pairs(positions, cell, cutoff * (1 + margin))

    def count(reach: float) -> np.ndarray:
        return np.bincount(first[distances < reach], minlength=len(positions))

    here, wider, narrower = (count(cutoff * (1 + shift)) for shift in (0.0, margin, -margin))
    usual = {int(z): _commonest(here[numbers == z]) for z in np.unique(numbers)}
    expected = np.array([usual[int(z)] for z in numbers])
    return Coordination(cutoff, usual, wider < expected, narrower > expected)


def _trials(positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cutoffs to try (Å), and the share of atoms with a neighbour within the margin of each."""
    spacing = nearest_distance(positions, cell)
    trials = spacing * np.arange(1.0, 2.2, 0.005)
    first, distances = _pairs(positions, cell, trials[-1] * (1 + MARGIN))
    order = np.argsort(distances)
    first, distances = first[order], distances[order]
    low = np.searchsorted(distances, trials * (1 - MARGIN))
    high = np.searchsorted(distances, trials * (1 + MARGIN))
    undecided = np.empty(len(trials))
    for k in range(len(trials)):
        marked = np.zeros(len(positions), dtype=bool)
        marked[first[low[k] : high[k]]] = True
        undecided[k] = marked.mean()
    return trials, undecided


def _gaps(trials: np.ndarray, undecided: np.ndarray) -> list[float]:
    """Cutoffs between shells, Å."""
    if undecided.min() > NO_SHELLS:
        raise ValueError(WITHOUT_SHELLS)
    # atoms at a defect may lie in the gap: allow for a few
    good = np.flatnonzero(undecided <= undecided.min() + 0.02)
    gaps = np.split(trials[good], np.flatnonzero(np.diff(good) > 1) + 1)
    # in a wide gap not the middle: a bond that is stretched far is broken
    return [float(min((gap[0] + gap[-1]) / 2, gap[0] + 0.15 * trials[0])) for gap in gaps]


def _commonest(counts: np.ndarray) -> int:
    """The mode; of several the largest, since what is missing is the exception."""
    frequency = np.bincount(counts)
    return int(len(frequency) - 1 - np.argmax(frequency[::-1]))


def _pairs(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Every neighbour of every atom: index of the atom and distance (Å)."""
    found = pairs_within(positions, cell, cutoff)
    return found.first, found.distances
