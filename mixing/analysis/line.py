"""Where a dislocation line in a bcc crystal is, and how fast it glides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..errors import MixpiError
from ..regions.centre import RegionCentre
from ..regions.pairs import Pairs, pairs_within
from ..regions.periodic import PeriodicCell
from .results import Report, Result
from .statistics import Estimate
from .tracks import FAR
from .trajectories import Trajectory, periodic_cell, require_even


#: Neighbours in the two shells of bcc, and how many of them have 6 and 4 neighbours in common.
BCC, SIX, FOUR = 14, 8, 6
#: Cosines along the run that the glide is taken from, the slowest ones.
COSINES = 40
#: Parts of a run in whose means the line has to stay in its valley to be called at rest.
PARTS = 10
#: Valleys; over fewer the error of the velocity, about that of their number, is a guess.
FEW = 10
#: Share of the frames in which there may be another group as large as half the line, far away,
#: or the line may be spread over the cell.
SEVERAL = 0.5
#: Of an edge of the crystal; a line that has not gone so far has not left its valley, of which
#: the next one is √6/3 of an edge away.
STANDS, VALLEY = 0.5, np.sqrt(6.0) / 3.0
#: Edges of the crystal in the cutoff.
EDGES = 1.207
#: Å/ps in m/s.
M_PER_S = 100.0


def is_bcc(pairs: Pairs, atoms: int, cutoff: float, among: np.ndarray | None = None) -> np.ndarray:
    """Which atoms have the surroundings of bcc, by common neighbour analysis.

    Of 14 neighbours eight have six in common with the atom, with six bonds among these, and six
    have four with four (J. D. Honeycutt and H. C. Andersen, J. Phys. Chem. 91, 4950, 1987).

    Parameters
    ----------
    pairs : Pairs
        Within the cutoff.
    atoms : int
        How many there are.
    cutoff : float
        Å; between the second and the third shell of neighbours, 1.207 lattice constants.
    among : ndarray of bool, shape (atoms,), optional
        Others are not looked at, and nothing is said of them (False).

    Returns
    -------
    ndarray of bool, shape (atoms,)
    """
    full = np.bincount(pairs.first, minlength=atoms) == BCC
    if among is not None:
        full &= among
    vectors = pairs.vectors[full[pairs.first]].reshape(-1, BCC, 3)
    squares = np.sum((vectors[:, :, None] - vectors[:, None]) ** 2, axis=-1)
    bonded = ((squares < cutoff**2) & (squares > 0.0)).astype(np.int16)
    common = bonded.sum(axis=-1)
    bonds = np.sum((bonded @ bonded) * bonded, axis=-1) // 2
    six = np.count_nonzero((common == 6) & (bonds == 6), axis=1)
    four = np.count_nonzero((common == 4) & (bonds == 4), axis=1)
    found = np.zeros(atoms, dtype=bool)
    found[full] = (six == SIX) & (four == FOUR)
    return found


def line_atoms(
    positions: np.ndarray, cell: PeriodicCell, cutoff: float, inside: np.ndarray
) -> np.ndarray:
    """The largest group of neighbours that are not bcc.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Å.
    cell : PeriodicCell
    cutoff : float
        Å; as for :func:`is_bcc`.
    inside : ndarray of bool, shape (n,)
        Atoms that can belong to it: not those of surfaces.

    Returns
    -------
    ndarray of bool, shape (n,)
        Nowhere true in a perfect crystal.
    """
    group, sizes = _groups(positions, cell, cutoff, inside)
    return group == np.argmax(sizes) if len(sizes) else np.zeros(len(positions), dtype=bool)


def _groups(
    positions: np.ndarray, cell: PeriodicCell, cutoff: float, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The group (n,) of neighbours that are not bcc of each atom, −1 of none, and their sizes."""
    n = len(positions)
    pairs = pairs_within(positions, cell, cutoff)
    odd = inside & ~is_bcc(pairs, n, cutoff, inside)
    both = odd[pairs.first] & odd[pairs.second]
    bonds = (np.ones(np.count_nonzero(both)), (pairs.first[both], pairs.second[both]))
    _, group = connected_components(coo_array(bonds, shape=(n, n)), directed=False)
    group = np.where(odd, group, -1)
    return group, np.bincount(group[odd])


