"""The seeds of the study: who shares a site of the bcc crystal (seeds: function)."""

from __future__ import annotations

import numpy as np


def atoms_at_the_site(positions: np.ndarray, numbers: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """How many atoms are nearest to the site that each atom is nearest to: 2 in a dumbbell.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Å; of a bcc crystal with one interstitial, its cubic axes along the cell's.
    numbers : ndarray of int, shape (n,)
        Atomic numbers.
    cell : ndarray, shape (3, 3)
        Å; a cube.

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    ValueError
        If no whole number of cubic cells fits.
    """
    sites = (len(positions) - 1) / 2
    cells = round(sites ** (1 / 3))
    edge = cell[0, 0]
    if cells**3 != sites or not np.allclose(cell, edge * np.eye(3), atol=1e-6 * edge):
        raise ValueError(f"{len(positions)} atoms are no cube of bcc cells and one interstitial")
    places = positions * cells / edge
    # sites are at multiples of a half along each axis; the crystal moves a little as the dumbbell
    # goes and the centre of mass stays
    places = places - np.angle(np.exp(4j * np.pi * places).mean(axis=0)) / (4 * np.pi)
    corner, middle = np.round(places), np.floor(places) + 0.5
    to_corner, to_middle = (((places - site) ** 2).sum(axis=1) for site in (corner, middle))
    site = np.where((to_corner < to_middle)[:, None], corner, middle)
    x, y, z = (2 * site).astype(int).T % (2 * cells)
    _, which, count = np.unique(
        (x * 2 * cells + y) * 2 * cells + z, return_inverse=True, return_counts=True
    )
    return count[which]
