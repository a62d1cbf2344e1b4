"""Site energies of two potentials → an estimate of the energy of mixed forces.

E = E_cheap + Σ w (e_expensive − e_cheap − offset): a function of the positions for fixed weights,
so that geometries can be compared, but not one whose gradient the blended forces are: what is
missing is how sites in the blend share their energy with neighbours of other weight.
"""

from __future__ import annotations

import numpy as np


def species_offsets(
    numbers: np.ndarray, weights: np.ndarray, cheap: np.ndarray, expensive: np.ndarray
) -> dict[int, float]:
    """By how much the site energies of two potentials differ in the bulk, species by species.

    Energies of free atoms are in them, and potentials share energies differently among species.
    Where the two are aligned, neither these nor a change of the weights enters the estimate.

    Parameters
    ----------
    numbers : ndarray of int, shape (m,)
        Atomic numbers.
    weights : ndarray, shape (m,)
        Of a structure as near to the bulk as there is.
    cheap, expensive : ndarray, shape (m,)
        Site energies, eV; those of atoms without weight are not looked at.

    Returns
    -------
    dict of int to float
        Atomic number → mean of e_expensive − e_cheap over its blend atoms, eV; over its core atoms
        if none is in the blend, as of an impurity.
    """
    offsets = {}
    for number in np.unique(numbers[weights > 0.0]):
        own = (numbers == number) & (weights > 0.0)
        rim = own & (weights < 1.0)
        chosen = rim if rim.any() else own
        offsets[int(number)] = float(np.mean(expensive[chosen] - cheap[chosen]))
    return offsets


def weighted_difference(
    numbers: np.ndarray,
    weights: np.ndarray,
    cheap: np.ndarray,
    expensive: np.ndarray,
    offsets: dict[int, float],
) -> float:
    """What is added to the cheap energy of the system: Σ w (e_expensive − e_cheap − offset), eV.

    Parameters
    ----------
    numbers, weights, cheap, expensive
        As for :func:`species_offsets`.
    offsets : dict of int to float
        From there; a species that is not in it has none.
    """
    weighted = weights > 0.0
    align = np.array([offsets.get(int(number), 0.0) for number in numbers[weighted]])
    return float(weights[weighted] @ (expensive[weighted] - cheap[weighted] - align))
