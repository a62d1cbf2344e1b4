"""Several models of one potential: their mean, and how far apart they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import MixpiError
from .engine import evaluate_with_sites
from .partial import LayeredEngine
from .trained import NO_VIRIAL


def spread_of(forces: Sequence[np.ndarray]) -> np.ndarray:
    """How far the forces of several models are from their mean, atom by atom.

    s_i² is the mean, over the models, of the squared length of F_i − mean F_i.

    Parameters
    ----------
    forces : sequence of ndarray, shape (m, 3)
        Of each model, eV/Å.

    Returns
    -------
    ndarray, shape (m,)
        eV/Å.
    """
    away = np.asarray(forces) - np.mean(forces, axis=0)
    return np.sqrt(np.einsum("kix,kix->i", away, away) / len(away))


class Committee(LayeredEngine):
    """Evaluates several models: energies and forces are the mean of all.

    Parameters
    ----------
    members : mapping of str to LayeredEngine
        Name → model, at least two. They may know other species and see differently far: the
        committee knows the species that all know, and sees as far as the one that sees furthest.

    Attributes
    ----------
    members : dict of str to LayeredEngine
    has_spread : bool
        True.
    numbers, cutoff, interaction_range, has_site_energies, has_masked_forces
        As of :class:`mixpi.drivers.mace.MaceEngine`.

    Raises
    ------
    MixpiError
        If one model is there twice, or there is no species that all know.
    """

    has_spread = True

    def __init__(self, members: Mapping[str, LayeredEngine]) -> None:
        self.members = dict(members)
        self._models = list(self.members.values())
        #: Features of each model, as :meth:`mean_features` has found them.
        self._widths: list[int] = []
        self._require_different()
        shared = set.intersection(*(set(one.numbers) for one in self._models))
        if not shared:
            known = "; ".join(f"{name}: {one.species}" for name, one in members.items())
            raise MixpiError(f"the models of the committee share no species ({known})")
        self.numbers = tuple(sorted(shared))
        self.cutoff = max(one.cutoff for one in self._models)
        self.interaction_range = max(one.interaction_range for one in self._models)
        first = self._models[0]
        self.heads, self.head, self.sha256 = first.heads, first.head, first.sha256
        self.dtype, self.device = first.dtype, first.device
        by = " and ".join(dict.fromkeys(one.evaluated_by for one in self._models))
        self.evaluated_by = f"{by}, as a committee of {len(self._models)}"
        self.notes = tuple(dict.fromkeys(note for one in self._models for note in one.notes))

    def _require_different(self) -> None:
        seen: dict[str, str] = {}
        for name, one in self.members.items():
            if one.sha256 is None:
                continue
            if one.sha256 in seen:
                raise MixpiError(
                    f"{seen[one.sha256]} and {name} are the same model: a committee of one and the "
                    "same agrees always (mace: committee)"
                )
            seen[one.sha256] = name

    def facts(self) -> dict:
        """What the committee is, and which species each of its models knows."""
        known = {f"model {name}": list(one.numbers) for name, one in self.members.items()}
        return {**super().facts(), "known_by": known}

    def require(self, symbols: Iterable[str]) -> None:
        """Refuse species that one of the models was not trained for; says which model."""
        symbols = list(symbols)
        for name, one in self.members.items():
            unknown = [symbol for symbol in symbols if symbol not in one.species.split()]
            if unknown:
                raise MixpiError(
                    f"model {name} of the committee does not know {' '.join(unknown)}; it was "
                    f"trained for {one.species}"
                )

    def require_known_parts(self) -> None:
        """Each model by itself; see :meth:`LayeredEngine.require_known_parts`."""
        for one in self._models:
            one.require_known_parts()

    def evaluate(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        mask: ArrayLike | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean energy (eV), forces (eV/Å) and virial (eV); see :meth:`MaceEngine.evaluate`."""
        return _mean([one.evaluate(numbers, positions, cell, mask) for one in self._models])

    def evaluate_with_spread(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate`, and how far the models' forces are from the mean (m,), eV/Å."""
        found = [one.evaluate(numbers, positions, cell) for one in self._models]
        return *_mean(found), spread_of([forces for _, forces, _ in found])

    def evaluate_with_sites(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate`, and with it :meth:`site_energies`."""
        found = [evaluate_with_sites(one, numbers, positions, cell) for one in self._models]
        sites = [own for _, own in found if own is not None]  # layered engines have them
        return *_mean([result for result, _ in found]), np.mean(sites, axis=0)

    def site_energies(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> np.ndarray:
        """Mean energies of the single atoms (m,), eV; their sum is the energy."""
        return np.mean([one.site_energies(numbers, positions, cell) for one in self._models], 0)

    def turn_to(self, system: int) -> None:
        """See :meth:`LayeredEngine.turn_to`."""
        for one in self._models:
            one.turn_to(system)

    def partial_sites(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, **part: Any
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean of :meth:`LayeredEngine.partial_sites`: energy, forces, site energies."""
        return _mean(self._parts(numbers, positions, cell, **part))

    def partial_with_spread(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, **part: Any
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate_partial`, and how far the models' forces are from the mean (m,)."""
        found = self._parts(numbers, positions, cell, **part)
        energy, forces, _ = _mean(found)
        return energy, forces, NO_VIRIAL.copy(), spread_of([one for _, one, _ in found])

    def mean_features(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        atoms: ArrayLike | None = None,
    ) -> np.ndarray:
        """Mean features of all models side by side, (species, sum of their f).

        See :meth:`LayeredEngine.mean_features`.
        """
        found = [one.mean_features(numbers, positions, cell, atoms) for one in self._models]
        rows = [
            features[np.searchsorted(one.numbers, self.numbers)]
            for one, features in zip(self._models, found, strict=True)
        ]
        self._widths = [features.shape[1] for features in found]
        return np.hstack(rows)

    def _parts(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        *,
        fill: ArrayLike | None = None,
        **part: Any,
    ) -> list[tuple[float, np.ndarray, np.ndarray]]:
        fills = [None] * len(self._models) if fill is None else self._fills(np.asarray(fill))
        return [
            one.partial_sites(numbers, positions, cell, fill=own, **part)
            for one, own in zip(self._models, fills, strict=True)
        ]

    def _fills(self, fill: np.ndarray) -> list[np.ndarray]:
        """What each model fills with, with a row for each species that it knows."""
        if fill.shape != (len(self.numbers), sum(self._widths)):
            raise MixpiError(
                f"features to fill with are needed for {self.species}, those that mean_features of "
                f"this committee gives, got an array of shape {fill.shape}"
            )
        found = []
        for one, columns in zip(
            self._models, np.split(fill, np.cumsum(self._widths)[:-1], axis=1), strict=True
        ):
            rows = np.zeros((len(one.numbers), columns.shape[1]))
            rows[np.searchsorted(one.numbers, self.numbers)] = columns
            found.append(rows)
        return found


def _mean(
    found: Sequence[tuple[float, np.ndarray, np.ndarray]],
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean energy, and means of the two arrays."""
    energies, forces, others = zip(*found, strict=True)
    return float(np.mean(energies)), np.mean(forces, axis=0), np.mean(others, axis=0)
