"""The bases by name."""

from __future__ import annotations

from collections.abc import Sequence

from .basis import Basis
from .config import BasisConfig


def make_basis(config: BasisConfig, species: Sequence[str]) -> Basis:
    """The basis that the YAML file describes.

    Parameters
    ----------
    config : BasisConfig
        One of its sections is given.
    species : sequence of str
        Chemical symbols of the data.

    Returns
    -------
    Basis

    Raises
    ------
    MixpiError
        If a package is missing.
    """
    settings = getattr(config, config.kind).model_dump()
    species = tuple(species)
    if config.kind == "snap":
        from .snap import SnapBasis

        return SnapBasis(species, **settings)
    if config.kind == "uf3":
        from .uf3 import Uf3Basis

        return Uf3Basis(species, **settings)
    from .ace import AceBasis

    return AceBasis(species, **settings)
