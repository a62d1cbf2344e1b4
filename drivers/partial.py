"""Partial evaluation of a two-layer message-passing network around the atoms that count.

A force on an atom depends on all site energies within twice the cutoff of it, and these on
features further out; but the further they are, the less. A cluster that is cut off gets the
outermost surroundings wrong and evaluates them all the same. Here the surroundings are
complete, and what is far is not evaluated:

- site energies of atoms nearer than ``sites`` to an atom of positive weight,
- first-layer features of atoms nearer than ``features``; those of others are dropped (zero) or
  filled with the mean of their species in the bulk,
- positions of all that these can see: nearer than the larger of the two, and the cutoff.

The sum of these site energies is a function of positions, and the forces are minus its
derivative, for as long as the same atoms are within. With ``sites`` of twice and ``features`` of
three times the cutoff the forces on the atoms of positive weight are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..errors import MixpiError
from .kept_neighbours import KeptNeighbours, NeighboursOfSystems
from .neighbours import Graph, neighbour_graph, received_graph
from .trained import NO_VIRIAL, TrainedEngine


#: Å; distances are given with rounding.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Part:
    """What is evaluated of a structure.

    Attributes
    ----------
    atoms : ndarray of int, shape (k,)
        Those that matter, nearest first.
    graph : Graph
        Of these: the edges that the first ``max(sites, features)`` of them receive.
    sites, features : int
        So many of the first have a site energy, and first-layer features.
    """

    atoms: np.ndarray
    graph: Graph
    sites: int
    features: int


def choose(
    positions: ArrayLike,
    cell: ArrayLike,
    cutoff: float,
    *,
    distance: ArrayLike,
    sites: float,
    features: float,
    kept: KeptNeighbours | None = None,
    places: ArrayLike | None = None,
) -> Part:
    """The part of a structure that is evaluated.

    Parameters
    ----------
    positions : array_like, shape (m, 3)
        Å.
    cell : array_like, shape (3, 3)
        Rows are lattice vectors, Å.
    cutoff : float
        Of one layer, Å.
    distance : array_like, shape (m,)
        From each atom to the nearest of positive weight, zero for these, Å.
    sites, features : float
        Radii, Å.
    kept : KeptNeighbours, optional
        What is known of an earlier geometry of the same system.
    places : array_like of int, shape (m,), optional
        Of the atoms in that system; needed for it.

    Returns
    -------
    Part

    Raises
    ------
    MixpiError
        If the distances or the radii make no sense.
    """
    distance = np.asarray(distance, dtype=float)
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    if distance.shape != (len(positions),):
        raise MixpiError(
            f"partial evaluation needs a distance for each of {len(positions)} atoms, got "
            f"{distance.shape}"
        )
    if not (distance >= 0.0).all():
        raise MixpiError("partial evaluation: a distance is negative or NaN")
    if not (sites > 0.0 and features > 0.0):
        raise MixpiError(
            f"partial evaluation needs positive radii, got {sites:g} Å for site energies and "
            f"{features:g} Å for features"
        )
    widest = max(sites, features)
    order = np.argsort(distance, kind="stable")
    spare = widest + (kept.skin if kept else 0.0)
    limits = [sites, features, widest + cutoff + ROUNDING, spare]
    *counts, seen, spare = np.searchsorted(distance[order], limits).tolist()
    atoms = order[:seen]
    if kept is None or places is None:
        graph = received_graph(positions[atoms], cell, cutoff, max(counts))
    else:
        graph = kept.received(
            positions.take(order, axis=0),
            np.asarray(cell, dtype=float),
            np.asarray(places)[order],
            receivers=max(counts),
            seen=seen,
            spare=spare,
        )
    return Part(atoms, graph, *counts)


class Layers(Protocol):
    """The two layers of a network, for some atoms."""

    def some(
        self,
        types: np.ndarray,
        graph: Graph,
        *,
        sites: int,
        features: int,
        fill: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies of the first sites (eV), and forces of the edges on their senders (eV/Å)."""
        ...

    def features(self, types: np.ndarray, graph: Graph, atoms: int) -> np.ndarray:
        """First-layer features (atoms, f) of the first so many atoms."""
        ...

    @property
    def scalars(self) -> int:
        """So many of the features do not change when everything is turned; they come first."""
        ...


