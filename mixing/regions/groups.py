"""Atoms that belong together, as in a molecule: all of them are in a region, or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .growth import Regions


class Groups:
    """Whole groups of atoms.

    Parameters
    ----------
    names : array_like of int or str, shape (n,)
        Of each atom's group, such as a molecule's number; a negative number for an atom that
        belongs to none.

    Raises
    ------
    ValueError
        If they do not say of every atom where it belongs.
    """

    def __init__(self, names: ArrayLike) -> None:
        names = np.asarray(names)
        if names.ndim != 1:
            raise ValueError(f"groups must be one number or name an atom, got {names.shape}")
        if names.dtype.kind == "f" and np.array_equal(names, np.round(names)):
            names = names.astype(int)
        if names.dtype.kind not in "iuUSO":
            raise ValueError("groups must be whole numbers or names, one an atom")
        if names.dtype.kind in "iu":
            self._require_no_zero(names)
            alone = np.flatnonzero(names < 0)
            names = names.astype(int)
            names[alone] = -1 - alone  # each its own
        else:
            names = names.astype(str)
            empty = np.flatnonzero(np.char.strip(names) == "")
            if len(empty):
                raise ValueError(
                    f"atom {empty[0]} (from 0) has no group, nor have {len(empty) - 1} others: "
                    "each atom must have one"
                )
        _, self._of = np.unique(names, return_inverse=True)
        self._count = int(self._of.max(initial=-1)) + 1

    @staticmethod
    def _require_no_zero(names: np.ndarray) -> None:
        zeros = np.count_nonzero(names == 0)
        if zeros:
            raise ValueError(
                f"{zeros} atoms have the group 0, which in some files is a molecule and in others "
                "none: number groups from 1, and give atoms that belong to none -1"
            )

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Of each atom the largest value (n,) in its group."""
        found = np.full(self._count, -np.inf)
        np.maximum.at(found, self._of, values)
        return found[self._of]

    def any(self, mask: np.ndarray) -> np.ndarray:
        """Of each atom whether one of its group is in a mask (n,)."""
        return self._with_any(mask)[self._of]

    def with_whole_buffer(self, regions: Regions, buffer: float) -> Regions:
        """Regions in whose buffer no group is cut.

        Parameters
        ----------
        regions : Regions
            Whose weights are the same within each group.
        buffer : float
            Å; what is added lies further out than that.
        """
        added = self.any(regions.buffer) & ~regions.buffer & (regions.weights == 0.0)
        depths = regions.depths
        if depths is not None:
            depths = np.where(added, buffer, depths)
        return replace(regions, buffer=regions.buffer | added, depths=depths)

    def _with_any(self, mask: np.ndarray) -> np.ndarray:
        return np.bincount(self._of[mask], minlength=self._count) > 0
