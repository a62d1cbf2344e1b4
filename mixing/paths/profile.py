"""Energies and forces along a path: the barrier, by what it can be told from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from ..errors import MixpiError
from ..regions.periodic import PeriodicCell


@dataclass(frozen=True)
class Profile:
    """A path, image by image.

    Attributes
    ----------
    length : ndarray, shape (images,)
        From the first image along the path, Å: of all atoms together.
    force : ndarray, shape (images,)
        Along the path, eV/Å.
    energy : ndarray, shape (images,)
        Above the first image, eV: the estimate.
    work : ndarray, shape (images,)
        Above the first image, eV: minus the integral of the force, by a cubic spline.
    """

    length: np.ndarray
    force: np.ndarray
    energy: np.ndarray
    work: np.ndarray

    @property
    def barrier(self) -> float:
        """Height of the energy estimate, eV: of its curve with the forces as slopes."""
        return height(self.length, self.energy, self.force)

    @property
    def barrier_by_work(self) -> float:
        """Height of minus the integral of the forces, eV."""
        return height(self.length, self.work, self.force)

    def as_dict(self) -> dict:
        """Plain values, with units in their names."""
        return {
            "length_A": self.length.tolist(),
            "force_along_path_eV_per_A": self.force.tolist(),
            "energy_estimate_eV": self.energy.tolist(),
            "work_eV": self.work.tolist(),
            "barrier_by_energy_estimate_eV": self.barrier,
            "barrier_by_work_eV": self.barrier_by_work,
        }


def profile_of(frames: Sequence[Atoms]) -> Profile:
    """The profile of images with energies and forces.

    Parameters
    ----------
    frames : sequence of Atoms
        With ``info["energy_estimate"]`` (eV), and ``arrays["forces"]`` (eV/Å) or, as ASE has them
        from a file, results.

    Raises
    ------
    MixpiError
        If there are fewer than three, or one has no forces.
    """
    if len(frames) < 3:
        raise MixpiError(f"a path has 3 images or more, with both ends, not {len(frames)}")
    forces = [_forces_of(frame) for frame in frames]
    for number, frame in enumerate(frames):
        if forces[number] is None or "energy_estimate" not in frame.info:
            raise MixpiError(
                f"image {number} has no 'forces' or no 'energy_estimate': is it of 'mixpi neb'?"
            )
    periodic = PeriodicCell(frames[0].cell.array)
    steps = np.array(
        [
            periodic.shortest(after.positions - before.positions)
            for before, after in pairwise(frames)
        ]
    )
    lengths = np.sqrt((steps**2).sum(axis=(1, 2)))
    if not lengths.min() > 1e-6:
        raise MixpiError("two neighbouring images of the path are the same")
    length = np.concatenate([[0.0], np.cumsum(lengths)])
    # the path as a spline through the images has a tangent at each
    places = np.concatenate([np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)])
    tangents = CubicSpline(length, places, axis=0)(length, 1)
    tangents /= np.sqrt((tangents**2).sum(axis=(1, 2), keepdims=True))
    force = np.array(
        [float(np.sum(f * t)) for f, t in zip(forces, tangents, strict=True) if f is not None]
    )
    energy = np.array([float(frame.info["energy_estimate"]) for frame in frames])
    curve = CubicSpline(length, force)
    work = -np.array([float(curve.integrate(0.0, s)) for s in length])
    return Profile(length, force, energy - energy[0], work)


def _forces_of(frame: Atoms) -> np.ndarray | None:
    found = frame.arrays.get("forces")
    return frame.calc.results.get("forces") if found is None and frame.calc else found


def height(length: np.ndarray, energy: np.ndarray, force: np.ndarray) -> float:
    """How high a curve through energies, with forces as slopes, rises above its beginning, eV.

    Parameters
    ----------
    length, energy, force : ndarray, shape (images,)
        Å, eV, eV/Å.
    """
    _, e = curve_of(length, energy, force)
    return float(e.max() - energy[0])


def curve_of(
    length: np.ndarray, energy: np.ndarray, force: np.ndarray, points: int = 2001
) -> tuple[np.ndarray, np.ndarray]:
    """That curve: places (Å) and energies (eV)."""
    s = np.linspace(length[0], length[-1], points)
    return s, np.asarray(CubicHermiteSpline(length, energy, -force)(s))
