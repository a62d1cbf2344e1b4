"""Seeds and radii → regions and weights.

The definitions are those of ML-MIX (Birks et al., npj Comput. Mater. 2026,
doi:10.1038/s41524-026-01982-6) as its code has them: the weight falls with the
distance to the nearest *core* atom, and every comparison is a strict ``<``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from .neighbourhood import Neighbourhood, around
from .periodic import PeriodicCell
from .positions import valid_positions
from .search import Search


#: Weight as a function of x = distance / blend, for 0 <= x < 1.
PROFILES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: 1.0 - x,
    # 1 - 3x² + 2x³, in the form that cannot round to a negative number
    "cubic": lambda x: (1.0 - x) ** 2 * (1.0 + 2.0 * x),
    # 1 - 10x³ + 15x⁴ - 6x⁵: its second derivative, too, is zero at both ends
    "smooth": lambda x: (1.0 - x) ** 3 * (1.0 + 3.0 * x + 6.0 * x**2),
}
#: The profile whose distances count from the seeds, from ``core`` on: continuous in time.
SMOOTH = "smooth"

#: Å; no wider radius is meant.
WIDEST = 1e5

#: Sums of radii are compared a little wider than they are, because of rounding.
SLACK = 1.0 + 1e-9


@dataclass(frozen=True)
class Regions:
    """Which atoms the expensive potential is for, and how much.

    Attributes
    ----------
    weights : ndarray of float, shape (n,)
        1 in the core, between 0 and 1 in the blend, 0 elsewhere.
    core, blend, buffer : ndarray of bool, shape (n,)
        Disjoint masks. Atoms in none of them are left to the cheap potential.
    depths : ndarray of float, shape (n,), or None
        How far each atom is from those of positive weight, Å: zero for these, infinite outside
        the regions; None where finding the regions did not find it.
    """

    weights: np.ndarray
    core: np.ndarray
    blend: np.ndarray
    buffer: np.ndarray
    depths: np.ndarray | None = None

    @property
    def cluster(self) -> np.ndarray:
        """Ascending indices of the atoms the expensive potential must see."""
        return np.flatnonzero(self.core | self.blend | self.buffer)

    @property
    def labels(self) -> np.ndarray:
        """Region of each atom, shape (n,): 3 core, 2 blend, 1 buffer, 0 outside."""
        return 3 * self.core + 2 * self.blend + self.buffer.astype(int)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Numbers of core, blend and buffer atoms."""
        core, blend, buffer = (
            int(np.count_nonzero(mask)) for mask in (self.core, self.blend, self.buffer)
        )
        return core, blend, buffer


