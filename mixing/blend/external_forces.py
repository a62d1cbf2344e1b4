"""Constant forces on groups of atoms, beside those of the potentials: ``loads:``.

They are added to the blended forces after the net force of these has been removed, on every atom
in full whatever its weight, so that a load is the same with mixed, cheap and expensive forces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from ase import Atoms
from ase.units import GPa
from pydantic import Field, model_validator

from ..errors import MixpiError
from ..files.yaml_files import Section
from ..regions.seed_config import SelectionWords
from ..regions.seeds import select_atoms
from ..structure import oriented, read_frames


#: MPa in eV/Å³.
MPA = 1e-3 * GPa
#: Cell vectors that span a face.
FACES = {"ab": (0, 1), "bc": (1, 2), "ca": (2, 0)}
#: Share of all loads together up to which their sum counts as none.
BALANCED = 1e-6

Component = Annotated[float, Field(allow_inf_nan=False)]


class LoadConfig(Section):
    """A constant force on some atoms."""

    atoms: SelectionWords = Field(
        description="Which, in words or by number, as for 'seeds'; found once, in the structure's "
        "file."
    )
    force: list[Component] | None = Field(
        None,
        min_length=3,
        max_length=3,
        description="[x, y, z], eV/Å, on each of them, in the frame of the structure's file.",
    )
    traction: list[Component] | None = Field(
        None,
        min_length=3,
        max_length=3,
        description="Instead of 'force', [x, y, z], MPa: the force on all of them together for "
        "the area of 'face', shared equally.",
    )
    face: Literal["ab", "bc", "ca"] | None = Field(
        None, description="With 'traction': the cell vectors that span the loaded surface."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.force is None) == (self.traction is None):
            raise ValueError("give either force (eV/Å on each atom) or traction (MPa on a face)")
        if (self.traction is None) != (self.face is None):
            raise ValueError(
                "traction and face belong together: 'traction: [500, 0, 0]' with 'face: ab' for "
                "the surface that the first two cell vectors span"
            )
        if not any(self.force or self.traction or ()):
            raise ValueError("a force of zero does nothing: leave it out")
        return self

    def on_each(self, cell: np.ndarray, count: int) -> np.ndarray:
        """The force (3,) on each of some atoms, eV/Å.

        Parameters
        ----------
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.
        count : int
            How many share a traction.
        """
        if self.traction is None or self.face is None:
            return np.array(self.force)
        first, second = (cell[vector] for vector in FACES[self.face])
        area = float(np.linalg.norm(np.cross(first, second)))
        return np.array(self.traction) * MPA * area / count


@dataclass(frozen=True)
class ExternalForces:
    """Forces that depend on nothing.

    Attributes
    ----------
    atoms : ndarray of int, shape (k,)
        That feel one, ascending.
    forces : ndarray, shape (k, 3)
        On these, eV/Å, in i-PI's orientation.
    origin : ndarray, shape (k, 3)
        Å; where their energy is zero.
    """

    atoms: np.ndarray
    forces: np.ndarray
    origin: np.ndarray

    def added_to(self, forces: np.ndarray) -> np.ndarray:
        """Forces (n, 3) on all atoms with these added, eV/Å."""
        if len(self.atoms) == 0:
            return forces
        loaded = np.array(forces)
        loaded[self.atoms] += self.forces
        return loaded

    def energy(self, positions: np.ndarray) -> float:
        """The energy of a constant force, −Σ F·(x − x₀), eV.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Of all atoms, Å; not wrapped into the cell, or the energy jumps.
        """
        return -float(np.sum(self.forces * (positions[self.atoms] - self.origin)))

    @property
    def total(self) -> np.ndarray:
        """What they add up to (3,), eV/Å."""
        return np.asarray(self.forces.sum(axis=0))

    def size(self, rotation: np.ndarray) -> np.ndarray:
        """How large they are along each axis, added up (3,), eV/Å.

        Parameters
        ----------
        rotation : ndarray, shape (3, 3)
            Of row vectors into the frame of these axes.
        """
        return np.asarray(np.abs(self.forces @ rotation).sum(axis=0))

    @property
    def is_balanced(self) -> bool:
        """Whether that is no force on the whole."""
        each = np.linalg.norm(self.forces, axis=1).sum()
        return bool(np.linalg.norm(self.total) <= BALANCED * each)


def external_forces(loads: Sequence[LoadConfig], structure: str | Path) -> ExternalForces:
    """The loads of a configuration.

    Parameters
    ----------
    loads : sequence of LoadConfig
        Atoms in several of them feel each.
    structure : path-like
        Its file, in whose frame places and forces are.

    Raises
    ------
    MixpiError
        If one is for no atom, or for atoms that are not there.
    """
    if not loads:
        return ExternalForces(np.zeros(0, dtype=int), np.zeros((0, 3)), np.zeros((0, 3)))
    in_file = read_frames(structure)[0]
    atoms, rotation = oriented(in_file, structure)
    forces, loaded = np.zeros((len(atoms), 3)), np.zeros(len(atoms), dtype=bool)
    for load, chosen in chosen_atoms(loads, in_file):
        forces[chosen] += load.on_each(atoms.cell.array, len(chosen)) @ rotation.T
        loaded[chosen] = True
    indices = np.flatnonzero(loaded)
    return ExternalForces(indices, forces[indices], atoms.positions[indices])


def require_felt(loads: Sequence[LoadConfig], parts: Iterable[str]) -> None:
    """Refuse loads that no mixing layer of a simulation would add.

    Parameters
    ----------
    loads : sequence of LoadConfig
    parts : iterable of str
        What the layers compute (:data:`mixpi.blend.levels.PARTS`).

    Raises
    ------
    MixpiError
        If all that they compute is a correction.
    """
    if loads and set(parts) == {"delta"}:
        raise MixpiError(
            "'loads:' would act on nothing: this simulation has a mixing layer for the correction "
            "alone (part: delta), and its cheap forces come from elsewhere. Let a second layer, "
            "{config: mixing.yaml, part: cheap}, compute them: it adds the loads"
        )


def chosen_atoms(
    loads: Sequence[LoadConfig], atoms: Atoms
) -> Iterator[tuple[LoadConfig, list[int]]]:
    """Each load with the atoms that it is for.

    Parameters
    ----------
    loads : sequence of LoadConfig
    atoms : Atoms
        As they are in the structure's file.

    Raises
    ------
    MixpiError
        If there are none.
    """
    for number, load in enumerate(loads):
        key = f"loads: {number}: atoms" if len(loads) > 1 else "loads: atoms"
        chosen = select_atoms(load.atoms, atoms, key=key).indices
        if not chosen:
            raise MixpiError(f"{key}: {load.atoms!r} is no atom: leave the load out")
        yield load, chosen
