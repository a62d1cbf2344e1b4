"""The mixing of two ASE calculators in one process: the same engine, without sockets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from .mixer import Mixer


class MixingCalculator(Calculator):
    """An ASE calculator that blends the forces of two others.

    For tests, analysis and small runs; it has forces only, because blended forces
    have no energy.

    Parameters
    ----------
    cheap, expensive : Calculator
        For the whole system and for the cluster.
    seeds : sequence of int
        Indices of the seed atoms.
    core, blend, buffer, profile, remove_net_force
        As for :class:`mixpi.Mixer`.
    """

    implemented_properties: ClassVar = ["forces"]

    def __init__(
        self, *, cheap: Calculator, expensive: Calculator, seeds: Sequence[int], **mixing
    ) -> None:
        super().__init__()
        self._cheap, self._expensive = cheap, expensive
        self._seeds, self._mixing = seeds, mixing

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes) -> None:
        """Fill ``results`` with forces, eV/Å, and the weights used."""
        super().calculate(atoms, properties, system_changes)
        mixer = Mixer(atoms.numbers, self._seeds, **self._mixing)
        plan = mixer.plan([atoms.positions], [atoms.cell.array])
        whole = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        cluster = whole[plan.cluster.indices]
        cheap = self._cheap.get_forces(whole)
        expensive = self._expensive.get_forces(cluster) if len(cluster) else cheap[:0]
        self.results = {
            "forces": mixer.combine(plan, cheap, expensive).forces,
            "weights": plan.regions.weights,
        }
