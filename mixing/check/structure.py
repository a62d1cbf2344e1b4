"""Whether the structure file and i-PI mean one system, and what of the file i-PI ignores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.data import atomic_masses, covalent_radii
from ase.units import Bohr, _aut, second

from ..errors import MixpiError
from ..ipi.agreement import TOLERANCE, require_same_system
from ..ipi.input import IpiInput
from ..ipi.view import IpiView
from ..regions.pairs import pairs_within
from ..structure import oriented, read_frames


#: Å; how far the centroid of several beads may be from the structure.
PATH_TOLERANCE = 0.5
#: Å; atoms closer than this are hardly meant.
TOO_CLOSE = 0.5
#: Share of the sum of two covalent radii below which a start is not relaxed.
SQUEEZED = 0.7
#: A mass that is so many times that of its element, or less than it, is hardly meant; muonium has a
#: ninth of hydrogen's.
UNLIKE = 20.0
#: Atoms in a box of that size at most.
MOST_IN_A_PLACE = 8
#: ASE's unit of velocity in atomic units.
VELOCITY = _aut * second / Bohr
#: Indices that fit into a message.
MOST_INDICES = 20


def check_structure(ipi_input: IpiInput, view: IpiView, atoms: Atoms) -> Iterator[str]:
    """Compare the structure file with what i-PI made of its input.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.
    atoms : Atoms
        The structure, in i-PI's orientation.

    Yields
    ------
    str
        Notes and warnings.

    Raises
    ------
    MixpiError
        If they are two systems.
    """
    name = ipi_input.config.structure
    path = ipi_input.config_path.parent / name
    frames = read_frames(path)
    if len(frames) > 1:
        if list(frames[0].symbols) != list(frames[1].symbols) or not np.allclose(
            frames[0].cell.array, frames[1].cell.array, atol=TOLERANCE
        ):
            raise MixpiError(
                f"{name} has several frames, of different atoms or cells: which one is meant? "
                "Write the one into a file of its own"
            )
        yield f"note: {name} has several frames: the first is taken"
    for file, count in view.frames.items():
        if count > 1 and count != view.beads:
            raise MixpiError(
                f"i-PI reads positions from {file}, which has {count} frames: for {view.beads} "
                "bead(s) it would average them. Give it one frame, or one a bead"
            )
    source = _source(ipi_input)
    require_same_system(
        expected=atoms,
        symbols=view.symbols,
        positions=view.positions if source else None,
        cell=view.cell,
        expected_name=name,
        found_name=f"i-PI's atoms ({source or ipi_input.path.name})",
        tolerance=TOLERANCE if view.spread < TOLERANCE else PATH_TOLERANCE,
    )
    yield f"{name}: {len(atoms)} atoms, {atoms.symbols.formula}, the same as i-PI's"
    _require_few_on_one_another(atoms, name)
    yield from _odd_masses(view, atoms)
    yield from _close_pairs(atoms, name)
    yield from _note_rotation(frames[0], name)
    for read in {file.resolve(): file for file in (path, *_ase_files(ipi_input))}.values():
        yield from _what_is_ignored(ipi_input, view, read)


def _close_pairs(atoms: Atoms, name: str) -> Iterator[str]:
    """Atoms that are in one place, or so near that a learned potential may not know it."""
    radii = covalent_radii[atoms.numbers]
    found = pairs_within(atoms.positions, atoms.cell.array, 2.0 * SQUEEZED * radii.max())
    share = found.distances / (radii[found.first] + radii[found.second])
    if len(share) == 0 or share.min() >= SQUEEZED:
        return
    k = int(np.argmin(share))
    first, second, distance = found.first[k], found.second[k], found.distances[k]
    if distance < TOO_CLOSE:
        yield f"warning: {name} has atoms only {distance:.3f} Å apart: is one of them there twice?"
        return
    yield (
        f"warning: {name}: atoms {first} and {second} are {distance:.2f} Å apart, which is "
        f"{share[k]:.0%} of a bond: a learned potential may know no repulsion there, and atoms may "
        "stick together. Relax the structure ('mixpi relax') before it gets hot"
    )


def _odd_masses(view: IpiView, atoms: Atoms) -> Iterator[str]:
    """Masses that no isotope has: of <masses>, or of names that i-PI knows otherwise."""
    usual = atomic_masses[atoms.numbers]
    ratio = np.array(view.masses) / usual
    odd = np.flatnonzero((ratio < 1.0 / UNLIKE) | (ratio > UNLIKE))
    if len(odd):
        first = int(odd[0])
        yield (
            f"warning: i-PI has a mass of {view.masses[first]:.4g} u for atom {first} (from 0, "
            f"{atoms.symbols[first]}, {usual[first]:.4g} u; {len(odd)} atom(s) are so): is "
            "units='dalton' missing? An atomic unit of mass is 0.000549 u"
        )


def _require_few_on_one_another(atoms: Atoms, name: str) -> None:
    """Where many atoms share a place, there are more close pairs than memory holds."""
    places, count = np.unique(
        np.floor(atoms.get_scaled_positions() * (atoms.cell.lengths() / TOO_CLOSE)),
        axis=0,
        return_counts=True,
    )
    if count.max() > MOST_IN_A_PLACE:
        where = places[count.argmax()] * TOO_CLOSE / atoms.cell.lengths() @ atoms.cell.array
        raise MixpiError(
            f"{name} has {count.max()} atoms within half an Å, near ({where[0]:.1f}, "
            f"{where[1]:.1f}, {where[2]:.1f}) Å: is it damaged?"
        )


def _source(ipi_input: IpiInput) -> str | None:
    """What an input says of its positions; None if it continues from elsewhere."""
    found = None
    for node in ipi_input.root.iterfind(".//initialize/*"):
        if node.tag in ("file", "positions"):
            mode = node.get("mode", "chk").strip()
            text = f"<{node.tag}>" if mode == "manual" else (node.text or "").strip()
            found = None if mode == "chk" else text
    return found


def _ase_files(ipi_input: IpiInput) -> list[Path]:
    """Files that i-PI reads through ASE, which may say more than i-PI takes from them."""
    return [
        ipi_input.folder / (node.text or "").strip()
        for node in ipi_input.root.iterfind(".//initialize/file")
        if node.get("mode", "").strip() == "ase"
    ]


def _note_rotation(atoms: Atoms, name: str) -> Iterator[str]:
    _, rotation = oriented(atoms, name)
    if not np.allclose(rotation, np.eye(3), atol=1e-9):
        yield (
            f"note: the cell of {name} is not lower triangular, so i-PI turns the system (first "
            "vector along x, second in the xy plane): what i-PI writes, positions, velocities "
            "and forces, is in the turned frame; mixpi's own trajectory is in that of the file"
        )


def _what_is_ignored(ipi_input: IpiInput, view: IpiView, path: Path) -> Iterator[str]:
    """Say what ASE put into a file and i-PI does not take from it."""
    atoms = read_frames(path)[0]
    yield from _constraints(view, atoms, path.name)
    yield from _velocities(ipi_input, atoms, path.name)
    chosen = ipi_input.root.find(".//initialize/masses") is not None
    if atoms.has("masses") and len(atoms) == len(view.masses) and not chosen:
        different = np.abs(atoms.get_masses() - view.masses) > 1e-3 * view.masses
        if different.any():
            first = int(np.flatnonzero(different)[0])
            yield (
                f"warning: {path.name} has masses ({atoms.get_masses()[first]:g} for atom {first}) "
                f"that i-PI does not use (it has {view.masses[first]:g}): read it with <file "
                "mode='ase' units='ase'>, or give <masses mode='manual' units='dalton'>[...]"
                "</masses> in <initialize>"
            )
    for array, what in (("initial_charges", "charges"), ("initial_magmoms", "magnetic moments")):
        if atoms.has(array) and np.any(atoms.get_array(array)):
            yield (
                f"warning: {path.name} has {what}, which neither i-PI nor the drivers are told: "
                "forces will not know of them"
            )


def _constraints(view: IpiView, atoms: Atoms, name: str) -> Iterator[str]:
    fixed = {dof for motion in view.motions for dof in motion.fixed}
    wanted: set[int] = set()
    others = []
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            wanted |= {3 * int(i) + axis for i in constraint.get_indices() for axis in range(3)}
        else:
            others.append(type(constraint).__name__)
    if others:
        yield (
            f"warning: {name} has constraints that i-PI ignores: {', '.join(sorted(set(others)))}. "
            "i-PI can fix atoms (<fixatoms>) and degrees of freedom (<fixatoms_dof>) in <motion>"
        )
    if not wanted or wanted == fixed:
        return
    indices = sorted({dof // 3 for dof in wanted})
    shown = ", ".join(map(str, indices[:MOST_INDICES]))
    shown += ", ..." if len(indices) > MOST_INDICES else ""
    state = "which i-PI ignores: they would move" if not fixed else "others than i-PI does"
    yield (
        f"warning: {name} fixes {len(indices)} atom(s), {state}. To fix them write "
        f"<fixatoms>[{shown}]</fixatoms> into <motion> (and <fixcom>False</fixcom>)"
    )


def _velocities(ipi_input: IpiInput, atoms: Atoms, name: str) -> Iterator[str]:
    if not atoms.has("momenta") or not np.any(atoms.get_momenta()):
        return
    nodes = [
        node
        for tag in ("velocities", "momenta")
        for node in ipi_input.root.iterfind(f".//initialize/{tag}")
    ]
    if _source(ipi_input) is None:
        return  # a RESTART or checkpoint has velocities of its own
    if any(node.get("mode", "").strip() == "thermal" for node in nodes):
        yield (
            f"note: the velocities in {name} are not used: i-PI draws new ones (<velocities "
            "mode='thermal'>)"
        )
    elif not nodes:
        yield (
            f"warning: {name} has velocities, which i-PI ignores: all atoms start at rest. Write "
            "<velocities mode='manual'>[...]</velocities> into <initialize>, after <file>, with "
            f"the 3n numbers of ASE's get_velocities() times {VELOCITY:.8f} (atomic units), or "
            "<velocities mode='thermal' units='kelvin'>300</velocities>"
        )
