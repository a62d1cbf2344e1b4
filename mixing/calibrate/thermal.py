"""Snapshots of a system at its temperature, and the cheap forces on them."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.cell import Cell
from ipi.utils.units import unit_to_internal, unit_to_user

from ..drivers import lammps
from ..drivers.lammps_driver import LammpsDriver
from ..errors import MixpiError
from ..files.ase_files import read_atoms
from ..ipi.input import IpiInput, in_units
from ..regions.periodic import PeriodicCell
from ..run.processes import Child, guarded, stop_all
from ..run.progress import Tell
from .snapshots import NEAR, nearest_distances, typical_distance


#: fs; how long the system is warmed up, and how far apart snapshots are taken.
WARM_UP, APART = 500.0, 100.0
#: fs; damping time of the thermostat, short against the warm-up.
DAMPING = 100.0
#: Between them is the spacing of a snapshot's atoms, relative to the structure's; of those
#: that are closest, because atoms taken in a wrong unit and folded lie upon each other.
LEAST_RATIO, LARGEST_RATIO, CLOSEST = 0.7, 1.4, 0.1
#: Å; units that files are mistaken in.
UNITS = {"bohr": units.Bohr, "nm": 10.0, "pm": 0.01}
#: Why a thermal run blows up, and what to do.
WHY = (
    "its potential does not fit the structure, or the time step is too long; give snapshots with "
    "--frame"
)
#: How much hotter than asked a thermal run may be.
TOO_HOT = 3.0
#: fs; the longest time step of the thermal run, whatever the input has.
LONGEST_STEP = 2.0


def split_index(source: str | Path) -> tuple[str, str]:
    """Name and ASE's ``@index`` of frames; without an index the last one."""
    name, _, index = str(source).rpartition("@")
    if not name or Path(str(source)).exists():
        return str(source), "-1"
    return name, index


def read_frames(source: str | Path, atoms: Atoms) -> list[np.ndarray]:
    """Positions of given snapshots of a system.

    Parameters
    ----------
    source : path-like
        Any file that ASE reads, also with ASE's ``@index`` (``run.extxyz@-5:``); without
        an index the last frame.
    atoms : Atoms
        The system.

    Returns
    -------
    list of ndarray, shape (n, 3)
        Å, in the orientation of the system; unwrapped as they are in the file.

    Raises
    ------
    MixpiError
        If it cannot be read, or holds other atoms, another cell, or positions in another unit.
    """
    name, index = split_index(source)
    try:
        frames = read_atoms(name, index)
    except FileNotFoundError:
        raise MixpiError(f"frame {name} does not exist") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise MixpiError(f"ASE cannot read frame {index} of {name}: {reason}") from None
    if not frames:
        raise MixpiError(f"{source} selects no frame")
    unit, box = (1.0, None) if all(f.cell.rank for f in frames) else _ipi_comment(Path(name))
    spacings = nearest_distances(atoms.positions, PeriodicCell(atoms.cell.array))
    for frame in frames:
        _require_atoms(frame, atoms, str(source))
        if frame.cell.rank:
            _turn(frame, atoms, str(source))
        else:
            _require_box(box, atoms, str(source))
            frame.positions *= unit
        _require_near(frame.positions, atoms, spacings, str(source))
    return [frame.positions.copy() for frame in frames]


def _ipi_comment(path: Path) -> tuple[float, Cell | None]:
    """Å and cell of the positions in i-PI's xyz, whose comment says them; 1, None elsewhere."""
    with path.open(errors="replace") as file:
        comment = [file.readline() for _ in range(2)][1]

    def length(quantity: str) -> float | None:
        unit = re.search(rf"\b{quantity}\{{(\w+)\}}", comment)
        if not unit:
            return None
        try:
            internal = unit_to_internal("length", unit[1], 1.0)
        except (KeyError, ValueError, TypeError):
            raise MixpiError(f"{path}: i-PI knows no unit {unit[0]}") from None
        return float(unit_to_user("length", "angstrom", internal))

    numbers = re.search(r"CELL\(abcABC\):((?:\s+[-+.\deE]+){6})", comment)
    scale, box = length("cell"), None
    if numbers and scale:
        a, b, c, *angles = map(float, numbers[1].split())
        box = Cell.fromcellpar([a * scale, b * scale, c * scale, *angles])
    return length("positions") or 1.0, box


def _require_box(box: Cell | None, atoms: Atoms, source: str) -> None:
    """Refuse another cell in i-PI's comment, which has few digits; no cell is taken as this one."""
    if box is not None and not np.allclose(box.cellpar(), atoms.cell.cellpar(), rtol=2e-3):
        raise MixpiError(
            f"{source} has another cell than the structure: {_in_words(box)} instead of "
            f"{_in_words(atoms.cell)} (Å, degrees): give frames of a run of this input"
        )


