"""The bases by name."""

from __future__ import annotations

from collections.abc import Sequence

from .basis import Basis
from .config import BasisConfig
from .sums import SumBasis


def make_basis(config: BasisConfig, species: Sequence[str]) -> Basis:
    """The basis that the YAML file describes.

    Parameters
    ----------
    config : BasisConfig
        Of several sections that are given, the basis is the sum.
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
    species = tuple(species)
    parts = [_make(kind, species, section.model_dump()) for kind, section in config.parts.items()]
    return parts[0] if len(parts) == 1 else SumBasis(species, tuple(parts))


def _make(kind: str, species: tuple[str, ...], settings: dict) -> Basis:
    if kind == "snap":
        from .snap import SnapBasis

        return SnapBasis(species, **settings)
    if kind == "uf3":
        from .uf3 import Uf3Basis

        return Uf3Basis(species, **settings)
    if kind == "eam":
        from .eam import EamBasis

        return EamBasis(species, **settings)
    if kind == "adp":
        from .adp import AdpBasis

        return AdpBasis(species, **settings)
    from .ace import AceBasis

    return AceBasis(species, **settings)
