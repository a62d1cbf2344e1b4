"""What a universal model does not know, atoms that collide, by the repulsion of their nuclei.

Such models have learnt crystals near rest. Two atoms much closer than any bond are, to them, what
the form of the network makes of it: 7net-l3i5 follows the screened repulsion of He and W down to
1.2 Å; at 0.8 Å, in a crystal, it is thousands of eV too high. So it is not asked there. Where He is
at a distance r from W, the model is asked for the same structure with it at g(r) on the same line,
where g falls from r to a closest distance, and the repulsion of nuclei (J. F. Ziegler,
J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, 1985) is what lies between:

    E = E_model(at g) + V_ZBL(r) - V_ZBL(g(r)).
"""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.geometry import find_mic


#: eV Å; e² / 4 pi epsilon_0.
COULOMB = 14.399645
#: ZBL's universal screening function: factors and exponents.
SCREENING = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
#: Of the light atom, and of the heavy one.
LIGHT, HEAVY = 2, 74


def zbl(r: float) -> tuple[float, float]:
    """Repulsion of He and W (eV) at a distance ``r`` (Å), and its slope (eV/Å)."""
    scale = (LIGHT**0.23 + HEAVY**0.23) / 0.46850
    terms = [c * np.exp(-d * scale * r) for c, d in SCREENING]
    slope = -scale * sum(d * term for (_, d), term in zip(SCREENING, terms, strict=True))
    factor = COULOMB * LIGHT * HEAVY / r
    return float(factor * sum(terms)), float(factor * (slope - sum(terms) / r))


class Collisions(Calculator):
    """A model that is not asked for He and W nearer than it knows.

    Parameters
    ----------
    model : Calculator
        The universal model.
    closest, width : float
        Å; of g(r) = closest + width ln(1 + exp((r - closest) / width)).
    """

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, model: Calculator, closest: float = 1.2, width: float = 0.05) -> None:
        super().__init__()
        self._model, self._closest, self._width = model, closest, width

    def calculate(self, atoms=None, properties=(), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        asked, moved = atoms.copy(), []
        heavy = np.flatnonzero(atoms.numbers == HEAVY)
        for light in np.flatnonzero(atoms.numbers == LIGHT):
            vectors, distances = find_mic(
                atoms.positions[light] - atoms.positions[heavy], atoms.cell, atoms.pbc
            )
            near = int(distances.argmin())
            if distances[near] < self._closest + 15 * self._width:
                moved.append((light, heavy[near], vectors[near], self._seen(distances[near])))
                asked.positions[light] += (moved[-1][3][0] / distances[near] - 1) * vectors[near]
        asked.calc = self._model
        energy, forces = asked.get_potential_energy(), asked.get_forces().copy()
        virial = asked.get_stress(voigt=False) * asked.get_volume()
        for light, other, vector, (g, slope) in moved:
            r = np.linalg.norm(vector)
            n = vector / r
            (far, far_slope), (near, near_slope) = zbl(g), zbl(r)
            energy += near - far
            pair = near_slope - far_slope * slope
            along = np.outer(n, n)
            turned = (g / r * (np.eye(3) - along) + slope * along) @ forces[light]
            gradient = np.outer(g * n, forces[light]) - np.outer(vector, turned - pair * n)
            virial += (gradient + gradient.T) / 2
            forces[other] += forces[light] - turned + pair * n
            forces[light] = turned - pair * n
        stress = virial / asked.get_volume()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }

    def _seen(self, r: float) -> tuple[float, float]:
        """Where the model is asked in place of ``r`` (Å), and its slope."""
        x = (r - self._closest) / self._width
        return self._closest + self._width * float(np.logaddexp(0.0, x)), float(
            1.0 / (1.0 + np.exp(-x))
        )