def _require_atoms(frame: Atoms, atoms: Atoms, source: str) -> None:
    """Refuse what has not the atoms of the structure."""
    if len(frame) != len(atoms):
        raise MixpiError(
            f"{source} has {len(frame)} atoms, the structure has {len(atoms)}: give a snapshot "
            "of this system"
        )
    wrong = np.flatnonzero(frame.numbers != atoms.numbers)
    if len(wrong):
        raise MixpiError(
            f"{source} has {frame.symbols[wrong[0]]} as atom {wrong[0]} where the structure has "
            f"{atoms.symbols[wrong[0]]}: give a snapshot with the atoms in the same order"
        )
    if not np.isfinite(frame.positions).all():
        raise MixpiError(f"{source} has NaN or infinite positions")


def _turn(frame: Atoms, atoms: Atoms, source: str) -> None:
    """Turn a snapshot to the structure's orientation; refuse one with another cell."""
    both = [cell.standard_form()[0].array for cell in (frame.cell, atoms.cell)]
    if not np.allclose(both[0], both[1], atol=1e-3):
        raise MixpiError(
            f"{source} has another cell than the structure: {_in_words(frame.cell)} instead of "
            f"{_in_words(atoms.cell)} (Å, degrees): give frames of a run of this input, in Å; its "
            "cell may be turned, not changed"
        )
    # also if it is not turned: far from home, digits that the file's cell lacks add up
    frame.set_cell(atoms.cell, scale_atoms=True)


def _in_words(cell: Cell) -> str:
    return " ".join(f"{number:.6g}" for number in cell.cellpar())


def _require_near(positions: np.ndarray, atoms: Atoms, spacings: np.ndarray, source: str) -> None:
    """Refuse positions in another unit, or of another system, wherever they were unwrapped to.

    ``spacings`` are the distances from the structure's atoms to the nearest others, Å.
    """
    cell, home = PeriodicCell(atoms.cell.array), atoms.positions
    near = NEAR * float(np.median(spacings))
    distance = typical_distance(positions, home, cell)
    for name, unit in UNITS.items():
        if typical_distance(positions * unit, home, cell) < min(near, 0.5 * distance):
            raise MixpiError(
                f"{source} has atoms {1.0 / unit:.2g} times as far apart as the structure: is it "
                f"in another unit than Å ({name}), or of another system?"
            )
    if distance < near:
        return
    # a liquid, or much diffusion: at least atoms do not lie upon each other
    closest = [np.quantile(d, CLOSEST) for d in (nearest_distances(positions, cell), spacings)]
    if not LEAST_RATIO < closest[0] / closest[1] < LARGEST_RATIO:
        raise MixpiError(
            f"{source} has atoms as close as {closest[0]:.2g} Å in the structure's cell, the "
            f"structure {closest[1]:.2g} Å: is it in another unit than Å, or of another system?"
        )


def temperature_of(ipi_input: IpiInput) -> float:
    """The temperature (K) of an i-PI input's ensemble, or else of its velocities.

    The highest, where there are several (replica exchange).

    Raises
    ------
    MixpiError
        If it names none.
    """
    for path in (".//ensemble/temperature", ".//initialize/velocities"):
        nodes = ipi_input.root.iterfind(path)
        values = [in_units(node, "temperature", "kelvin") or 0.0 for node in nodes]
        if max(values, default=0.0) > 0.0:
            return max(values)
    raise MixpiError(
        f"{ipi_input.path.name} names no temperature: give one with --temperature (K), or a "
        "snapshot with --frame"
    )


def time_step_of(ipi_input: IpiInput) -> float:
    """The innermost time step of an i-PI input, at most ``LONGEST_STEP``; fs."""
    node = ipi_input.root.find(".//dynamics/timestep")
    step = in_units(node, "time", "femtosecond") if node is not None else None
    # each level of multiple time steps divides the one above it
    levels = re.findall(r"\d+", ipi_input.root.findtext(".//dynamics/nmts") or "")
    inner = math.prod(int(n) for n in levels)
    return min((step or 1.0) / max(inner, 1), LONGEST_STEP)


