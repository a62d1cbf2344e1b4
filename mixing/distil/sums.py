"""The sum of bases: an EAM for what is many and far, three-body terms for what is near."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from scipy.linalg import block_diag

from .basis import Basis, Rows, Written
from .lammps_engine import LammpsCalculator
from .overlay import Layer, layers_line, layers_of


@dataclass(frozen=True)
class SumBasis(Basis):
    """Several bases side by side; the energy is the sum of theirs.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols.
    parts : tuple of Basis
        Each for these species. The first one holds the constant energies, if it can.
    """

    smoothness: ClassVar[float] = 1e-3  # of all that can be in a sum
    more: ClassVar[str] = "give one of the parts more functions or longer cutoffs"
    pair_style: ClassVar[str] = "hybrid/overlay"
    parts: tuple[Basis, ...] = ()

    @property
    def pair_styles(self) -> tuple[str, ...]:
        """Of LAMMPS, which reads the files."""
        return tuple(style for part in self.parts for style in part.pair_styles)

    @property
    def size(self) -> int:
        """Number of coefficients, p: those of the parts, one after the other."""
        return sum(part.size for part in self.parts)

    def prepared(self, frames: Sequence[Atoms]) -> SumBasis:
        """The same sum of prepared parts."""
        return replace(self, parts=tuple(part.prepared(frames) for part in self.parts))

    def narrowed(self, coefficients: np.ndarray, frames: Sequence[Atoms]) -> SumBasis:
        """The same sum of narrowed parts; itself, if none is."""
        parts = tuple(
            part.narrowed(c, frames)
            for part, c in zip(self.parts, self._split(coefficients), strict=True)
        )
        same = all(one is other for one, other in zip(parts, self.parts, strict=True))
        return self if same else replace(self, parts=parts)

    def _split(self, coefficients: np.ndarray) -> list[np.ndarray]:
        return np.split(coefficients, np.cumsum([part.size for part in self.parts])[:-1])

    def rows(self, atoms: Atoms) -> Rows:
        """The design rows: shapes (p,) and (3 n, p)."""
        rows = [part.rows(atoms) for part in self.parts]
        return Rows(
            np.concatenate([row.energy for row in rows]), np.hstack([row.forces for row in rows])
        )

    def penalty(self) -> np.ndarray:
        """The penalties of all parts."""
        return block_diag(*(part.penalty() for part in self.parts))

    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write the files of all parts, and the lines that add them."""
        written = [
            part.write(c, {} if number else offsets, target, inert=inert)
            for number, (part, c) in enumerate(
                zip(self.parts, self._split(coefficients), strict=True)
            )
        ]
        layers: list[Layer] = []
        lines: list[str] = []
        for one in written:
            own_layers, own_lines = layers_of(one.lammps)
            nothing = any(layer.style[0] == "zero" for layer in layers)
            layers += [x for x in own_layers if not (nothing and x.style[0] == "zero")]
            lines += [line for line in own_lines if line not in lines]
        return Written(
            tuple(path for one in written for path in one.files),
            (layers_line(layers), *lines),
            written[0].species,
            has_offset=written[0].has_offset,
        )

    def calculator(self, written: Written) -> LammpsCalculator:
        """LAMMPS with the written files."""
        return LammpsCalculator.of(written)
