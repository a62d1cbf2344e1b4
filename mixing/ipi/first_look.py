"""What the first forces show to be suspicious: said aloud, because nobody else would.

LAMMPS with its species exchanged computes an energy of zero and ends with success; so does
one whose potential does not reach as far as the atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from ase.data import chemical_symbols

from ..blend.clusters import Cluster
from ..blend.levels import CHEAP, CHEAP_ON_CLUSTER, EXPENSIVE, Level
from ..blend.mixer import Plan
from ..errors import MixpiError


#: Rms of F_expensive − F_cheap relative to that of F_expensive from which on the two are said to
#: be far apart; potentials that were never fitted to one another have half of it.
FAR = 0.8
#: Rms cheap force on a species relative to the expensive one up to which the cheap potential is
#: said to leave it alone.
ALONE = 0.05
#: In so many evaluations, because on lattice sites cheap forces vanish by symmetry.
ALONE_IN = 10
#: eV/Å (and share of the largest force); by how much the same cheap forces may differ when two
#: programs compute them: fix ipi converts units.
SAME_FORCE = 1e-5
#: eV/Å; where both are smaller, as near lattice sites, nothing can be said yet.
TELLING = 0.2


def exactly_zero(name: str, energy: float, forces: np.ndarray) -> Iterator[str]:
    """What to say of a driver that returns nothing but zeros.

    Parameters
    ----------
    name : str
        Of its pool.
    energy : float
        Any unit.
    forces : ndarray, shape (n, 3)
        Any unit.

    Yields
    ------
    str
    """
    if len(forces) and not forces.any():
        what = "energy and forces" if energy == 0.0 else "forces"
        yield (
            f"the {name} driver returned {what} of exactly zero on all {len(forces)} atoms: are "
            "its potential, the order of its species and its cutoff right for this system?"
        )


def far_apart(cheap: np.ndarray, expensive: np.ndarray, weights: np.ndarray) -> str | None:
    """Whether the cheap potential is far from the expensive one where both count.

    Parameters
    ----------
    cheap, expensive : ndarray, shape (m, 3)
        Forces on atoms of positive weight, eV/Å.
    weights : ndarray, shape (m,)

    Returns
    -------
    str or None
        What to say, empty if they are not; None while the forces are too small to tell.
    """
    blend = weights < 1.0
    chosen = blend if blend.any() else ~blend
    if not chosen.any():
        return None
    difference = _rms(expensive[chosen] - cheap[chosen])
    force = _rms(expensive[chosen])
    if max(difference, force) < TELLING:
        return None
    if difference <= FAR * force:
        return ""
    return (
        f"on the {'blend' if blend.any() else 'core'} atoms the cheap potential is far from "
        f"the expensive one: rms difference {difference:.3g} eV/Å, rms force {force:.3g} eV/Å. "
        "Are species, units and cutoffs right? If so, 'mixpi calibrate' measures this and says "
        "whether a better cheap potential ('mixpi distil') or a wider core is needed"
    )


def left_alone(
    cheap: np.ndarray, expensive: np.ndarray, numbers: np.ndarray
) -> Iterator[tuple[int, str]]:
    """Species that only the expensive potential does something to.

    What is a force of its own beside the cheap ones may be computed less often than these, or on
    fewer beads. An atom that the cheap potential leaves alone then moves freely in between, and
    the beads of its ring polymer spread as those of a free particle.

    Parameters
    ----------
    cheap, expensive : ndarray, shape (m, 3)
        Forces on atoms of weight 1, eV/Å.
    numbers : ndarray of int, shape (m,)
        Their atomic numbers.

    Yields
    ------
    int, str
        A species whose forces are large enough to tell, and what to say of it: nothing, or why
        it is suspicious.
    """
    for number in np.unique(numbers):
        chosen = numbers == number
        weak, strong = _rms(cheap[chosen]), _rms(expensive[chosen])
        if max(weak, strong) < TELLING:
            continue
        text = ""
        if weak <= ALONE * strong:
            text = (
                f"the cheap potential leaves {chemical_symbols[number]} alone: rms force "
                f"{weak:.3g} eV/Å in the core, the expensive one {strong:.3g}. Where the "
                "correction is computed on fewer beads or less often than the cheap forces, "
                f"{chemical_symbols[number]} moves freely in between, and its quantum kinetic "
                "energy is wrong: give the cheap potential something of that interaction"
            )
        yield int(number), text


def require_same_cheap(
    whole: np.ndarray, on_cluster: np.ndarray, around: Cluster, buffer: float
) -> None:
    """Refuse to take the cheap forces of another potential from the expensive ones.

    Parameters
    ----------
    whole : ndarray, shape (n, 3)
        Cheap forces on the whole system, eV/Å.
    on_cluster : ndarray, shape (k, 3)
        Of the driver for clusters, eV/Å.
    around : Cluster
        The k atoms.
    buffer : float
        Of this cluster, Å.

    Raises
    ------
    MixpiError
        By how much they differ, where, and what to do.
    """
    weighted = around.weights > 0.0
    own = whole[around.indices[weighted]]
    difference = np.abs(own - on_cluster[weighted])
    if not difference.size or difference.max() <= SAME_FORCE * max(1.0, np.abs(own).max()):
        return
    atom = around.indices[weighted][difference.max(axis=1).argmax()]
    raise MixpiError(
        "the cheap forces on the cluster (cheap_cluster) and on the whole system (cheap) differ by "
        f"up to {difference.max():.3g} eV/Å, on atom {atom} (from 0): the correction would be one "
        "of another potential. Are both sections the same potential with the same species? One "
        f"that sees further than it says, or than the buffer of {buffer:g} Å if it says nothing, "
        "needs a wider buffer"
    )


class FirstLook:
    """Looks at the forces of a run until they have told what they can.

    Parameters
    ----------
    say : callable
        Told what is suspicious.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._looking = say, True
        #: Species → evaluations in which it seemed to be left alone; ALONE_IN where that is known.
        self._alone: dict[int, int] = {}

    def at_zeros(self, pool: str, energy: float, forces: np.ndarray) -> None:
        """Say so if a driver returns nothing but zeros; see :func:`exactly_zero`."""
        for text in exactly_zero(pool, energy, forces):
            self._say(text)
            self._looking = False  # they are far apart, of course

    def at_difference(self, plan: Plan, forces: Mapping[str, np.ndarray]) -> None:
        """Say so if the two potentials are far apart; see :func:`far_apart`.

        Parameters
        ----------
        plan : Plan
            Regions and clusters.
        forces : mapping of str to ndarray
            Pool → forces on what it was shown, eV/Å.
        """
        cheap = CHEAP if CHEAP.pool in forces else CHEAP_ON_CLUSTER
        if not self._looking or not {cheap.pool, EXPENSIVE.pool} <= set(forces):
            return
        atoms = np.flatnonzero(plan.regions.weights > 0.0)

        def weighted(level: Level) -> np.ndarray:
            if not level.on_cluster:
                return forces[level.pool][atoms]
            return forces[level.pool][plan.clusters[level.pool].weights > 0.0]

        weights = plan.regions.weights[atoms]
        apart = far_apart(weighted(cheap), weighted(EXPENSIVE), weights)
        if apart:
            self._say(apart)
        self._looking = apart is None

    def at_correction(self, plan: Plan, forces: Mapping[str, np.ndarray]) -> None:
        """Say so if a species has no cheap forces to correct; see :func:`left_alone`.

        Parameters
        ----------
        plan : Plan
            Regions and clusters.
        forces : mapping of str to ndarray
            Pool → forces on what it was shown, eV/Å; of both potentials on clusters.
        """
        pools = (CHEAP_ON_CLUSTER.pool, EXPENSIVE.pool)
        if not set(pools) <= set(forces):
            return
        cores = {pool: plan.clusters[pool].weights == 1.0 for pool in pools}
        numbers = plan.cluster.numbers[cores[EXPENSIVE.pool]]
        if all(self._alone.get(number, 0) >= ALONE_IN for number in set(numbers.tolist())):
            return
        cheap, expensive = (forces[pool][cores[pool]] for pool in pools)
        for number, text in left_alone(cheap, expensive, numbers):
            before = self._alone.get(number, 0)
            self._alone[number] = before + 1 if text else ALONE_IN
            if text and before + 1 == ALONE_IN:
                self._say(text)


def _rms(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(vectors**2)))