class LayeredEngine(TrainedEngine):
    """An engine that can evaluate a part.

    Attributes
    ----------
    cutoff : float
        Of a layer, Å.
    has_site_energies, has_masked_forces : bool
        True.
    """

    has_site_energies = True
    has_masked_forces = True
    cutoff: float
    _kept: NeighboursOfSystems | None = None
    _system = 0

    def turn_to(self, system: int) -> None:
        """Let the structures with ``places`` that follow be of this system."""
        self._system = system

    def site_energies(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> np.ndarray:
        """Energies of the single atoms (m,), eV; their sum is the energy."""
        raise NotImplementedError

    def _layers(self) -> Layers:
        """The layers; raises MixpiError if they cannot be had one by one."""
        raise NotImplementedError

    def _types(self, numbers: ArrayLike) -> np.ndarray:
        """Places of the atoms' species in ``numbers`` of the engine."""
        numbers = np.asarray(numbers, dtype=int).reshape(-1)
        self.require_numbers(numbers)
        return np.searchsorted(self.numbers, numbers).astype(np.int32)

    def evaluate_partial(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        *,
        distance: ArrayLike,
        sites: float,
        features: float,
        fill: ArrayLike | None = None,
        places: ArrayLike | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Site energies of the atoms around those that count, and the derivative of their sum.

        Parameters
        ----------
        numbers : array_like of int, shape (m,)
            Atomic numbers.
        positions : array_like, shape (m, 3)
            Å; complete to a distance of ``max(sites, features)`` and the cutoff.
        cell : array_like, shape (3, 3)
            Rows are lattice vectors, Å.
        distance : array_like, shape (m,)
            From each atom to the nearest that counts, zero for these, Å.
        sites : float
            Site energies are those of atoms nearer than this, Å.
        features : float
            First-layer features are computed for atoms nearer than this, Å.
        fill : array_like, shape (species, f), optional
            Features of the others, as :meth:`mean_features` gives them; zero unless given.
        places : array_like of int, shape (m,), optional
            Which atoms of a system these are: neighbours are then kept from call to call, as long
            as it is the same system.

        Returns
        -------
        energy : float
            Sum of these site energies, eV.
        forces : ndarray, shape (m, 3)
            Minus its derivative, eV/Å.
        virial : ndarray, shape (3, 3)
            NaN.

        Raises
        ------
        MixpiError
            If the model has other than two layers, lacks a species, or the input makes no sense.
        """
        energy, forces, _ = self.partial_sites(
            numbers,
            positions,
            cell,
            distance=distance,
            sites=sites,
            features=features,
            fill=fill,
            places=places,
        )
        return energy, forces, NO_VIRIAL.copy()

    def require_known_parts(self) -> None:
        """As :meth:`require_known`, layer by layer, which is other code than the whole."""
        self.require_known(self._every_part)

    def _every_part(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """A structure of which every atom counts, evaluated as parts are."""
        distance = np.zeros(len(numbers))
        return self.evaluate_partial(
            numbers, positions, cell, distance=distance, sites=1.0, features=1.0
        )

    def partial_sites(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        *,
        distance: ArrayLike,
        sites: float,
        features: float,
        fill: ArrayLike | None = None,
        places: ArrayLike | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """As :meth:`evaluate_partial`: energy, forces, and site energies (m,), NaN for others."""
        layers, types = self._layers(), self._types(numbers)
        if self._kept is None:
            self._kept = NeighboursOfSystems(self.cutoff)
        part = choose(
            positions,
            cell,
            self.cutoff,
            distance=distance,
            sites=sites,
            features=features,
            kept=None if places is None else self._kept.of(self._system),
            places=places,
        )
        forces, found = np.zeros((len(types), 3)), np.full(len(types), np.nan)
        if part.sites == 0:
            return 0.0, forces, found
        if fill is not None:
            fill = np.asarray(fill, dtype=float)
            if len(fill) != len(self.numbers):
                raise MixpiError(
                    f"features to fill with are needed for {self.species}, got {len(fill)} rows"
                )
        energies, pairs = layers.some(
            types[part.atoms], part.graph, sites=part.sites, features=part.features, fill=fill
        )
        forces[part.atoms] = part.graph.atom_forces(pairs)
        found[part.atoms[: part.sites]] = energies
        return float(energies.sum()), forces, found

    def mean_features(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        atoms: ArrayLike | None = None,
    ) -> np.ndarray:
        """What :meth:`evaluate_partial` fills with: mean first-layer features of each species.

        Of those that turn with the structure zero is taken, so that energies do not depend on its
        orientation.

        Parameters
        ----------
        numbers, positions, cell
            As for :meth:`evaluate_partial`; best a thermal snapshot.
        atoms : array_like of int or bool, optional
            Those that are averaged over; all unless given.

        Returns
        -------
        ndarray, shape (species, f)
            Zero for species that are not there.
        """
        layers, types = self._layers(), self._types(numbers)
        graph = neighbour_graph(positions, cell, self.cutoff)
        found = layers.features(types, graph, len(types))
        found[:, layers.scalars :] = 0.0
        chosen = np.arange(len(types))[slice(None) if atoms is None else np.asarray(atoms)]
        means = np.zeros((len(self.numbers), found.shape[1]))
        for kind in np.unique(types[chosen]):
            means[kind] = found[chosen[types[chosen] == kind]].mean(axis=0)
        return means
