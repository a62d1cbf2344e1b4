"""i-PI's temperature of a run: how many degrees of freedom it is of."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element

from ..ipi.input import IpiInput, in_units
from .properties import Series, read_series


def still(ipi_input: IpiInput, n_atoms: int) -> int:
    """How many degrees of freedom do not move, all beads together, of 3 × n × beads.

    Parameters
    ----------
    ipi_input : IpiInput
        The run, of one motion.
    n_atoms : int
        n.
    """
    both = ((one, one.find("./dynamics")) for one in ipi_input.root.iter("motion"))
    motion, dynamics = next((pair for pair in both if pair[1] is not None), (None, None))
    if motion is None or dynamics is None:
        return 0
    beads = ipi_input.all_beads
    fixed = {3 * atom + axis for atom in _numbers(motion, "fixatoms") for axis in range(3)}
    fixed |= set(_numbers(motion, "fixatoms_dof"))
    if dynamics.get("mode", "nve").strip() == "nvt-cc":  # the centroids
        return 3 * n_atoms + (beads - 1) * len(fixed)
    if fixed:  # for which i-PI lets the centre of mass go
        return beads * len(fixed)
    text = (motion.findtext("fixcom") or "True").strip().lower()
    return 3 if text == "true" else 0


def _numbers(motion: Element, name: str) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", motion.findtext(name) or "")]


def read_temperature(ipi_input: IpiInput, n_atoms: int) -> Series | str:
    """The temperature of what moves, from i-PI's property ``temperature``.

    i-PI divides the kinetic energy by all 3 n P degrees of freedom, and takes those that do not
    move for ones at the temperature T_e of the ensemble (at rest, if it has none): with F of them
    T = (3 n P T_i-PI − F T_e) / (3 n P − F).

    Parameters
    ----------
    ipi_input : IpiInput
        The run.
    n_atoms : int
        n.

    Returns
    -------
    Series or str
        K (0 where nothing moves), or what is missing, in words.
    """
    found = read_series(ipi_input, "temperature")
    if isinstance(found, str):
        return found
    node = ipi_input.root.find(".//ensemble/temperature")
    kelvin = in_units(node, "temperature", "kelvin") if node is not None else None
    everything, fixed = 3 * n_atoms * ipi_input.all_beads, still(ipi_input, n_atoms)
    values = everything * found.values - fixed * max(kelvin or 0.0, 0.0)
    return replace(found, values=values / max(everything - fixed, 1))
