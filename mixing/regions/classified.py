"""Seeds that are found by a value of each atom, again and again as the atoms move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import MixpiError
from .averaging import TimeAverage
from .classifiers import Classifier
from .seed_state import of_another_system, require_parts


class ClassifiedSeeds:
    """Seeds by classification, followed in time.

    Each bead has averages of its own; an atom that is a seed in one bead is one.

    Parameters
    ----------
    classifier : Classifier
        What is measured of each atom.
    count : int
        Number of atoms, n.
    bounds : (float, float)
        An atom is a seed if lower <= average <= upper.
    average : TimeAverage
        When values are taken, and over how many they are averaged.
    initial : ndarray of bool, shape (n,), or None
        The seeds until the first average; None for those of the first geometry.
    among : ndarray of bool, shape (n,), or None
        Only these can be found; None for all atoms.
    """

    def __init__(
        self,
        classifier: Classifier,
        count: int,
        bounds: tuple[float, float],
        average: TimeAverage,
        *,
        initial: np.ndarray | None = None,
        among: np.ndarray | None = None,
    ) -> None:
        self.classifier, self._count = classifier, count
        self._bounds, self._average, self._among = bounds, average, among
        self._mask = None if initial is None else _fixed(initial)
        self._step = -1
        self._beads = 0

    def classify(self, values: np.ndarray) -> np.ndarray:
        """Which atoms are seeds by their values.

        Parameters
        ----------
        values : ndarray, shape (n,) or (beads, n)

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        lower, upper = self._bounds
        within = (values >= lower) & (values <= upper)
        found = np.any(np.atleast_2d(within), axis=0)
        return _fixed(found if self._among is None else np.logical_and(found, self._among))

    def at(self, step: int, geometries: Sequence[np.ndarray], cell: np.ndarray) -> np.ndarray:
        """The seeds at a step.

        Parameters
        ----------
        step : int
            From 0, each step in turn; one that was seen already changes nothing.
        geometries : sequence of ndarray, shape (n, 3)
            Å; of each bead.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        ndarray of bool, shape (n,)

        Raises
        ------
        MixpiError
            If the classifier has no values, or there is another number of beads than before.
        """
        if self._mask is not None and step <= self._step:
            return self._mask
        if self._beads not in (0, len(geometries)):
            raise MixpiError(
                f"seeds were followed in {self._beads} bead(s), and now there are {len(geometries)}"
            )
        self._beads = len(geometries)
        is_sampled = self._average.number(step) is not None
        if is_sampled or self._mask is None:
            values = np.array([self.classifier.values(x, cell) for x in geometries])
            if self._mask is None:
                self._mask = self.classify(values)
            average = self._average.add(step, values) if is_sampled else None
            if average is not None:
                self._mask = self.classify(average)
        self._step = step
        return self._mask

    def state(self) -> dict[str, np.ndarray]:
        """All that the next steps depend on.

        Returns
        -------
        dict of str to ndarray
            Empty before the first step.
        """
        if self._step < 0 or self._mask is None:
            return {}
        return {
            "mask": self._mask.copy(),
            "step": np.array(self._step),
            "beads": np.array(self._beads),
            **self._average.state(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on after the step at which a state was taken.

        Parameters
        ----------
        state : mapping of str to ndarray
            Of :meth:`state`, of the same atoms.

        Raises
        ------
        MixpiError
            If it is none.
        """
        if not state:
            return
        names = ("mask", "step", "beads", "taken", "sums")
        require_parts(state, names, "it is no state of classified seeds")
        beads, sums = int(state["beads"]), np.shape(state["sums"])
        if np.shape(state["mask"]) != (self._count,) or sums not in ((0,), (beads, self._count)):
            raise of_another_system(state, self._count)
        self._mask = _fixed(state["mask"])
        self._step, self._beads = int(state["step"]), beads
        self._average.restore(state)


def _fixed(mask: np.ndarray) -> np.ndarray:
    """A mask that the caller cannot change by mistake."""
    mask = np.array(mask, dtype=bool)
    mask.setflags(write=False)
    return mask
