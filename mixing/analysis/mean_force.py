"""The mean force along a bond or a direction, with its error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from ..errors import MixpiError
from .conditions import common, differences
from .order import frames_in_order
from .results import Report, Result
from .statistics import mean
from .trajectories import Trajectory, choose, periodic_cell, require_even


#: Frames below which nothing is said.
FEWEST = 10
#: Of the length of a bond; where another image is not longer, none is meant.
ALIKE = 1.05
#: After the point, of the forces that are kept: eV/Å.
DIGITS = 4
#: The way to the forces of a run where those of the frames are not all.
ALL_FORCES = (
    "Let i-PI write positions and forces (<trajectory format='ase'>), and join both files with "
    "ASE: atoms.calc = SinglePointCalculator(atoms, forces=...) for each frame"
)


def mean_force(
    trajectories: Sequence[Trajectory],
    *,
    bond: tuple[int, int] | None = None,
    atoms: Sequence[int] = (),
    direction: Sequence[float] | None = None,
    band: tuple[float, float] | None = None,
) -> Report:
    """The mean force of each run, with an error by autocorrelation.

    On a bond of the atoms 0 and 1, with the unit vector u from 1 to 0, it is (f_1 − f_0) · u as in
    the paper of the method (F. Birks et al., arXiv:2502.19081): the sum of what pulls both
    together, positive in a stretched bond. Along a direction it is the force on all the atoms.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        With ``forces``, eV/Å, one a run.
    bond : tuple of int, optional
        Two atoms; the shortest image of their distance in the first frame is meant.
    atoms : sequence of int
        Atoms that the force is on, with a ``direction``.
    direction : sequence of float, optional
        Three components of any length.
    band : tuple of float, optional
        Value and standard error of a reference, eV/Å, that each run is compared with.

    Returns
    -------
    Report
        ``force`` of one run, of several ``force in FILE`` of each, eV/Å;
        ``curves["runs"]`` holds the force in each frame of each run.

    Raises
    ------
    MixpiError
        If there are no forces or atoms, too few frames, the force is always the same, or two
        images of a bond are as long.
    """
    if (bond is None) == (direction is None):
        raise MixpiError("either a bond or a direction is needed")
    results, notes, series, conditions = [], [], [], {}
    for trajectory in trajectories:
        spacing, values = _along(trajectory, bond, atoms, direction)
        conditions[str(trajectory.path)] = trajectory.conditions
        found = mean(values)
        series.append({"spacing_fs": spacing, "force_eV_A": np.round(values, DIGITS)})
        name = "force" if len(trajectories) == 1 else f"force in {trajectory.path}"
        results.append(Result(name, found.value, found.error, "eV/Å", found.independent))
        if not found.tells:
            notes.append(
                f"{name}: {found.independent:.3g} independent samples are too few to trust its "
                "error"
            )
        if band is not None:
            off, error = found.value - band[0], float(np.hypot(found.error, band[1]))
            notes.append(f"{name}: {off / error:+.1f} standard errors from the reference")
    bands = [] if band is None else [(band[0] - band[1], band[0] + band[1], "reference")]
    curves = {"bands": bands, "runs": series}
    files = tuple(str(trajectory.path) for trajectory in trajectories)
    what = _what(bond, atoms, direction)
    notes += differences(conditions)
    under = common(tuple(conditions.values()))
    return Report("mean-force", files, tuple(results), tuple(notes), curves, what, under)


def _what(
    bond: tuple[int, int] | None, atoms: Sequence[int], direction: Sequence[float] | None
) -> str:
    if bond is not None:
        return f"bond {min(bond)}-{max(bond)}"
    words = ", ".join(f"{one:.4g}" for one in _unit(direction or ()))
    return f"atoms {' '.join(map(str, sorted(set(atoms))))} along ({words})"


def _along(
    trajectory: Trajectory,
    bond: tuple[int, int] | None,
    atoms: Sequence[int],
    direction: Sequence[float] | None,
) -> tuple[float, np.ndarray]:
    """The time between frames (fs), and the force (n,) in each, eV/Å."""
    path = trajectory.path
    seen, found = [], []
    vector: np.ndarray | None = None
    for time, frame in frames_in_order(trajectory):
        forces = _forces(frame, path, time)
        if bond is not None:
            if len(choose(frame, path, None, bond)) < 2:
                raise MixpiError(f"a bond has two different atoms, not {bond[0]} twice")
            first, second = bond
            vector = _bond(frame, path, bond, vector)
            found.append(float((forces[second] - forces[first]) @ _unit(vector)))
        else:
            unit = _unit(direction or ())
            found.append(float(forces[choose(frame, path, None, atoms)].sum(axis=0) @ unit))
        seen.append(time)
    times = require_even(path, seen, FEWEST)
    if np.ptp(found) == 0.0:
        raise MixpiError(
            f"{path}: the force is {found[0]:g} eV/Å in all {len(found)} frames, as in no run: "
            "are these atoms fixed, or the forces never written?"
        )
    return float(times[1] - times[0]), np.array(found)


def _bond(frame: Atoms, path: Path, bond: tuple[int, int], last: np.ndarray | None) -> np.ndarray:
    """From the second to the first atom (3,), Å: the same image as last, at first the shortest."""
    first, second = bond
    vector = frame.positions[first] - frame.positions[second]
    if not frame.pbc.any():
        return vector
    cell = periodic_cell(frame, path, None)
    near = np.zeros(3) if last is None else last
    vector = vector - (np.round((vector - near) @ cell.inverse) * frame.pbc) @ cell.vectors
    if last is not None:
        return vector
    around = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), axis=-1).reshape(-1, 3) * frame.pbc
    images = vector + np.unique(around, axis=0) @ cell.vectors
    lengths = np.linalg.norm(images, axis=1)
    shortest, other = np.argsort(lengths)[:2]
    if lengths[other] < ALIKE * lengths[shortest]:
        raise MixpiError(
            f"{path}: atoms {first} and {second} are {lengths[shortest]:.3g} Å apart, and "
            f"{lengths[other]:.3g} Å through another side of the cell: which of both is the bond "
            "cannot be told. Take a larger cell, or --direction"
        )
    return images[shortest]


def _unit(direction: ArrayLike) -> np.ndarray:
    vector = np.asarray(direction, dtype=float)
    if vector.shape != (3,) or not 0.0 < np.linalg.norm(vector) < np.inf:
        raise MixpiError(f"a direction has three components that are not all 0, not {vector}")
    return vector / np.linalg.norm(vector)


def _forces(frame: Atoms, path: Path, time: float) -> np.ndarray:
    if "correction_forces" in frame.arrays:
        raise MixpiError(
            f"{path} holds the correction only, not the forces of the run: they are mixed in i-PI. "
            + ALL_FORCES
        )
    if frame.info.get("other_forces"):
        raise MixpiError(
            f"{path} holds the forces of the mixing layer, and further ones acted on the atoms "
            f"(another <force>, a weight, a <bias>). {ALL_FORCES}"
        )
    if "forces" in frame.arrays:
        forces = frame.arrays["forces"]
    elif frame.calc is not None and "forces" in frame.calc.results:
        forces = frame.calc.results["forces"]
    else:
        raise MixpiError(
            f"{path}: the frame at {time:g} fs has no forces: write them (forces: true in the "
            "section output of mixing.yaml) and run again"
        )
    if not np.isfinite(forces).all():
        raise MixpiError(f"{path}: forces at {time:g} fs are not finite")
    return np.asarray(forces, dtype=float)
