"""Seeds where a committee of models disagrees, and a look at all other atoms in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .averaging import TimeAverage
from .periodic import PeriodicCell
from .search import distance_to_nearest
from .seed_state import of_another_system, require_parts


#: A step before all others.
NEVER = -1
#: Patches that one is chosen from; more shorten the tour by little.
MOST_CENTRES = 30


class SpreadSeeds:
    """Seeds by the spread of a committee's forces, as far as it is known.

    It is known of the atoms of positive weight after every evaluation, and of patches of the
    others (:meth:`probe`) now and then. What was seen last counts until an atom is seen again;
    of atoms that were seen throughout the time of an average, the average counts.

    Parameters
    ----------
    initial : ndarray of bool, shape (n,)
        The seeds until the first average.
    bounds : (float, float)
        eV/Å; an atom is a seed if lower <= spread <= upper.
    average : TimeAverage
        When values are taken, those of the evaluation before, and over how many they are averaged.
    patch : float
        Å; radius of the patches.
    every : int
        Steps between them.
    among : ndarray of bool, shape (n,), or None
        Only these can be seeds, and only these are looked at; None for all atoms.
    """

    def __init__(
        self,
        initial: np.ndarray,
        bounds: tuple[float, float],
        average: TimeAverage,
        *,
        patch: float,
        every: int,
        among: np.ndarray | None = None,
    ) -> None:
        self._mask = np.array(initial, dtype=bool)
        self._bounds, self._average = bounds, average
        self._patch, self._every = patch, every
        n = len(self._mask)
        self._among = np.ones(n, dtype=bool) if among is None else np.array(among, dtype=bool)
        self._spread = np.full(n, np.nan)
        #: Step at which each atom was seen last, and from which on it was seen at all steps.
        self._seen, self._since = np.full(n, NEVER), np.full(n, NEVER)
        #: Last step that seeds were asked for, that was evaluated, and the first one of an average.
        self._step = self._evaluated = self._begun = NEVER
        #: Step at which the looks at all atoms outside began, and steps that the last ones took.
        self._tour_began, self._tour = NEVER, 0

    @property
    def tour(self) -> int:
        """Steps in which all atoms outside were looked at, the last time; 0 before the first."""
        return self._tour

    @property
    def spread(self) -> np.ndarray:
        """What counts of each atom, eV/Å, shape (n,); NaN where nobody has looked."""
        return self._spread

    def at(self, step: int, geometries: Sequence[np.ndarray], cell: np.ndarray) -> np.ndarray:
        """The seeds at a step, which depend on earlier evaluations alone.

        Parameters
        ----------
        step : int
            From 0, each step in turn; one that was seen already changes nothing.
        geometries, cell
            Those of the step, which do not matter.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        if step > self._step:
            self._step = step
            number = self._average.number(step)
            if number is not None and self._evaluated != NEVER:
                self._take(step, number)
        return self._mask

    def _take(self, step: int, number: int) -> None:
        """Take the newest values for an average; they are its first if ``number`` is zero."""
        if number == 0:
            self._begun = self._evaluated
        average = self._average.add(step, self._spread)
        if average is None:
            return
        throughout = (self._seen == self._evaluated) & (self._since <= self._begun)
        # an atom that leaves the region is remembered by its average, not by its last fluctuation
        self._spread = np.where(throughout, average, self._spread)
        lower, upper = self._bounds
        self._mask = (self._spread >= lower) & (self._spread <= upper) & self._among

    def probe(
        self,
        step: int,
        outside: np.ndarray,
        geometries: Sequence[np.ndarray],
        cell: np.ndarray,
    ) -> np.ndarray | None:
        """The patch of atoms that is to be looked at beside the region.

        Of the patches with the atom outside that was seen longest ago, so that all are seen in
        turn, the one whose atoms were not seen for longest, all together.

        Parameters
        ----------
        step : int
        outside : ndarray of bool, shape (n,)
            Atoms of no weight.
        geometries : sequence of ndarray, shape (n, 3)
            Å; of each bead.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, Å.

        Returns
        -------
        ndarray of int, or None
            Ascending indices of atoms outside; None where nothing is to be looked at.
        """
        asked = np.flatnonzero(outside & self._among)
        if step % self._every or step <= self._evaluated or not len(asked):
            return None
        self._go_on_with_tour(step, asked)
        periodic, patch = PeriodicCell(cell), self._patch

        def near(atoms: np.ndarray, centre: int, reach: float) -> np.ndarray:
            found = [
                np.isfinite(distance_to_nearest(periodic, x[atoms], x[[centre]], reach))
                for x in geometries
            ]
            return atoms[np.any(found, axis=0)]

        oldest = asked[self._seen[asked].argmin()]
        around = near(asked, oldest, 2.0 * patch)
        centres = near(around, oldest, patch)
        tried = centres[:: -(-len(centres) // MOST_CENTRES)]
        patches = [near(around, centre, patch) for centre in tried]
        return max(patches, key=lambda atoms: int((step - self._seen[atoms]).sum()))

    def _go_on_with_tour(self, step: int, outside: np.ndarray) -> None:
        if self._tour_began == NEVER:
            self._tour_began = step
        elif self._seen[outside].min() >= self._tour_began:
            self._tour, self._tour_began = step - self._tour_began, step

    def observe(self, step: int, indices: np.ndarray, spread: np.ndarray) -> None:
        """Hear of an evaluation.

        Parameters
        ----------
        step : int
            Ascending; of one that was seen already nothing is taken.
        indices : ndarray of int, shape (k,)
            Atoms whose forces are right: of positive weight, and of the patch.
        spread : ndarray, shape (k,)
            eV/Å; of several beads the largest.
        """
        if step <= self._evaluated:
            return
        self._spread[indices] = spread
        anew = indices[self._seen[indices] != self._evaluated]
        self._since[anew] = step
        self._seen[indices] = step
        self._evaluated = step

    def state(self) -> dict[str, np.ndarray]:
        """All that the next steps depend on."""
        return {
            "mask": self._mask.copy(),
            "spread": self._spread.copy(),
            "seen": self._seen.copy(),
            "since": self._since.copy(),
            "steps": np.array([self._step, self._evaluated, self._begun]),
            "tour": np.array([self._tour_began, self._tour]),
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
        require_parts(state, self.state(), "it is not one of seeds by spread")
        n, found = len(self._mask), {np.shape(state[name]) for name in ("mask", "spread", "seen")}
        if found != {(n,)}:
            raise of_another_system(state, n)
        self._mask = np.array(state["mask"], dtype=bool)
        self._spread = np.array(state["spread"], dtype=float)
        self._seen, self._since = (np.array(state[name], dtype=int) for name in ("seen", "since"))
        self._step, self._evaluated, self._begun = (int(step) for step in state["steps"])
        self._tour_began, self._tour = (int(step) for step in state["tour"])
        self._average.restore(state)
