"""The seeds of a run, step by step: those of the configuration, fixed or followed in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..structure import read_oriented
from .averaging import TimeAverage
from .classified import ClassifiedSeeds
from .classifiers import Classifier, CoordinationNumber, UserFunction
from .seed_config import SeedsConfig, SpreadConfig
from .uncertainty import SpreadSeeds


if TYPE_CHECKING:
    from ..config import MixingConfig


class SeedRule(Protocol):
    """Which atoms are seeds at each step."""

    def at(self, step: int, geometries: Sequence[np.ndarray], cell: np.ndarray) -> np.ndarray:
        """The seeds at a step; see :meth:`.classified.ClassifiedSeeds.at`."""

    def state(self) -> dict[str, np.ndarray]:
        """All that the next steps depend on."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on after the step at which a state was taken."""


class FixedSeeds:
    """Seeds that stay.

    Parameters
    ----------
    mask : ndarray of bool, shape (n,)
    """

    def __init__(self, mask: np.ndarray) -> None:
        self._mask = np.array(mask, dtype=bool)

    def at(self, step: int, geometries: Sequence[np.ndarray], cell: np.ndarray) -> np.ndarray:
        """See :meth:`SeedRule.at`."""
        return self._mask

    def state(self) -> dict[str, np.ndarray]:
        """Nothing changes."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Nothing changes."""


def fixed_seeds(config: MixingConfig, atoms: Atoms) -> FixedSeeds:
    """The seeds at the geometry of the structure's file, throughout."""
    return FixedSeeds(_mask(config.seed_indices, atoms))


def make_seed_rule(config: MixingConfig, atoms: Atoms) -> SeedRule:
    """The rule that a configuration asks for.

    Parameters
    ----------
    config : MixingConfig
        Of :func:`mixpi.config.load_config`.
    atoms : Atoms
        The structure in i-PI's orientation.

    Returns
    -------
    SeedRule

    Raises
    ------
    MixpiError
        If a selection or what is measured is not what it must be, or LAMMPS refuses its command:
        with its own words.
    """
    if not isinstance(config.seeds, SeedsConfig):
        return fixed_seeds(config, atoms)
    if config.seeds.spread is not None:
        return _by_spread(config, config.seeds, config.seeds.spread, atoms)
    return _classified(config, config.seeds, atoms)


def classified_now(config: MixingConfig, atoms: Atoms) -> np.ndarray:
    """The seeds of a section at the structure, by values that are not averaged.

    Parameters
    ----------
    config, atoms
        As for :func:`make_seed_rule`.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    MixpiError
        As :func:`make_seed_rule`.
    """
    assert isinstance(config.seeds, SeedsConfig)  # others have no values
    rule = _classified(config, config.seeds, atoms)
    return rule.classify(rule.classifier.values(atoms.positions, atoms.cell.array))


def _classified(config: MixingConfig, section: SeedsConfig, atoms: Atoms) -> ClassifiedSeeds:
    among = _among(config, section, atoms)
    return ClassifiedSeeds(
        _classifier(config, section, atoms, among),
        len(atoms),
        (section.bounds[0], section.bounds[1]),
        TimeAverage(**section.average.model_dump()),
        initial=_initial(config, section, atoms),
        among=among,
    )


def _by_spread(
    config: MixingConfig, section: SeedsConfig, spread: SpreadConfig, atoms: Atoms
) -> SpreadSeeds:
    initial = _initial(config, section, atoms)
    assert initial is not None  # 'now' is 'all'
    return SpreadSeeds(
        initial,
        (section.bounds[0], section.bounds[1]),
        TimeAverage(**section.average.model_dump()),
        patch=spread.patch,
        every=spread.every,
        among=_among(config, section, atoms),
    )


def _initial(config: MixingConfig, section: SeedsConfig, atoms: Atoms) -> np.ndarray | None:
    """Mask of the seeds until the first average; None for those of the first geometry."""
    if section.start == "now":
        return None
    if section.start == "all":
        return np.ones(len(atoms), dtype=bool)
    return _mask(config.select(section.start, "initial"), atoms)


def _among(config: MixingConfig, section: SeedsConfig, atoms: Atoms) -> np.ndarray | None:
    if section.among is None:
        return None
    return _mask(config.select(section.among, "among"), atoms)


def _classifier(
    config: MixingConfig, section: SeedsConfig, atoms: Atoms, among: np.ndarray | None
) -> Classifier:
    if section.coordination is not None:
        return CoordinationNumber(section.coordination)
    if section.function is not None:
        _, rotation = read_oriented(config.home / config.structure)
        return UserFunction(section.function, config.home, atoms.numbers, rotation)
    assert section.lammps is not None  # one of the three is given
    from ..drivers.lammps_compute import open_compute

    return open_compute(
        section.lammps, section.potential, config.cheap, config.home, atoms, among=among
    )


def _mask(indices: Sequence[int], atoms: Atoms) -> np.ndarray:
    if len(indices) and max(indices) >= len(atoms):
        raise MixpiError(
            f"seeds: atom {max(indices)} is out of range: the structure has {len(atoms)} atoms, "
            f"numbered 0 to {len(atoms) - 1}"
        )
    mask = np.zeros(len(atoms), dtype=bool)
    mask[list(indices)] = True
    return mask