def line_velocity(
    trajectory: Trajectory,
    *,
    cutoff: float,
    glide: int = 0,
    normal: int = 1,
    within: tuple[float, float] = (-np.inf, np.inf),
    averaged: int = 1,
) -> Report:
    """How fast a dislocation line glides.

    Its place is the mean of the largest group of atoms that are not bcc, followed through the
    boundaries; for the velocity see :func:`velocity_of`.

    Parameters
    ----------
    trajectory : Trajectory
        Of a bcc crystal with one dislocation.
    cutoff : float
        Å; as for :func:`is_bcc`.
    glide, normal : int
        Axes of the glide and of the normal of its plane: 0, 1 or 2.
    within : tuple of float
        Å; bounds along the normal that leave surfaces out.
    averaged : int
        Frames whose mean positions are looked at: each so many, one after another. Vibrations
        make atoms of a hot crystal look like defects.

    Returns
    -------
    Report
        As :func:`line_results` has them.

    Raises
    ------
    MixpiError
        If there are too few frames, the line is lost or was never there, there are several, or
        what is largest lies across the cell, as a surface does.
    """
    path = trajectory.path
    times: list[float] = []
    places: list[float] = []
    heights: list[float] = []
    sizes: list[int] = []
    centre = RegionCentre()
    unclear = 0
    for time, positions, cell in _averages(trajectory, averaged):
        height = positions[:, normal]
        inside = (height > within[0]) & (height < within[1])
        group, members = _groups(positions, cell, cutoff, inside)
        if not len(members):
            raise MixpiError(
                f"{path}: all atoms are bcc at {time:g} fs: there is no line, or the cutoff or the "
                "bounds are wrong"
            )
        found = group == np.argmax(members)
        unclear += _is_unclear(positions, cell, group, members, (glide, normal))
        middle = centre.follow(positions, cell.vectors, found.astype(float))
        place = middle[glide]
        for axis, way in (glide, places), (normal, heights):
            width = float(np.linalg.norm(cell.vectors[axis]))
            if way and abs(middle[axis] - way[-1]) > FAR * width:
                raise MixpiError(
                    f"{path}: the line has moved by {abs(middle[axis] - way[-1]):.3g} Å along "
                    f"{'xyz'[axis]} before {time:g} fs: it is lost, or there are two. Write frames "
                    "more often, or leave surfaces out (--within)"
                )
        times.append(time)
        places.append(float(place))
        heights.append(float(middle[normal]))
        sizes.append(int(found.sum()))
    even = require_even(path, times, COSINES + 1)
    if unclear > SEVERAL * len(times):
        raise MixpiError(
            f"{path}: in {unclear} of {len(times)} frames atoms that are not bcc lie across the "
            "cell, or far from the largest group of them there is one that is half as large: "
            "surfaces, or more than one line. Leave all but one line out (--within)"
        )
    results, notes = line_results(even, places, heights, cutoff / EDGES)
    return Report(
        "line",
        (str(path),),
        results,
        (f"the line has {min(sizes)} to {max(sizes)} atoms", *notes),
        {"time_ps": even / 1e3, "place_A": places, "height_A": heights},
        f"a line that glides along {'xyz'[glide]} in a plane normal to {'xyz'[normal]}",
        trajectory.conditions,
    )


