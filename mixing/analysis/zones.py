"""The zones of a mixed run: their temperatures, and the heat that the seam makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from .motion import kinetic_temperature, velocities_of
from .results import Report, Result
from .statistics import Estimate, mean, slope
from .trajectories import Trajectory, require_even


#: Labels of ``mix_region``.
ZONES = {"core": 3, "blend": 2, "buffer": 1, "outside": 0}
#: Frames below which nothing is said.
FEWEST = 10
#: fs.
PS = 1e3


def zones_of(atoms: Atoms, path: object, frame_time: float) -> dict[str, np.ndarray]:
    """The zones of a frame, both of them that are cheap alone, and all atoms.

    Parameters
    ----------
    atoms : Atoms
        With ``mix_region``.
    path : path-like
        For the message.
    frame_time : float
        fs; for the message.

    Returns
    -------
    dict
        Name to mask, ndarray of bool, shape (n,).

    Raises
    ------
    MixpiError
        If the frame does not tell, or is of a bead.
    """
    _require_classical(atoms, path)
    if "mix_region" not in atoms.arrays:
        raise MixpiError(
            f"{path}: the frame at {frame_time:g} fs has no 'mix_region': zones are those of "
            "mix.extxyz, the trajectory that mixpi writes"
        )
    label = atoms.arrays["mix_region"]
    zones = {name: label == number for name, number in ZONES.items()}
    return zones | {"cheap": label < ZONES["blend"], "all": np.ones(len(label), dtype=bool)}


def _require_classical(atoms: Atoms, path: object) -> None:
    """Refuse one bead of a ring polymer, which has more kinetic energy than the system."""
    if atoms.info.get("beads", 1) > 1:
        raise MixpiError(
            f"{path} is one of {atoms.info['beads']} beads, whose velocities are those of so many "
            "times the temperature: i-PI's own estimators tell what the system has"
        )


def _of_zones(
    trajectory: Trajectory, *, fixed_centre: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Times (n,), fs, and temperatures (n,), K, of each zone; NaN where it is empty."""
    times: list[float] = []
    found: dict[str, list[float]] = {}
    for time, atoms in trajectory.frames():
        velocities = velocities_of(atoms, trajectory.path, time)
        for name, zone in zones_of(atoms, trajectory.path, time).items():
            found.setdefault(name, []).append(
                kinetic_temperature(atoms, velocities, zone, fixed_centre=fixed_centre)
            )
        times.append(time)
    even = require_even(trajectory.path, times, FEWEST)
    return even, {name: np.array(rows) for name, rows in found.items()}


def temperature(
    trajectory: Trajectory, *, target: float | None = None, fixed_centre: bool = True
) -> Report:
    """The temperature of each zone, over the frames, with an error by autocorrelation.

    The zone of an atom is the one that it has in the frame. Where the centre of mass is at rest,
    as i-PI keeps it, atom i has 3 (1 − m_i / M) degrees of freedom; one that does not move at
    all has none.

    Parameters
    ----------
    trajectory : Trajectory
        With ``mix_region`` and velocities, of classical atoms.
    target : float, optional
        K; how far zones are from it is told.
    fixed_centre : bool
        Whether the centre of mass is at rest.

    Returns
    -------
    Report
        Zones that have atoms in all frames, in K.
    """
    return _report(
        "temperature", trajectory, fixed_centre, "K", lambda _, values: mean(values), target
    )


def drift(trajectory: Trajectory, *, target: float = 0.0, fixed_centre: bool = True) -> Report:
    """How fast the temperature of each zone rises, with an error by autocorrelation.

    Parameters
    ----------
    trajectory : Trajectory
        As for :func:`temperature`.
    target : float
        K/ps; how far zones are from it is told.
    fixed_centre : bool
        Whether the centre of mass is at rest.

    Returns
    -------
    Report
        K/ps.
    """
    return _report(
        "drift",
        trajectory,
        fixed_centre,
        "K/ps",
        lambda times, values: slope(times / PS, values),
        target,
    )


