"""Walks whose diffusion coefficient is known."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from scipy.signal import lfilter


def gaussian(rng, frames: int, walkers: int, step: float, noise: float = 0.0) -> np.ndarray:
    """Walks by Gaussian steps of width ``step`` in each dimension, seen with ``noise``."""
    walk = np.cumsum(rng.normal(0.0, step, (frames, walkers, 3)), axis=0)
    return walk + rng.normal(0.0, noise, walk.shape) if noise else walk


def hops(rng, frames: int, walkers: int, share: float, length: float = 1.0) -> np.ndarray:
    """Walks on a cubic lattice that hop in a ``share`` of the frames."""
    way = np.eye(3)[rng.integers(0, 3, (frames, walkers))] * length
    way *= rng.choice([-1.0, 1.0], (frames, walkers, 1))
    return np.cumsum(way * (rng.random((frames, walkers, 1)) < share), axis=0)


def vibration(rng, frames: int, walkers: int, memory: float, width: float) -> np.ndarray:
    """Autoregressive noise."""
    kicks = rng.normal(0.0, width * np.sqrt(1.0 - memory**2), (frames + 200, walkers, 3))
    return lfilter([1.0], [1.0, -memory], kicks, axis=0)[200:]


def frames_of(positions: np.ndarray, edge: float, *, spacing: float = 10.0, symbols="He") -> list:
    """Frames (n) of walkers (m) in a cubic cell."""
    found = []
    for number, places in enumerate(positions):
        names = symbols if isinstance(symbols, list) else [symbols] * len(places)
        atoms = Atoms(names, places, cell=[edge] * 3, pbc=True)
        atoms.info = {"time": number * spacing}
        found.append(atoms)
    return found
