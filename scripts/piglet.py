"""PIGLET matrices of an i-PI input: how right they make harmonic oscillators, and others from them.

python scripts/piglet.py INPUT                      kinetic energy over the exact one, by ħω/kT
python scripts/piglet.py INPUT --temperature 100    A and C for another temperature

PIGLET (Ceriotti and Manolopoulos, PRL 109, 100604, 2012) is a generalized Langevin equation on each
normal mode of the ring polymer, whose matrices A (drift) and C (covariance) are fitted so that few
beads have the distribution of infinitely many, up to some ħω/kT. All frequencies in it, those of
the ring polymer too, are multiples of kT/ħ: for another temperature A and C are multiplied by the
ratio of the temperatures, and what they reach stays the same in units of kT.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from ipi.inputs.thermostats import InputThermo
from ipi.utils.io.inputs.io_xml import xml_parse_string
from ipi.utils.units import unit_to_internal
from scipy.linalg import block_diag, expm, solve_discrete_lyapunov


#: ħω/kT of the table.
RATIOS = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0)


@dataclass(frozen=True)
class Piglet:
    """What an input says, in atomic units; energies for temperatures.

    Attributes
    ----------
    temperature, timestep : float
        Of the ensemble and of the dynamics.
    splitting : str
        "obabo" or "baoab".
    drift, covariance : ndarray, shape (beads, n, n)
        A and C, where C is that of momenta over the square root of the mass.
    """

    temperature: float
    timestep: float
    splitting: str
    drift: np.ndarray
    covariance: np.ndarray


def in_units(node: ElementTree.Element | None, family: str) -> float:
    """The number in a tag, atomic units."""
    if node is None:
        raise SystemExit(f"the input has no tag for the {family}")
    return unit_to_internal(family, node.get("units", "automatic"), float(node.text or "nan"))


def read_piglet(path: Path) -> Piglet:
    root = ElementTree.parse(path).getroot()
    node, dynamics = root.find(".//dynamics/thermostat"), root.find(".//dynamics")
    if node is None or node.get("mode") not in ("nm_gle", "nm_gle_g"):
        raise SystemExit(f"{path} has no <thermostat mode='nm_gle'> or 'nm_gle_g'")
    given = InputThermo()
    given.parse(xml_parse_string(ElementTree.tostring(node, "unicode")).fields[0][1])
    drift, covariance = given.A.fetch(), given.C.fetch()
    if drift.shape != covariance.shape:
        raise SystemExit(f"{path}: A and C need the same shape, not {drift.shape} and "
                         f"{covariance.shape}")  # fmt: skip
    return Piglet(
        in_units(root.find(".//ensemble/temperature"), "temperature"),
        in_units(root.find(".//dynamics/timestep"), "time"),
        dynamics.get("splitting", "obabo"),
        drift,
        covariance,
    )


def variance(piglet: Piglet, mode: int, force_constant: float) -> float:
    """<q²> of a normal mode in a harmonic potential, mass 1, as i-PI's integrator makes it.

    The map of a time step is linear, and so are all its parts: B kicks by the potential, A moves
    the free ring polymer exactly, O is the thermostat. The covariance X that it leaves as it is
    solves X = M X Mᵀ + N, with N that of the noise which is added in a step.
    """
    beads, size = len(piglet.drift), piglet.drift.shape[1]
    ring = 2.0 * beads * piglet.temperature * np.sin(np.pi * mode / beads)
    stiffness = np.sqrt(force_constant + ring**2)  # positions in units of 1/stiffness
    baoab, step = piglet.splitting == "baoab", piglet.timestep
    decay = expm(-piglet.drift[mode] * (step if baoab else 0.5 * step))
    covariance = piglet.covariance[mode]
    noise = block_diag(0.0, covariance - decay @ covariance @ decay.T)
    thermostat = block_diag(1.0, decay)
    kick, move = np.eye(size + 1), np.eye(size + 1)
    kick[1, 0] = -0.5 * step * force_constant / stiffness
    angle = ring * step * (0.5 if baoab else 1.0)
    move[:2, :2] = [
        [np.cos(angle), np.sin(angle) * stiffness / ring],
        [-np.sin(angle) * ring / stiffness, np.cos(angle)],
    ]
    if baoab:
        before, after = move @ kick, kick @ move
        total = after @ thermostat @ before
        noise = after @ noise @ after.T
    else:
        inner = kick @ move @ kick
        total = thermostat @ inner @ thermostat
        noise = noise + (thermostat @ inner) @ noise @ (thermostat @ inner).T
    return float(solve_discrete_lyapunov(total, noise)[0, 0] / stiffness**2)


def kinetic(piglet: Piglet, ratio: float) -> tuple[float, float, float]:
    """Kinetic energy (centroid virial) of an oscillator: here, with white noise, exact.

    The centroid keeps kT/2; each other mode gives half its force times its position.
    """
    beads, thermal = len(piglet.drift), piglet.temperature
    constant = (ratio * thermal) ** 2
    modes = np.arange(1, beads)
    here = sum(variance(piglet, int(mode), constant) for mode in modes) / beads
    rings = 2.0 * beads * thermal * np.sin(np.pi * modes / beads)
    white = float(np.sum(thermal / (constant + rings**2)))
    exact = 0.25 * ratio * thermal / np.tanh(0.5 * ratio)
    return 0.5 * (thermal + constant * here), 0.5 * (thermal + constant * white), exact


def print_table(piglet: Piglet) -> None:
    columns = []
    for ratio in RATIOS:
        here, white, exact = kinetic(piglet, ratio)
        columns.append((f"{ratio:g}", f"{here / exact:.4f}", f"{white / exact:.4f}"))
    names = ("ħω/kT", "PIGLET", "the same beads with white noise")
    for number, row in enumerate(zip(names, *columns, strict=True)):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|---" * len(row) + "|")


def print_matrices(piglet: Piglet, temperature: float) -> None:
    """A and C for another temperature, K, as an input has them."""
    kelvin = unit_to_internal("temperature", "kelvin", 1.0)
    factor = temperature * kelvin / piglet.temperature
    for name, units, array in (
        ("A", "", factor * piglet.drift),
        ("C", " units='kelvin'", factor / kelvin * piglet.covariance),
    ):
        rows = array.reshape(-1, array.shape[-1])
        text = ",\n".join(", ".join(f"{number:.13g}" for number in row) for row in rows)
        print(f"<{name} shape='{array.shape}'{units}>\n[{text}]\n</{name}>")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("--temperature", type=float, help="K")
    given = parser.parse_args()
    piglet = read_piglet(given.input)
    if given.temperature is None:
        print_table(piglet)
    else:
        print_matrices(piglet, given.temperature)


if __name__ == "__main__":
    main()
