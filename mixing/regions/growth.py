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
from .periodic import PeriodicCell, Search
from .positions import valid_positions


#: Weight as a function of x = distance / blend, for 0 <= x < 1.
PROFILES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: 1.0 - x,
    # 1 - 3x² + 2x³, in the form that cannot round to a negative number
    "cubic": lambda x: (1.0 - x) ** 2 * (1.0 + 2.0 * x),
}

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
    neighbourhood: Neighbourhood | None = None,
) -> Regions:
    """Grow the core, blend and buffer regions around the seed atoms.

    Core: the seeds and every atom closer than ``core`` to any seed. Blend: the
    other atoms closer than ``blend`` to a core atom; with x = distance to the
    nearest core atom / ``blend``, the weight is 1 − x (linear) or 1 − 3x² + 2x³
    (cubic). Buffer: the atoms of zero weight closer than ``buffer`` to any atom
    of positive weight.

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
    profile : {"linear", "cubic"}
        Shape of the weight across the blend.
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
    n = len(positions)
    if len(seeds) == 0:
        return Regions(np.zeros(n), *np.zeros((3, n), dtype=bool))
    # nothing beyond core + blend + buffer of a seed can belong to any region
    find = neighbourhood.within if neighbourhood else around
    near = find(positions, periodic, seeds, core + blend + buffer)
    everything = len(near) == n
    search = Search(
        periodic,
        positions if everything else positions[near],
        centre=positions[seeds[0]],
        reach=max(core, blend, buffer),
    )
    grown = _grow(search, np.searchsorted(near, seeds), core, blend, buffer, profile)
    if everything:
        return grown
    outside = {"weights": 0.0, "core": False, "blend": False, "buffer": False, "depths": np.inf}
    whole: dict[str, np.ndarray] = {}
    for name, nothing in outside.items():
        found = getattr(grown, name)
        if found is not None:
            whole[name] = np.full(n, nothing)
            whole[name][near] = found
    return Regions(**whole)


def _grow(
    search: Search, seeds: np.ndarray, core: float, blend: float, buffer: float, profile: str
) -> Regions:
    """The regions of the atoms of a search, among which are all that can be in one."""
    weights = np.zeros(len(search))
    is_core, is_buffer = np.zeros((2, len(search)), dtype=bool)

    if search.bins:
        to_seed = weights  # a lower bound: the bins rule out what is far
        near = search.closer(np.arange(len(search)), seeds, core)
    else:
        to_seed = search.nearest(np.arange(len(search)), seeds, (core + blend + buffer) * SLACK)
        near = to_seed < core
    is_core |= near
    is_core[seeds] = True

    outside = np.flatnonzero((to_seed < (core + blend) * SLACK) & ~is_core)
    distance = search.nearest(outside, np.flatnonzero(is_core), blend)
    in_blend = np.isfinite(distance)
    weights = is_core.astype(float)
    weights[outside[in_blend]] = PROFILES[profile](distance[in_blend] / blend)
    # a weight that underflows to 0 at the rim of the cubic profile is no blend
    weighted = weights > 0.0

    outside = np.flatnonzero(np.isfinite(to_seed) & ~weighted)
    depths = None
    if search.bins:
        is_buffer[outside] = search.closer(outside, np.flatnonzero(weighted), buffer)
    else:
        depths = np.where(weighted, 0.0, np.inf)
        depths[outside] = search.nearest(outside, np.flatnonzero(weighted), buffer)
        is_buffer[outside] = np.isfinite(depths[outside])
    return Regions(weights, is_core, weighted & ~is_core, is_buffer, depths)


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