def build_regions(
    positions: ArrayLike,
    cell: ArrayLike,
    seeds: ArrayLike,
    *,
    core: float,
    blend: float,
    buffer: float,
    profile: str = "linear",
    leave: float = 0.0,
    was_core: ArrayLike | None = None,
    neighbourhood: Neighbourhood | None = None,
) -> Regions:
    """Grow the core, blend and buffer regions around the seed atoms.

    Core: the seeds and every atom closer than ``core`` to any seed. Blend: the
    other atoms closer than ``blend`` to a core atom; with x = distance to the
    nearest core atom / ``blend``, the weight is 1 − x (linear) or 1 − 3x² + 2x³
    (cubic). Buffer: the atoms of zero weight closer than ``buffer`` to any atom
    of positive weight.

    These weights jump when an atom enters the core. Smooth ones do not: the blend are the
    atoms closer than ``core + blend`` to a *seed*, and with x = (distance to the nearest
    seed − ``core``) / ``blend`` the weight is 1 − 10x³ + 15x⁴ − 6x⁵, twice differentiable.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Å; wrapped into the cell or not.
    cell : array_like, shape (3, 3)
        Rows are the lattice vectors, Å; periodic along all three. It may be
        smaller than the radii: all images count.
    seeds : array_like of int
        Indices of the seed atoms, or a boolean mask of shape (n,). Without any
        the regions are empty.
    core, blend, buffer : float
        Radii, Å. Zero is allowed: no atoms but the seeds, an abrupt change, no
        surroundings.
    profile : {"linear", "cubic", "smooth"}
        Shape of the weight across the blend.
    leave : float
        Å; atoms of ``was_core`` stay in the core as long as they are closer than this to a
        seed. Not for smooth weights, which such a rule would make jump.
    was_core : array_like of bool, shape (n,), optional
        The core of an earlier geometry.
    neighbourhood : Neighbourhood, optional
        What is known from an earlier geometry of the same system, to find the same faster.

    Returns
    -------
    Regions
        Of all n atoms.

    Raises
    ------
    ValueError
        If an array has the wrong shape or is not finite, the cell is singular, a
        radius is negative or NaN, or the profile is unknown; if atoms or lattice vectors are
        absurdly far or long, or the radii so much larger than the cell that the
        search would take all memory.
    IndexError
        If a seed is not the index of an atom.
    """
    positions, periodic = valid_positions(positions), PeriodicCell(cell)
    seeds = valid_seeds(seeds, len(positions))
    valid_radii(core, blend, buffer, profile)
    valid_leave(leave, core, profile)
    if len(seeds) == 0:
        return nowhere(len(positions))
    stays = np.zeros(len(positions), dtype=bool)
    if leave > core and was_core is not None:
        stays |= np.asarray(was_core, dtype=bool)
    # nothing beyond core + blend + buffer of a seed can belong to any region
    innermost = max(core, leave) if stays.any() else core
    find = neighbourhood.within if neighbourhood else around
    near = find(positions, periodic, seeds, innermost + blend + buffer)
    search = _search(positions, near, periodic, seeds[0], max(innermost, blend, buffer))
    seeds = np.searchsorted(near, seeds)
    reach = (innermost + blend + buffer) * SLACK

    everyone = np.arange(len(search))
    if search.bins:
        to_seed = np.zeros(len(search))  # a lower bound: the bins rule out what is far
        is_core = search.closer(everyone, seeds, core)
    else:
        to_seed = search.nearest(everyone, seeds, reach)
        is_core = to_seed < core
    is_core[seeds] = True
    stayers = np.flatnonzero(stays[near] & ~is_core)
    is_core[stayers[search.closer(stayers, seeds, leave)]] = True

    weights = is_core.astype(float)
    outside = np.flatnonzero((to_seed < (innermost + blend) * SLACK) & ~is_core)
    if profile == SMOOTH:
        distance = search.nearest(outside, seeds, core + blend) - core
    else:
        distance = search.nearest(outside, np.flatnonzero(is_core), blend)
    in_blend = np.isfinite(distance)
    weights[outside[in_blend]] = PROFILES[profile](distance[in_blend] / blend)
    # a weight that underflows to 0 at the rim of a profile is no blend
    outside = np.flatnonzero(np.isfinite(to_seed) & (weights == 0.0))
    grown = _surround(search, weights, is_core, buffer, outside)
    return grown if len(near) == len(positions) else _of_all(grown, near, len(positions))


def surround(
    positions: ArrayLike,
    cell: ArrayLike,
    weights: np.ndarray,
    *,
    buffer: float,
    neighbourhood: Neighbourhood | None = None,
) -> Regions:
    """The regions that some weights make: core, blend, and the buffer around both.

    For weights that were not grown from this geometry: those of an earlier one, or of a
    hysteresis.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Å; wrapped into the cell or not.
    cell : array_like, shape (3, 3)
        Rows are the lattice vectors, Å; periodic along all three.
    weights : ndarray, shape (n,)
        From 0 to 1: the core are the atoms with 1, the blend those between.
    buffer : float
        Å.
    neighbourhood : Neighbourhood, optional
        What is known from an earlier geometry of the same system, to find the same faster.

    Returns
    -------
    Regions

    Raises
    ------
    ValueError
        As :func:`build_regions`.
    """
    positions, periodic = valid_positions(positions), PeriodicCell(cell)
    weighted = np.flatnonzero(weights > 0.0)
    if len(weighted) == 0:
        return nowhere(len(positions))
    find = neighbourhood.within if neighbourhood else around
    near = find(positions, periodic, weighted, buffer)
    search = _search(positions, near, periodic, weighted[0], buffer)
    inner = weights[near]
    grown = _surround(search, inner, inner >= 1.0, buffer, np.flatnonzero(inner == 0.0))
    return grown if len(near) == len(positions) else _of_all(grown, near, len(positions))


def _search(
    positions: np.ndarray, near: np.ndarray, periodic: PeriodicCell, centre: int, reach: float
) -> Search:
    """Distances among the atoms ``near``."""
    shown = positions if len(near) == len(positions) else positions[near]
    return Search(periodic, shown, centre=positions[centre], reach=reach)


def _surround(
    search: Search, weights: np.ndarray, core: np.ndarray, buffer: float, outside: np.ndarray
) -> Regions:
    """The regions of the atoms of a search; those ``outside`` may be buffer."""
    weighted = weights > 0.0
    is_buffer, depths = np.zeros(len(search), dtype=bool), None
    if search.bins:
        is_buffer[outside] = search.closer(outside, np.flatnonzero(weighted), buffer)
    else:
        depths = np.where(weighted, 0.0, np.inf)
        depths[outside] = search.nearest(outside, np.flatnonzero(weighted), buffer)
        is_buffer[outside] = np.isfinite(depths[outside])
    return Regions(weights, core, weighted & ~core, is_buffer, depths)


