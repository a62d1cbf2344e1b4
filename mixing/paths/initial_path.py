"""``mixpi path``: a first guess of a path between two structures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.mep import idpp_interpolate
from ase.mep.neb import interpolate
from scipy.spatial import cKDTree

from ..check.overwriting import inputs_of, require_safe_outputs
from ..errors import MixpiError
from ..regions.periodic import PeriodicCell
from ..regions.search import distance_to_nearest
from ..run.progress import Tell, silent
from ..structure import read_only_frame
from .images import write_frames
from .starting_up import read_setting


#: Å; atoms that move further than this between the two ends are counted.
FAR = 1.0
METHODS = ("idpp", "linear")


def initial_path(
    first: str | Path,
    last: str | Path,
    *,
    images: int = 9,
    method: str = "idpp",
) -> list[Atoms]:
    """Structures from one to another.

    Parameters
    ----------
    first, last : path-like
        Same atoms in the same order, same cell; the way between is the shortest through the
        periodic boundaries.
    images : int
        With both ends.
    method : {"idpp", "linear"}
        Interpolated distances (Smidstrup et al., J. Chem. Phys. 140, 214106 (2014)) or positions.

    Returns
    -------
    list of Atoms

    Raises
    ------
    MixpiError
        If the ends do not belong together.
    """
    if images < 3:
        raise MixpiError(f"a path has 3 images or more, with both ends, not {images}")
    if method not in METHODS:
        raise MixpiError(f"a path is made by one of {', '.join(METHODS)}, not '{method}'")
    ends = [read_only_frame(end) for end in (first, last)]
    require_ends(*ends, names=(str(first), str(last)))
    path = [ends[0].copy() for _ in range(images - 1)] + [ends[1].copy()]
    for image in path:
        image.calc = None
        image.constraints = []
    # the last end in the nearest images of its atoms: what follows need not care for the cell
    moved = PeriodicCell(ends[0].cell.array).shortest(ends[1].positions - ends[0].positions)
    path[-1].positions = ends[0].positions + moved
    interpolate(path)
    if method == "idpp":
        near = _moving(path)
        part = [image[near] for image in path]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a choice that it makes itself
            idpp_interpolate(part, traj=None, log=None, mic=True, fmax=0.05, steps=200)
        for image, improved in zip(path[1:-1], part[1:-1], strict=True):
            image.positions[near] = improved.positions
    return path


def _moving(path: list[Atoms]) -> np.ndarray:
    """Atoms that move, with their surroundings: interpolated distances cost much for all others."""
    moved = np.linalg.norm(path[-1].positions - path[0].positions, axis=1)
    seeds = path[0].positions[moved > 0.5 * max(moved.max(), 1e-12)]
    periodic = PeriodicCell(path[0].cell.array)
    distance = distance_to_nearest(periodic, path[0].positions, seeds, 8.0)
    return np.flatnonzero(np.isfinite(distance))


def require_ends(first: Atoms, last: Atoms, *, names: tuple[str, str]) -> None:
    """Refuse ends between which there is no path of the same atoms.

    Parameters
    ----------
    first, last : Atoms
    names : tuple of str
        For messages.

    Raises
    ------
    MixpiError
        If atoms, their order, or cells differ, or nothing moves.
    """
    one, other = names
    if sorted(first.numbers) != sorted(last.numbers):
        raise MixpiError(
            f"{one} and {other} have other atoms: {first.symbols.get_chemical_formula()} and "
            f"{last.symbols.get_chemical_formula()}"
        )
    order = "write the last structure by moving atoms of the first, which keeps their order"
    if not np.array_equal(first.numbers, last.numbers):
        raise MixpiError(f"{one} and {other} have the same atoms in another order: {order}")
    if not (first.pbc.all() and last.pbc.all()):
        raise MixpiError(f"{one} and {other} must both have a periodic cell")
    if not np.allclose(first.cell.array, last.cell.array, rtol=0, atol=1e-6):
        raise MixpiError(
            f"{one} and {other} have different cells: relax the atoms of both in one cell"
        )
    periodic = PeriodicCell(first.cell.array)
    moved = np.linalg.norm(periodic.shortest(last.positions - first.positions), axis=1)
    if moved.max() < 0.01:
        raise MixpiError(f"{one} and {other} are the same structure: no atom moves by 0.01 Å")
    distance, nearest = _nearest(first, last)
    # an atom that hops takes at most one place that was another's; many mean another numbering
    taken = np.flatnonzero(
        (moved > FAR)
        & (nearest != np.arange(len(first)))
        & (first.numbers[nearest] == last.numbers)
        & (distance < 0.5 * moved)
    )
    if len(taken) > max(4, 0.02 * len(first)):
        raise MixpiError(
            f"{one} and {other} have the same atoms in another order: {len(taken)} atoms (the "
            f"first is {taken[0]}, from 0) would take the places of others: {order}"
        )


def _nearest(first: Atoms, last: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """How far the nearest place of the first structure is from each atom of the last, and whose."""
    cell = first.cell.array
    home = first.get_scaled_positions(wrap=True)
    shifts = np.array(list(product((0, 1, -1), repeat=3)))
    images = (home[None] + shifts[:, None]).reshape(-1, 3) @ cell
    distance, found = cKDTree(images).query(last.get_scaled_positions(wrap=True) @ cell)
    return distance, found % len(first)


def write_path(
    first: str | Path,
    last: str | Path,
    output: str | Path,
    *,
    images: int = 9,
    method: str = "idpp",
    relax: str | Path | None = None,
    fmax: float = 0.01,
    tell: Tell = silent,
    say: Callable[[str], None] = print,
) -> list[Atoms]:
    """Make a path, with its ends relaxed if that is wanted, and write it.

    Parameters
    ----------
    first, last, images, method
        As for :func:`initial_path`.
    output : path-like
        Extended XYZ, an image a frame.
    relax : path-like, optional
        Configuration whose mixed forces relax the ends first.
    fmax : float
        Largest force on an atom of a relaxed end, eV/Å.
    tell, say : callable
        Told how far it is, and what is suspicious.

    Returns
    -------
    list of Atoms

    Raises
    ------
    MixpiError
        As :func:`initial_path` and :func:`mixpi.paths.relaxing.relax`.
    """
    read: dict[Path, str] = {Path(first): "the first end", Path(last): "the last end"}
    if relax is not None:
        setting = read_setting(relax)
        read |= {**inputs_of(setting.config, setting.folder), setting.config_path: "an input"}
    require_safe_outputs([(str(Path(output).absolute()), "--output")], read, Path())
    if relax is not None:
        from .relaxing import relax as relax_one

        require_ends(*map(read_only_frame, (first, last)), names=(str(first), str(last)))
        ends: list[str | Path] = []
        for name, end in (("first", first), ("last", last)):
            relaxed = relax_one(
                relax, end, fmax=fmax, output=f"{Path(output).stem}.{name}", tell=tell, say=say
            )
            if not relaxed.converged:
                raise MixpiError(
                    f"the {name} end is not at rest after {relaxed.steps} steps (largest force "
                    f"{relaxed.force:.3g} eV/Å): call again to go on"
                )
            ends.append(relaxed.files[0])
        first, last = ends
    path = initial_path(first, last, images=images, method=method)

    write_frames(Path(output), path)
    return path
