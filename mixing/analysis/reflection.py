"""What becomes of atoms that are shot at a surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from scipy.stats import beta

from ..errors import MixpiError
from ..regions.periodic import PeriodicCell
from .motion import has_velocities, velocities_of
from .order import frames_in_order
from .results import Report, Result, read_report
from .tracks import sure_step
from .trajectories import Trajectory, choose, periodic_cell


#: Å beyond the surface where an atom is out.
OUT = 2.0
#: eV; an atom in the solid that has more is not at rest yet.
RESTLESS = 1.0
#: Relative; shots whose energies differ by more are not of one energy.
ALIKE = 0.05
#: What may become of an atom.
KINDS = ("reflected", "implanted", "passed", "unfinished")


@dataclass(frozen=True)
class Fate:
    """What became of one atom.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`; the last one is still on its way.
    depth : float
        Å below the surface.
    energy : float or None
        eV that it was shot with, if the first frame tells.
    """

    kind: str
    depth: float
    energy: float | None = None


def fate(
    trajectory: Trajectory,
    species: str,
    *,
    axis: int = 2,
    surface: float | None = None,
    unwrap: bool = False,
) -> Fate:
    """The fate of the one atom of a species that is shot down an axis.

    Reflected: at the end ``OUT`` above the surface and on its way up; passed: as far below the
    lower surface and on its way down (F. Birks et al., arXiv:2502.19081); in the vacuum on the way
    to the solid, or in it with more than ``RESTLESS``: unfinished; else implanted.

    The first frame in which it leaves the middle of the vacuum behind is the end: from there on it
    is nearer to the slab's periodic image, of which a surface has none.

    Parameters
    ----------
    trajectory : Trajectory
        Of at least two frames.
    species : str
        Its chemical symbol.
    axis : int
        Of the surface's normal: 0, 1 or 2.
    surface : float, optional
        Å; by default where the first other atom below the shot one is in the first frame.
    unwrap : bool
        Whether positions are wrapped into the cell, so that of each step the shortest image is
        meant.

    Returns
    -------
    Fate

    Raises
    ------
    MixpiError
        If there is not one such atom, it does not begin in the vacuum and on its way down, it
        crosses the cell's boundary unseen, or ends in the solid with nobody knows which energy.
    """
    path = trajectory.path
    last = cell = None
    step, energy, shot_with = 0.0, np.nan, np.nan
    steps = 0
    for time, atoms in frames_in_order(trajectory):
        cell = periodic_cell(atoms, path, cell)
        if last is None:
            own = choose(atoms, path, species, ())
            if len(own) != 1 or len(atoms) < 2:
                raise MixpiError(
                    f"{path} has {len(own)} atoms of {species} among {len(atoms)}: one that is "
                    "shot at others is needed"
                )
            height = float(atoms.positions[own[0], axis])
            others = np.delete(atoms.positions[:, axis], own)
            repeats = _repeats(cell, axis, path)
            top, bottom = _faces(height, others, repeats, path)
            half = max(OUT, (repeats - (top - bottom)) / 2.0)
            highest, lowest = top + half, bottom - half
            top = top if surface is None else surface
            highest = max(highest, top + OUT)
            shot_with = _energy(atoms, int(own[0]), path, time)
        else:
            moved = atoms.positions[own] - last
            step = float(sure_step(moved, cell, trajectory, time, own, unwrap=unwrap)[0, axis])
            if not steps and step > 0.0:
                raise MixpiError(
                    f"{path}: the atom of {species} begins on its way up: shots go down the axis "
                    "(--axis), and are looked at from their first frame on (no --skip)"
                )
            height += step
            steps += 1
        last = atoms.positions[own]
        energy = _energy(atoms, int(own[0]), path, time)
        if (step > 0.0 and height > highest) or (step < 0.0 and height < lowest):
            break
    if step == 0.0:
        raise MixpiError(f"{path}: of one frame, or an atom at rest, no way can be told")
    if height > top + OUT:
        kind = "reflected" if step > 0.0 else "unfinished"
    elif height < bottom - OUT:
        kind = "passed" if step < 0.0 else "unfinished"
    else:
        if np.isnan(energy):
            raise MixpiError(
                f"{path}: the atom of {species} ends in the solid, and without velocities nobody "
                "knows whether it is at rest there: write them (velocities: true in the section "
                "output of mixing.yaml) and run again"
            )
        kind = "unfinished" if energy > RESTLESS else "implanted"
    return Fate(kind, float(top) - height, shot_with if shot_with > 0.0 else None)


def _repeats(cell: PeriodicCell, axis: int, path: Path) -> float:
    """How far along the axis the solid is there again, Å."""
    along = np.abs(cell.vectors[:, axis])
    if np.count_nonzero(along > 1e-6 * along.max()) > 1:
        raise MixpiError(
            f"{path}: more than one edge of the cell has a part along {'xyz'[axis]}, so that no "
            "surface is normal to it: say the right --axis"
        )
    return float(along.max())


def _faces(height: float, others: np.ndarray, repeats: float, path: Path) -> tuple[float, float]:
    """Upper and lower surface of the solid below an atom in the vacuum, Å.

    Atoms (n,) may be wrapped into the cell, or have gone through its boundary.
    """
    below = (height - others) % repeats
    ordered = np.sort(below)
    gaps = np.diff(ordered, append=ordered[0] + repeats)
    if gaps.argmax() != len(gaps) - 1:
        raise MixpiError(
            f"{path}: the atom does not begin in the vacuum: the widest gap along the axis, "
            f"{gaps.max():.3g} Å, is elsewhere. Analyse shots from their first frame on (no "
            "--skip), along the normal of the surface (--axis)"
        )
    return height - float(ordered[0]), height - float(ordered[-1])


def _energy(atoms: Atoms, which: int, path: Path, time: float) -> float:
    """Of the motion of one atom, eV; NaN without velocities."""
    if not has_velocities(atoms):
        return np.nan
    velocity = velocities_of(atoms, path, time)[which]
    return 0.5 * float(atoms.get_masses()[which] * velocity @ velocity)


def reflection(fates: Sequence[Fate], files: Sequence[str] = ()) -> Report:
    """The reflection coefficient, and how deep the others go.

    Those that are unfinished count for nothing. With k of n reflected and nothing known before,
    the posterior of the coefficient is Beta(k + 1, n − k + 1): its mean, standard deviation and
    central 95 % are given.

    Parameters
    ----------
    fates : sequence of Fate
        Of atoms that were shot independently of one another.
    files : sequence of str
        Where each is from.

    Returns
    -------
    Report
        ``reflected``, ``passed`` (shares; NaN of none) and ``depth`` (Å, the mean of the
        implanted); ``curves["fates"]`` holds those of the single atoms.

    Raises
    ------
    MixpiError
        If two files hold the same shot, or shots are of different energies.
    """
    _require_different(fates, files)
    _require_one_energy(fates, files)
    done = [one for one in fates if one.kind != "unfinished"]
    notes = []
    if len(done) < len(fates):
        notes.append(
            f"{len(fates) - len(done)} of {len(fates)} atoms are still on their way and left out: "
            "run longer, or the coefficient may be biased"
        )
    results = [_share(kind, done) for kind in ("reflected", "passed")]
    depths = np.array([one.depth for one in done if one.kind == "implanted"])
    if len(depths):
        error = float(depths.std(ddof=1) / np.sqrt(len(depths))) if len(depths) > 1 else np.inf
        results.append(Result("depth", float(depths.mean()), error, "Å", float(len(depths))))
    else:
        notes.append("none was implanted: there is no depth")
    counts = {kind: sum(one.kind == kind for one in fates) for kind in KINDS}
    curves = {"counts": counts, "fates": [asdict(one) for one in fates]}
    return Report("reflection", tuple(files), tuple(results), tuple(notes), curves)


def _require_different(fates: Sequence[Fate], files: Sequence[str]) -> None:
    """No two shots end at the same depth to the last digit, unless they are one."""
    seen: dict[tuple[str, float], str] = {}
    for one, file in zip(fates, files, strict=False):
        end = one.kind, one.depth
        if end in seen:
            raise MixpiError(
                f"{file} and {seen[end]} end {-one.depth:.9g} Å above the surface, the same to the "
                "last digit: they are one shot, copied or begun from the same place, which counts "
                "once"
            )
        seen[end] = file


def _require_one_energy(fates: Sequence[Fate], files: Sequence[str]) -> None:
    names = files or [f"shot {number}" for number in range(len(fates))]
    known = [(one.energy, name) for one, name in zip(fates, names, strict=True) if one.energy]
    if not known:
        return
    (slow, low), (fast, high) = min(known), max(known)
    if fast - slow > ALIKE * fast:
        raise MixpiError(
            f"{low} was shot with {slow:.4g} eV, {high} with {fast:.4g} eV: shots of "
            "different energies have no common coefficient. Give those of one energy"
        )


def kept_fates(path: Path) -> tuple[list[Fate], tuple[str, ...]]:
    """The fates in a report that :func:`reflection` has made, and the files that they are from.

    Parameters
    ----------
    path : Path
        What was written by ``--json``.

    Raises
    ------
    MixpiError
        If it holds none.
    """
    report = read_report(path)
    try:
        if report.analysis != "reflection":
            raise ValueError(f"it is of '{report.analysis}'")
        fates = [_kept(one) for one in report.curves["fates"]]
        if len(fates) != len(report.files) or any(one.kind not in KINDS for one in fates):
            raise ValueError("they do not belong to its files")
    except (ValueError, TypeError, KeyError) as error:
        raise MixpiError(
            f"{path} holds no fates of atoms ({error}): give trajectories, or what 'mixpi analyse "
            "reflection --json' wrote of some"
        ) from None
    return fates, report.files


def _kept(one: Mapping[str, Any]) -> Fate:
    energy = one.get("energy")  # older ones do not tell
    return Fate(str(one["kind"]), float(one["depth"]), None if energy is None else float(energy))


def _share(kind: str, done: Sequence[Fate]) -> Result:
    hits, shots = sum(one.kind == kind for one in done), len(done)
    if not shots:
        return Result(kind, np.nan, np.inf, "", 0.0)
    posterior = beta(hits + 1, shots - hits + 1)
    low, high = posterior.ppf((0.025, 0.975))
    return Result(
        kind,
        float(posterior.mean()),
        float(posterior.std()),
        "",
        float(shots),
        (float(low), float(high)),
    )
