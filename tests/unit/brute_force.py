"""The definitions of core, blend and buffer, written out over all images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product

import numpy as np


def image_distances(positions: np.ndarray, cell: np.ndarray, reach: float) -> Iterator[np.ndarray]:
    """Distances (n, n) to each image in turn that could be within ``reach``."""
    inverse = np.linalg.inv(cell)
    wrapped = positions - np.floor(positions @ inverse) @ cell
    counts = np.ceil(reach * np.linalg.norm(inverse, axis=0)).astype(int) + 1
    for shift in product(*(range(-k, k + 1) for k in counts)):
        yield np.linalg.norm(wrapped[:, None] - wrapped[None] + np.array(shift) @ cell, axis=2)


def all_distances(positions: np.ndarray, cell: np.ndarray, reach: float) -> np.ndarray:
    """Shortest distance (n, n) over every image that could be within ``reach``."""
    return reduce(np.minimum, image_distances(positions, cell, reach))


def regions(positions, cell, seeds, *, core, blend, buffer, profile):
    """Weights and the three masks, straight from the definitions."""
    n = len(positions)
    seeds = np.asarray(seeds, dtype=int)
    weights, nothing = np.zeros(n), np.zeros(n, dtype=bool)
    if len(seeds) == 0:
        return weights, nothing, nothing, nothing
    distance = all_distances(np.asarray(positions), np.asarray(cell), core + blend + buffer)
    is_core = nothing.copy()
    is_core[seeds] = True
    is_core |= (distance[:, seeds] < core).any(axis=1)
    to_core = distance[:, is_core].min(axis=1)
    if profile == "smooth":
        to_core = distance[:, seeds].min(axis=1) - core
    is_blend = ~is_core & (to_core < blend)
    weights[is_core] = 1.0
    x = to_core[is_blend] / blend if blend else to_core[is_blend]
    weights[is_blend] = {
        "linear": 1 - x,
        "cubic": 1 - 3 * x**2 + 2 * x**3,
        "smooth": 1 - 10 * x**3 + 15 * x**4 - 6 * x**5,
    }[profile]
    is_buffer = (weights == 0) & (distance[:, weights > 0].min(axis=1) < buffer)
    return weights, is_core, is_blend, is_buffer
