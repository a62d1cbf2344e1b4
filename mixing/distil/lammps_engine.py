"""A LAMMPS potential as an ASE calculator, and what the bases need of LAMMPS in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ..drivers.lammps import LammpsSetup
from ..drivers.lammps_cluster import LammpsClusterEngine
from ..drivers.lammps_library import has_pair_styles, loaded, require_pair_styles, to_lab
from .basis import Written


__all__ = ["LammpsCalculator", "has_pair_styles", "loaded", "require_pair_styles", "to_lab"]


class LammpsCalculator(Calculator):
    """A LAMMPS potential as an ASE calculator for any periodic cell.

    LAMMPS is started once for all structures of the same species.

    Parameters
    ----------
    setup : LammpsSetup
        Potential and species; :meth:`of` and :meth:`reported` make it for a potential on disk.
    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 (as ASE has it)

    def __init__(self, setup: LammpsSetup) -> None:
        super().__init__()
        self.setup = setup
        self._engine: LammpsClusterEngine | None = None
        self._species: list[str] = []

    @classmethod
    def of(cls, written: Written, lines: Sequence[str] | None = None) -> LammpsCalculator:
        """The calculator of written files, with other LAMMPS lines than their own if given."""
        folder = written.files[0].parent
        return cls(LammpsSetup(lines or written.lammps, written.species, folder))

    @classmethod
    def reported(cls, report: Path) -> LammpsCalculator:
        """The calculator of a potential whose report 'mixpi distil' wrote, beside its files."""
        found = json.loads(report.read_text())
        return cls(LammpsSetup(found["lammps"], found["species"], report.parent))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy (eV), forces (eV/Å) and stress (eV/Å³)."""
        super().calculate(atoms, properties, system_changes)
        species = self.setup.types_of(self.atoms)
        if self._engine is None or species != self._species:
            self._engine = LammpsClusterEngine(
                self.setup.potential, species=species, folder=self.setup.folder
            )
            self._species = species
        energy, forces, virial = self._engine.evaluate(
            self.atoms.numbers, self.atoms.positions, self.atoms.cell.array
        )
        stress = -virial / self.atoms.get_volume()
        self.results["energy"], self.results["forces"] = energy, np.asarray(forces)
        self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
