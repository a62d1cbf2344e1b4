"""How different two potentials are where they are blended, and what that calls for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .buffers import root_mean_square


#: The rule for the cheap potential: alike within so many tolerances; or different by more
#: than this share of the thermal force, which no blend smooths away.
ALIKE, DIFFERENT = 2.0, 0.15


@dataclass(frozen=True)
class Mismatch:
    """How different the two potentials are where they are blended; rms, eV/Å.

    Attributes
    ----------
    frames, atoms : int
        Snapshots, and atoms of all of them together.
    rms : float
        Of F_expensive − F_cheap.
    mixed : float
        The same weighted by 4w(1 − w), which is largest where neither potential rules.
    force : float
        Of F_expensive itself.
    abrupt : bool
        There is no blend; these are the core atoms.
    """

    frames: int
    atoms: int
    rms: float
    mixed: float
    force: float
    abrupt: bool


def measure_mismatch(
    expensive: Sequence[np.ndarray], cheap: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> Mismatch:
    """Compare the two potentials on the blend atoms; without a blend, on the core.

    Parameters
    ----------
    expensive, cheap : sequence of ndarray, shape (m, 3)
        Forces on the same atoms of each snapshot, eV/Å.
    weights : sequence of ndarray, shape (m,)
        Their weights.

    Returns
    -------
    Mismatch
    """
    w = np.concatenate(weights)
    accurate = np.concatenate(expensive)
    difference = accurate - np.concatenate(cheap)
    inside = (w > 0.0) & (w < 1.0)
    abrupt = not inside.any()
    if abrupt:
        inside = w > 0.0
    accurate, difference, w = accurate[inside], difference[inside], w[inside]
    rms = root_mean_square(difference)
    mixed = rms if abrupt else root_mean_square(difference, 4.0 * w * (1.0 - w))
    return Mismatch(len(weights), len(w), rms, mixed, root_mean_square(accurate), abrupt)


def advice(mismatch: Mismatch, tolerance: float, alone: str = "") -> str:
    """What the mismatch calls for: a better cheap potential, a wider blend or core, or nothing.

    `alone` names the species on which the cheap potential exerts no forces.
    """
    share = mismatch.rms / mismatch.force if mismatch.force else np.inf
    if mismatch.rms <= ALIKE * tolerance:
        return (
            "the two potentials agree as well as the buffer is asked to: nothing is gained by a "
            "better cheap potential or a wider blend"
        )
    if share > DIFFERENT and alone:
        return (
            f"a wider core is what is needed: the cheap potential leaves {alone} alone, so what "
            f"{alone} does to the blend atoms is missing from it, and fades with the distance"
        )
    if share > 1.0:
        return (
            "a better cheap potential is what is needed: this one is further from the expensive "
            "one than no forces at all; does it name the species in the order of LAMMPS's atom "
            "types, and are its units metal?"
        )
    if share > DIFFERENT:
        return (
            "a better cheap potential is what is needed: this mismatch is far above the buffer's "
            "error, so distil one from the expensive potential before widening buffer or blend"
        )
    return (
        "a wider blend is what is needed, if anything: the potentials are alike but not equal, "
        "and a longer way from one to the other makes the step between them gentler"
    )