def thermal_run(
    config: LammpsDriver,
    home: Path,
    atoms: Atoms,
    *,
    temperature: float,
    time_step: float,
    count: int,
    tell: Tell,
    seed: int = 20261,
) -> list[np.ndarray]:
    """Snapshots from a short run with the cheap potential alone, in LAMMPS.

    Parameters
    ----------
    config : LammpsDriver
        The cheap potential.
    home : Path
        Where its files are looked for.
    atoms : Atoms
        The start, in i-PI's orientation.
    temperature, time_step : float
        K and fs.
    count : int
        Snapshots, ``APART`` after a warm-up of ``WARM_UP``.
    tell : callable
        Gets the progress.
    seed : int
        Of the velocities and the thermostat.

    Returns
    -------
    list of ndarray, shape (n, 3)
        Å, not wrapped.

    Raises
    ------
    MixpiError
        If LAMMPS fails, or atoms fly apart.
    """
    apart = max(1, round(APART / time_step))
    # LAMMPS dumps at multiples of the interval
    warm_up = apart * math.ceil(WARM_UP / (apart * time_step) - 1e-9)
    last = warm_up + (count - 1) * apart
    commands = [
        f"timestep {time_step * 1e-3:.10g}",
        f"velocity all create {temperature:.10g} {seed} mom yes dist gaussian",
        "fix 1 all nve",
        f"fix 2 all langevin {temperature:.10g} {temperature:.10g} {DAMPING * 1e-3} {seed}",
        "thermo_style custom step temp",
        "thermo 20",
        f"run {warm_up}",
        f"dump 1 all custom {apart} frames.dump id xu yu zu",
        "dump_modify 1 sort id format float %.17g",
        f"run {last - warm_up}",
    ]
    with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:

        def watch(output: str) -> None:
            steps = [int(n) for n in re.findall(r"^ +(\d+) ", output, re.M)]
            tell("thermal run of the cheap potential", steps[-1] / last if steps else 0.0)

        try:
            _run_lammps(config, home, atoms, commands, Path(folder), watch)
        except MixpiError as error:
            if "Lost atoms" not in str(error) and "Non-numeric" not in str(error):
                raise
            raise MixpiError(
                f"the thermal run with the cheap potential blew up: {WHY}. {error}"
            ) from None
        frames = _read_dump(Path(folder) / "frames.dump", len(atoms))
        rows = re.findall(
            r"^ +(\d+) +(-?(?:[.\deE+-]+|nan|inf)) *$",
            (Path(folder) / "output.log").read_text(),
            re.M,
        )
    kelvin = np.mean([float(value) for step, value in rows if int(step) >= warm_up // 2])
    if not all(np.isfinite(frame).all() for frame in frames) or not kelvin < TOO_HOT * temperature:
        raise MixpiError(
            f"the thermal run with the cheap potential blew up ({kelvin:.3g} K instead of "
            f"{temperature:g} K): {WHY}"
        )
    return frames


def lammps_forces(
    config: LammpsDriver, home: Path, atoms: Atoms, frames: Sequence[np.ndarray], *, tell: Tell
) -> list[np.ndarray]:
    """The cheap forces on whole snapshots, from LAMMPS.

    Parameters
    ----------
    config, home, atoms, tell
        As for :func:`thermal_run`.
    frames : sequence of ndarray, shape (n, 3)
        Å.

    Returns
    -------
    list of ndarray, shape (n, 3)
        eV/Å.

    Raises
    ------
    MixpiError
        If LAMMPS fails.
    """
    words = "id fx fy fz modify sort id format float %.17g"
    commands = ["run 0", f"write_dump all custom forces.dump {words}"]
    forces = []
    for number, frame in enumerate(frames):
        tell("cheap forces", number / len(frames))
        moved = atoms.copy()
        moved.positions = frame
        with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
            _run_lammps(config, home, moved, commands, Path(folder), lambda _: None)
            forces += _read_dump(Path(folder) / "forces.dump", len(atoms))
    return forces


def thermal_width(stiffness: float, temperature: float) -> float:
    """Rms displacement (Å, per coordinate) of a classical oscillator.

    Parameters
    ----------
    stiffness : float
        Force constant, eV/Å².
    temperature : float
        K.

    Returns
    -------
    float
    """
    return float(np.sqrt(units.kB * temperature / stiffness))


def _run_lammps(
    config: LammpsDriver,
    home: Path,
    atoms: Atoms,
    commands: Sequence[str],
    folder: Path,
    watch: Callable[[str], None],
) -> None:
    """Let LAMMPS execute commands in a folder; it is gone when this returns or raises."""
    config.setup(home).write(atoms, folder, commands)
    with guarded():
        child = Child(
            "lammps",
            config.program(home),
            cwd=folder,
            log=folder / "output.log",
            env=config.environment(),
        )
        try:
            while not child.wait(0.2):
                watch(child.output())
        finally:
            stop_all([child], patience=0.5)
    if child.returncode:
        raise lammps.failure(child.output())


def _read_dump(path: Path, n: int) -> list[np.ndarray]:
    """The columns behind the id of a sorted LAMMPS dump, a frame each (n, 3)."""
    lines = path.read_text().splitlines()
    starts = [i + 1 for i, line in enumerate(lines) if line.startswith("ITEM: ATOMS")]
    return [np.loadtxt(lines[i : i + n], ndmin=2)[:, 1:] for i in starts]