def line_results(
    times: ArrayLike, places: ArrayLike, heights: ArrayLike | None, edge: float
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """What the places of a line tell: also those that a report has kept.

    Parameters
    ----------
    times : array_like, shape (n,)
        fs; evenly spaced.
    places, heights : array_like, shape (n,)
        Å, along the glide and the normal of its plane; of old reports no heights are known.
    edge : float
        Å, of the crystal.

    Returns
    -------
    results : tuple of Result
        ``velocity`` in m/s, ``glided``, ``left its plane by`` where heights are known, and where
        the line has stayed in its valley ``velocity at most (95 %)``: more than −ln 0.05 ≈ 3
        steps by √6/3 of an edge would have shown one.
    notes : tuple of str
    """
    times, places = np.asarray(times, dtype=float), np.asarray(places, dtype=float)
    ways = [places] if heights is None else [places, np.asarray(heights, dtype=float)]
    unit = 1e3 * M_PER_S
    speed = velocity_of(times, places)
    results = [
        Result("velocity", speed.value * unit, speed.error * unit, "m/s", speed.independent),
        *(
            Result(name, float(way[-1] - way[0]), np.inf, "Å")
            for name, way in zip(("glided", "left its plane by"), ways, strict=False)
        ),
    ]
    if all(_stays(way, edge) for way in ways):
        most = -np.log(0.05) * VALLEY * edge / float(np.ptp(times)) * unit
        results.append(Result("velocity at most (95 %)", most, np.inf, "m/s"))
        return tuple(results), ("the line has stayed where it was: no velocity, only a bound",)
    over = float(np.linalg.norm([way[-1] - way[0] for way in ways])) / (VALLEY * edge)
    few = f"the line has got {over:.1f} valleys further: too few to trust the error, run longer"
    return tuple(results), (few,) if over < FEW else ()


def velocity_of(times: ArrayLike, places: ArrayLike) -> Estimate:
    """The mean velocity of what hops at random, and is seen with noise.

    Hops add up to a random walk, of variance q a frame, around the straight line; the noise of
    the places, of variance r, does not add up. In a cosine transform of the n places both are
    diagonal: cosine k has the variance r + q / (4 sin²(π k / 2 n)) (as the sine transform of the
    displacements has, A. J. Berglund, Phys. Rev. E 82, 011917, 2010). So the velocity is a
    weighted mean over cosines, which for hops alone is that between both ends and for noise alone
    the slope by least squares. q / r is the most likely one by restricted maximum likelihood.

    Only the slowest cosines count (as in U. K. Müller and M. W. Watson, Econometrica 76, 979,
    2008): noise that is forgotten within the shortest of their half periods, a fortieth of the
    run, is as good as white, and its shape is of no matter. Longer memory looks like hops, and
    makes the error too large.

    Parameters
    ----------
    times, places : array_like, shape (n,)
        Times evenly spaced, n > 4.

    Returns
    -------
    Estimate
        Å/fs for fs and Å. ``independent`` are the cosines: runs count alike whether or not the
        line hopped in them.
    """
    times, places = np.asarray(times, dtype=float), np.asarray(places, dtype=float)
    n = len(times)
    straight, seen = dct(np.array([times - times[0], places - places[0]]), norm="ortho")
    modes = np.arange(1, min(COSINES, n - 1) + 1)
    straight, seen = straight[modes], seen[modes]
    # up to which cosine the walk exceeds the noise
    crossing = np.array([0.0, *np.geomspace(0.3, 3.0 * COSINES, COSINES)])[:, None]
    sines = np.sin(np.pi * modes / (2.0 * n))
    variance = 1.0 + (crossing * sines[0] / sines) ** 2
    known = np.sum(straight**2 / variance, axis=1)
    velocity = np.sum(straight * seen / variance, axis=1) / known
    rest = np.sum((seen - velocity[:, None] * straight) ** 2 / variance, axis=1)
    rest = np.maximum(rest / (len(modes) - 1), np.finfo(float).tiny)  # a line without noise
    likelihood = -np.log(variance).sum(axis=1) - np.log(known) - (len(modes) - 1) * np.log(rest)
    best = int(np.argmax(likelihood))
    return Estimate(
        float(velocity[best]), float(np.sqrt(rest[best] / known[best])), float(len(modes))
    )


def _stays(way: np.ndarray, edge: float) -> bool:
    """Whether the line stays in its valley, by means over parts of the run.

    Of single frames the noise would reach out of any valley if the run is long enough.
    """
    return bool(np.ptp([part.mean() for part in np.array_split(way, PARTS)]) < STANDS * edge)


def _is_unclear(
    positions: np.ndarray,
    cell: PeriodicCell,
    group: np.ndarray,
    members: np.ndarray,
    axes: tuple[int, int],
) -> bool:
    """Whether the largest group is no line, or another one far away might be it.

    Places are angles around the cell, whose mean vector is short where atoms are all around.
    """
    angles = np.exp(2j * np.pi * (positions @ cell.inverse)[:, axes])
    largest = int(np.argmax(members))
    own = angles[group == largest].mean(axis=0)
    if np.abs(own).min() < 0.5:
        return True
    for other in np.flatnonzero(2 * members >= members[largest]):
        away = np.angle(angles[group == other].mean(axis=0) * own.conj()) / (2.0 * np.pi)
        if np.abs(away).max() > FAR:
            return True
    return False


def _averages(
    trajectory: Trajectory, averaged: int
) -> Iterator[tuple[float, np.ndarray, PeriodicCell]]:
    """Time (fs), positions (n, 3; Å) and cell: means of so many frames, one after another."""
    cell: PeriodicCell | None = None
    together: list[tuple[float, np.ndarray]] = []
    for time, atoms in trajectory.frames():
        cell = periodic_cell(atoms, trajectory.path, cell)
        positions = atoms.positions
        if together:  # frames may be wrapped
            first = together[0][1]
            positions = first + cell.shortest(positions - first)
        together.append((time, positions))
        if len(together) == averaged:
            times, several = zip(*together, strict=True)
            yield float(np.mean(times)), np.mean(several, axis=0), cell
            together = []
