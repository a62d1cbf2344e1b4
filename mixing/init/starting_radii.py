"""Radii to begin with, before ``mixpi calibrate`` has measured them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms

from ..check.checking import LARGE_CLUSTER
from ..regions.coordination import nearest_distance
from ..regions.growth import build_regions


#: Core and blend in distances between nearest neighbours, buffer in interaction ranges.
WIDE = (1.6, 0.75)
#: The same for a cell of which the wide ones would take more than half.
NARROW = (1.25, 0.55)


@dataclass(frozen=True)
class StartingRadii:
    """Radii in Å, and the rule that they come from."""

    core: float
    blend: float
    buffer: float
    why: str


def starting_radii(
    atoms: Atoms, seeds: Sequence[int], *, interaction_range: float
) -> StartingRadii:
    """Choose radii by rule.

    The core and the blend are each 1.6 times the distance between nearest neighbours:
    the first shell around the seeds, with the second where it is near (bcc). The
    buffer is three quarters of the model's interaction range; what ``mixpi
    calibrate`` found for the models of the examples is 0.72 to 0.95 of it. All are
    rounded to half an Å.

    Parameters
    ----------
    atoms : Atoms
        The structure, periodic in all directions.
    seeds : sequence of int
        Seed atoms.
    interaction_range : float
        Å; cutoff times message-passing layers.

    Returns
    -------
    StartingRadii
        Narrower ones if the cluster would be more than half of the cell.
    """
    spacing = nearest_distance(atoms.positions, atoms.cell.array)

    def radii(near: float, far: float, why: str) -> StartingRadii:
        width = max(_to_half(near * spacing), 0.5)
        return StartingRadii(width, width, max(_to_half(far * interaction_range), 0.5), why)

    found = radii(
        *WIDE,
        f"core and blend {WIDE[0]:g} x the distance of neighbours ({spacing:.2f} Å), buffer "
        f"{WIDE[1]:g} x the interaction range ({interaction_range:g} Å)",
    )
    regions = build_regions(
        atoms.positions,
        atoms.cell.array,
        seeds,
        core=found.core,
        blend=found.blend,
        buffer=found.buffer,
    )
    if len(regions.cluster) <= LARGE_CLUSTER * len(atoms):
        return found
    return radii(
        *NARROW,
        f"narrow, for a small cell: core and blend {NARROW[0]:g} x the distance of neighbours "
        f"({spacing:.2f} Å), buffer {NARROW[1]:g} x the interaction range "
        f"({interaction_range:g} Å)",
    )


def _to_half(length: float) -> float:
    return round(2 * length) / 2
