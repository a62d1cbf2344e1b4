"""How atoms move against their crystal, on through periodic boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np

from ..errors import MixpiError
from ..files.replacing import replace_file
from ..files.user_files import require_file
from ..regions.periodic import PeriodicCell
from .conditions import Conditions
from .order import frames_in_order
from .statistics import Estimate
from .trajectories import Trajectory, choose, periodic_cell, require_even


#: Frames below which nothing is said about diffusion.
FEWEST = 30
#: Of the cell; a step between frames that is longer may be an image's.
FAR = 0.25
#: Of the mean square displacement; more than that by what is taken off is spoken of.
MOBILE = 0.05
#: How the name of a kept track ends, and to how many Å it is rounded.
SUFFIX, RESOLUTION = ".npz", 1e-3


@dataclass(frozen=True)
class Track:
    """Positions over time, unwrapped, less the drift of the crystal.

    Attributes
    ----------
    name : str
        Of the file.
    times : ndarray, shape (n,)
        fs, evenly spaced.
    positions : ndarray, shape (n, m, 3)
        Of m walkers, Å, from where each began.
    jumps : ndarray of bool, shape (n - 1,), or None
        Between which frames the site has changed, where sites are known.
    notes : tuple of str
        What was odd.
    of : str
        Who has been followed; empty if that is not known.
    conditions : Conditions
        Of the run, as far as its frames tell.
    """

    name: str
    times: np.ndarray
    positions: np.ndarray
    jumps: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    of: str = ""
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def spacing(self) -> float:
        """Time between frames, fs."""
        return float(self.times[-1] - self.times[0]) / (len(self.times) - 1)

    def write(self, path: Path) -> None:
        """Keep it in a small file, rounded to 0.001 Å, for :func:`read_track`."""
        grid = np.round(self.positions / RESOLUTION).astype(np.int32)
        jumps = np.empty(0, dtype=bool) if self.jumps is None else self.jumps
        temperature, load = self.conditions.temperature, self.conditions.load
        replace_file(
            path,
            lambda part: np.savez_compressed(
                part,
                first_and_spacing_fs=np.array([self.times[0], self.spacing]),
                steps_mA=np.diff(grid, axis=0, prepend=np.zeros_like(grid[:1])),
                jumps=jumps,
                notes=np.array(self.notes, dtype=str),
                of=np.array(self.of, dtype=str),
                temperature=np.array(astuple(temperature) if temperature else ()),
                load=np.array(() if load is None else load),
            ),
        )


def read_track(path: Path) -> Track:
    """A track that :meth:`Track.write` has kept.

    Parameters
    ----------
    path : Path
        Ends in ``.npz``, and becomes the name of the track.

    Returns
    -------
    Track

    Raises
    ------
    MixpiError
        If it is none.
    """
    require_file(path, "track")
    try:
        with np.load(path, allow_pickle=False) as kept:
            first, spacing = kept["first_and_spacing_fs"]
            positions = RESOLUTION * np.cumsum(kept["steps_mA"], axis=0)
            jumps = kept["jumps"] if len(kept["jumps"]) else None
            notes = tuple(map(str, kept["notes"]))
            # older ones do not tell
            of = str(kept["of"]) if "of" in kept else ""
            told = [float(one) for one in kept.get("temperature", ())]
            load = [float(one) for one in kept.get("load", ())]
            under = Conditions(
                Estimate(*told) if told else None, (load[0], load[1], load[2]) if load else None
            )
        if positions.ndim != 3:
            raise ValueError(f"positions of shape {positions.shape}")
    except Exception:  # of zip files that are none, or hold something else
        raise MixpiError(
            f"{path} is no track: give what 'mixpi analyse diffusion --keep' has written, or a "
            "trajectory"
        ) from None
    times = first + spacing * np.arange(len(positions))
    return Track(str(path), times, positions, jumps, notes, of, under)


def follow_atoms(
    trajectory: Trajectory,
    *,
    species: str | None = None,
    indices: Sequence[int] = (),
    unwrap: bool = False,
    against_rest: bool = True,
) -> Track:
    """The track of atoms of a species, or of some by number.

    Parameters
    ----------
    trajectory : Trajectory
    species : str, optional
        Chemical symbol.
    indices : sequence of int
        Atoms from 0, if no species is given.
    unwrap : bool
        Whether positions are wrapped into the cell, so that of each step the shortest image is
        meant.
    against_rest : bool
        Whether the mean step of all other atoms, the drift of the crystal, is taken off.

    Returns
    -------
    Track

    Raises
    ------
    MixpiError
        If there are no such atoms, too few frames, or steps that may be those of images.
    """
    path = trajectory.path
    times: list[float] = []
    places: list[np.ndarray] = []
    cell: PeriodicCell | None = None
    last = np.empty(0)
    for time, atoms in frames_in_order(trajectory):
        cell = periodic_cell(atoms, path, cell)
        if not times:
            strayed = np.zeros((len(atoms), 3))
            chosen = choose(atoms, path, species, indices)
            rest = np.setdiff1d(np.arange(len(atoms)), chosen) if against_rest else chosen[:0]
            place = np.zeros((len(chosen), 3))
        else:
            step = atoms.positions - last
            moved = sure_step(step[chosen], cell, trajectory, time, chosen, unwrap=unwrap)
            others = cell.fold(step[rest])
            drift = others.mean(axis=0) if len(rest) else np.zeros(3)
            strayed[rest] += others - drift
            place = places[-1] + moved - drift
        times.append(time)
        places.append(place)
        last = atoms.positions
    found = require_even(path, times, FEWEST)
    notes = _of_the_rest(strayed[rest], places[-1]) if len(rest) else ()
    if against_rest and not len(rest):
        notes = ("all atoms are chosen: drift is in it",)
    who = " and ".join(sorted(set(np.array(atoms.get_chemical_symbols())[chosen])))
    positions = np.array(places)
    return Track(str(path), found, positions, None, notes, who, trajectory.conditions)


def _of_the_rest(strayed: np.ndarray, place: np.ndarray) -> tuple[str, ...]:
    """A note if the mean of the others is no crystal's drift, but of few that diffuse themselves.

    Parameters
    ----------
    strayed, place : ndarray, shape (k, 3), (m, 3)
        Where the others are against their mean, and the walkers, at the end; Å.
    """
    added = np.mean(np.sum(strayed**2, axis=1)) / len(strayed)
    share = added / max(float(np.mean(np.sum(place**2, axis=1))), np.finfo(float).tiny)
    if share < MOBILE:
        return ()
    return (
        f"the {len(strayed)} other atoms, whose drift is taken off, move so much themselves that "
        f"about {min(share, 1.0):.0%} of the mean square displacement may be theirs: see what "
        "--with-drift says",
    )


def sure_step(
    step: np.ndarray,
    cell: PeriodicCell,
    trajectory: Trajectory,
    time: float,
    chosen: np.ndarray,
    *,
    unwrap: bool,
) -> np.ndarray:
    """Steps (m, 3), Å, if no other image of them can be meant."""
    if unwrap:
        step = cell.fold(step)
    fraction = np.abs(step @ cell.inverse).max(axis=1)
    worst = int(np.argmax(fraction))
    where = f"{trajectory.path}: atom {chosen[worst]} moves by {fraction[worst]:.2f} of the cell"
    if not unwrap and fraction[worst] > 0.5:
        raise MixpiError(
            f"{where} before the frame at {time:g} fs: positions seem to be wrapped into the "
            "cell. Say --unwrap if atoms move much less than that between two frames"
        )
    if unwrap and fraction[worst] > FAR:
        raise MixpiError(
            f"{where} before the frame at {time:g} fs, so that which image it went to cannot be "
            "told: write frames more often, or unwrapped"
        )
    return step