def _of_all(regions: Regions, near: np.ndarray, n: int) -> Regions:
    """Regions of some atoms as those of all: the others are outside."""
    outside = {"weights": 0.0, "core": False, "blend": False, "buffer": False, "depths": np.inf}
    whole: dict[str, np.ndarray] = {}
    for name, nothing in outside.items():
        found = getattr(regions, name)
        if found is not None:
            whole[name] = np.full(n, nothing)
            whole[name][near] = found
    return Regions(**whole)


def nowhere(n: int) -> Regions:
    """Regions without an atom, of n."""
    return Regions(np.zeros(n), *np.zeros((3, n), dtype=bool))


def union(regions: Sequence[Regions]) -> Regions:
    """One set of regions that serves several geometries of the same atoms.

    For the beads of a ring polymer or the images of a path: the weight of an atom
    is its largest in any geometry, its region the innermost, so each geometry
    finds at least the surroundings that it would have asked for alone.

    Parameters
    ----------
    regions : sequence of Regions
        One a geometry, at least one.

    Returns
    -------
    Regions
    """
    if len(regions) == 1:
        return regions[0]
    weights = np.max([r.weights for r in regions], axis=0)
    core = np.any([r.core for r in regions], axis=0)
    blend = np.any([r.blend for r in regions], axis=0) & ~core
    buffer = np.any([r.buffer for r in regions], axis=0) & ~core & ~blend
    return Regions(weights, core, blend, buffer)


def valid_seeds(seeds: ArrayLike, n: int) -> np.ndarray:
    """The seeds as unique, ascending indices.

    Raises
    ------
    ValueError
        If they are neither integers nor a mask of shape (n,).
    IndexError
        If one is negative or not below ``n``.
    """
    seeds = np.asarray(seeds)
    if seeds.dtype == bool:
        if seeds.shape != (n,):
            raise ValueError(f"a seed mask must have shape ({n},), got {seeds.shape}")
        return np.flatnonzero(seeds)
    if seeds.size == 0:
        return np.empty(0, dtype=int)
    if seeds.ndim != 1 or not np.issubdtype(seeds.dtype, np.integer):
        raise ValueError(
            f"seeds must be a flat list of integers, got {seeds.dtype} of shape {seeds.shape}"
        )
    if seeds.min() < 0:
        raise IndexError(f"seed {seeds.min()} is out of range: atoms are numbered from 0")
    wrong = seeds[seeds >= n]
    if len(wrong):
        raise IndexError(
            f"seed {wrong[0]} is out of range: the structure has {n} atoms, numbered 0 to {n - 1}"
        )
    return np.unique(seeds)


def valid_radii(core: float, blend: float, buffer: float, profile: str) -> None:
    """Refuse radii and profiles that :func:`build_regions` cannot use.

    Raises
    ------
    ValueError
        If a radius is no number, negative, NaN or absurd, or the profile is unknown.
    """
    for name, radius in {"core": core, "blend": blend, "buffer": buffer}.items():
        number = isinstance(radius, Real) and not isinstance(radius, bool)
        if not (number and np.isfinite(radius) and radius >= 0.0):
            raise ValueError(f"{name} radius must be a number >= 0 (Å), got {radius!r}")
        if radius > WIDEST:
            raise ValueError(f"{name} radius is {radius:.3g} Å, the most is {WIDEST:g}")
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ValueError(f"profile must be one of {sorted(PROFILES)}, got {profile!r}")


def valid_leave(leave: float, core: float, profile: str) -> None:
    """Refuse an outer radius of the core that :func:`build_regions` cannot use.

    Raises
    ------
    ValueError
        If it is no number, NaN, absurd, smaller than ``core`` (but for 0, which is none), or
        for smooth weights.
    """
    if not (np.isfinite(leave) and 0.0 <= leave <= WIDEST):
        raise ValueError(f"leave radius must be a number >= 0 (Å), got {leave!r}")
    if leave and leave < core:
        raise ValueError(
            f"the radius at which atoms leave the core ({leave:g} Å) is smaller than that at which "
            f"they enter it ({core:g} Å)"
        )
    if leave and profile == SMOOTH:
        raise ValueError("smooth weights are continuous: 'leave' is for linear and cubic ones")
