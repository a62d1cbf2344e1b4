"""SNAP: bispectrum components of the neighbour density (Thompson et al., J. Comput. Phys. 2015).

The design rows come from LAMMPS's own ``compute snap``, the files are those of its
``pair_style snap``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms

from ..drivers.lammps import LammpsSetup
from ..errors import MixpiError
from ..files.replacing import replace_text
from .basis import Basis, Rows, Written
from .lammps_engine import LammpsCalculator, loaded, to_lab


#: Radii of the elements: LAMMPS cuts at rcutfac (Rᵢ + Rⱼ), so that rcutfac is the cutoff.
_RADIUS = 0.5
_RFAC0 = 0.99363


@dataclass(frozen=True)
class SnapBasis(Basis):
    """Linear or quadratic SNAP.

    Attributes
    ----------
    species : tuple of str
        Chemical symbols.
    cutoff : float
        Å.
    twojmax : int
        2J of the highest bispectrum component, even or odd.
    quadratic : bool
        Add the products of all pairs of components.
    """

    more: ClassVar[str] = "take more functions (snap: twojmax, quadratic) or a longer cutoff"
    pair_style: ClassVar[str] = "snap"
    cutoff: float = 4.8
    twojmax: int = 6
    quadratic: bool = False

    @property
    def components(self) -> int:
        """Functions of one species, without the constant."""
        linear = sum(
            1
            for j1 in range(self.twojmax + 1)
            for j2 in range(j1 + 1)
            for j in range(j1 - j2, min(self.twojmax, j1 + j2) + 1, 2)
            if j >= j1
        )
        return linear + (linear * (linear + 1) // 2 if self.quadratic else 0)

    @property
    def size(self) -> int:
        """Number of coefficients, p."""
        return len(self.species) * self.components

    def _weights(self) -> list[float]:
        """Weight of each species in the neighbour density; they only must differ."""
        return [1.0 - 0.15 * k / max(1, len(self.species) - 1) for k in range(len(self.species))]

    def rows(self, atoms: Atoms) -> Rows:
        """The design rows, from ``compute snap``: shapes (p,) and (3 n, p)."""
        self.kinds(atoms)  # says which species is missing
        n, kinds = len(atoms), len(self.species)
        radii = " ".join([str(_RADIUS)] * kinds)
        weights = " ".join(map(str, self._weights()))
        setup = LammpsSetup(
            potential=[f"pair_style zero {self.cutoff}", "pair_coeff * *"], species=self.species
        )
        commands = [
            f"compute rows all snap {self.cutoff} {_RFAC0} {self.twojmax} {radii} {weights} "
            f"quadraticflag {int(self.quadratic)} bzeroflag 0",
            # asking for an element makes the compute run
            "thermo_style custom step c_rows[1][1]",
            "run 0",
        ]
        with loaded(atoms, setup, commands) as lmp:
            table = np.array(lmp.numpy.extract_compute("rows", 0, 2))[:, :-1]
        if table.shape != (1 + 3 * n + 6, self.size):
            raise MixpiError(
                f"compute snap returned {table.shape}, expected {(7 + 3 * n, self.size)}: "
                "this LAMMPS numbers the components of SNAP in another way"
            )
        forces = table[1 : 1 + 3 * n].reshape(n, 3, self.size)
        forces = np.moveaxis(to_lab(atoms, np.moveaxis(forces, 1, 2)), 2, 1)
        return Rows(table[0], forces.reshape(3 * n, self.size))

    def write(
        self,
        coefficients: np.ndarray,
        offsets: Mapping[str, float],
        target: Path,
        *,
        inert: Sequence[str] = (),
    ) -> Written:
        """Write ``.snapcoeff`` and ``.snapparam``."""
        target.parent.mkdir(parents=True, exist_ok=True)
        coeff, param = Path(f"{target}.snapcoeff"), Path(f"{target}.snapparam")
        lines = [f"# {' '.join(self.species)}, distilled by mixpi", ""]
        lines.append(f"{len(self.species)} {self.components + 1}")
        blocks = np.asarray(coefficients).reshape(len(self.species), self.components)
        for symbol, weight, block in zip(self.species, self._weights(), blocks, strict=True):
            lines.append(f"{symbol} {_RADIUS} {weight!r}")
            lines += [f"{value:.17g}" for value in (offsets.get(symbol, 0.0), *block)]
        replace_text(coeff, "\n".join(lines) + "\n")
        settings = {
            "rcutfac": self.cutoff,
            "twojmax": self.twojmax,
            "rfac0": _RFAC0,
            "rmin0": 0,
            "bzeroflag": 0,
            "quadraticflag": int(self.quadratic),
        }
        replace_text(param, "".join(f"{key} {value}\n" for key, value in settings.items()))
        everyone = tuple(sorted(self.everyone(inert)))
        types = " ".join("NULL" if symbol in inert else symbol for symbol in everyone)
        lammps: tuple[str, ...] = (
            "pair_style snap",
            f"pair_coeff * * {coeff.name} {param.name} {types}",
        )
        if inert:  # every pair of types must have some style
            reach = f"pair_style hybrid/overlay snap zero {self.cutoff}"
            lammps = (
                reach,
                f"pair_coeff * * snap {coeff.name} {param.name} {types}",
                "pair_coeff * * zero",
            )
        return Written((coeff, param), lammps, everyone, has_offset=True)

    def calculator(self, written: Written) -> LammpsCalculator:
        """LAMMPS with the written files."""
        return LammpsCalculator.of(written)