def _report(
    name: str,
    trajectory: Trajectory,
    fixed_centre: bool,
    units: str,
    estimate: Callable[[np.ndarray, np.ndarray], Estimate],
    target: float | None,
) -> Report:
    times, zones = _of_zones(trajectory, fixed_centre=fixed_centre)
    results, notes = [], []
    for zone, values in zones.items():
        empty = int(np.count_nonzero(np.isnan(values)))
        if empty:
            if empty < len(values):
                notes.append(
                    f"{zone}: in {empty} of {len(values)} frames no atom of it moves: left out"
                )
            continue
        found = estimate(times, values)
        results.append(Result(zone, found.value, found.error, units, found.independent))
        if not found.tells:
            notes.append(
                f"{zone}: {found.independent:.3g} independent samples are too few to trust its "
                "error"
            )
        if target is not None and found.error > 0.0:
            away = (found.value - target) / found.error
            notes.append(f"{zone}: {away:+.1f} standard errors from {target:g} {units}")
    return Report(
        name,
        (str(trajectory.path),),
        tuple(results),
        tuple(notes),
        {"levels": [] if target is None else [(target, f"{target:g} {units}")]},
        conditions=trajectory.conditions,
    )


def flux(
    times: Sequence[float] | np.ndarray,
    energies: Sequence[float] | np.ndarray,
    radius: float,
    path: object = "the energies",
) -> Report:
    """The energy that the seam of a mixed run without a thermostat makes, by area and time.

    Parameters
    ----------
    times : sequence of float
        fs, evenly spaced.
    energies : sequence of float
        Kinetic energy plus the potential energy of the expensive potential on the whole system,
        eV: a mixed energy would not do, it is not what the forces conserve.
    radius : float
        Å; of the sphere whose surface the seam is. The paper takes 10 Å throughout.
    path : object
        For messages.

    Returns
    -------
    Report
        ``flux``: the slope of the energies over 4 π radius², with its error by autocorrelation,
        and ``flux by the ends``, as the paper has it (F. Birks et al., arXiv:2502.19081):
        (E_end − E_0) / (4 π radius² t); in eV/(ps Å²).

    Raises
    ------
    MixpiError
        If there are too few, they are not finite, or the radius is not above zero.
    """
    even = require_even(str(path), times, FEWEST)
    values = np.asarray(energies, dtype=float)
    if values.shape != even.shape or not np.isfinite(values).all():
        raise MixpiError(f"{path}: an energy is missing or not finite")
    if not radius > 0.0:
        raise MixpiError(f"a seam of radius {radius:g} Å has no area")
    area, ps = 4.0 * np.pi * radius**2, even / PS
    line = slope(ps, values)
    ends = (values[-1] - values[0]) / (ps[-1] - ps[0]) / area
    units = "eV/(ps Å²)"
    notes = (
        ()
        if line.tells
        else (f"{line.independent:.3g} independent samples are too few to trust the error",)
    )
    return Report(
        "flux",
        (str(path),),
        (
            Result("flux", line.value / area, line.error / area, units, line.independent),
            Result("flux by the ends", float(ends), np.inf, units),
        ),
        notes,
        {"levels": [(0.0, "none")]},
        f"a seam of {radius:g} Å",
    )


def energies_of(trajectory: Trajectory, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,), fs, and total energies (n,), eV, of frames with an expensive energy.

    Parameters
    ----------
    trajectory : Trajectory
        With velocities; ``key`` in ``info``, or ASE's own ``energy``, is the potential energy.
    key : str
        Name of it.

    Returns
    -------
    times, energies : ndarray, shape (n,)

    Raises
    ------
    MixpiError
        If a frame has no such energy, it is an estimate, or the frame is of a bead.
    """
    if key.endswith("energy_estimate"):
        raise MixpiError(
            f"{key!r} is the mixed estimate, which is not what the forces conserve: evaluate the "
            "frames with the expensive potential on all atoms, and name its energy"
        )
    times, energies = [], []
    for time, atoms in trajectory.frames():
        _require_classical(atoms, trajectory.path)
        velocities = velocities_of(atoms, trajectory.path, time)
        kinetic = 0.5 * float(atoms.get_masses() @ np.sum(velocities**2, axis=1))
        if key in atoms.info:
            potential = float(atoms.info[key])
        elif key == "energy" and atoms.calc is not None and "energy" in atoms.calc.results:
            potential = float(atoms.get_potential_energy())
        else:
            raise MixpiError(
                f"{trajectory.path}: the frame at {time:g} fs has no {key!r}: evaluate the frames "
                "with the expensive potential on all atoms, and write its energy into them"
            )
        times.append(time)
        energies.append(kinetic + potential)
    return np.array(times), np.array(energies)
